// What: what wakes a thread that sleeps: a call that its driver or its loop has left here.
// Flow: whoever publishes for the thread -> this -> uv_async_send, or the driver's event.
// Thread: any rings; the thread that sleeps attaches and detaches.
#pragma once

#include <mutex>

namespace base {

class Alarm {
 public:
  Alarm() = default;
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  /** From here on `ring` is called with `data`, and nothing that was attached before. */
  void attach(void (*ring)(void*), void* data) {
    std::lock_guard<std::mutex> guard(mutex_);
    ring_ = ring;
    data_ = data;
  }

  /** When it returns, what was attached with `data` is not called any more. */
  void detach(void* data) {
    std::lock_guard<std::mutex> guard(mutex_);
    if (data_ != data) return;
    ring_ = nullptr;
    data_ = nullptr;
  }

  void ring() {
    std::lock_guard<std::mutex> guard(mutex_);
    if (ring_ != nullptr) ring_(data_);
  }

 private:
  std::mutex mutex_;
  void (*ring_)(void*) = nullptr;
  void* data_ = nullptr;
};

}  // namespace base
