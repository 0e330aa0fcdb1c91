// What: what wakes a thread that sleeps in its driver: an eventfd, which every wait of the thread watches.
// Flow: whoever publishes for the thread -> this -> uring, epoll, none.
// Thread: any rings; the thread that sleeps watches.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "base/check.h"

namespace base {

class Alarm {
 public:
  // Never drained: every ring raises the counter, which is an edge for whoever polls it; the counter
  // overflows after 2^64 rings.
  Alarm() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Alarm() { ::close(fd_); }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  void ring() const {
    uint64_t one = 1;
    ssize_t written = ::write(fd_, &one, sizeof one);
    OVERLAPPED_CHECK(written == sizeof one);
  }

  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace base
