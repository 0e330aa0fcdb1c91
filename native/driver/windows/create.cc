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

std::string probe_uring(uint32_t* features) {
  *features = 0;
  return "io_uring is a part of Linux";
}

}  // namespace driver
