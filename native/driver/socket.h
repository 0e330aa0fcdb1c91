// What: sockets and their options: listeners, outbound sockets, addresses as text.
// Flow: napi -> this -> driver, acceptor.
// Thread: any.
#pragma once

#include <string>

#include "base/fd.h"
#include "shared/runtime.h"

namespace driver {

struct SocketOptions {
  bool no_delay = true;
  int send_buffer_bytes = 0;     // 0: the system's
  int receive_buffer_bytes = 0;  // 0: the system's
};

/** Parses a numeric IPv4 or IPv6 address. False when it is none. */
bool parse_address(const std::string& host, int port, shared::SocketAddress* address, socklen_t* length);

socklen_t address_length(const shared::SocketAddress& address);

/** "1.2.3.4" or "::1". */
std::string host_text(const shared::SocketAddress& address);
int port_of(const shared::SocketAddress& address);
/** Port that a socket is bound to. */
int local_port(int fd);

// Errors are numbers as util.getSystemErrorName() reads them, without their sign: an errno on Linux, on Windows what
// libuv calls it.

/** The host is no address. */
extern const int kAddressUnavailable;

/** A bound, listening socket; its options are inherited by what it accepts. Returns an error, 0 on success. */
int open_listener(const shared::SocketAddress& address, const SocketOptions& options, int backlog, base::Fd* fd);

/** Address of a connected socket's peer. False: it has left already. */
bool peer_of(int fd, shared::SocketAddress* address);

/** An unconnected socket. Returns an error, 0 on success. */
int open_outbound(const shared::SocketAddress& address, const SocketOptions& options, base::Fd* fd);

/** Makes close() send RST. */
void set_reset_on_close(int fd);

/**
 * Sends RST at once and drops what the kernel has of the stream, which ends zero-copy sends. The descriptor stays, with
 * nobody at the other end. Of Linux: on Windows a send without a copy is cancelled like any other.
 */
void abort_connection(int fd);

void set_nonblocking(int fd);

}  // namespace driver
