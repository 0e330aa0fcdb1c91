// What: choice of driver and the table of sockets in transit, common to all drivers.
// Flow: napi -> this -> uring, epoll, none.
// Thread: any.
#include "driver/driver.h"

#include <utility>

#include "driver/epoll/epoll_driver.h"
#include "driver/none/none_driver.h"
#include "driver/uring/uring_driver.h"

namespace driver {

int32_t Transit::put(shared::TransitSocket socket) {
  if (free_.empty()) {
    sockets_.push_back(std::move(socket));
    return static_cast<int32_t>(sockets_.size() - 1);
  }
  int32_t token = free_.back();
  free_.pop_back();
  sockets_[static_cast<size_t>(token)] = std::move(socket);
  return token;
}

shared::TransitSocket Transit::take(int32_t token) {
  OVERLAPPED_CHECK(find(token) != nullptr);
  free_.push_back(token);
  return std::move(sockets_[static_cast<size_t>(token)]);
}

const shared::TransitSocket* Transit::find(int32_t token) const {
  if (token < 0 || static_cast<size_t>(token) >= sockets_.size()) return nullptr;
  const shared::TransitSocket& socket = sockets_[static_cast<size_t>(token)];
  return socket.fd.valid() ? &socket : nullptr;
}

void Transit::clear() {
  sockets_.clear();
  free_.clear();
}

std::unique_ptr<Driver> create(Kind kind) {
  switch (kind) {
    case Kind::kUring:
      return std::make_unique<UringDriver>();
    case Kind::kEpoll:
      return std::make_unique<EpollDriver>();
    case Kind::kNone:
      return std::make_unique<NoneDriver>();
  }
  return nullptr;
}

}  // namespace driver
