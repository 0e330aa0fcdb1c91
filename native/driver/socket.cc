// What: sockets and their options: listeners, outbound sockets, addresses as text.
// Flow: napi -> this -> driver, acceptor.
// Thread: any.
#include "driver/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace driver {

bool parse_address(const std::string& host, int port, shared::SocketAddress* address, socklen_t* length) {
  std::memset(address, 0, sizeof *address);
  sockaddr_in* v4 = &address->v4;
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    *length = sizeof *v4;
    return true;
  }
  sockaddr_in6* v6 = &address->v6;
  if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    *length = sizeof *v6;
    return true;
  }
  return false;
}

bool peer_of(int fd, shared::SocketAddress* address) {
  socklen_t length = sizeof *address;
  return getpeername(fd, &address->any, &length) == 0;
}

socklen_t address_length(const shared::SocketAddress& address) {
  return address.any.sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

std::string host_text(const shared::SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.any.sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof text);
  } else if (address.any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof text);
  }
  return text;
}

int port_of(const shared::SocketAddress& address) {
  return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
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

ssize_t send_now(int fd, const void* bytes, size_t count) {
  return syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT, nullptr, 0);
}

ssize_t send_now(int fd, const msghdr& header) {
  return syscall(SYS_sendmsg, fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t recv_now(int fd, void* bytes, size_t capacity) {
  return syscall(SYS_recvfrom, fd, bytes, capacity, MSG_DONTWAIT, nullptr, nullptr);
}

void set_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK); }

}  // namespace driver
