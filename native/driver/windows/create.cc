// What: the drivers of Windows.
// Flow: napi, loop, acceptor -> this -> iocp, none.
// Thread: any.
#include "driver/driver.h"
#include "driver/iocp/iocp_driver.h"
#include "driver/windows/no_sockets_driver.h"

namespace driver {

std::unique_ptr<Driver> create(Kind kind) {
  switch (kind) {
    case Kind::kIocp:
      return std::make_unique<IocpDriver>();
    case Kind::kNone:
      return std::make_unique<NoSocketsDriver>();
    case Kind::kUring:
    case Kind::kEpoll:
      break;
  }
  return nullptr;
}

std::string probe_driver(uint32_t* features) {
  // Wine's sockets are those of Linux, which copies, and gives a socket without a buffer the smallest one there is.
  bool is_wine = GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version") != nullptr;
  *features = is_wine ? 0 : kFeatureSendBuffer;
  return "";
}

}  // namespace driver
