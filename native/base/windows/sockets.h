// What: the socket headers of Windows, in the order in which they can be included, and how a socket is closed.
// Flow: this -> base/platform.h.
// Thread: any.
#pragma once

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include <windows.h>

#include <cstdint>

namespace base {

/**
 * A SOCKET is a kernel handle, and 32 bits of a kernel handle are significant (Microsoft, "Interprocess communication
 * between 32-bit and 64-bit applications"): it goes through the rooms above as an int, as a descriptor does.
 */
inline SOCKET socket_of(int fd) { return static_cast<SOCKET>(static_cast<uint32_t>(fd)); }
inline HANDLE handle_of(int fd) { return reinterpret_cast<HANDLE>(socket_of(fd)); }
/** -1 for INVALID_SOCKET. */
inline int descriptor_of(SOCKET socket) { return static_cast<int>(socket); }

inline void close_descriptor(int fd) { ::closesocket(socket_of(fd)); }

}  // namespace base
