// What: one io_uring: its two queues, mapped, and the system call that moves them.
// Flow: uring_driver -> this -> kernel.
// Thread: the thread that opened it.
#include "driver/uring/uring_ring.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/check.h"

#ifndef __NR_io_uring_setup
#define __NR_io_uring_setup 425
#define __NR_io_uring_enter 426
#define __NR_io_uring_register 427
#endif

namespace driver::uring {

namespace {

int setup(uint32_t entries, Params* params) {
  int fd = static_cast<int>(syscall(__NR_io_uring_setup, entries, params));
  return fd < 0 ? -errno : fd;
}

uint32_t load_acquire(const uint32_t* word) {
  return std::atomic_ref<uint32_t>(*const_cast<uint32_t*>(word)).load(std::memory_order_acquire);
}

void store_release(uint32_t* word, uint32_t value) {
  std::atomic_ref<uint32_t>(*word).store(value, std::memory_order_release);
}

}  // namespace

Ring::~Ring() { close(); }

std::string Ring::open(uint32_t sq_entries, uint32_t cq_entries, bool allow_defer, bool allow_registered) {
  const uint32_t common = kSetupCqsize | kSetupClamp;
  const uint32_t attempts[] = {
      common | kSetupSubmitAll | kSetupSingleIssuer | kSetupDeferTaskrun,  // Linux 6.1
      common | kSetupSubmitAll | kSetupCoopTaskrun,                        // Linux 5.19
      common,                                                              // Linux 5.6
  };
  Params params{};
  int fd = -EINVAL;
  for (uint32_t flags : attempts) {
    if (!allow_defer && (flags & kSetupDeferTaskrun)) continue;
    params = Params{};
    params.flags = flags;
    params.cq_entries = cq_entries;
    fd = setup(sq_entries, &params);
    if (fd != -EINVAL) break;
  }
  if (fd < 0) {
    if (fd == -ENOSYS) return "the kernel has no io_uring";
    if (fd == -EPERM || fd == -EACCES)
      return "io_uring is denied here (a seccomp filter, or kernel.io_uring_disabled)";
    return std::string("io_uring_setup failed: ") + std::strerror(-fd);
  }
  fd_ = base::Fd(fd);
  constexpr uint32_t needed = kFeatureSingleMmap | kFeatureNodrop | kFeatureExtArg;  // Linux 5.11
  if ((params.features & needed) != needed) {
    close();
    return "the kernel's io_uring is older than Linux 5.11";
  }
  deferred_ = (params.flags & kSetupDeferTaskrun) != 0;

  queues_bytes_ = std::max<size_t>(params.sq_off.array + params.sq_entries * sizeof(uint32_t),
                                   params.cq_off.cqes + params.cq_entries * sizeof(Cqe));
  queues_ = mmap(nullptr, queues_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, kOffSqRing);
  sqes_bytes_ = params.sq_entries * sizeof(Sqe);
  void* sqes = mmap(nullptr, sqes_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, kOffSqes);
  if (queues_ == MAP_FAILED || sqes == MAP_FAILED) {
    if (queues_ == MAP_FAILED) queues_ = nullptr;
    if (sqes != MAP_FAILED) munmap(sqes, sqes_bytes_);
    close();
    return std::string("the rings of io_uring cannot be mapped: ") + std::strerror(errno);
  }
  sqes_ = static_cast<Sqe*>(sqes);

  auto* base = static_cast<uint8_t*>(queues_);
  auto word = [base](uint32_t offset) { return reinterpret_cast<uint32_t*>(base + offset); };
  sq_head_ = word(params.sq_off.head);
  sq_tail_ = word(params.sq_off.tail);
  sq_flags_ = word(params.sq_off.flags);
  sq_mask_ = *word(params.sq_off.ring_mask);
  sq_entries_ = params.sq_entries;
  uint32_t* array = word(params.sq_off.array);
  for (uint32_t i = 0; i < sq_entries_; i++) array[i] = i;
  cq_head_ = word(params.cq_off.head);
  cq_tail_ = word(params.cq_off.tail);
  cqes_ = reinterpret_cast<Cqe*>(base + params.cq_off.cqes);
  cq_mask_ = *word(params.cq_off.ring_mask);
  sq_local_tail_ = sq_submitted_ = *sq_tail_;

  enter_fd_ = fd;
  if (allow_registered) {
    RsrcUpdate update{0xffffffffu, 0, static_cast<uint64_t>(fd)};
    if (syscall(__NR_io_uring_register, fd, kRegisterRingFds, &update, 1) == 1) {
      registered_ = true;
      enter_fd_ = static_cast<int>(update.offset);
    }
  }
  return "";
}

void Ring::close() {
  if (sqes_ != nullptr) munmap(sqes_, sqes_bytes_);
  if (queues_ != nullptr) munmap(queues_, queues_bytes_);
  sqes_ = nullptr;
  queues_ = nullptr;
  fd_.reset();
  registered_ = false;
}

Sqe* Ring::claim() {
  if (sq_local_tail_ - load_acquire(sq_head_) >= sq_entries_) return nullptr;
  Sqe* sqe = &sqes_[sq_local_tail_++ & sq_mask_];
  std::memset(sqe, 0, sizeof *sqe);
  return sqe;
}

int Ring::enter(bool wait, int64_t timeout_ms) {
  store_release(sq_tail_, sq_local_tail_);
  uint32_t count = claimed();
  uint32_t flags = kEnterGetevents | (registered_ ? kEnterRegisteredRing : 0);
  GeteventsArg argument{};
  Timespec timeout{};
  void* argument_address = nullptr;
  size_t argument_bytes = 0;
  if (wait && timeout_ms >= 0) {
    timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1'000'000};
    argument.ts = reinterpret_cast<uint64_t>(&timeout);
    flags |= kEnterExtArg;
    argument_address = &argument;
    argument_bytes = sizeof argument;
  }
  long result = syscall(__NR_io_uring_enter, enter_fd_, count, wait ? 1u : 0u, flags, argument_address,
                        argument_bytes);
  int error = result < 0 ? errno : 0;
  // The kernel consumed up to its head, also when the wait was cut short.
  sq_submitted_ = load_acquire(sq_head_);
  return -error;
}

const Cqe* Ring::peek() const {
  uint32_t head = *cq_head_;  // only this thread stores it
  if (head == load_acquire(cq_tail_)) return nullptr;
  return &cqes_[head & cq_mask_];
}

void Ring::advance() { store_release(cq_head_, *cq_head_ + 1); }

bool Ring::overflowed() const { return (load_acquire(sq_flags_) & kSqCqOverflow) != 0; }

int Ring::register_file_table(uint32_t entries) {
  RsrcRegister registration{};
  registration.nr = entries;
  registration.flags = kRsrcRegisterSparse;
  long result = syscall(__NR_io_uring_register, fd_.get(), kRegisterFiles2, &registration, sizeof registration);
  return result < 0 ? -errno : 0;
}

int Ring::register_buffers(Buf* ring, uint32_t entries, uint16_t group) {
  BufReg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(ring);
  registration.ring_entries = entries;
  registration.bgid = group;
  long result = syscall(__NR_io_uring_register, fd_.get(), kRegisterPbufRing, &registration, 1);
  return result < 0 ? -errno : 0;
}

}  // namespace driver::uring
