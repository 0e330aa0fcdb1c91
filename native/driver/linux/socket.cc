// What: sockets of Linux and their options: listeners, outbound sockets.
// Flow: napi -> this -> driver, acceptor.
// Thread: any.
#include "driver/socket.h"

#include <fcntl.h>
#include <netinet/tcp.h>

#include <cerrno>

namespace driver {

const int kAddressUnavailable = EADDRNOTAVAIL;

bool peer_of(int fd, shared::SocketAddress* address) {
  socklen_t length = sizeof *address;
  return getpeername(fd, &address->any, &length) == 0;
}

int local_port(int fd) {
  shared::SocketAddress address{};
  socklen_t length = sizeof address;
  getsockname(fd, &address.any, &length);
  return port_of(address);
}

namespace {

void apply(int fd, const SocketOptions& options) {
  int on = options.no_delay ? 1 : 0;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (options.send_buffer_bytes > 0) {
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options.send_buffer_bytes, sizeof(int));
  }
  if (options.receive_buffer_bytes > 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &options.receive_buffer_bytes, sizeof(int));
  }
}

}  // namespace

int open_listener(const shared::SocketAddress& address, const SocketOptions& options, int backlog, base::Fd* fd) {
  base::Fd socket(::socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return errno;
  int on = 1;
  // Binds while connections of an earlier run are in TIME_WAIT; a live listener still refuses it.
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  apply(socket.get(), options);
  if (bind(socket.get(), &address.any, address_length(address)) < 0) return errno;
  if (::listen(socket.get(), backlog) < 0) return errno;
  *fd = std::move(socket);
  return 0;
}

int open_outbound(const shared::SocketAddress& address, const SocketOptions& options, base::Fd* fd) {
  base::Fd socket(::socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return errno;
  apply(socket.get(), options);
  *fd = std::move(socket);
  return 0;
}

void set_reset_on_close(int fd) {
  linger reset{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

void abort_connection(int fd) {
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  ::connect(fd, &nobody, sizeof nobody);
}

void set_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK); }

}  // namespace driver
