// What: producer half of a completion ring: single producer, single consumer.
// Flow: driver -> this -> src/inbound/completion_ring.ts.
// Thread: the thread that owns the driver.
#pragma once

#include <atomic>
#include <cstdint>

#include "layout/layout.h"
#include "shared/memory.h"

namespace shared {

class CompletionRing {
 public:
  CompletionRing() = default;
  CompletionRing(layout::Completion* entries, uint32_t capacity, int32_t* head, int32_t* tail)
      : entries_(entries), mask_(capacity - 1), head_(head), tail_(tail) {
    OVERLAPPED_CHECK(capacity > 0 && (capacity & mask_) == 0);
    OVERLAPPED_CHECK(tail != nullptr && head != nullptr);
  }

  /** Free entries, as of now; the consumer can only add to them. */
  uint32_t space() const { return mask_ + 1 - used(); }

  /** Entries that wait for the consumer. */
  uint32_t used() const {
    // order: acquire; pairs with the consumer's store of head [COMPLETION-2]
    uint32_t head = static_cast<uint32_t>(atomic(*head_).load(std::memory_order_acquire));
    return next_ - head;
  }

  /** Writes an entry; it is not seen before commit(). */
  void claim(const layout::Completion& completion) {
    OVERLAPPED_CHECK(space() > 0);  // COMPLETION-3: never overwrites what is not consumed
    entries_[next_++ & mask_] = completion;
  }

  /** Publishes what was claimed. */
  void commit() {
    // order: release; publishes entry words; pairs with the consumer's load of tail [COMPLETION-1]
    atomic(*tail_).store(static_cast<int32_t>(next_), std::memory_order_release);
  }

 private:
  layout::Completion* entries_ = nullptr;
  uint32_t mask_ = 0;
  uint32_t next_ = 0;
  int32_t* head_ = nullptr;
  int32_t* tail_ = nullptr;
};

}  // namespace shared
