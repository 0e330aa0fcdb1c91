// What: the assertion of native code: a broken invariant aborts with file and line, never becomes a JavaScript error.
// Flow: this -> everything in native/.
// Thread: any.
#pragma once

#include <cstdio>
#include <cstdlib>

#define OVERLAPPED_CHECK(condition)                                                            \
  do {                                                                                         \
    if (!(condition)) {                                                                        \
      std::fprintf(stderr, "overlapped: %s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                            \
    }                                                                                          \
  } while (false)
