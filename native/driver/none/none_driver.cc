// What: the driver of a thread without sockets: it waits for libuv and for wakes, and for nothing else.
// Flow: libuv's descriptor, the thread's wake descriptor -> this -> loop.
// Thread: one instance per update thread.
#include "driver/none/none_driver.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace driver {

std::string NoneDriver::open(const Config& config) {
  config_ = config;
  OVERLAPPED_CHECK(config_.slot_count == 0 && config_.buffer_count == 0);
  // An instance of its own rather than poll(2): one call per wait, because no wake has to be read.
  epoll_ = base::Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return std::string("epoll_create1 failed: ") + std::strerror(errno);
  int wake_fd = config_.alarm->fd();
  for (int fd : {config_.backend_fd, wake_fd}) {
    if (fd < 0) continue;
    epoll_event event{};
    // The backend's readiness is a level; the wake descriptor is never drained, every write is an edge.
    event.events = fd == wake_fd ? EPOLLIN | EPOLLET : EPOLLIN;
    event.data.fd = fd;
    OVERLAPPED_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
  }
  return "";
}

Waited NoneDriver::wait(int64_t timeout_ms) {
  Waited waited;
  std::array<epoll_event, 2> events;
  shared::count(config_.counters, layout::Counter::kSyscalls);
  auto timeout = static_cast<int>(std::min<int64_t>(timeout_ms, 1 << 30));
  int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
  for (int i = 0; i < count; i++) {
    if (events[static_cast<size_t>(i)].data.fd == config_.alarm->fd()) waited.woken = true;
    else waited.backend_ready = true;
  }
  return waited;
}

void NoneDriver::close() { epoll_.reset(); }

// Nobody has a socket for it.
void NoneDriver::listen(int32_t, int) { OVERLAPPED_CHECK(false); }
void NoneDriver::unlisten(int32_t) { OVERLAPPED_CHECK(false); }
void NoneDriver::submit(const int32_t*, size_t, bool) { OVERLAPPED_CHECK(false); }
void NoneDriver::relisten() { OVERLAPPED_CHECK(false); }
const shared::SocketAddress* NoneDriver::peer(int32_t, uint32_t) const { return nullptr; }

}  // namespace driver
