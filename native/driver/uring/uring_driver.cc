// What: the io_uring driver: multishot accept and receive into a provided-buffer ring, gathered sends, cancel.
// Flow: submissions -> this -> kernel -> this -> completions.
// Thread: one instance per thread.
#include "driver/uring/uring_driver.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "driver/linux_status.h"
#include "driver/socket.h"
#include "driver/uring/uring_op.h"

namespace driver {

using layout::CompletionKind;
using layout::IoStatus;
using namespace uring;

namespace {

// Enough for one turn of a worker without an extra enter; more submissions than this only cost one.
constexpr uint32_t kSqEntries = 4096;
// Multishot operations fill the completion queue regardless of the submission queue's depth: room for
// two completions per session and for several batches; the kernel keeps what does not fit (NODROP).
constexpr uint32_t kCqEntriesMin = 128;
constexpr uint32_t kCqEntriesMax = 65536;
constexpr uint32_t kCqBatches = 4;
// Buffers in the kernel's ring at first, 2 MiB of the default size; doubled whenever they do not suffice.
constexpr int32_t kBuffersAtFirst = 64;

uint32_t power_of_two(uint32_t least) {
  uint32_t value = 1;
  while (value < least) value <<= 1;
  return value;
}

}  // namespace

UringDriver::~UringDriver() { close(); }

std::string UringDriver::open(const Config& config) {
  config_ = config;
  const layout::Control& control = config_.memory.control();
  uint32_t wanted = std::max(2 * static_cast<uint32_t>(config_.slot_count), kCqBatches * config_.batch);
  uint32_t cq_entries = std::clamp(power_of_two(wanted), kCqEntriesMin, kCqEntriesMax);
  std::string why = ring_.open(std::min(kSqEntries, cq_entries), cq_entries, !(config_.features_forbidden & kFeatureDeferTaskrun),
                               !(config_.features_forbidden & kFeatureRegisteredRing));
  if (!why.empty()) return why;
  multishot_recv_ = !(config_.features_forbidden & kFeatureMultishotRecv);
  multishot_accept_ = !(config_.features_forbidden & kFeatureMultishotAccept);
  endpoints_.resize(static_cast<size_t>(config_.slot_count));
  if (!config_.borrows) peers_.resize(static_cast<size_t>(config_.slot_count));
  to_look_at_.reserve(static_cast<size_t>(config_.slot_count));
  open_sends();

  if (config_.buffer_count > 0) {
    buffers_bytes_ = static_cast<size_t>(config_.buffer_count) * sizeof(uring::Buf);
    void* memory = mmap(nullptr, buffers_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) return "no memory for the buffer ring";
    buffers_ = static_cast<uring::Buf*>(memory);
    int result = ring_.register_buffers(buffers_, static_cast<uint32_t>(config_.buffer_count), kBufferGroup);
    if (result < 0) return std::string("the buffer ring was refused: ") + std::strerror(-result);
    for (int32_t i = config_.buffer_count - 1; i >= 0; i--) return_buffer(config_.first_buffer + i);
    buffers_wanted_ = std::min(kBuffersAtFirst, config_.buffer_count);
    publish_buffers();
  }
  OVERLAPPED_CHECK(config_.buffer_count == 0 || control.recv_buffer_bytes > 0);
  return "";
}

const shared::SocketAddress* UringDriver::peer(int32_t slot, uint32_t generation) const {
  int32_t index = slot - config_.first_slot;
  if (index < 0 || index >= config_.slot_count || config_.borrows) return nullptr;
  const Endpoint& endpoint = endpoints_[static_cast<size_t>(index)];
  return endpoint.fd >= 0 && endpoint.generation == generation ? &peers_[static_cast<size_t>(index)] : nullptr;
}

// --- small parts -------------------------------------------------------------------------------

Sqe* UringDriver::claim() {
  Sqe* sqe = ring_.claim();
  while (sqe == nullptr) {
    enter(false, 0);
    sqe = ring_.claim();
    // EBUSY: the kernel wants completions taken first.
    if (sqe == nullptr) reap(config_.batch);
  }
  in_flight_++;
  return sqe;
}

UringDriver::Endpoint& UringDriver::at(int32_t slot) {
  int32_t index = slot - config_.first_slot;
  OVERLAPPED_CHECK(index >= 0 && index < config_.slot_count);
  return endpoints_[static_cast<size_t>(index)];
}

UringDriver::Endpoint* UringDriver::find(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = at(slot);
  return endpoint.fd >= 0 && endpoint.generation == generation ? &endpoint : nullptr;
}

UringDriver::Endpoint& UringDriver::session_at(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = at(slot);
  OVERLAPPED_CHECK(endpoint.fd >= 0 && endpoint.generation == generation);
  return endpoint;
}

// --- arming ------------------------------------------------------------------------------------

void UringDriver::arm_accept(int32_t index) {
  Listener& listener = listeners_[static_cast<size_t>(index)];
  Sqe* sqe = claim();
  sqe->opcode = kOpAccept;
  sqe->fd = listener.fd;
  sqe->op_flags = SOCK_CLOEXEC;
  if (multishot_accept_) sqe->ioprio = kAcceptMultishot;
  sqe->user_data = user_data(kAccept, index, 0);
  listener.armed = true;
  listener.starved = false;
}

void UringDriver::arm_poll(uint8_t op, int fd, uint32_t events) {
  Sqe* sqe = claim();
  sqe->opcode = kOpPollAdd;
  sqe->fd = fd;
  sqe->op_flags = events;
  // The wake descriptor is never drained: multishot reports each write. The backend is watched once
  // per visit of libuv, because its readiness is a level, not an edge.
  if (op == kWake) sqe->len = kPollAddMulti;
  sqe->user_data = user_data(op, 0, 0);
}

void UringDriver::cancel(uint8_t op, int32_t slot, uint32_t generation) {
  Sqe* sqe = claim();
  sqe->opcode = kOpAsyncCancel;
  sqe->fd = -1;
  sqe->addr = user_data(op, slot, generation);
  sqe->user_data = user_data(op == kRecv ? kCancelRecv : kCancel, slot, generation);
}

// --- the contract ------------------------------------------------------------------------------

void UringDriver::listen(int32_t listener, int fd) {
  if (listeners_.size() <= static_cast<size_t>(listener)) listeners_.resize(static_cast<size_t>(listener) + 1);
  listeners_[static_cast<size_t>(listener)].fd = fd;
  arm_accept(listener);
}

void UringDriver::unlisten(int32_t index) {
  Listener& listener = listeners_[static_cast<size_t>(index)];
  listener.ending = true;
  if (listener.armed) cancel(kAccept, index, 0);
  // Bounded: a cancelled accept completes at once, it holds nothing.
  while (listener.armed) {
    ring_.enter(true, 100);
    reap(config_.batch);
  }
  listener.fd = -1;
}

void UringDriver::accept_again() {
  for (size_t i = 0; i < listeners_.size(); i++) {
    if (listeners_[i].starved && !listeners_[i].ending) arm_accept(static_cast<int32_t>(i));
  }
}

// --- the life of a socket ----------------------------------------------------------------------

UringDriver::Endpoint& UringDriver::take_socket(int32_t slot, uint32_t generation, int32_t token) {
  Endpoint& endpoint = at(slot);
  OVERLAPPED_CHECK(endpoint.fd < 0);
  shared::TransitSocket socket = transit_.take(token);
  bool to_look_at = endpoint.to_look_at;
  endpoint = Endpoint{};
  endpoint.to_look_at = to_look_at;
  endpoint.fd = socket.fd.release();
  endpoint.generation = generation;
  shared::SocketAddress& peer = peers_[static_cast<size_t>(slot - config_.first_slot)];
  peer = socket.peer;
  show_handle(slot, endpoint.fd, peer);
  return endpoint;
}

void UringDriver::attach(int32_t slot, uint32_t generation, int32_t token) { take_socket(slot, generation, token); }

void UringDriver::connect(int32_t slot, uint32_t generation, int32_t token) {
  Endpoint& endpoint = take_socket(slot, generation, token);
  const shared::SocketAddress& peer = peers_[static_cast<size_t>(slot - config_.first_slot)];
  Sqe* sqe = claim();
  sqe->opcode = kOpConnect;
  sqe->fd = endpoint.fd;
  sqe->addr = reinterpret_cast<uint64_t>(&peer);
  sqe->off = address_length(peer);
  sqe->user_data = user_data(kConnect, slot, generation);
  endpoint.connecting = true;
}

void UringDriver::cancel_all(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  if (endpoint.recv == Recv::kArmed) {
    cancel_recv(slot, endpoint);
    endpoint.recv = Recv::kCancelling;
  } else if (endpoint.recv == Recv::kPausing) {
    endpoint.recv = Recv::kCancelling;
  } else if (endpoint.recv == Recv::kStarved || endpoint.recv == Recv::kPaused) {
    endpoint.recv = Recv::kIdle;
    complete(CompletionKind::kRecv, slot, generation, IoStatus::kCancelled, 0, layout::kCompletionFlagTerminal);
  }
  if (endpoint.send_pending) cancel(kSendWait, slot, generation);
  if (endpoint.connecting) cancel(kConnect, slot, generation);
  abort_zero_copy(slot, endpoint);
}

void UringDriver::shut_down(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  if (!is_lost(slot, endpoint.fd)) ::shutdown(endpoint.fd, SHUT_WR);
}

void UringDriver::close_socket(int32_t slot, uint32_t generation, bool resets) {
  Endpoint& endpoint = session_at(slot, generation);
  OVERLAPPED_CHECK(endpoint.recv == Recv::kIdle && !endpoint.send_pending && !endpoint.connecting);
  OVERLAPPED_CHECK(endpoint.notifications == 0);
  if (resets) set_reset_on_close(endpoint.fd);
  // A pending watch holds the socket open: it goes first, and its completion finds nobody.
  if (endpoint.watch == Watch::kArmed) cancel(kWatch, slot, generation);
  // So does the file table, until the entry is taken out.
  leave_file_table(slot, endpoint);
  hide_handle(slot, 0);
  Sqe* sqe = claim();
  sqe->opcode = kOpClose;
  sqe->fd = endpoint.fd;
  sqe->user_data = user_data(kClose, slot, generation);
  if (skip_success_) {
    // An entry would only cut the next wait short.
    sqe->flags = kSqeCqeSkipSuccess;
    in_flight_--;
  }
  endpoint.fd = -1;
}

void UringDriver::borrow(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = at(slot);
  OVERLAPPED_CHECK(endpoint.fd < 0);
  endpoint = Endpoint{};
  endpoint.fd = handle_of(slot, generation);
  endpoint.generation = generation;
}

void UringDriver::give_back(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  OVERLAPPED_CHECK(!endpoint.send_pending && !holds(slot) && endpoint.notifications == 0);
  is_lost(slot, endpoint.fd);
  // The entry holds the socket open beyond its owner's close.
  leave_file_table(slot, endpoint);
  endpoint.fd = -1;
}

void UringDriver::submitted(bool now) {
  publish_buffers();
  if (!now) {
    config_.completions->commit();
    return;
  }
  if (ring_.claimed() > 0) enter(false, 0);
  reap(config_.batch);
}

// --- turns -------------------------------------------------------------------------------------

void UringDriver::enter(bool wait, int64_t timeout_ms) {
  shared::count(config_.counters, layout::Counter::kSyscalls);
  enters_++;
  ring_.enter(wait, timeout_ms);
  if (ring_.claimed() > 0) return;
  iovecs_used_ = headers_used_ = 0;
  held_taken_ = held_.size();
}

Waited UringDriver::wait(int64_t timeout_ms) {
  if (!wake_armed_ && config_.alarm != nullptr) {
    wake_armed_ = true;
    arm_poll(kWake, config_.alarm->fd(), POLLIN);
  }
  if (!backend_armed_ && config_.backend_fd >= 0) {
    backend_armed_ = true;
    arm_poll(kBackend, config_.backend_fd, POLLIN);
  }
  publish_buffers();
  waited_ = Waited{};
  turn_++;
  bool deferred = !deferred_.empty();
  take_deferred();
  // Who waits for a buffer must not wait for a held completion, behind which the buffers may be.
  bool starving = !starved_.empty() && (free_buffers() > 0 || !held_.empty());
  bool block = timeout_ms != 0 && !starving && !deferred && ring_.peek() == nullptr && !ring_.overflowed() &&
               config_.completions->used() == 0;
  shared::level(config_.counters, layout::Counter::kBuffersUsed,
                static_cast<double>(static_cast<size_t>(config_.buffer_count) - free_buffers()));
  enter(block, timeout_ms);
  reap(config_.batch);
  waited_.more |= !deferred_.empty() || !starved_.empty() || ring_.peek() != nullptr;
  return waited_;
}

// --- completions -------------------------------------------------------------------------------

void UringDriver::reap(uint32_t most) {
  if (ring_.overflowed()) shared::count(config_.counters, layout::Counter::kQueueOverflows);
  for (uint32_t i = 0; i < most; i++) {
    const Cqe* peeked = ring_.peek();
    if (peeked == nullptr && ring_.overflowed()) {
      ring_.enter(false, 0);  // the kernel moves what it held back into the queue
      peeked = ring_.peek();
    }
    if (peeked == nullptr) break;
    // Nothing is taken that the completion ring cannot hold; it stays in the kernel's queue, in order.
    if (config_.completions->space() < 2) break;
    Cqe cqe = *peeked;
    ring_.advance();
    if ((cqe.flags & kCqeMore) == 0) in_flight_--;
    auto op = static_cast<uint8_t>(cqe.user_data >> 52);
    auto slot = static_cast<int32_t>((cqe.user_data >> 32) & 0xfffff);
    auto generation = static_cast<uint32_t>(cqe.user_data);
    if (op >= kSendZeroCopy) {
      on_zero_copy(slot, generation, op - kSendZeroCopy, cqe);
      continue;
    }
    switch (op) {
      case kRecv:
        receive(slot, generation, cqe);
        break;
      case kSendNow:
        on_send_now(slot, generation, cqe.res);
        break;
      case kSendWait:
        on_send_wait(slot, generation, cqe.res);
        break;
      case kConnect:
        at(slot).connecting = false;
        complete(CompletionKind::kConnect, slot, generation, status_of(-cqe.res), -cqe.res);
        break;
      case kAccept:
        on_accept(slot, cqe);
        break;
      case kWatch:
        on_watch(slot, generation, cqe.res);
        break;
      case kBackend:
        backend_armed_ = false;
        waited_.backend_ready = true;
        break;
      case kWake:
        if ((cqe.flags & kCqeMore) == 0) wake_armed_ = false;
        waited_.woken = true;
        break;
      case kLook:
        look();
        break;
      case kFile:
        on_file(slot, generation, cqe.res);
        break;
      case kCancelRecv:
        on_cancel_recv(slot, generation, cqe.res);
        break;
      default:
        break;  // kCancel: the cancelled operation has its own completion; kClose: done when it was submitted
    }
  }
  report_held();
  config_.completions->commit();
}

void UringDriver::on_accept(int32_t index, const Cqe& cqe) {
  Listener& listener = listeners_[static_cast<size_t>(index)];
  bool more = (cqe.flags & kCqeMore) != 0;
  if (!more) listener.armed = false;
  if (cqe.res >= 0) accepted(index, cqe.res);
  if (more || listener.ending) return;
  if (cqe.res == -EMFILE || cqe.res == -ENFILE || cqe.res == -ENOMEM || cqe.res == -ENOBUFS) {
    listener.starved = true;
    accept_ended();
    return;
  }
  if (cqe.res == -EINVAL && multishot_accept_) multishot_accept_ = false;  // before Linux 5.19
  arm_accept(index);
}

void UringDriver::close() {
  if (!ring_.is_open()) return;
  for (size_t i = 0; i < listeners_.size(); i++) {
    listeners_[i].ending = true;
    if (listeners_[i].armed) cancel(kAccept, static_cast<int32_t>(i), 0);
  }
  for (int32_t i = 0; i < config_.slot_count; i++) {
    Endpoint& endpoint = endpoints_[static_cast<size_t>(i)];
    if (endpoint.fd < 0) continue;
    int32_t slot = config_.first_slot + i;
    if (!config_.borrows) hide_handle(slot, layout::kHandleLost);
    cancel_recv(slot, endpoint);
    if (endpoint.send_pending) cancel(kSendWait, slot, endpoint.generation);
    if (endpoint.connecting) cancel(kConnect, slot, endpoint.generation);
    if (endpoint.watch == Watch::kArmed) cancel(kWatch, slot, endpoint.generation);
    // Who borrows the socket may have zero-copy sends in it too: its owner aborts them for all.
    if (config_.borrows) abort_zero_copy(slot, endpoint);
    else if (config_.memory.control().zero_copy_bytes > 0) abort_connection(endpoint.fd);
  }
  if (wake_armed_) cancel(kWake, 0, 0);
  if (backend_armed_) cancel(kBackend, 0, 0);
  if (look_armed_) cancel(kLook, 0, 0);
  // Memory must outlive every operation: reaped to zero, at most 10 s (a cancel is answered at once).
  for (int tries = 0; in_flight_ > 0 && tries < 1000; tries++) {
    ring_.enter(ring_.peek() == nullptr, 10);
    while (const Cqe* cqe = ring_.peek()) {
      if ((cqe->flags & kCqeMore) == 0) in_flight_--;
      auto op = static_cast<uint8_t>(cqe->user_data >> 52);
      if (op == kAccept && cqe->res >= 0) ::close(cqe->res);
      ring_.advance();
    }
  }
  for (const Endpoint& endpoint : endpoints_) {
    if (endpoint.fd >= 0 && !config_.borrows) ::close(endpoint.fd);
  }
  endpoints_.clear();
  deferred_.clear();
  config_.slot_count = 0;
  transit_.clear();
  ring_.close();
  if (buffers_ != nullptr) munmap(buffers_, buffers_bytes_);
  buffers_ = nullptr;
}

}  // namespace driver
