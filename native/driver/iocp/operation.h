// What: an overlapped operation: its OVERLAPPED, and what its completion must know.
// Flow: iocp driver -> kernel -> completion thread -> arrivals -> iocp driver.
// Thread: the driver's, but for the time between issue and arrival, when it is the kernel's and the completion thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "base/fd.h"
#include "base/platform.h"

namespace driver::iocp {

class Arrivals;

enum class OperationKind : uint8_t {
  kProbe,    // a receive of no bytes: it holds no buffer, and is over when there is something to read
  kReceive,  // a receive into a buffer
  kSend,
  kConnect,
  kAccept,
  kWatch,  // of a paused session: its peer's leaving
};

/** Lives in a pool or in a listener until its packet has arrived: the kernel writes into it. */
struct Operation {
  OVERLAPPED overlapped{};
  /** Whose it is: in mode send the port that it completes on is another driver's. */
  Arrivals* home = nullptr;
  Operation* next = nullptr;
  OperationKind kind = OperationKind::kProbe;
  /** Session slot; accepting: the listener. */
  int32_t slot = 0;
  uint32_t generation = 0;
  /** Receive buffer, of kReceive. */
  int32_t buffer = -1;
  uint32_t bytes = 0;

  static Operation* of(OVERLAPPED* overlapped) { return reinterpret_cast<Operation*>(overlapped); }
};
static_assert(std::is_standard_layout_v<Operation>, "the OVERLAPPED is what it begins with");

/** The parameters of IOCTL_AFD_POLL, which has no header: libuv and others use it like this. */
struct AfdPoll {
  LARGE_INTEGER timeout;
  ULONG handle_count;
  ULONG exclusive;
  struct {
    HANDLE handle;
    ULONG events;
    LONG status;
  } handle;
};

struct WatchOperation : Operation {
  AfdPoll poll{};
};

struct AcceptOperation : Operation {
  /** The socket that the connection gets. */
  base::Fd socket;
  bool pending = false;
  /** Local and remote address, as AcceptEx wants them: 16 bytes more than the longest. */
  uint8_t addresses[2 * (sizeof(sockaddr_in6) + 16)] = {};
};

/** Operations that nobody has; they are made in blocks, and stay where they are. */
template <class T>
class Pool {
 public:
  T* take() {
    if (free_.empty()) grow();
    T* operation = free_.back();
    free_.pop_back();
    return operation;
  }
  void give(T* operation) { free_.push_back(operation); }
  /** Nothing of it may be with the kernel. */
  void clear() {
    free_.clear();
    blocks_.clear();
  }

 private:
  static constexpr size_t kBlock = 64;

  void grow() {
    blocks_.push_back(std::make_unique<T[]>(kBlock));
    for (size_t i = kBlock; i > 0; i--) free_.push_back(&blocks_.back()[i - 1]);
  }

  std::vector<std::unique_ptr<T[]>> blocks_;
  std::vector<T*> free_;
};

}  // namespace driver::iocp
