// What: operations that are over, on their way to the driver whose they are; and how its thread is woken.
// Flow: completion threads -> this -> iocp driver.
// Thread: completion threads push; the driver's thread takes and sleeps.
#include "driver/iocp/arrivals.h"

#include <algorithm>
#include <thread>

#include "shared/memory.h"

namespace driver::iocp {

Arrivals::~Arrivals() { close(); }

void Arrivals::open(int32_t* parked, base::Alarm* alarm) {
  parked_ = parked;
  alarm_ = alarm;
  event_ = CreateEventW(nullptr, FALSE, FALSE, nullptr);
  OVERLAPPED_CHECK(event_ != nullptr);
  if (alarm == nullptr) return;
  // A loop in which libuv sleeps puts itself in its place.
  alarm->attach([](void* data) {
    auto* self = static_cast<Arrivals*>(data);
    self->rung_.store(true, std::memory_order_seq_cst);
    SetEvent(self->event_);
  }, this);
}

void Arrivals::close() {
  if (event_ == nullptr) return;
  if (alarm_ != nullptr) alarm_->detach(this);
  while (users_.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
  CloseHandle(event_);
  event_ = nullptr;
}

void Arrivals::push(Operation* newest, Operation* oldest, bool only_receives) {
  users_.fetch_add(1, std::memory_order_seq_cst);
  Operation* head = head_.load(std::memory_order_relaxed);
  do {
    oldest->next = head;
    // order: seq_cst; publishes the operations; before the look at who sleeps [WAKE-1]
  } while (!head_.compare_exchange_weak(head, newest, std::memory_order_seq_cst));
  int64_t until_ns = only_receives ? gather_until_ns_.load(std::memory_order_seq_cst) : 0;
  if (until_ns != 0 && base::now_ns() < until_ns) {
    due_ns_.store(until_ns, std::memory_order_seq_cst);
  } else {
    wake();
  }
  users_.fetch_sub(1, std::memory_order_seq_cst);
}

void Arrivals::wake() {
  due_ns_.store(0, std::memory_order_seq_cst);
  // order: seq_cst; after the push; pairs with sleep()'s store and re-check
  if (sleeping_.exchange(false, std::memory_order_seq_cst)) SetEvent(event_);
  // order: seq_cst; after the push; pairs with the parking thread's store and re-check [WAKE-1]
  if (parked_ != nullptr && shared::atomic(*parked_).exchange(0, std::memory_order_seq_cst) != 0) alarm_->ring();
}

Operation* Arrivals::take() {
  // Most looks find nothing.
  if (head_.load(std::memory_order_relaxed) == nullptr) return nullptr;
  // order: seq_cst; pairs with push(), whose operations are read from here
  Operation* newest = head_.exchange(nullptr, std::memory_order_seq_cst);
  Operation* first = nullptr;
  while (newest != nullptr) {
    Operation* older = newest->next;
    newest->next = first;
    first = newest;
    newest = older;
  }
  return first;
}

void Arrivals::sleep(int64_t timeout_ms) {
  // order: seq_cst; before the re-check; pairs with wake()'s exchange
  sleeping_.store(true, std::memory_order_seq_cst);
  if (!any() && !rung_.load(std::memory_order_seq_cst)) {
    DWORD timeout = timeout_ms < 0 ? INFINITE : static_cast<DWORD>(std::min<int64_t>(timeout_ms, 1 << 30));
    WaitForSingleObject(event_, timeout);
  }
  sleeping_.store(false, std::memory_order_seq_cst);
}

}  // namespace driver::iocp
