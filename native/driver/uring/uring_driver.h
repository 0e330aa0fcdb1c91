// What: the io_uring driver: multishot accept and receive into a provided-buffer ring, gathered sends, cancel.
// Flow: submissions -> this -> kernel -> this -> completions.
// Thread: one instance per thread.
#pragma once

#include <sys/uio.h>

#include <deque>
#include <vector>

#include "driver/socket_driver.h"
#include "driver/uring/uring_ring.h"

namespace driver {

class UringDriver final : public SocketDriver {
 public:
  ~UringDriver() override;
  std::string open(const Config& config) override;
  void listen(int32_t listener, int fd) override;
  void unlisten(int32_t listener) override;
  Waited wait(int64_t timeout_ms) override;
  void close() override;
  const shared::SocketAddress* peer(int32_t slot, uint32_t generation) const override;

 protected:
  void send(const GatheredSend& send) override;
  void return_buffer(int32_t buffer) override;
  void attach(int32_t slot, uint32_t generation, int32_t token) override;
  void connect(int32_t slot, uint32_t generation, int32_t token) override;
  void start_recv(int32_t slot, uint32_t generation) override;
  void pause_recv(int32_t slot, uint32_t generation) override;
  void cancel_all(int32_t slot, uint32_t generation) override;
  void shut_down(int32_t slot, uint32_t generation) override;
  void close_socket(int32_t slot, uint32_t generation, bool resets) override;
  void borrow(int32_t slot, uint32_t generation) override;
  void give_back(int32_t slot, uint32_t generation) override;
  void submitted(bool now) override;
  void accept_again() override;

 private:
  enum class Recv : uint8_t {
    kIdle,        // not receiving, terminal completion given or never started
    kArmed,       // the kernel has the receive
    kStarved,     // waits for a free buffer
    kPausing,     // cancel on its way, PAUSED follows
    kPaused,      // nothing in the kernel but perhaps a watch
    kCancelling,  // cancel on its way, a terminal completion follows
  };
  /** Its socket in the ring's file table. */
  enum class File : uint8_t {
    kNone,
    kAsked,  // a refusal would come before the completion of the send that asked
    kInTable,
  };
  enum class Watch : uint8_t { kNone, kArmed, kCancelling, kCancellingThenArm };

  /** What each completion touches: one cache line. */
  struct alignas(64) Endpoint {
    int fd = -1;
    uint32_t generation = 0;
    Recv recv = Recv::kIdle;
    Watch watch = Watch::kNone;
    bool send_pending = false;  // a SEND without SEND_FLAG_NOW is in the kernel
    bool connecting = false;
    bool in_kernel = false;  // the kernel has its receive: the last completion of it was not seen
    bool restarting = false;  // a cancel of its receive is on its way, after which it is armed again
    bool one_by_one = false;  // had more waiting than its share: one buffer at a time until its socket is empty
    bool behind = false;  // its last receive left bytes in the socket
    uint32_t turn = 0;       // of its last buffers, and how many they were
    int32_t taken = 0;
    int32_t deferred = 0;    // its completions in deferred_
    bool to_look_at = false;  // in to_look_at_; outlives the session, as the entry does
    uint32_t held = 0;  // number of its last lazy send, see held_first_
    uint32_t send_enters = 0;  // enters_ when its last SEND without SEND_FLAG_NOW was claimed
    File file = File::kNone;
    uint8_t sends = 0;  // while its socket is not in the file table
    uint8_t notifications = 0;  // zero-copy sends of which the kernel has not said that it has read them
  };
  struct Listener {
    int fd = -1;
    bool armed = false;
    bool starved = false;  // accept ended for lack of descriptors
    bool ending = false;
  };

  // --- the ring, accepting, the life of a socket (uring_driver.cc) ---
  uring::Sqe* claim();
  Endpoint* find(int32_t slot, uint32_t generation);
  Endpoint& at(int32_t slot);
  /** The endpoint of a slot that holds this session. */
  Endpoint& session_at(int32_t slot, uint32_t generation);
  Endpoint& take_socket(int32_t slot, uint32_t generation, int32_t token);
  void arm_accept(int32_t listener);
  void arm_poll(uint8_t op, int fd, uint32_t events);
  void cancel(uint8_t op, int32_t slot, uint32_t generation);
  void enter(bool wait, int64_t timeout_ms);
  void reap(uint32_t most);
  void on_accept(int32_t listener, const uring::Cqe& cqe);

