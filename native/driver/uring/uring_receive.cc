// What: the receiving side of the io_uring driver: buffers, arming, each session's share, pauses, unheard resets.
// Flow: uring_driver -> this -> kernel -> this -> completions.
// Thread: the driver's.
#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <utility>

#include "driver/linux_status.h"
#include "driver/uring/uring_driver.h"
#include "driver/uring/uring_op.h"

namespace driver {

using layout::CompletionKind;
using layout::IoStatus;
using namespace uring;

namespace {

// Buffers per session and turn, as the epoll driver has it: a peer that blasts gets this many before the
// others get theirs. The kernel fills up to 32 in one go (MULTISHOT_MAX_RETRY, io_uring/net.c).
constexpr int32_t kBuffersPerTurn = 4;
constexpr uint32_t kWatchEvents = POLLRDHUP | POLLHUP | POLLERR;
// A multishot receive can miss a reset: where bytes and a reset come between its first try and its poll, one
// wake stands for both, the receive takes the bytes, sees that no more are queued, and sleeps on (io_uring/poll.c
// and net.c; a program in C with no other part loses 81 of 3,000 resets on Linux 6.18). A FIN is safe, it
// counts as a queued byte (tcp_inq_hint). So whoever sent bytes and then nothing for this long is looked at.
constexpr Timespec kLookAfter{0, 250'000'000};
constexpr size_t kLookBatch = 256;

}  // namespace

void UringDriver::return_buffer(int32_t buffer) {
  int32_t local = buffer - config_.first_buffer;
  OVERLAPPED_CHECK(local >= 0 && local < config_.buffer_count);
  spare_buffers_.push_back(local);
}

/**
 * Tops up the kernel's ring with the buffers that were used last, whose memory is still in the cache; the
 * kernel takes them in turn, so that a full ring would walk through all of them.
 */
void UringDriver::publish_buffers() {
  const layout::Control& control = config_.memory.control();
  bool added = false;
  while (buffers_in_ring_ < buffers_wanted_ && !spare_buffers_.empty()) {
    int32_t local = spare_buffers_.back();
    spare_buffers_.pop_back();
    uring::Buf& entry = buffers_[buffers_tail_ & static_cast<uint16_t>(config_.buffer_count - 1)];
    entry.addr = reinterpret_cast<uint64_t>(config_.memory.arena + control.recv_byte_at +
                                            static_cast<int64_t>(config_.first_buffer + local) * control.recv_buffer_stride);
    entry.len = static_cast<uint32_t>(control.recv_buffer_bytes);
    entry.bid = static_cast<uint16_t>(local);
    buffers_tail_++;
    buffers_in_ring_++;
    added = true;
  }
  if (added) {
    // order: release; the kernel reads the entries behind it (io_uring_register_buf_ring(3))
    std::atomic_ref<uint16_t>(buffers_[0].resv).store(buffers_tail_, std::memory_order_release);
  }
  // First come first served, at most as many sessions as there are free buffers, each for one: the first
  // ones would take all of them, every time. The kernel selects a
  // buffer before it looks for bytes, so one that is armed here need not use its buffer: wait() does not
  // block while others could have it.
  int32_t budget = buffers_in_ring_;
  while (budget > 0 && !starved_.empty()) {
    Starved next = starved_.front();
    starved_.pop_front();
    Endpoint* endpoint = find(next.slot, next.generation);
    if (endpoint == nullptr || endpoint->recv != Recv::kStarved) continue;
    endpoint->one_by_one = true;
    arm_recv(next.slot, *endpoint);
    budget--;
  }
}

void UringDriver::start_recv(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  OVERLAPPED_CHECK(endpoint.recv == Recv::kIdle || endpoint.recv == Recv::kPaused);
  if (endpoint.watch == Watch::kArmed) cancel_watch(slot, endpoint, Watch::kCancelling);
  if (endpoint.watch == Watch::kCancellingThenArm) endpoint.watch = Watch::kCancelling;
  arm_recv(slot, endpoint);
}

void UringDriver::pause_recv(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  if (endpoint.recv == Recv::kArmed) {
    cancel_recv(slot, endpoint);
    endpoint.recv = Recv::kPausing;
  } else if (endpoint.recv == Recv::kStarved) {
    paused(slot, endpoint);
  }
}

void UringDriver::arm_recv(int32_t slot, Endpoint& endpoint) {
  Sqe* sqe = claim();
  sqe->opcode = kOpRecv;
  sqe->fd = endpoint.fd;
  sqe->flags = kSqeBufferSelect;
  sqe->buf_group = kBufferGroup;
  if (multishot_recv_ && !endpoint.one_by_one) sqe->ioprio = kRecvMultishot;
  sqe->user_data = user_data(kRecv, slot, endpoint.generation);
  endpoint.recv = Recv::kArmed;
  endpoint.in_kernel = true;
}

void UringDriver::arm_watch(int32_t slot, Endpoint& endpoint) {
  Sqe* sqe = claim();
  sqe->opcode = kOpPollAdd;
  sqe->fd = endpoint.fd;
  sqe->op_flags = kWatchEvents;
  sqe->user_data = user_data(kWatch, slot, endpoint.generation);
  endpoint.watch = Watch::kArmed;
}

void UringDriver::cancel_recv(int32_t slot, const Endpoint& endpoint) {
  // Where its last completion waits for the session's share, there is nothing to cancel.
  if (!endpoint.in_kernel) return;
  cancel(kRecv, slot, endpoint.generation);
}

/** Cancels a receive that is to go on, one buffer at a time. */
void UringDriver::restart_recv(int32_t slot, Endpoint& endpoint) {
  if (endpoint.restarting) return;
  endpoint.restarting = true;
  cancel_recv(slot, endpoint);
}

/**
 * A receive that the kernel is just going on with is not found, however long it goes on (the multishot loop
 * of a peer that blasts): then it is tried again.
 */
void UringDriver::on_cancel_recv(int32_t slot, uint32_t generation, int32_t result) {
  Endpoint* endpoint = find(slot, generation);
  if (result >= 0 || endpoint == nullptr) return;
  bool wanted = endpoint->restarting || endpoint->recv == Recv::kPausing || endpoint->recv == Recv::kCancelling;
  if (wanted) cancel_recv(slot, *endpoint);
}

void UringDriver::cancel_watch(int32_t slot, Endpoint& endpoint, Watch then) {
  if (endpoint.watch == Watch::kArmed) cancel(kWatch, slot, endpoint.generation);
  endpoint.watch = then;
}

void UringDriver::paused(int32_t slot, Endpoint& endpoint) {
  endpoint.recv = Recv::kPaused;
  complete(CompletionKind::kPaused, slot, endpoint.generation, IoStatus::kOk);
  // The watch of an earlier pause may still be on its way out; two would share one user_data.
  if (endpoint.watch == Watch::kCancelling) {
    endpoint.watch = Watch::kCancellingThenArm;
  } else {
    arm_watch(slot, endpoint);
  }
}

void UringDriver::on_watch(int32_t slot, uint32_t generation, int32_t result) {
  Endpoint* endpoint = find(slot, generation);
  if (endpoint == nullptr) return;  // the handle was closed
  Watch then = endpoint->watch;
  endpoint->watch = Watch::kNone;
  if (then == Watch::kArmed && result > 0) complete(CompletionKind::kPeerGone, slot, generation, IoStatus::kOk);
  if (then == Watch::kCancellingThenArm) arm_watch(slot, *endpoint);
}

/** Whether a session may have another buffer in this turn. */
bool UringDriver::has_share(const Endpoint& endpoint) const {
  return endpoint.turn != turn_ || endpoint.taken < kBuffersPerTurn;
}

/**
 * What a session has beyond its share waits for the next turn, and its receive is cancelled meanwhile, or it
 * would take the buffers of all others. Its last completion goes behind what waits, so its end is in order.
 */
void UringDriver::receive(int32_t slot, uint32_t generation, const Cqe& cqe) {
  Endpoint* endpoint = find(slot, generation);
  OVERLAPPED_CHECK(endpoint != nullptr);  // the handle outlives its operations
  if ((cqe.flags & kCqeBuffer) != 0) buffers_in_ring_--;
  if ((cqe.flags & kCqeMore) == 0) endpoint->in_kernel = false;
  if (endpoint->deferred == 0 && has_share(*endpoint)) {
    on_recv(slot, *endpoint, cqe);
    return;
  }
  endpoint->deferred++;
  deferred_.push_back({slot, cqe});
  if (endpoint->in_kernel && endpoint->recv == Recv::kArmed) restart_recv(slot, *endpoint);
}

/** One round over what waits; who has had its share again goes to the end of the queue. */
void UringDriver::take_deferred() {
  size_t round = deferred_.size();
  for (size_t i = 0; i < round && config_.completions->space() >= 2; i++) {
    Deferred next = deferred_.front();
    deferred_.pop_front();
    Endpoint& endpoint = at(next.slot);
    if (!has_share(endpoint)) {
      deferred_.push_back(next);
      continue;
    }
    endpoint.deferred--;
    on_recv(next.slot, endpoint, next.cqe);
  }
}

void UringDriver::on_recv(int32_t slot, Endpoint& endpoint, const Cqe& cqe) {
  uint32_t generation = endpoint.generation;
  bool more = (cqe.flags & kCqeMore) != 0;
  bool has_buffer = (cqe.flags & kCqeBuffer) != 0;
  int32_t buffer = -1;
  if (has_buffer) buffer = config_.first_buffer + static_cast<int32_t>(cqe.flags >> kCqeBufferShift);
  if (cqe.res > 0) {
    OVERLAPPED_CHECK(has_buffer);
    if (endpoint.turn != turn_) endpoint.taken = 0;
    endpoint.turn = turn_;
    endpoint.taken++;
    if (cqe.res == config_.memory.control().recv_buffer_bytes) waited_.more = true;
    shared::count(config_.counters, endpoint.behind ? layout::Counter::kRecvsInline : layout::Counter::kRecvsPending);
    endpoint.behind = (cqe.flags & kCqeSockNonempty) != 0;
    complete(CompletionKind::kRecv, slot, generation, IoStatus::kOk, cqe.res, 0, buffer);
    if (more) {
      look_later(slot, endpoint);
      return;
    }
    switch (endpoint.recv) {
      case Recv::kArmed:
        endpoint.restarting = false;
        if (cqe.res < config_.memory.control().recv_buffer_bytes) endpoint.one_by_one = false;
        arm_recv(slot, endpoint);
        break;
      case Recv::kPausing:
        paused(slot, endpoint);
        break;
      case Recv::kCancelling:
        endpoint.recv = Recv::kIdle;
        complete(CompletionKind::kRecv, slot, generation, IoStatus::kCancelled, 0, layout::kCompletionFlagTerminal);
        break;
      default:
        OVERLAPPED_CHECK(false);
    }
    return;
  }
  if (has_buffer) return_buffer(buffer);
  OVERLAPPED_CHECK(!more);
  if (cqe.res == -EINVAL && multishot_recv_ && !endpoint.one_by_one && endpoint.recv == Recv::kArmed) {
    multishot_recv_ = false;  // before Linux 6.0
    arm_recv(slot, endpoint);
    return;
  }
  bool cancelled = cqe.res == -ECANCELED || cqe.res == -EINTR;
  // Whoever cancels to end a receive has said so before; all others want it to go on.
  if (cancelled && endpoint.recv == Recv::kArmed) {
    endpoint.restarting = false;
    endpoint.one_by_one = true;
    arm_recv(slot, endpoint);
    return;
  }
  if ((cancelled || cqe.res == -ENOBUFS) && endpoint.recv == Recv::kPausing) {
    paused(slot, endpoint);
    return;
  }
  if (cqe.res == -ENOBUFS && endpoint.recv == Recv::kArmed) {
    endpoint.recv = Recv::kStarved;
    starved_.push_back({slot, generation});
    // More sockets are ready at once than the ring has buffers for.
    buffers_wanted_ = std::min(2 * buffers_wanted_, config_.buffer_count);
    shared::count(config_.counters, layout::Counter::kBuffersStarved);
    return;
  }
  IoStatus status = cqe.res == 0 ? IoStatus::kEndOfStream : status_of(-cqe.res);
  if (endpoint.recv == Recv::kCancelling && cqe.res == -ENOBUFS) status = IoStatus::kCancelled;
  endpoint.recv = Recv::kIdle;
  complete(CompletionKind::kRecv, slot, generation, status, 0, layout::kCompletionFlagTerminal);
}

// --- resets that go unheard --------------------------------------------------------------------

void UringDriver::look_later(int32_t slot, Endpoint& endpoint) {
  if (endpoint.to_look_at) return;
  endpoint.to_look_at = true;
  to_look_at_.push_back(slot);
  if (!look_armed_) arm_look();
}

void UringDriver::arm_look() {
  Sqe* sqe = claim();
  sqe->opcode = kOpTimeout;
  sqe->fd = -1;
  sqe->addr = reinterpret_cast<uint64_t>(&kLookAfter);
  sqe->len = 1;
  sqe->user_data = user_data(kLook, 0, 0);
  look_armed_ = true;
}

/** Goes through the list: who received since the last look stays on it, all others are looked at and leave it. */
void UringDriver::look() {
  look_armed_ = false;
  std::array<int32_t, kLookBatch> quiet;
  size_t count = 0;
  size_t kept = 0;
  // A full submission queue is emptied meanwhile, which reads completions, which may append.
  size_t listed = to_look_at_.size();
  for (size_t i = 0; i < listed; i++) {
    int32_t slot = to_look_at_[i];
    Endpoint& endpoint = at(slot);
    if (endpoint.fd >= 0 && static_cast<int32_t>(endpoint.turn - look_turn_) > 0) {
      to_look_at_[kept++] = slot;
      continue;
    }
    endpoint.to_look_at = false;
    if (endpoint.fd < 0 || endpoint.recv != Recv::kArmed || !endpoint.in_kernel) continue;
    quiet[count++] = slot;
    if (count == kLookBatch) restart_ended(quiet.data(), std::exchange(count, 0));
  }
  restart_ended(quiet.data(), count);
  to_look_at_.erase(to_look_at_.begin() + static_cast<ptrdiff_t>(kept),
                    to_look_at_.begin() + static_cast<ptrdiff_t>(listed));
  look_turn_ = turn_;
  if (!to_look_at_.empty() && !look_armed_) arm_look();
}

/** Restarts those receives whose sockets have ended unheard; at most kLookBatch slots. */
void UringDriver::restart_ended(const int32_t* slots, size_t count) {
  if (count == 0) return;
  std::array<pollfd, kLookBatch> sockets;
  for (size_t i = 0; i < count; i++) sockets[i] = {at(slots[i]).fd, 0, 0};
  // Where it is denied, every receive is restarted: that costs, and misses nothing.
  bool denied = ::poll(sockets.data(), count, 0) < 0;
  for (size_t i = 0; i < count; i++) {
    if (denied || sockets[i].revents != 0) restart_recv(slots[i], at(slots[i]));
  }
}

}  // namespace driver
