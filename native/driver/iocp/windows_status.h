// What: errors of Windows -> IoStatus, once; and what libuv calls them.
// Flow: iocp, windows/socket -> this -> completions, napi.
// Thread: any.
#pragma once

#include <cstdint>

#include "layout/layout.h"

namespace driver {

/** Of a Win32 or Winsock error, as WSAGetLastError() and error_of() give it. */
layout::IoStatus status_of(int error);

/** Of the NTSTATUS that an OVERLAPPED holds when its operation is over; 0: it succeeded. */
int error_of(int32_t ntstatus);

/** What util.getSystemErrorName() reads, without its sign; 0 for 0. */
int number_of(int error);

}  // namespace driver
