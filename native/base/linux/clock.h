// What: clocks, in nanoseconds.
// Flow: this -> base/platform.h.
// Thread: any.
#pragma once

#include <cstdint>
#include <ctime>

namespace base {

inline int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

/** CPU time that the calling thread has used. */
inline int64_t thread_cpu_ns() {
  timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<int64_t>(used.tv_sec) * 1'000'000'000 + used.tv_nsec;
}

}  // namespace base
