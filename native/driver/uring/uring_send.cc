// What: the sending side of the io_uring driver: gathered sends, held completions, sockets in the ring's file table.
// Flow: uring_driver -> this -> kernel -> this -> completions.
// Thread: the driver's.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "driver/linux_status.h"
#include "driver/socket.h"
#include "driver/uring/uring_driver.h"
#include "driver/uring/uring_op.h"
#include "driver/uring/uring_probe.h"

namespace driver {

using layout::CompletionKind;
using layout::IoStatus;
using namespace uring;

namespace {

// A session that sends so often gets its socket into the ring's file table: two submissions more in its life, and
// no look-up of the descriptor, which threads share, in any further send.
constexpr uint8_t kSendsBeforeFixed = 8;
constexpr int kNoFile = -1;
// Staged between two enters: gathered slices, and sends of more than one.
constexpr size_t kIovecs = 16384;
constexpr size_t kHeaders = 4096;

}  // namespace

void UringDriver::open_sends() {
  skip_success_ = !(config_.features_forbidden & kFeatureSkipSuccess) && skip_success_works();
  file_table_ = !(config_.features_forbidden & kFeatureFileTable) && config_.slot_count > 0 &&
                ring_.register_file_table(static_cast<uint32_t>(config_.slot_count)) == 0;
  zero_copy_ = config_.memory.control().zero_copy_bytes > 0 && !(config_.features_forbidden & kFeatureZeroCopy) &&
               zero_copy_works();
  iovecs_.resize(kIovecs);
  headers_.resize(kHeaders * sizeof(msghdr));
}

void UringDriver::send(const GatheredSend& send) {
  Endpoint& endpoint = session_at(send.slot, send.generation);
  OVERLAPPED_CHECK(!endpoint.send_pending);  // one send outstanding per session
  if (is_lost(send.slot, endpoint.fd)) {
    complete(CompletionKind::kSend, send.slot, send.generation, IoStatus::kReset);
    return;
  }
  if (send.slices > 1 && (iovecs_used_ + send.slices > kIovecs || headers_used_ + sizeof(msghdr) > headers_.size())) {
    enter(false, 0);
  }
  bool zero_copy = zero_copy_ && send.number >= 0;
  bool by_table = uses_file_table(send.slot, endpoint);
  Sqe* sqe = claim();
  sqe->fd = by_table ? send.slot - config_.first_slot : endpoint.fd;
  if (by_table) sqe->flags = kSqeFixedFile;
  sqe->op_flags = MSG_NOSIGNAL | (send.now ? MSG_DONTWAIT : 0);
  sqe->user_data = user_data(send.now ? kSendNow : kSendWait, send.slot, send.generation);
  if (zero_copy) {
    OVERLAPPED_CHECK(send.now && endpoint.notifications < layout::kNotificationsMax);
    sqe->user_data = user_data(static_cast<uint8_t>(kSendZeroCopy + send.number), send.slot, send.generation);
    sqe->ioprio = kSendZcReportUsage;
    endpoint.notifications++;
  }
  const int32_t* pair = send.pairs;
  if (send.slices == 1) {
    sqe->opcode = zero_copy ? kOpSendZc : kOpSend;
    sqe->addr = reinterpret_cast<uint64_t>(config_.memory.arena + pair[0]);
    sqe->len = static_cast<uint32_t>(pair[1]);
  } else {
    iovec* first = &iovecs_[iovecs_used_];
    for (size_t i = 0; i < send.slices; i++) {
      iovecs_[iovecs_used_++] = {config_.memory.arena + pair[2 * i], static_cast<size_t>(pair[2 * i + 1])};
    }
    auto* header = reinterpret_cast<msghdr*>(&headers_[headers_used_]);
    headers_used_ += sizeof(msghdr);
    *header = msghdr{};
    header->msg_iov = first;
    header->msg_iovlen = send.slices;
    sqe->opcode = zero_copy ? kOpSendmsgZc : kOpSendmsg;
    sqe->addr = reinterpret_cast<uint64_t>(header);
    sqe->len = 1;
  }
  if (!send.now) {
    endpoint.send_pending = true;
    endpoint.send_enters = enters_;
  } else if (skip_success_ && send.lazy && !zero_copy) {
    // Without a completion entry a wait is not cut short by our own sends: one system call per turn.
    // MSG_WAITALL makes a short send a failure, which has an entry.
    sqe->flags |= kSqeCqeSkipSuccess;
    sqe->op_flags |= MSG_WAITALL;
    in_flight_--;
    endpoint.held = held_first_ + static_cast<uint32_t>(held_.size());
    held_.push_back({send.slot, send.generation, send.bytes, false});
  }
}

void UringDriver::on_send_now(int32_t slot, uint32_t generation, int32_t result) {
  settle_held(slot, generation);
  shared::count(config_.counters, layout::Counter::kSendsInline);
  // EAGAIN: the socket took nothing; that is an outcome, not a failure.
  bool took = result >= 0 || result == -EAGAIN;
  complete(CompletionKind::kSend, slot, generation, took ? IoStatus::kOk : status_of(-result), std::max(result, 0));
}

void UringDriver::on_send_wait(int32_t slot, uint32_t generation, int32_t result) {
  at(slot).send_pending = false;
  // One that did not wait has its completion before the next enter.
  bool is_inline = enters_ - at(slot).send_enters <= 1;
  shared::count(config_.counters, is_inline ? layout::Counter::kSendsInline : layout::Counter::kSendsPending);
  complete(CompletionKind::kSend, slot, generation, result >= 0 ? IoStatus::kOk : status_of(-result), std::max(result, 0));
}

// --- zero copy ---------------------------------------------------------------------------------

/** The result of a zero-copy send, or its notification, which follows where the result says so. */
void UringDriver::on_zero_copy(int32_t slot, uint32_t generation, int32_t number, const Cqe& cqe) {
  Endpoint& endpoint = session_at(slot, generation);  // the handle outlives its operations
  OVERLAPPED_CHECK(endpoint.notifications > 0);
  bool more = (cqe.flags & kCqeMore) != 0;
  if (!more) endpoint.notifications--;
  if ((cqe.flags & kCqeNotification) != 0) {
    bool copied = (static_cast<uint32_t>(cqe.res) & kNotificationCopied) != 0;
    complete(CompletionKind::kNotified, slot, generation, IoStatus::kOk, number, copied ? layout::kCompletionFlagCopied : 0);
    return;
  }
  shared::count(config_.counters, layout::Counter::kSendsInline);
  IoStatus status = cqe.res >= 0 || cqe.res == -EAGAIN ? IoStatus::kOk : status_of(-cqe.res);
  if (cqe.res == -EINVAL || cqe.res == -EOPNOTSUPP) {
    status = IoStatus::kNotSupported;
    zero_copy_ = false;
  }
  complete(CompletionKind::kSend, slot, generation, status, std::max(cqe.res, 0), more ? layout::kCompletionFlagNotifies : 0);
}

/** The kernel keeps what the peer has not acknowledged, and reads it again to repeat it: only a reset ends that. */
void UringDriver::abort_zero_copy(int32_t slot, const Endpoint& endpoint) {
  if (endpoint.notifications > 0 && !is_lost(slot, endpoint.fd)) abort_connection(endpoint.fd);
}

// --- held completions --------------------------------------------------------------------------

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
    shared::count(config_.counters, layout::Counter::kSendsInline);
    complete(CompletionKind::kSend, held.slot, held.generation, IoStatus::kOk, held.bytes);
  }
  held_.erase(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(held_taken_));
  held_first_ += static_cast<uint32_t>(held_taken_);
  held_taken_ = 0;
}

