// What: the drivers of Linux.
// Flow: napi, loop, acceptor -> this -> uring, epoll, none.
// Thread: any.
#include "driver/driver.h"
#include "driver/epoll/epoll_driver.h"
#include "driver/none/none_driver.h"
#include "driver/uring/uring_driver.h"

namespace driver {

std::unique_ptr<Driver> create(Kind kind) {
  switch (kind) {
    case Kind::kUring:
      return std::make_unique<UringDriver>();
    case Kind::kEpoll:
      return std::make_unique<EpollDriver>();
    case Kind::kNone:
      return std::make_unique<NoneDriver>();
    case Kind::kIocp:
      break;
  }
  return nullptr;
}

}  // namespace driver
