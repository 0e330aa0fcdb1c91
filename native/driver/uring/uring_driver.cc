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

namespace driver {

using layout::CompletionKind;
using layout::IoStatus;
using layout::SubmissionOp;
using uring::Cqe;
using uring::Sqe;

namespace {

// user_data = op 8 | slot 20 | generation 32: descriptors are reused by the kernel, this is not.
enum Op : uint8_t {
  kNop = 1,
  kAccept,
  kRecv,
  kSendNow,
  kSendWait,
  kConnect,
  kWatch,
  kClose,
  kCancel,
  kCancelRecv,
  kBackend,
  kWake,
};

uint64_t user_data(uint8_t op, int32_t slot, uint32_t generation) {
  return static_cast<uint64_t>(op) << 52 | static_cast<uint64_t>(slot) << 32 | generation;
}

constexpr uint16_t kBufferGroup = 0;
// Enough for one turn of a worker without an extra enter; more submissions than this only cost one.
constexpr uint32_t kSqEntries = 4096;
// Multishot operations fill the completion queue regardless of the submission queue's depth: room for
// two completions per session and for several batches; the kernel keeps what does not fit (NODROP).
constexpr uint32_t kCqEntriesMin = 128;
constexpr uint32_t kCqEntriesMax = 65536;
constexpr uint32_t kCqBatches = 4;
// Buffers in the kernel's ring at first, 2 MiB of the default size; doubled whenever they do not suffice.
constexpr int32_t kBuffersAtFirst = 64;
// Gathered slices staged between two enters.
constexpr size_t kIovecs = 16384;
// Buffers per session and turn, as the epoll driver has it: a peer that blasts gets this many before the
// others get theirs. The kernel fills up to 32 in one go (MULTISHOT_MAX_RETRY, io_uring/net.c).
constexpr int32_t kBuffersPerTurn = 4;
constexpr uint32_t kWatchEvents = POLLRDHUP | POLLHUP | POLLERR;

uint32_t power_of_two(uint32_t least) {
  uint32_t value = 1;
  while (value < least) value <<= 1;
  return value;
}

/**
 * Whether a short send with MSG_WAITALL | MSG_DONTWAIT and no entry on success reports what was taken. Tried
 * on a socket pair that is too small, because kernels before 6.1 may report EAGAIN for a part that was sent.
 */
bool try_skip_success() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return false;
  base::Fd writer(pair[0]);
  base::Fd reader(pair[1]);
  uring::Ring ring;
  if (!ring.open(8, 16, true, false).empty()) return false;
  std::vector<uint8_t> bytes(1 << 20);
  auto send = [&](uint32_t length) {
    Sqe* sqe = ring.claim();
    sqe->opcode = uring::kOpSend;
    sqe->fd = writer.get();
    sqe->addr = reinterpret_cast<uint64_t>(bytes.data());
    sqe->len = length;
    sqe->op_flags = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL;
    sqe->flags = uring::kSqeCqeSkipSuccess;
    sqe->user_data = 1;
    return ring.enter(false, 0) == 0;
  };
  if (!send(1) || ring.peek() != nullptr) return false;
  if (!send(static_cast<uint32_t>(bytes.size())) || ring.peek() == nullptr) return false;
  int32_t reported = ring.peek()->res;
  int64_t received = 0;
  for (ssize_t part; (part = ::recv(reader.get(), bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0;) received += part;
  return reported > 0 && received == reported + 1;
}

bool skip_success_works() {
  static const bool works = try_skip_success();
  return works;
}

/** Whether a receive may be multishot: without, it is refused at once, before the lack of buffers is found. */
bool multishot_recv_works(uring::Ring& ring) {
  while (ring.peek() != nullptr) ring.advance();
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return false;
  base::Fd receiver(pair[0]);
  base::Fd sender(pair[1]);
  if (::send(sender.get(), "", 1, MSG_NOSIGNAL) != 1) return false;
  Sqe* sqe = ring.claim();
  sqe->opcode = uring::kOpRecv;
  sqe->fd = receiver.get();
  sqe->flags = uring::kSqeBufferSelect;
  sqe->buf_group = kBufferGroup;
  sqe->ioprio = uring::kRecvMultishot;
  if (ring.enter(true, 1000) < 0 || ring.peek() == nullptr) return false;
  return ring.peek()->res == -ENOBUFS;
}

}  // namespace

std::string probe_uring(uint32_t* features) {
  uring::Ring ring;
  std::string why = ring.open(8, 16, true, true);
  if (!why.empty()) return why;
  Sqe* sqe = ring.claim();
  sqe->opcode = uring::kOpNop;
  sqe->user_data = user_data(kNop, 0, 0);
  // A filter may allow the setup and deny the enter, so a real operation is run.
  int result = ring.enter(true, 1000);
  if (result < 0) return std::string("io_uring_enter failed: ") + std::strerror(-result);
  if (ring.peek() == nullptr || ring.peek()->res != 0) return "io_uring did not complete a no-op";
  void* entries = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  result = ring.register_buffers(static_cast<uring::Buf*>(entries), 8, kBufferGroup);
  // Multishot accepts came with provided-buffer rings, without which there is no io_uring for us.
  *features = kFeatureMultishotAccept | (ring.deferred() ? kFeatureDeferTaskrun : 0u) |
              (ring.registered() ? kFeatureRegisteredRing : 0u) |
              (multishot_recv_works(ring) ? kFeatureMultishotRecv : 0u) |
              (skip_success_works() ? kFeatureSkipSuccess : 0u);
  ring.close();
  munmap(entries, 4096);
  if (result < 0) return "the kernel has no provided-buffer rings; Linux 5.19 or later is needed";
  return "";
}

UringDriver::~UringDriver() { close(); }

std::string UringDriver::open(const Config& config) {
  config_ = config;
  const layout::Control& control = config_.memory.control();
  uint32_t wanted = std::max(2 * static_cast<uint32_t>(config_.slot_count), kCqBatches * config_.batch);
  uint32_t cq_entries = std::clamp(power_of_two(wanted), kCqEntriesMin, kCqEntriesMax);
  std::string why = ring_.open(std::min(kSqEntries, cq_entries), cq_entries, !(config_.features_forbidden & kFeatureDeferTaskrun),
                               !(config_.features_forbidden & kFeatureRegisteredRing));
  if (!why.empty()) return why;
  skip_success_ = !(config_.features_forbidden & kFeatureSkipSuccess) && skip_success_works();
  multishot_recv_ = !(config_.features_forbidden & kFeatureMultishotRecv);
  multishot_accept_ = !(config_.features_forbidden & kFeatureMultishotAccept);
  endpoints_.resize(static_cast<size_t>(config_.slot_count));
  iovecs_.resize(kIovecs);
  headers_.resize(kSqEntries * sizeof(msghdr));

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
  if (index < 0 || index >= config_.slot_count) return nullptr;
  const Endpoint& endpoint = endpoints_[static_cast<size_t>(index)];
  return endpoint.fd >= 0 && endpoint.generation == generation ? &endpoint.address : nullptr;
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

void UringDriver::complete(CompletionKind kind, int32_t slot, uint32_t generation, IoStatus status, int32_t result,
                           int32_t flags, int32_t buffer) {
  layout::Completion completion{};
  completion.kind = static_cast<int32_t>(kind);
  completion.flags = flags;
  completion.slot = slot;
  completion.generation = static_cast<int32_t>(generation);
  completion.status = static_cast<int32_t>(status);
  completion.result = result;
  completion.buffer = buffer;
  if (buffer >= 0) {
    const layout::Control& control = config_.memory.control();
    completion.offset = control.recv_byte_at + buffer * control.recv_buffer_stride;
  }
  config_.completions->claim(completion);
}

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

// --- arming ------------------------------------------------------------------------------------

void UringDriver::arm_accept(int32_t index) {
  Listener& listener = listeners_[static_cast<size_t>(index)];
  Sqe* sqe = claim();
  sqe->opcode = uring::kOpAccept;
  sqe->fd = listener.fd;
  sqe->op_flags = SOCK_CLOEXEC;
  if (multishot_accept_) sqe->ioprio = uring::kAcceptMultishot;
  sqe->user_data = user_data(kAccept, index, 0);
  listener.armed = true;
  listener.starved = false;
}

void UringDriver::arm_recv(int32_t slot, Endpoint& endpoint) {
  Sqe* sqe = claim();
  sqe->opcode = uring::kOpRecv;
  sqe->fd = endpoint.fd;
  sqe->flags = uring::kSqeBufferSelect;
  sqe->buf_group = kBufferGroup;
  if (multishot_recv_ && !endpoint.one_by_one) sqe->ioprio = uring::kRecvMultishot;
  sqe->user_data = user_data(kRecv, slot, endpoint.generation);
  endpoint.recv = Recv::kArmed;
  endpoint.in_kernel = true;
}

void UringDriver::arm_watch(int32_t slot, Endpoint& endpoint) {
  Sqe* sqe = claim();
  sqe->opcode = uring::kOpPollAdd;
  sqe->fd = endpoint.fd;
  sqe->op_flags = kWatchEvents;
  sqe->user_data = user_data(kWatch, slot, endpoint.generation);
  endpoint.watch = Watch::kArmed;
}

void UringDriver::arm_poll(uint8_t op, int fd, uint32_t events) {
  Sqe* sqe = claim();
  sqe->opcode = uring::kOpPollAdd;
  sqe->fd = fd;
  sqe->op_flags = events;
  // The wake descriptor is never drained: multishot reports each write. The backend is watched once
  // per visit of libuv, because its readiness is a level, not an edge.
  if (op == kWake) sqe->len = uring::kPollAddMulti;
  sqe->user_data = user_data(op, 0, 0);
}

void UringDriver::cancel(uint8_t op, int32_t slot, uint32_t generation) {
  Sqe* sqe = claim();
  sqe->opcode = uring::kOpAsyncCancel;
  sqe->fd = -1;
  sqe->addr = user_data(op, slot, generation);
  sqe->user_data = user_data(op == kRecv ? kCancelRecv : kCancel, slot, generation);
}

void UringDriver::cancel_recv(int32_t slot, const Endpoint& endpoint) {
  // Where its last completion waits for the session's share, there is nothing to cancel.
  if (!endpoint.in_kernel) return;
  cancel(kRecv, slot, endpoint.generation);
}

/**
 * A receive that the kernel is just going on with is not found, however long it goes on (the multishot loop
 * of a peer that blasts): then it is tried again.
 */
void UringDriver::on_cancel_recv(int32_t slot, uint32_t generation, int32_t result) {
  Endpoint* endpoint = find(slot, generation);
  if (result >= 0 || endpoint == nullptr) return;
  bool wanted = endpoint->throttled || endpoint->recv == Recv::kPausing || endpoint->recv == Recv::kCancelling;
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

void UringDriver::close_handle(int32_t slot, Endpoint& endpoint) {
  // A pending watch holds the socket open: it goes first, and its completion finds nobody.
  if (endpoint.watch == Watch::kArmed) cancel(kWatch, slot, endpoint.generation);
  Sqe* sqe = claim();
  sqe->opcode = uring::kOpClose;
  sqe->fd = endpoint.fd;
  sqe->user_data = user_data(kClose, slot, endpoint.generation);
  if (skip_success_) {
    // An entry would only cut the next wait short.
    sqe->flags = uring::kSqeCqeSkipSuccess;
    in_flight_--;
  }
  endpoint.fd = -1;
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

size_t UringDriver::submit_send(const int32_t* words) {
  bool now = ((words[0] >> 8) & layout::kSendFlagNow) != 0;
  auto slices = static_cast<size_t>(static_cast<uint32_t>(words[0]) >> 16);
  OVERLAPPED_CHECK(slices >= 1 && slices <= static_cast<size_t>(layout::kGatherMax));
  int32_t slot = words[1];
  auto generation = static_cast<uint32_t>(words[2]);
  size_t length = static_cast<size_t>(layout::kSendHeaderWords) + 2 * slices;
  Endpoint* endpoint = find(slot, generation);
  OVERLAPPED_CHECK(endpoint != nullptr && !endpoint->send_pending);  // one send outstanding per session
  const int32_t* pair = words + layout::kSendHeaderWords;

  if (slices > 1 && (iovecs_used_ + slices > kIovecs || headers_used_ + sizeof(msghdr) > headers_.size())) {
    enter(false, 0);
  }
  Sqe* sqe = claim();
  sqe->fd = endpoint->fd;
  sqe->op_flags = MSG_NOSIGNAL | (now ? MSG_DONTWAIT : 0);
  sqe->user_data = user_data(now ? kSendNow : kSendWait, slot, generation);
  if (slices == 1) {
    sqe->opcode = uring::kOpSend;
    sqe->addr = reinterpret_cast<uint64_t>(config_.memory.arena + pair[0]);
    sqe->len = static_cast<uint32_t>(pair[1]);
  } else {
    iovec* first = &iovecs_[iovecs_used_];
    for (size_t i = 0; i < slices; i++) {
      iovecs_[iovecs_used_++] = {config_.memory.arena + pair[2 * i], static_cast<size_t>(pair[2 * i + 1])};
    }
    auto* header = reinterpret_cast<msghdr*>(&headers_[headers_used_]);
    headers_used_ += sizeof(msghdr);
    *header = msghdr{};
    header->msg_iov = first;
    header->msg_iovlen = slices;
    sqe->opcode = uring::kOpSendmsg;
    sqe->addr = reinterpret_cast<uint64_t>(header);
    sqe->len = 1;
  }
  if (!now) {
    endpoint->send_pending = true;
  } else if (skip_success_ && ((words[0] >> 8) & layout::kSendFlagLazy) != 0) {
    // Without a completion entry a wait is not cut short by our own sends: one system call per turn.
    // MSG_WAITALL makes a short send a failure, which has an entry.
    sqe->flags = uring::kSqeCqeSkipSuccess;
    sqe->op_flags |= MSG_WAITALL;
    in_flight_--;
    endpoint->held = static_cast<int32_t>(held_.size());
    held_.push_back({slot, generation, words[3], false});
  }
  return length;
}

void UringDriver::submit(const int32_t* words, size_t count, bool now) {
  size_t at_word = 0;
  while (at_word < count) {
    const int32_t* entry = words + at_word;
    auto op = static_cast<SubmissionOp>(entry[0] & 0xff);
    if (op == SubmissionOp::kSend) {
      at_word += submit_send(entry);
      continue;
    }
    if (op == SubmissionOp::kBufferReturn) {
      auto buffers = static_cast<size_t>(static_cast<uint32_t>(entry[0]) >> 16);
      for (size_t i = 0; i < buffers; i++) return_buffer(entry[1 + i]);
      at_word += 1 + buffers;
      continue;
    }
    if (op == SubmissionOp::kRefuse) {
      shared::TransitSocket socket = transit_.take(entry[1]);
      set_reset_on_close(socket.fd.get());
      at_word += 2;
      continue;
    }
    int32_t slot = entry[1];
    auto generation = static_cast<uint32_t>(entry[2]);
    Endpoint& endpoint = at(slot);
    if (op == SubmissionOp::kAttach || op == SubmissionOp::kConnect) {
      OVERLAPPED_CHECK(endpoint.fd < 0);
      shared::TransitSocket socket = transit_.take(entry[3]);
      endpoint = Endpoint{};
      endpoint.fd = socket.fd.release();
      endpoint.generation = generation;
      endpoint.address = socket.peer;
      if (op == SubmissionOp::kConnect) {
        Sqe* sqe = claim();
        sqe->opcode = uring::kOpConnect;
        sqe->fd = endpoint.fd;
        sqe->addr = reinterpret_cast<uint64_t>(&endpoint.address);
        sqe->off = address_length(endpoint.address);
        sqe->user_data = user_data(kConnect, slot, generation);
        endpoint.connecting = true;
      }
      at_word += 4;
      continue;
    }
    at_word += 3;
    OVERLAPPED_CHECK(endpoint.fd >= 0 && endpoint.generation == generation);
    switch (op) {
      case SubmissionOp::kRecv:
        OVERLAPPED_CHECK(endpoint.recv == Recv::kIdle || endpoint.recv == Recv::kPaused);
        if (endpoint.watch == Watch::kArmed) cancel_watch(slot, endpoint, Watch::kCancelling);
        if (endpoint.watch == Watch::kCancellingThenArm) endpoint.watch = Watch::kCancelling;
        arm_recv(slot, endpoint);
        break;
      case SubmissionOp::kPause:
        if (endpoint.recv == Recv::kArmed) {
          cancel_recv(slot, endpoint);
          endpoint.recv = Recv::kPausing;
        } else if (endpoint.recv == Recv::kStarved) {
          paused(slot, endpoint);
        }
        break;
      case SubmissionOp::kCancel:
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
        break;
      case SubmissionOp::kShutdown:
        ::shutdown(endpoint.fd, SHUT_WR);
        break;
      case SubmissionOp::kClose:
        OVERLAPPED_CHECK(endpoint.recv == Recv::kIdle && !endpoint.send_pending && !endpoint.connecting);
        if (((entry[0] >> 8) & layout::kCloseFlagReset) != 0) set_reset_on_close(endpoint.fd);
        close_handle(slot, endpoint);
        break;
      default:
        OVERLAPPED_CHECK(false);
    }
  }
  publish_buffers();
  if (!now) {
    config_.completions->commit();
    return;
  }
  if (ring_.claimed() > 0) enter(false, 0);
  reap(config_.batch);
}

void UringDriver::enter(bool wait, int64_t timeout_ms) {
  shared::count(config_.counters, layout::Counter::kSyscalls);
  ring_.enter(wait, timeout_ms);
  if (ring_.claimed() > 0) return;
  iovecs_used_ = headers_used_ = 0;
  held_taken_ = held_.size();
}

/**
 * What the kernel took without a completion entry was sent whole. Known only when it has taken the send and
 * every entry that was there has been read: a failure has one. Other submissions may wait meanwhile: where
 * receives are submitted one by one there is always one.
 */
void UringDriver::report_held() {
  if (held_taken_ == 0 || ring_.peek() != nullptr || ring_.overflowed()) return;
  for (size_t i = 0; i < held_taken_; i++) {
    const HeldSend& held = held_[i];
    if (held.settled) continue;
    at(held.slot).held = -1;
    complete(CompletionKind::kSend, held.slot, held.generation, IoStatus::kOk, held.bytes);
  }
  held_.erase(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(held_taken_));
  held_taken_ = 0;
  for (size_t i = 0; i < held_.size(); i++) {
    if (!held_[i].settled) at(held_[i].slot).held = static_cast<int32_t>(i);
  }
}

Waited UringDriver::wait(int64_t timeout_ms) {
  if (!wake_armed_ && config_.wake_fd >= 0) {
    wake_armed_ = true;
    arm_poll(kWake, config_.wake_fd, POLLIN);
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
    if ((cqe.flags & uring::kCqeMore) == 0) in_flight_--;
    auto op = static_cast<uint8_t>(cqe.user_data >> 52);
    auto slot = static_cast<int32_t>((cqe.user_data >> 32) & 0xfffff);
    auto generation = static_cast<uint32_t>(cqe.user_data);
    switch (op) {
      case kRecv:
        receive(slot, generation, cqe);
        break;
      case kSendNow: {
        Endpoint& endpoint = at(slot);
        if (endpoint.held >= 0) {
          in_flight_++;  // it has an entry after all
          held_[static_cast<size_t>(endpoint.held)].settled = true;
          endpoint.held = -1;
        }
        // EAGAIN: the socket took nothing; that is an outcome, not a failure.
        bool took = cqe.res >= 0 || cqe.res == -EAGAIN;
        complete(CompletionKind::kSend, slot, generation, took ? IoStatus::kOk : status_of(-cqe.res),
                 std::max(cqe.res, 0));
        break;
      }
      case kSendWait:
        at(slot).send_pending = false;
        complete(CompletionKind::kSend, slot, generation, cqe.res >= 0 ? IoStatus::kOk : status_of(-cqe.res),
                 std::max(cqe.res, 0));
        break;
      case kConnect:
        at(slot).connecting = false;
        complete(CompletionKind::kConnect, slot, generation, cqe.res >= 0 ? IoStatus::kOk : status_of(-cqe.res));
        break;
      case kAccept:
        on_accept(slot, cqe);
        break;
      case kWatch: {
        Endpoint* endpoint = find(slot, generation);
        if (endpoint == nullptr) break;  // the handle was closed
        Watch then = endpoint->watch;
        endpoint->watch = Watch::kNone;
        if (then == Watch::kArmed && cqe.res > 0) complete(CompletionKind::kPeerGone, slot, generation, IoStatus::kOk);
        if (then == Watch::kCancellingThenArm) arm_watch(slot, *endpoint);
        break;
      }
      case kBackend:
        backend_armed_ = false;
        waited_.backend_ready = true;
        break;
      case kWake:
        if ((cqe.flags & uring::kCqeMore) == 0) wake_armed_ = false;
        waited_.woken = true;
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
  if ((cqe.flags & uring::kCqeBuffer) != 0) buffers_in_ring_--;
  if ((cqe.flags & uring::kCqeMore) == 0) endpoint->in_kernel = false;
  if (endpoint->deferred == 0 && has_share(*endpoint)) {
    on_recv(slot, *endpoint, cqe);
    return;
  }
  endpoint->deferred++;
  deferred_.push_back({slot, cqe});
  if (!endpoint->in_kernel || endpoint->throttled || endpoint->recv != Recv::kArmed) return;
  endpoint->throttled = true;
  cancel_recv(slot, *endpoint);
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
  bool more = (cqe.flags & uring::kCqeMore) != 0;
  bool has_buffer = (cqe.flags & uring::kCqeBuffer) != 0;
  int32_t buffer = -1;
  if (has_buffer) buffer = config_.first_buffer + static_cast<int32_t>(cqe.flags >> uring::kCqeBufferShift);
  if (cqe.res > 0) {
    OVERLAPPED_CHECK(has_buffer);
    if (endpoint.turn != turn_) endpoint.taken = 0;
    endpoint.turn = turn_;
    endpoint.taken++;
    complete(CompletionKind::kRecv, slot, generation, IoStatus::kOk, cqe.res, 0, buffer);
    if (more) return;
    switch (endpoint.recv) {
      case Recv::kArmed:
        endpoint.throttled = false;
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
  bool throttled = std::exchange(endpoint.throttled, false);
  if (cancelled && throttled && endpoint.recv == Recv::kArmed) {
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

void UringDriver::on_accept(int32_t index, const Cqe& cqe) {
  Listener& listener = listeners_[static_cast<size_t>(index)];
  bool more = (cqe.flags & uring::kCqeMore) != 0;
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
    cancel_recv(slot, endpoint);
    if (endpoint.send_pending) cancel(kSendWait, slot, endpoint.generation);
    if (endpoint.connecting) cancel(kConnect, slot, endpoint.generation);
    if (endpoint.watch == Watch::kArmed) cancel(kWatch, slot, endpoint.generation);
  }
  if (wake_armed_) cancel(kWake, 0, 0);
  if (backend_armed_) cancel(kBackend, 0, 0);
  // Memory must outlive every operation: reaped to zero, at most 10 s (a cancel is answered at once).
  for (int tries = 0; in_flight_ > 0 && tries < 1000; tries++) {
    ring_.enter(ring_.peek() == nullptr, 10);
    while (const Cqe* cqe = ring_.peek()) {
      if ((cqe->flags & uring::kCqeMore) == 0) in_flight_--;
      auto op = static_cast<uint8_t>(cqe->user_data >> 52);
      if (op == kAccept && cqe->res >= 0) ::close(cqe->res);
      ring_.advance();
    }
  }
  for (Endpoint& endpoint : endpoints_) {
    if (endpoint.fd >= 0) ::close(endpoint.fd);
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