/** A lazy send has an entry after all: it is not reported once more. A session has one send at a time. */
void UringDriver::settle_held(int32_t slot, uint32_t generation) {
  uint32_t index = at(slot).held - held_first_;
  if (index >= held_.size()) return;
  HeldSend& held = held_[index];
  if (held.slot != slot || held.generation != generation || held.settled) return;
  held.settled = true;
  in_flight_++;
}

// --- the file table ----------------------------------------------------------------------------

/** Whether this send may name its socket by the file table; asks for that where there have been many. */
bool UringDriver::uses_file_table(int32_t slot, Endpoint& endpoint) {
  if (endpoint.file == File::kInTable) return true;
  if (!file_table_) return false;
  if (endpoint.file == File::kAsked) {
    // A session has one send at a time, so what the kernel had to say about the table has been read.
    endpoint.file = File::kInTable;
    return true;
  }
  if (++endpoint.sends != kSendsBeforeFixed) return false;
  update_file(slot, endpoint.generation, &endpoint.fd);
  endpoint.file = File::kAsked;
  return false;
}

/** Its entry no longer holds the socket open. */
void UringDriver::leave_file_table(int32_t slot, const Endpoint& endpoint) {
  if (endpoint.file != File::kNone) update_file(slot, endpoint.generation, &kNoFile);
}

/** Stores a descriptor in the session's entry of the file table; `fd` is read when the submission is taken. */
void UringDriver::update_file(int32_t slot, uint32_t generation, const int* fd) {
  Sqe* sqe = claim();
  sqe->opcode = kOpFilesUpdate;
  sqe->fd = -1;
  sqe->addr = reinterpret_cast<uint64_t>(fd);
  sqe->len = 1;
  sqe->off = static_cast<uint64_t>(slot - config_.first_slot);
  sqe->user_data = user_data(kFile, slot, generation);
  if (skip_success_) {
    sqe->flags = kSqeCqeSkipSuccess;
    in_flight_--;
  }
}

void UringDriver::on_file(int32_t slot, uint32_t generation, int32_t result) {
  if (skip_success_) in_flight_++;  // it has an entry after all
  // No memory for the table: it goes on by its descriptor.
  if (Endpoint* endpoint = result < 0 ? find(slot, generation) : nullptr) endpoint->file = File::kNone;
}

}  // namespace driver
