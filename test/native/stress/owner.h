// What: a worker that only receives: the send thread sends on its sockets.
// Flow: acceptor, clients -> this -> requests to the send thread; its counts -> this.
// Thread: one for each worker.
#pragma once

#include <array>
#include <vector>

#include "driver_thread.h"

namespace stress {

class Owner : public DriverThread {
 public:
  Owner(Shared& shared, int32_t id);
  /** Until workers_stop is set and the last session is gone. */
  void run();

 private:
  struct Session {
    bool live = false;
    bool receiving = false;
    bool reset_on_close = false;
  };

  void turn();
  void accepted(int32_t token);
  void received(int32_t slot, const layout::Completion& completion);
  void terminate(int32_t slot);
  void ask(int32_t slot, int32_t request);
  void finish_releases();
  Session& at(int32_t slot) { return sessions_[static_cast<size_t>(slot - first_slot_)]; }
  int32_t generation(int32_t slot) { return session(slot).generation; }

  int32_t first_slot_;
  std::array<Session, kSessionsPerWorker> sessions_{};
  std::vector<int32_t> free_slots_;
  /** Attached in this turn: published when the driver has their sockets. */
  std::vector<int32_t> attached_;
  int32_t live_ = 0;
};

}  // namespace stress
