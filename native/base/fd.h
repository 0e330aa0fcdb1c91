// What: a file descriptor, or on Windows a socket, that closes itself.
// Flow: this -> shared, driver, loop.
// Thread: whoever owns it.
#pragma once

#include <utility>

#include "base/platform.h"

namespace base {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) close_descriptor(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

}  // namespace base
