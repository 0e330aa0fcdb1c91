// What: clocks, in nanoseconds.
// Flow: this -> base/platform.h.
// Thread: any.
#pragma once

#include <cstdint>

#include "base/windows/sockets.h"

namespace base {

/** What process.hrtime() counts, too. */
inline int64_t now_ns() {
  LARGE_INTEGER frequency;
  LARGE_INTEGER counter;
  QueryPerformanceFrequency(&frequency);
  QueryPerformanceCounter(&counter);
  int64_t seconds = counter.QuadPart / frequency.QuadPart;
  int64_t rest = counter.QuadPart % frequency.QuadPart;
  return seconds * 1'000'000'000 + rest * 1'000'000'000 / frequency.QuadPart;
}

/** CPU time that the calling thread has used. */
inline int64_t thread_cpu_ns() {
  FILETIME created, exited, kernel, user;
  if (!GetThreadTimes(GetCurrentThread(), &created, &exited, &kernel, &user)) return 0;
  auto ns = [](const FILETIME& time) {
    return (static_cast<int64_t>(time.dwHighDateTime) << 32 | static_cast<int64_t>(time.dwLowDateTime)) * 100;
  };
  return ns(kernel) + ns(user);
}

}  // namespace base
