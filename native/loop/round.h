// What: the steps between two turns of a thread: hand over, look, park, wait, take what was accepted.
// Flow: loop (or the simulation, step by step) -> this -> driver; completions -> JavaScript's turn.
// Thread: a worker or an update thread; it knows neither libuv nor JavaScript.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "driver/driver.h"
#include "shared/completion_ring.h"
#include "shared/runtime.h"

namespace loop {

class Round {
 public:
  Round() = default;
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;

  /**
   * Opens the driver with this thread's part of the memory, which is nothing for ids above driver_count. Empty: it
   * worked; else a sentence.
   */
  std::string open(std::shared_ptr<shared::Runtime> runtime, int32_t thread, std::unique_ptr<driver::Driver> driver,
                   uint32_t batch, int backend_fd, uint32_t features_forbidden);

  /** Closes the driver: nothing is pending afterwards. */
  void close();

  /** Ends accepting on the listeners that this thread was given, and closes them. */
  void stop_accepting();

  /** Hands the submission area to the driver. Returns the completions that wait. */
  uint32_t submit();

  /** Hands over what waits for submit; with `now`, what completes at once is in the ring afterwards. */
  void hand_over(bool now);

  /** Before a sleep of `timeout_ms` (-1: no limit): 0 when there is work, so that it is only looked. */
  int64_t look(int64_t timeout_ms) const { return timeout_ms == 0 || has_work() ? 0 : timeout_ms; }

  /** Says that this thread sleeps and looks again. The timeout to wait with: 0 when there is work after all. */
  int64_t park(int64_t timeout_ms);

  /** Waits in the driver, with what park() said. */
  driver::Waited wait(int64_t timeout_ms);

  /** Where something else sleeps than the driver: between these two lies the sleep. `waited` is a look after it. */
  void fall_asleep();
  void wake_up(const driver::Waited& waited);

  /** Sockets that the accept thread handed over become ACCEPT completions; listeners are accepted on. */
  void take_inbox();

  /** Whether a turn would find something: the one declared list of what must be empty before a sleep. */
  bool has_work() const;

  /** Reads the thread's CPU clock, which is a system call. */
  void publish_cpu_time();

  /** Null before open() and after close(). */
  driver::Driver* driver() { return driver_.get(); }
  double* counters() { return counters_; }

 private:
  void stamp_turn(int64_t now_ns);
  bool rest(int64_t now_ns, int64_t timeout_ms);
  bool is_stopping() const;
  void retry_accepting();
  driver::Config with_sockets();
  std::string open_rest(driver::Config config);

  std::shared_ptr<shared::Runtime> runtime_;
  int32_t thread_ = 0;
  uint32_t batch_ = 0;
  layout::Thread* block_ = nullptr;
  double* counters_ = nullptr;
  int32_t* submissions_ = nullptr;
  std::unique_ptr<driver::Driver> driver_;
  /** Null unless this thread has a receive interval, and sleeps in its driver. */
  std::unique_ptr<driver::Driver> rest_;
  shared::CompletionRing completions_;
  /** The ring of a thread without sockets; nothing is ever in it. */
  layout::Completion no_completion_{};
  /** By listener number; only a server's single worker is given any. */
  std::vector<base::Fd> listeners_;
  /** Listeners that come now are closed. */
  bool accepting_ended_ = false;
  /** When the last sleep began and ended; and whether it brought something, but not more than there was. */
  int64_t asleep_at_ns_ = 0;
  int64_t awake_at_ns_ = 0;
  /** The CPU time that is published is of before a long wait. */
  bool cpu_time_due_ = false;
  bool may_rest_ = false;
  /** When accepting was found to have ended; 0: it goes on. */
  int64_t starved_at_ns_ = 0;
};

}  // namespace loop