  // --- sending (uring_send.cc) ---
  void open_sends();
  void report_held();
  void settle_held(int32_t slot, uint32_t generation);
  void on_send_now(int32_t slot, uint32_t generation, int32_t result);
  void on_zero_copy(int32_t slot, uint32_t generation, int32_t number, const uring::Cqe& cqe);
  void abort_zero_copy(int32_t slot, const Endpoint& endpoint);
  void on_send_wait(int32_t slot, uint32_t generation, int32_t result);
  bool uses_file_table(int32_t slot, Endpoint& endpoint);
  void update_file(int32_t slot, uint32_t generation, const int* fd);
  void leave_file_table(int32_t slot, const Endpoint& endpoint);
  void on_file(int32_t slot, uint32_t generation, int32_t result);

  // --- receiving (uring_receive.cc) ---
  void publish_buffers();
  size_t free_buffers() const { return static_cast<size_t>(buffers_in_ring_) + spare_buffers_.size(); }
  void arm_recv(int32_t slot, Endpoint& endpoint);
  void arm_watch(int32_t slot, Endpoint& endpoint);
  void cancel_recv(int32_t slot, const Endpoint& endpoint);
  void restart_recv(int32_t slot, Endpoint& endpoint);
  void on_cancel_recv(int32_t slot, uint32_t generation, int32_t result);
  void cancel_watch(int32_t slot, Endpoint& endpoint, Watch then);
  void paused(int32_t slot, Endpoint& endpoint);
  void on_watch(int32_t slot, uint32_t generation, int32_t result);
  bool has_share(const Endpoint& endpoint) const;
  void receive(int32_t slot, uint32_t generation, const uring::Cqe& cqe);
  void take_deferred();
  void on_recv(int32_t slot, Endpoint& endpoint, const uring::Cqe& cqe);
  void look_later(int32_t slot, Endpoint& endpoint);
  void arm_look();
  void look();
  void restart_ended(const int32_t* slots, size_t count);

  uring::Ring ring_;
  std::vector<Endpoint> endpoints_;
  /** Their peers; CONNECT reads its own until its completion. */
  std::vector<shared::SocketAddress> peers_;
  std::vector<Listener> listeners_;

  uring::Buf* buffers_ = nullptr;
  size_t buffers_bytes_ = 0;
  uint16_t buffers_tail_ = 0;
  int32_t buffers_in_ring_ = 0;
  int32_t buffers_wanted_ = 0;
  /** Buffers that nobody has, by index among this worker's; the last one was used last. */
  std::vector<int32_t> spare_buffers_;

  struct Starved {
    int32_t slot;
    uint32_t generation;
  };
  std::deque<Starved> starved_;

  /** Receive completions of sessions that had their share of this turn; those of a session stay in order. */
  struct Deferred {
    int32_t slot;
    uring::Cqe cqe;
  };
  std::deque<Deferred> deferred_;
  uint32_t turn_ = 0;
  uint32_t enters_ = 0;  // calls of enter()

  /** Slots that received bytes on a receive that goes on: each is looked at once when no more come. */
  std::vector<int32_t> to_look_at_;
  uint32_t look_turn_ = 0;
  bool look_armed_ = false;

  /** Headers of gathered sends; the kernel copies them when it takes the submission. */
  std::vector<iovec> iovecs_;
  std::vector<uint8_t> headers_;
  size_t iovecs_used_ = 0;
  size_t headers_used_ = 0;

  /** The first so many of held_ have been taken by the kernel; the first of all has this number. */
  size_t held_taken_ = 0;
  uint32_t held_first_ = 0;
  bool skip_success_ = false;
  bool multishot_recv_ = true;
  bool multishot_accept_ = true;
  bool file_table_ = false;
  bool zero_copy_ = false;
  bool backend_armed_ = false;
  bool wake_armed_ = false;
  int64_t in_flight_ = 0;
  Waited waited_;
};

}  // namespace driver
