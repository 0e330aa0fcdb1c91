// What: the calls of Winsock that a driver makes: those of its extensions, and those that do not wait.
// Flow: iocp driver -> this -> kernel.
// Thread: the driver's.
#pragma once

#include <cstdint>

#include "base/platform.h"
#include "driver/iocp/operation.h"
#include "shared/runtime.h"

namespace driver::iocp {

/** How a call went: what it moved, or a Windows error; `pending`: its packet tells. */
struct Called {
  int error = 0;
  bool pending = false;
  uint32_t bytes = 0;
};

// --- overlapped ---
Called accept_ex(int listener, AcceptOperation& operation);
Called connect_ex(int fd, const shared::SocketAddress& address, Operation& operation);
/** With no bytes of room: over when there is something to read, or the peer has left. */
Called receive(int fd, uint8_t* bytes, uint32_t room, Operation& operation);
Called send(int fd, WSABUF* buffers, uint32_t count, Operation& operation);
/** Over when the peer ends its stream or resets the connection. */
Called watch_peer(int fd, WatchOperation& operation);
void cancel(int fd, Operation& operation);

// --- at once ---
/** WSAEWOULDBLOCK: nothing could be moved. */
Called receive_now(int fd, uint8_t* bytes, uint32_t room);
Called send_now(int fd, WSABUF* buffers, uint32_t count);

/** A socket for a connection that is accepted. Returns a Windows error, 0 on success. */
int open_accepting(int family, base::Fd* fd);
/** The accepted socket becomes like its listener. Returns a Windows error, 0 on success. */
int finish_accept(int listener, int fd);
void finish_connect(int fd);

/** SO_SNDBUF. 0: the kernel sends from the memory of the operation, which is over when the peer has acknowledged. */
void set_send_buffer(int fd, int bytes);
/** Address family of a bound socket. */
int family_of(int fd);

}  // namespace driver::iocp
