// What: a gate that is opened once: who comes before that waits.
// Flow: a thread that has started something -> this -> the thread that has it started.
// Thread: any opens, any waits.
#pragma once

#include <atomic>

namespace base {

class Gate {
 public:
  /** What was written before is seen by who waits. */
  void open() {
    is_open_ = true;
    is_open_.notify_all();
  }

  void wait() const { is_open_.wait(false); }

 private:
  std::atomic<bool> is_open_{false};
};

}  // namespace base
