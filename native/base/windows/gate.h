// What: a gate that is opened once: who comes before that waits.
// Flow: a thread that has started something -> this -> the thread that has it started.
// Thread: any opens, any waits.
#pragma once

#include "base/windows/sockets.h"

namespace base {

/**
 * By the system's own lock and condition variable: mingw-w64's std::atomic::wait is built on winpthreads, whose condition
 * variables lose a wake now and then under Wine (twice in 36,000 rounds; these never).
 */
class Gate {
 public:
  /** What was written before is seen by who waits. */
  void open() {
    AcquireSRWLockExclusive(&lock_);
    is_open_ = true;
    WakeAllConditionVariable(&opened_);
    ReleaseSRWLockExclusive(&lock_);
  }

  void wait() {
    AcquireSRWLockExclusive(&lock_);
    while (!is_open_) SleepConditionVariableSRW(&opened_, &lock_, INFINITE, 0);
    ReleaseSRWLockExclusive(&lock_);
  }

 private:
  SRWLOCK lock_ = SRWLOCK_INIT;
  CONDITION_VARIABLE opened_ = CONDITION_VARIABLE_INIT;
  bool is_open_ = false;
};

}  // namespace base
