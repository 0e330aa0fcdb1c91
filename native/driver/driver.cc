// What: choice of driver and the table of sockets in transit, common to all drivers.
// Flow: napi -> this -> uring, epoll, none.
// Thread: any.
#include "driver/driver.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "driver/epoll/epoll_driver.h"
#include "driver/none/none_driver.h"
#include "driver/socket.h"
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

void Driver::accepted(int32_t listener, int fd) {
  base::Fd owned(fd);
  if (config_.assigned_sessions == nullptr) {
    layout::Completion completion{};
    completion.kind = static_cast<int32_t>(layout::CompletionKind::kAccept);
    completion.slot = listener;
    completion.result = owned.release();
    config_.completions->claim(completion);
    return;
  }
  shared::TransitSocket socket;
  if (!peer_of(fd, &socket.peer)) return;
  socket.fd = std::move(owned);
  socket.listener = listener;
  accepted(std::move(socket));
}

void Driver::accepted(shared::TransitSocket socket) {
  shared::atomic(*config_.assigned_sessions).fetch_add(1);
  shared::count(config_.counters, layout::Counter::kAccepted);
  layout::Completion completion{};
  completion.kind = static_cast<int32_t>(layout::CompletionKind::kAccept);
  completion.slot = socket.listener;
  completion.result = transit_.put(std::move(socket));
  config_.completions->claim(completion);
}

void Driver::accept_ended() {
  accept_starved_ = true;
  shared::count(config_.counters, layout::Counter::kAcceptStarved);
}

void Driver::show_handle(int32_t slot, int fd, const shared::SocketAddress& peer) {
  layout::Session& session = config_.memory.session(slot);
  shared::write_peer(session, peer);
  // order: seq_cst; before the session is published to whoever borrows it; publishes the peer
  shared::atomic(session.handle).store(fd + 1);
}

void Driver::hide_handle(int32_t slot, int32_t last) {
  // order: seq_cst; before the descriptor is closed; pairs with is_lost()
  shared::atomic(config_.memory.session(slot).handle).store(last);
}

int Driver::borrow(int32_t slot, uint32_t generation) const {
  // Of a socket that is lost already nothing but that is known: no process has this descriptor.
  constexpr int kNoSuchDescriptor = std::numeric_limits<int>::max() - 1;
  OVERLAPPED_CHECK(config_.borrows);
  layout::Session& session = config_.memory.session(slot);
  OVERLAPPED_CHECK(static_cast<uint32_t>(shared::atomic(session.generation).load()) == generation);
  int32_t handle = shared::atomic(session.handle).load();
  OVERLAPPED_CHECK(handle != 0);
  return handle == layout::kHandleLost ? kNoSuchDescriptor : handle - 1;
}

bool Driver::is_lost(int32_t slot, int fd) const {
  if (!config_.borrows) return false;
  int32_t handle = shared::atomic(config_.memory.session(slot).handle).load();
  OVERLAPPED_CHECK(handle == fd + 1 || handle == layout::kHandleLost);
  return handle == layout::kHandleLost;
}

bool Driver::holds(int32_t slot) const {
  return std::any_of(held_.begin(), held_.end(), [slot](const HeldSend& held) { return held.slot == slot && !held.settled; });
}

void Driver::relisten() {
  accept_starved_ = false;
  accept_again();
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
