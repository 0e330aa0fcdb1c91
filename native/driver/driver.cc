// What: the table of sockets in transit, common to all drivers.
// Flow: accepting, prepareConnect -> this -> ATTACH, REFUSE, CONNECT.
// Thread: any.
#include "driver/driver.h"

#include <utility>

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

}  // namespace driver
