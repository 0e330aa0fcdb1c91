// What: errors of Windows -> IoStatus, once; and what libuv calls them.
// Flow: iocp, windows/socket -> this -> completions, napi.
// Thread: any.
#include "driver/iocp/windows_status.h"

#include "base/platform.h"

// Exported by ntdll.dll and documented, but declared only by headers of driver kits.
extern "C" __declspec(dllimport) ULONG NTAPI RtlNtStatusToDosError(LONG status);

namespace driver {

namespace {

struct Known {
  int error;
  layout::IoStatus status;
  int number;  // libuv's, which are the same for all of Windows (uv/errno.h)
};

using layout::IoStatus;

constexpr int kUvUnknown = 4094;

constexpr Known kKnown[] = {
    {WSAECONNRESET, IoStatus::kReset, 4077},
    {WSAECONNABORTED, IoStatus::kReset, 4079},
    {WSAENETRESET, IoStatus::kReset, 4077},
    {WSAENOTCONN, IoStatus::kReset, 4053},   // reset before it was attached
    {WSAESHUTDOWN, IoStatus::kReset, 4042},
    {WSAEDISCON, IoStatus::kReset, 4077},
    {WSAENOTSOCK, IoStatus::kReset, 4050},
    {ERROR_NETNAME_DELETED, IoStatus::kReset, 4077},  // what a reset is to an overlapped receive
    {ERROR_CONNECTION_ABORTED, IoStatus::kReset, 4079},
    {ERROR_GRACEFUL_DISCONNECT, IoStatus::kReset, 4077},
    {ERROR_BROKEN_PIPE, IoStatus::kReset, 4047},
    {ERROR_PIPE_NOT_CONNECTED, IoStatus::kReset, 4047},
    {ERROR_INVALID_HANDLE, IoStatus::kReset, 4083},  // closed under the operation
    {ERROR_OPERATION_ABORTED, IoStatus::kCancelled, 4081},
    {WSAECANCELLED, IoStatus::kCancelled, 4081},
    {ERROR_CANCELLED, IoStatus::kCancelled, 4081},
    {WSAECONNREFUSED, IoStatus::kRefused, 4078},
    {ERROR_CONNECTION_REFUSED, IoStatus::kRefused, 4078},
    {ERROR_PORT_UNREACHABLE, IoStatus::kRefused, 4078},
    {WSAEHOSTUNREACH, IoStatus::kUnreachable, 4073},
    {WSAEHOSTDOWN, IoStatus::kUnreachable, 4031},
    {WSAENETUNREACH, IoStatus::kUnreachable, 4062},
    {WSAENETDOWN, IoStatus::kUnreachable, 4063},
    {ERROR_HOST_UNREACHABLE, IoStatus::kUnreachable, 4073},
    {ERROR_NETWORK_UNREACHABLE, IoStatus::kUnreachable, 4062},
    {WSAETIMEDOUT, IoStatus::kTimedOut, 4039},
    {ERROR_SEM_TIMEOUT, IoStatus::kTimedOut, 4039},
    {ERROR_TIMEOUT, IoStatus::kTimedOut, 4039},
    {WSAEADDRINUSE, IoStatus::kAddressInUse, 4091},
    {WSAEADDRNOTAVAIL, IoStatus::kAddressUnavailable, 4090},
    {WSAEAFNOSUPPORT, IoStatus::kAddressUnavailable, 4089},
    {WSAEACCES, IoStatus::kNoPermission, 4092},
    {ERROR_ACCESS_DENIED, IoStatus::kNoPermission, 4092},
    {WSAEMFILE, IoStatus::kNoResources, 4066},
    {WSAENOBUFS, IoStatus::kNoResources, 4060},
    {ERROR_NOT_ENOUGH_MEMORY, IoStatus::kNoResources, 4057},
    {ERROR_OUTOFMEMORY, IoStatus::kNoResources, 4057},
    {ERROR_NO_SYSTEM_RESOURCES, IoStatus::kNoResources, 4057},
    {ERROR_WORKING_SET_QUOTA, IoStatus::kNoResources, 4060},
    {ERROR_COMMITMENT_LIMIT, IoStatus::kNoResources, 4057},
    {ERROR_TOO_MANY_OPEN_FILES, IoStatus::kNoResources, 4066},
    {WSAEINVAL, IoStatus::kUnknown, 4071},
    {WSAEFAULT, IoStatus::kUnknown, 4074},
};

const Known* find(int error) {
  for (const Known& known : kKnown) {
    if (known.error == error) return &known;
  }
  return nullptr;
}

}  // namespace

IoStatus status_of(int error) {
  if (error == 0) return IoStatus::kOk;
  const Known* known = find(error);
  return known == nullptr ? IoStatus::kUnknown : known->status;
}

int error_of(int32_t ntstatus) {
  // Success, and what is no more than information.
  if (ntstatus >= 0) return 0;
  return static_cast<int>(RtlNtStatusToDosError(ntstatus));
}

int number_of(int error) {
  if (error == 0) return 0;
  const Known* known = find(error);
  return known == nullptr ? kUvUnknown : known->number;
}

}  // namespace driver
