// What: operations that are over, on their way to the driver whose they are; and how its thread is woken.
// Flow: completion threads -> this -> iocp driver.
// Thread: completion threads push; the driver's thread takes and sleeps.
#pragma once

#include <atomic>

#include "driver/iocp/operation.h"

namespace driver::iocp {

/**
 * A list through the operations themselves: it is never full, so that no completion thread waits for room or keeps
 * what there is none for, and several ports can push. An operation is in it once, between its packet and its driver.
 */
class Arrivals {
 public:
  Arrivals() = default;
  Arrivals(const Arrivals&) = delete;
  Arrivals& operator=(const Arrivals&) = delete;
  ~Arrivals();

  /** `parked`: the thread's word, when libuv may sleep for it; `alarm` then wakes it. Both may be null. */
  void open(int32_t* parked, base::Alarm* alarm);
  /** When it returns, no completion thread looks at this any more. Nothing may be on its way. */
  void close();

  /** Operations linked by `next`, the one that completed last first. Wakes the thread if it sleeps. */
  void push(Operation* newest, Operation* oldest, bool only_receives);

  /** Everything that has arrived, in order; null: nothing. */
  Operation* take();
  bool any() const { return head_.load(std::memory_order_seq_cst) != nullptr; }

  /** Sleeps until something arrives, a ring, or the timeout (-1: none). */
  void sleep(int64_t timeout_ms);
  /** Whether the alarm rang since this was asked. */
  bool take_ring() { return rung_.exchange(false, std::memory_order_seq_cst); }

  /** What is received before that moment does not wake; the completion thread of the driver's own port does when it is due. */
  void gather_until(int64_t now_ns) { gather_until_ns_.store(now_ns, std::memory_order_seq_cst); }
  /** When wake() must be called, because something was left to gather; 0: nothing was. */
  int64_t due_ns() const { return due_ns_.load(std::memory_order_seq_cst); }
  void wake();

 private:
  std::atomic<Operation*> head_{nullptr};
  /** Completion threads in push(), which touches this after the driver may have seen what was pushed. */
  std::atomic<int> users_{0};
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> rung_{false};
  std::atomic<int64_t> gather_until_ns_{0};
  std::atomic<int64_t> due_ns_{0};
  int32_t* parked_ = nullptr;
  base::Alarm* alarm_ = nullptr;
  HANDLE event_ = nullptr;
};

}  // namespace driver::iocp
