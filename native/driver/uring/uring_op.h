// What: how the io_uring driver names its operations to the kernel, and its buffer group.
// Flow: uring_driver, uring_receive, uring_probe -> this.
// Thread: any; constants.
#pragma once

#include <cstdint>

#include "layout/layout.h"

namespace driver::uring {

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
  kLook,
  kFile,
  kSendZeroCopy = 0x40,  // + its number
};

static_assert(layout::kNotificationsMax <= 0x40);

/** op 8 | slot 20 | generation 32: descriptors are reused by the kernel, this is not. */
inline uint64_t user_data(uint8_t op, int32_t slot, uint32_t generation) {
  return static_cast<uint64_t>(op) << 52 | static_cast<uint64_t>(slot) << 32 | generation;
}

inline constexpr uint16_t kBufferGroup = 0;

}  // namespace driver::uring
