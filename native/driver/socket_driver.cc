// What: what all drivers with sockets share: a run of submissions taken apart, sockets shown to borrowers, completions.
// Flow: submissions -> this -> the operations of uring, epoll, sim -> this -> completions.
// Thread: the driver's.
#include "driver/socket_driver.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <utility>

#include "driver/socket.h"

namespace driver {

using layout::SubmissionOp;

// --- submissions -------------------------------------------------------------------------------

void SocketDriver::submit(const int32_t* words, size_t count, bool now) {
  // Every submission completes with one entry at most; the ring is planned for a full submission area of
  // them (src/server/memory_plan.ts).
  size_t at = 0;
  while (at < count) at += submit_one(words + at);
  submitted(now);
}

/** Returns how many words it has. */
size_t SocketDriver::submit_one(const int32_t* words) {
  auto op = static_cast<SubmissionOp>(words[0] & 0xff);
  auto number = static_cast<size_t>(static_cast<uint32_t>(words[0]) >> 16);
  switch (op) {
    case SubmissionOp::kSend: {
      size_t length = static_cast<size_t>(layout::kSendHeaderWords) + 2 * number;
      if (number < 1 || number > static_cast<size_t>(layout::kGatherMax)) {
        misused("a send of more slices than there may be, or of none");
        return length;
      }
      int32_t flags = words[0] >> 8 & 0xff;
      int32_t zero_copy = (flags & layout::kSendFlagZeroCopy) != 0 ? flags >> layout::kSendNumberShift : -1;
      send({words[1], static_cast<uint32_t>(words[2]), (flags & layout::kSendFlagNow) != 0,
            (flags & layout::kSendFlagLazy) != 0, zero_copy, words[3], number, words + layout::kSendHeaderWords});
      return length;
    }
    case SubmissionOp::kBufferReturn:
      for (size_t i = 0; i < number; i++) return_buffer(words[1 + i]);
      return 1 + number;
    case SubmissionOp::kRefuse:
      refuse(words[1]);
      return 2;
    case SubmissionOp::kAttach:
    case SubmissionOp::kConnect:
      submit_to_session(op, words);
      return 4;
    default:
      submit_to_session(op, words);
      return 3;
  }
}

void SocketDriver::submit_to_session(SubmissionOp op, const int32_t* words) {
  bool borrowers = op == SubmissionOp::kBorrow || op == SubmissionOp::kGiveBack;
  bool anybodys = op == SubmissionOp::kCancel || op == SubmissionOp::kShutdown;
  if (!anybodys && borrowers != config_.borrows) {
    return misused(borrowers ? "a submission that is for borrowers" : "a submission that is for owners");
  }
  int32_t slot = words[1];
  auto generation = static_cast<uint32_t>(words[2]);
  switch (op) {
    case SubmissionOp::kAttach:
      return attach(slot, generation, words[3]);
    case SubmissionOp::kConnect:
      return connect(slot, generation, words[3]);
    case SubmissionOp::kRecv:
      return start_recv(slot, generation);
    case SubmissionOp::kPause:
      return pause_recv(slot, generation);
    case SubmissionOp::kCancel:
      return cancel_all(slot, generation);
    case SubmissionOp::kShutdown:
      return shut_down(slot, generation);
    case SubmissionOp::kClose:
      return close_socket(slot, generation, ((words[0] >> 8) & layout::kCloseFlagReset) != 0);
    case SubmissionOp::kBorrow:
      return borrow(slot, generation);
    case SubmissionOp::kGiveBack:
      return give_back(slot, generation);
    default:
      return misused("a submission of no known kind");
  }
}

void SocketDriver::refuse(int32_t token) {
  shared::TransitSocket socket = transit_.take(token);
  set_reset_on_close(socket.fd.get());
}

void SocketDriver::misused(const char* what) {
  std::fprintf(stderr, "overlapped: broken: %s\n", what);
  std::abort();
}

// --- accepting ---------------------------------------------------------------------------------

void SocketDriver::accepted(int32_t listener, int fd) {
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

void SocketDriver::accepted(shared::TransitSocket socket) {
  shared::atomic(*config_.assigned_sessions).fetch_add(1);
  shared::count(config_.counters, layout::Counter::kAccepted);
  layout::Completion completion{};
  completion.kind = static_cast<int32_t>(layout::CompletionKind::kAccept);
  completion.slot = socket.listener;
  completion.result = transit_.put(std::move(socket));
  config_.completions->claim(completion);
}

void SocketDriver::accept_ended() {
  accept_starved_ = true;
  shared::count(config_.counters, layout::Counter::kAcceptStarved);
}

void SocketDriver::relisten() {
  accept_starved_ = false;
  accept_again();
}

// --- sockets that other drivers send on --------------------------------------------------------

void SocketDriver::show_handle(int32_t slot, int fd, const shared::SocketAddress& peer) {
  layout::Session& session = config_.memory.session(slot);
  shared::write_peer(session, peer);
  // order: seq_cst; before the session is published to whoever borrows it; publishes the peer
  shared::atomic(session.handle).store(fd + 1);
}

void SocketDriver::hide_handle(int32_t slot, int32_t last) {
  // order: seq_cst; before the descriptor is closed; pairs with is_lost()
  shared::atomic(config_.memory.session(slot).handle).store(last);
}

int SocketDriver::handle_of(int32_t slot, uint32_t generation) const {
  // Of a socket that is lost already nothing but that is known: no process has this descriptor.
  constexpr int kNoSuchDescriptor = std::numeric_limits<int>::max() - 1;
  OVERLAPPED_CHECK(config_.borrows);
  layout::Session& session = config_.memory.session(slot);
  OVERLAPPED_CHECK(static_cast<uint32_t>(shared::atomic(session.generation).load()) == generation);
  int32_t handle = shared::atomic(session.handle).load();
  OVERLAPPED_CHECK(handle != 0);
  return handle == layout::kHandleLost ? kNoSuchDescriptor : handle - 1;
}

bool SocketDriver::is_lost(int32_t slot, int fd) const {
  if (!config_.borrows) return false;
  int32_t handle = shared::atomic(config_.memory.session(slot).handle).load();
  OVERLAPPED_CHECK(handle == fd + 1 || handle == layout::kHandleLost);
  return handle == layout::kHandleLost;
}

// --- completions -------------------------------------------------------------------------------

bool SocketDriver::holds(int32_t slot) const {
  return std::any_of(held_.begin(), held_.end(), [slot](const HeldSend& held) { return held.slot == slot && !held.settled; });
}

}  // namespace driver
