// What: the part of the kernel's io_uring interface that the driver uses, declared here so that no header package is needed.
// Flow: io_uring_setup(2), io_uring_enter(2), io_uring_register(2) -> this -> uring_ring, uring_driver.
// Thread: none.
#pragma once

#include <cstddef>
#include <cstdint>

namespace driver::uring {

struct Sqe {
  uint8_t opcode;
  uint8_t flags;
  uint16_t ioprio;
  int32_t fd;
  uint64_t off;   // addr2: CONNECT's address length
  uint64_t addr;  // ASYNC_CANCEL and POLL_REMOVE: user_data of the target
  uint32_t len;
  uint32_t op_flags;  // msg_flags, accept_flags, poll32_events, cancel_flags
  uint64_t user_data;
  uint16_t buf_group;
  uint16_t personality;
  int32_t file_index;
  uint64_t addr3;
  uint64_t pad;
};
static_assert(sizeof(Sqe) == 64);
static_assert(offsetof(Sqe, off) == 8);
static_assert(offsetof(Sqe, addr) == 16);
static_assert(offsetof(Sqe, len) == 24);
static_assert(offsetof(Sqe, op_flags) == 28);
static_assert(offsetof(Sqe, user_data) == 32);
static_assert(offsetof(Sqe, buf_group) == 40);

struct Cqe {
  uint64_t user_data;
  int32_t res;
  uint32_t flags;
};
static_assert(sizeof(Cqe) == 16);

struct SqOffsets {
  uint32_t head, tail, ring_mask, ring_entries, flags, dropped, array, resv1;
  uint64_t user_addr;
};
struct CqOffsets {
  uint32_t head, tail, ring_mask, ring_entries, overflow, cqes, flags, resv1;
  uint64_t user_addr;
};
struct Params {
  uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd, resv[3];
  SqOffsets sq_off;
  CqOffsets cq_off;
};
static_assert(sizeof(Params) == 120);

/** Entry of a provided-buffer ring; the ring's tail overlays `resv` of entry 0. */
struct Buf {
  uint64_t addr;
  uint32_t len;
  uint16_t bid;
  uint16_t resv;
};
static_assert(sizeof(Buf) == 16);

struct BufReg {
  uint64_t ring_addr;
  uint32_t ring_entries;
  uint16_t bgid;
  uint16_t flags;
  uint64_t resv[3];
};
static_assert(sizeof(BufReg) == 40);

struct RsrcRegister {
  uint32_t nr;
  uint32_t flags;
  uint64_t resv2;
  uint64_t data;
  uint64_t tags;
};
static_assert(sizeof(RsrcRegister) == 32);

inline constexpr uint32_t kRsrcRegisterSparse = 1u << 0;  // Linux 5.19

struct GeteventsArg {
  uint64_t sigmask;
  uint32_t sigmask_sz;
  uint32_t pad;
  uint64_t ts;
};
static_assert(sizeof(GeteventsArg) == 24);

struct Timespec {
  int64_t tv_sec;
  int64_t tv_nsec;
};

struct RsrcUpdate {
  uint32_t offset;
  uint32_t resv;
  uint64_t data;
};

inline constexpr uint8_t kOpNop = 0, kOpPollAdd = 6, kOpPollRemove = 7, kOpSendmsg = 9, kOpTimeout = 11, kOpAccept = 13,
                         kOpAsyncCancel = 14, kOpConnect = 16, kOpClose = 19, kOpFilesUpdate = 20, kOpSend = 26, kOpRecv = 27,
                         kOpSendZc = 47, kOpSendmsgZc = 48;

inline constexpr uint8_t kSqeFixedFile = 1u << 0;
inline constexpr uint8_t kSqeBufferSelect = 1u << 5;
inline constexpr uint8_t kSqeCqeSkipSuccess = 1u << 6;  // Linux 5.17

inline constexpr uint16_t kRecvMultishot = 1u << 1;    // ioprio; Linux 6.0
inline constexpr uint16_t kAcceptMultishot = 1u << 0;  // ioprio; Linux 5.19
inline constexpr uint16_t kSendZcReportUsage = 1u << 3;  // ioprio; Linux 6.2
inline constexpr uint32_t kPollAddMulti = 1u << 0;     // len; Linux 5.13

inline constexpr uint32_t kSetupCqsize = 1u << 3, kSetupClamp = 1u << 4, kSetupSubmitAll = 1u << 7,
                          kSetupCoopTaskrun = 1u << 8, kSetupSingleIssuer = 1u << 12,
                          kSetupDeferTaskrun = 1u << 13;

inline constexpr uint32_t kEnterGetevents = 1u << 0, kEnterExtArg = 1u << 3, kEnterRegisteredRing = 1u << 4;

inline constexpr uint32_t kCqeBuffer = 1u << 0, kCqeMore = 1u << 1, kCqeNotification = 1u << 3;
inline constexpr uint32_t kCqeSockNonempty = 1u << 2;      // Linux 5.19; never set before
inline constexpr uint32_t kNotificationCopied = 1u << 31;  // in its result
inline constexpr uint32_t kCqeBufferShift = 16;

inline constexpr uint32_t kSqCqOverflow = 1u << 1;  // sq flags
inline constexpr uint32_t kFeatureSingleMmap = 1u << 0, kFeatureNodrop = 1u << 1, kFeatureExtArg = 1u << 8;

inline constexpr uint32_t kRegisterFiles2 = 13, kRegisterRingFds = 20, kRegisterPbufRing = 22;

inline constexpr uint64_t kOffSqRing = 0, kOffSqes = 0x10000000;

}  // namespace driver::uring
