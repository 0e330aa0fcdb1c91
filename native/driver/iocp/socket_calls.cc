// What: the calls of Winsock that a driver makes: those of its extensions, and those that do not wait.
// Flow: iocp driver -> this -> kernel.
// Thread: the driver's.
#include "driver/iocp/socket_calls.h"

#include <cstring>

#include "base/check.h"

// Exported by ntdll.dll; the headers of the kit declare less of it than libuv and others use.
extern "C" __declspec(dllimport) LONG NTAPI NtDeviceIoControlFile(HANDLE file, HANDLE event, PVOID apc, PVOID context,
                                                                  PVOID status, ULONG code, PVOID in, ULONG in_length,
                                                                  PVOID out, ULONG out_length);

namespace driver::iocp {

using base::socket_of;

namespace {

constexpr ULONG kIoctlAfdPoll = 0x00012024;
constexpr ULONG kAfdPollDisconnect = 0x0008;
constexpr ULONG kAfdPollAbort = 0x0010;
constexpr LONG kStatusPending = 0x00000103;

/** A function that Winsock gives out by the id of its kind; the same for every socket of TCP. */
template <class T>
T extension(int fd, GUID id) {
  T function = nullptr;
  DWORD bytes = 0;
  int failed = WSAIoctl(socket_of(fd), SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &function, sizeof function,
                        &bytes, nullptr, nullptr);
  OVERLAPPED_CHECK(failed == 0 && function != nullptr);
  return function;
}

Called outcome(bool worked, DWORD bytes) {
  if (worked) return {0, false, bytes};
  int error = WSAGetLastError();
  if (error == WSA_IO_PENDING) return {0, true, 0};
  return {error, false, 0};
}

void begin(Operation& operation) { operation.overlapped = OVERLAPPED{}; }

}  // namespace

Called accept_ex(int listener, AcceptOperation& operation) {
  static const auto function = extension<LPFN_ACCEPTEX>(listener, WSAID_ACCEPTEX);
  begin(operation);
  constexpr DWORD kAddressBytes = sizeof operation.addresses / 2;
  DWORD bytes = 0;
  bool worked = function(socket_of(listener), socket_of(operation.socket.get()), operation.addresses, 0, kAddressBytes,
                         kAddressBytes, &bytes, &operation.overlapped);
  return outcome(worked, bytes);
}

Called connect_ex(int fd, const shared::SocketAddress& address, Operation& operation) {
  static const auto function = extension<LPFN_CONNECTEX>(fd, WSAID_CONNECTEX);
  begin(operation);
  // ConnectEx wants a socket that is bound.
  shared::SocketAddress any{};
  any.any.sa_family = address.any.sa_family;
  int length = address.any.sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  if (bind(socket_of(fd), &any.any, length) != 0) return {WSAGetLastError(), false, 0};
  DWORD bytes = 0;
  bool worked = function(socket_of(fd), &address.any, length, nullptr, 0, &bytes, &operation.overlapped);
  return outcome(worked, bytes);
}

Called receive(int fd, uint8_t* bytes, uint32_t room, Operation& operation) {
  begin(operation);
  WSABUF buffer{room, reinterpret_cast<char*>(bytes)};
  DWORD received = 0;
  DWORD flags = 0;
  int failed = WSARecv(socket_of(fd), &buffer, 1, &received, &flags, &operation.overlapped, nullptr);
  return outcome(failed == 0, received);
}

Called send(int fd, WSABUF* buffers, uint32_t count, Operation& operation) {
  begin(operation);
  DWORD sent = 0;
  int failed = WSASend(socket_of(fd), buffers, count, &sent, 0, &operation.overlapped, nullptr);
  return outcome(failed == 0, sent);
}

Called watch_peer(int fd, WatchOperation& operation) {
  begin(operation);
  AfdPoll& poll = operation.poll;
  poll = AfdPoll{};
  poll.timeout.QuadPart = INT64_MAX;
  poll.handle_count = 1;
  poll.handle = {base::handle_of(fd), kAfdPollDisconnect | kAfdPollAbort, 0};
  // An OVERLAPPED begins with an IO_STATUS_BLOCK.
  LONG status = NtDeviceIoControlFile(base::handle_of(fd), nullptr, nullptr, &operation.overlapped,
                                      &operation.overlapped, kIoctlAfdPoll, &poll, sizeof poll, &poll, sizeof poll);
  if (status == kStatusPending) return {0, true, 0};
  if (status >= 0) return {0, false, 0};
  return {ERROR_NOT_SUPPORTED, false, 0};
}

void cancel(int fd, Operation& operation) { CancelIoEx(base::handle_of(fd), &operation.overlapped); }

Called receive_now(int fd, uint8_t* bytes, uint32_t room) {
  WSABUF buffer{room, reinterpret_cast<char*>(bytes)};
  DWORD received = 0;
  DWORD flags = 0;
  int failed = WSARecv(socket_of(fd), &buffer, 1, &received, &flags, nullptr, nullptr);
  return outcome(failed == 0, received);
}

Called send_now(int fd, WSABUF* buffers, uint32_t count) {
  DWORD sent = 0;
  int failed = WSASend(socket_of(fd), buffers, count, &sent, 0, nullptr, nullptr);
  return outcome(failed == 0, sent);
}

int family_of(int fd) {
  shared::SocketAddress address{};
  socklen_t length = sizeof address;
  getsockname(socket_of(fd), &address.any, &length);
  return address.any.sa_family;
}

int open_accepting(int family, base::Fd* fd) {
  SOCKET socket = WSASocketW(family, SOCK_STREAM, IPPROTO_TCP, nullptr, 0,
                             WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  if (socket == INVALID_SOCKET) return WSAGetLastError();
  *fd = base::Fd(base::descriptor_of(socket));
  return 0;
}

int finish_accept(int listener, int fd) {
  SOCKET from = socket_of(listener);
  if (setsockopt(socket_of(fd), SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, reinterpret_cast<const char*>(&from),
                 sizeof from) != 0) {
    return WSAGetLastError();
  }
  // What an accept would hand on; AcceptEx got a socket that was made before.
  struct Inherited {
    int level;
    int option;
  };
  for (Inherited inherited : {Inherited{IPPROTO_TCP, TCP_NODELAY}, Inherited{SOL_SOCKET, SO_SNDBUF},
                              Inherited{SOL_SOCKET, SO_RCVBUF}}) {
    int wanted = 0;
    int has = 0;
    socklen_t length = sizeof wanted;
    getsockopt(from, inherited.level, inherited.option, reinterpret_cast<char*>(&wanted), &length);
    length = sizeof has;
    getsockopt(socket_of(fd), inherited.level, inherited.option, reinterpret_cast<char*>(&has), &length);
    if (has == wanted) continue;
    setsockopt(socket_of(fd), inherited.level, inherited.option, reinterpret_cast<const char*>(&wanted), sizeof wanted);
  }
  return 0;
}

void finish_connect(int fd) { setsockopt(socket_of(fd), SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, nullptr, 0); }

void set_send_buffer(int fd, int bytes) {
  setsockopt(socket_of(fd), SOL_SOCKET, SO_SNDBUF, reinterpret_cast<const char*>(&bytes), sizeof bytes);
}

}  // namespace driver::iocp
