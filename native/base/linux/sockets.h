// What: the socket headers of Linux, and how a descriptor is closed.
// Flow: this -> base/platform.h.
// Thread: any.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace base {

inline void close_descriptor(int fd) { ::close(fd); }

}  // namespace base
