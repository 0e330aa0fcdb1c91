// What: what an io_uring of this kernel can do, found out by doing it.
// Flow: native/napi, uring_driver -> this -> kernel.
// Thread: any; rings of its own.
#include "driver/uring/uring_probe.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "driver/driver.h"
#include "driver/uring/uring_op.h"
#include "driver/uring/uring_ring.h"

namespace driver {

using uring::Sqe;

namespace {

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

/**
 * Whether the kernel knows zero-copy sends and reports what it copied. Tried on a socket of a kind that has none: who
 * does not know them refuses the operation itself.
 */
bool try_zero_copy() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return false;
  base::Fd sender(pair[0]);
  base::Fd receiver(pair[1]);
  uring::Ring ring;
  if (!ring.open(8, 16, true, false).empty()) return false;
  iovec part{pair, 1};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  Sqe* sqe = ring.claim();
  sqe->opcode = uring::kOpSendmsgZc;
  sqe->fd = sender.get();
  sqe->addr = reinterpret_cast<uint64_t>(&header);
  sqe->len = 1;
  sqe->ioprio = uring::kSendZcReportUsage;
  sqe->op_flags = MSG_DONTWAIT;
  return ring.enter(true, 1000) == 0 && ring.peek() != nullptr && ring.peek()->res == -EOPNOTSUPP;
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
  sqe->buf_group = uring::kBufferGroup;
  sqe->ioprio = uring::kRecvMultishot;
  if (ring.enter(true, 1000) < 0 || ring.peek() == nullptr) return false;
  return ring.peek()->res == -ENOBUFS;
}

}  // namespace

namespace uring {

bool skip_success_works() {
  static const bool works = try_skip_success();
  return works;
}

bool zero_copy_works() {
  static const bool works = try_zero_copy();
  return works;
}

}  // namespace uring

std::string probe_driver(uint32_t* features) {
  uring::Ring ring;
  std::string why = ring.open(8, 16, true, true);
  if (!why.empty()) return why;
  Sqe* sqe = ring.claim();
  sqe->opcode = uring::kOpNop;
  sqe->user_data = user_data(uring::kNop, 0, 0);
  // A filter may allow the setup and deny the enter, so a real operation is run.
  int result = ring.enter(true, 1000);
  if (result < 0) return std::string("io_uring_enter failed: ") + std::strerror(-result);
  if (ring.peek() == nullptr || ring.peek()->res != 0) return "io_uring did not complete a no-op";
  void* entries = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  result = ring.register_buffers(static_cast<uring::Buf*>(entries), 8, uring::kBufferGroup);
  // Multishot accepts came with provided-buffer rings, without which there is no io_uring for us.
  *features = kFeatureMultishotAccept | (ring.register_file_table(1) == 0 ? kFeatureFileTable : 0u) | (ring.deferred() ? kFeatureDeferTaskrun : 0u) |
              (ring.registered() ? kFeatureRegisteredRing : 0u) |
              (multishot_recv_works(ring) ? kFeatureMultishotRecv : 0u) |
              (uring::skip_success_works() ? kFeatureSkipSuccess : 0u) |
              (uring::zero_copy_works() ? kFeatureZeroCopy : 0u);
  ring.close();
  munmap(entries, 4096);
  if (result < 0) return "the kernel has no provided-buffer rings; Linux 5.19 or later is needed";
  return "";
}

}  // namespace driver
