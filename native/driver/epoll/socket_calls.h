// What: send(2), sendmsg(2) and recv(2) without waiting, straight to the kernel.
// Flow: epoll driver -> this -> kernel.
// Thread: the driver's.
#pragma once

#include <sys/socket.h>

#include <cstddef>

namespace driver {

/**
 * -1 and errno as there. Straight system calls: the C library's own are places where a thread may be cancelled, which
 * costs two atomic operations each in a process with threads.
 */
ssize_t send_now(int fd, const void* bytes, size_t count);
ssize_t send_now(int fd, const msghdr& header);
ssize_t recv_now(int fd, void* bytes, size_t capacity);

}  // namespace driver
