// What: the control memory and the arena as native code sees them.
// Flow: JavaScript plans the memory -> this -> drivers and loop.
// Thread: any; each word's writer is in layout/layout.h's schema.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "layout/layout.h"

namespace shared {

/** The two memories of a runtime. Words that several threads write go through `atomic`. */
struct Memory {
  int32_t* words = nullptr;
  uint8_t* arena = nullptr;

  const layout::Control& control() const { return *reinterpret_cast<layout::Control*>(words); }

  layout::Thread& thread(int32_t id) const {
    OVERLAPPED_CHECK(id >= 0 && id < control().thread_count);
    return *reinterpret_cast<layout::Thread*>(
        words + control().threads_at + id * static_cast<int32_t>(sizeof(layout::Thread) / 4));
  }

  layout::Session& session(int32_t slot) const {
    OVERLAPPED_CHECK(slot >= 0 && slot < control().session_capacity);
    return *reinterpret_cast<layout::Session*>(
        words + control().sessions_at + slot * static_cast<int32_t>(sizeof(layout::Session) / 4));
  }

  double* counters(int32_t id) const {
    OVERLAPPED_CHECK(id >= 0 && id < control().thread_count);
    return reinterpret_cast<double*>(words + control().counters_at) + id * kCountersStride;
  }

  /** Counter slots per thread, rounded up to whole cache lines of eight float64. */
  static constexpr int32_t kCountersStride = (layout::kCounterCount + 7) / 8 * 8;
};

/** A shared word, for the orderings that layout.h names. */
inline std::atomic_ref<int32_t> atomic(int32_t& word) { return std::atomic_ref<int32_t>(word); }

/** Adds to a counter whose only writer is this thread; readers see whole 64-bit values. */
inline void count(double* counters, layout::Counter counter, double by = 1) {
  double& value = counters[static_cast<int32_t>(counter)];
  std::atomic_ref<double> reference(value);
  reference.store(reference.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

/** Stores a level, which goes up and down, where a counter only grows. */
inline void level(double* counters, layout::Counter counter, double value) {
  std::atomic_ref<double>(counters[static_cast<int32_t>(counter)]).store(value, std::memory_order_relaxed);
}

}  // namespace shared
