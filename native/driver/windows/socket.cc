// What: sockets of Windows and their options: listeners, outbound sockets.
// Flow: napi -> this -> driver, acceptor.
// Thread: any.
#include "driver/socket.h"

#include "driver/iocp/windows_status.h"

namespace driver {

using base::socket_of;

const int kAddressUnavailable = number_of(WSAEADDRNOTAVAIL);

bool peer_of(int fd, shared::SocketAddress* address) {
  socklen_t length = sizeof *address;
  return getpeername(socket_of(fd), &address->any, &length) == 0;
}

int local_port(int fd) {
  shared::SocketAddress address{};
  socklen_t length = sizeof address;
  getsockname(socket_of(fd), &address.any, &length);
  return port_of(address);
}

namespace {

void set(int fd, int level, int option, int value) {
  setsockopt(socket_of(fd), level, option, reinterpret_cast<const char*>(&value), sizeof value);
}

int open_socket(const shared::SocketAddress& address, const SocketOptions& options, base::Fd* fd) {
  SOCKET socket = WSASocketW(address.any.sa_family, SOCK_STREAM, IPPROTO_TCP, nullptr, 0,
                             WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  if (socket == INVALID_SOCKET) return number_of(WSAGetLastError());
  *fd = base::Fd(base::descriptor_of(socket));
  set(fd->get(), IPPROTO_TCP, TCP_NODELAY, options.no_delay ? 1 : 0);
  if (options.send_buffer_bytes > 0) set(fd->get(), SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes);
  if (options.receive_buffer_bytes > 0) set(fd->get(), SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes);
  return 0;
}

}  // namespace

int open_listener(const shared::SocketAddress& address, const SocketOptions& options, int backlog, base::Fd* fd) {
  base::Fd socket;
  int error = open_socket(address, options, &socket);
  if (error != 0) return error;
  // A port in TIME_WAIT can be bound here without asking; without this, so could one that another socket listens on.
  set(socket.get(), SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
  // The wildcard address of IPv6 takes IPv4, too, as on Linux.
  if (address.any.sa_family == AF_INET6) set(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (bind(socket_of(socket.get()), &address.any, address_length(address)) != 0) return number_of(WSAGetLastError());
  if (::listen(socket_of(socket.get()), backlog) != 0) return number_of(WSAGetLastError());
  *fd = std::move(socket);
  return 0;
}

int open_outbound(const shared::SocketAddress& address, const SocketOptions& options, base::Fd* fd) {
  return open_socket(address, options, fd);
}

void set_reset_on_close(int fd) {
  linger reset{1, 0};
  setsockopt(socket_of(fd), SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&reset), sizeof reset);
}

void set_nonblocking(int fd) {
  u_long on = 1;
  ioctlsocket(socket_of(fd), FIONBIO, &on);
}

}  // namespace driver
