// What: addresses of sockets as text and as numbers, the same on every system.
// Flow: napi -> this -> driver, acceptor.
// Thread: any.
#include "driver/socket.h"

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

}  // namespace driver
