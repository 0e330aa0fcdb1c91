// What: send(2), sendmsg(2) and recv(2) without waiting, straight to the kernel.
// Flow: epoll driver -> this -> kernel.
// Thread: the driver's.
#include "driver/epoll/socket_calls.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace driver {

ssize_t send_now(int fd, const void* bytes, size_t count) {
  return syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT, nullptr, 0);
}

ssize_t send_now(int fd, const msghdr& header) {
  return syscall(SYS_sendmsg, fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t recv_now(int fd, void* bytes, size_t capacity) {
  return syscall(SYS_recvfrom, fd, bytes, capacity, MSG_DONTWAIT, nullptr, nullptr);
}

}  // namespace driver
