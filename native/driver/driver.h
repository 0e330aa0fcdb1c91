// What: the driver contract: operations in, typed completions out; no session rule, no framing, no gather choice.
// Flow: src/outbound/submission_ring.ts -> this -> src/inbound/completion_ring.ts.
// Thread: one instance per thread, used by that thread alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "layout/layout.h"
#include "shared/completion_ring.h"
#include "shared/memory.h"
#include "shared/runtime.h"

namespace driver {

/** kNone has no sockets: it waits for libuv and for wakes, and takes no submissions. */
enum class Kind : int32_t { kUring, kEpoll, kNone, kIocp };

/** What a kernel may lack, or one may do without; each has a plain way without it. Tests forbid them one by one. */
enum Feature : uint32_t {
  kFeatureMultishotRecv = 1u << 0,    // one submission, many receives; Linux 6.0
  kFeatureMultishotAccept = 1u << 1,  // Linux 5.19
  kFeatureDeferTaskrun = 1u << 2,     // SINGLE_ISSUER | DEFER_TASKRUN; Linux 6.1
  kFeatureRegisteredRing = 1u << 3,   // the ring's descriptor is registered; Linux 5.18
  kFeatureSkipSuccess = 1u << 4,      // no completion entry for a send that was taken whole; Linux 5.17
  kFeatureFileTable = 1u << 5,        // sends without a look-up of their descriptor; Linux 5.19
  kFeatureZeroCopy = 1u << 6,         // SEND_ZC and SENDMSG_ZC that report what they copied; Linux 6.2
  // Ways of IOCP; each has another.
  kFeatureZeroByteReceive = 1u << 7,  // an idle session holds no receive buffer; else a receive into one is pending
  kFeatureTrySend = 1u << 8,          // SEND_FLAG_NOW does not become an overlapped send; else it is one, and pends
  kFeatureQueuedSuccess = 1u << 9,    // what succeeds at once has a packet; else FILE_SKIP_COMPLETION_PORT_ON_SUCCESS
  kFeatureSendBuffer = 1u << 10,      // a socket has a send buffer; else SO_SNDBUF 0, and the kernel sends from the arena
};

struct Config {
  shared::Memory memory;
  shared::CompletionRing* completions = nullptr;
  double* counters = nullptr;
  /** Slots of the session table that this driver serves: first and count. 0 for an acceptor, and without sockets. */
  int32_t first_slot = 0;
  int32_t slot_count = 0;
  /** Receive buffers: index of the first one in the arena, and how many. 0 where nothing is received. */
  int32_t first_buffer = 0;
  int32_t buffer_count = 0;
  /** Watched in every wait, on Linux: libuv's backend descriptor; -1: none. */
  int backend_fd = -1;
  /** Ends every wait when it rings; null: nobody wakes this thread. */
  base::Alarm* alarm = nullptr;
  /** Id of the thread that the driver is for. */
  int32_t thread = 0;
  /** A worker's count of sessions and sockets in transit, which an accept raises; null for all others. */
  int32_t* assigned_sessions = nullptr;
  /** Completions taken per wait. */
  uint32_t batch = 1024;
  uint32_t features_forbidden = 0;
  /** A send thread: no socket is its own, it sends on those that other drivers have attached. */
  bool borrows = false;
};

/** When accepting ended for lack of descriptors: how often to look whether one is free again. */
constexpr int64_t kAcceptRetryMs = 20;

/** Why a wait returned, besides completions. */
struct Waited {
  bool backend_ready = false;
  bool woken = false;
  /** It ended at a limit of its own, filled a receive buffer or lacked one: another one now would likely bring more. */
  bool more = false;
};

/** Sockets between accept (or prepare) and ATTACH, REFUSE or CONNECT, by token. */
class Transit {
 public:
  int32_t put(shared::TransitSocket socket);
  shared::TransitSocket take(int32_t token);
  const shared::TransitSocket* find(int32_t token) const;
  void clear();

 private:
  std::vector<shared::TransitSocket> sockets_;
  std::vector<int32_t> free_;
};

/**
 * ## Promises
 * DRIVER-1 to DRIVER-6 (docs/protocols/drivers.md): each operation completes once [DRIVER-1], in order [DRIVER-2]; who
 * waits for bytes holds no buffer [DRIVER-3]; what there is no room for comes later [DRIVER-4]; outcomes are told apart
 * [DRIVER-5]; misuse ends the process [DRIVER-6].
 *
 * ## Borrowing
 * A driver has the sockets that ATTACH and CONNECT gave it, and tells their descriptors in the word `handle` of their
 * slots. The driver of a send thread has none: after BORROW it sends on the socket of a slot, with SEND, CANCEL and
 * SHUTDOWN, until GIVE_BACK; all else stays with the owner, which may receive at the same time. CANCEL ends a SEND that
 * waits for room, and where none does, nothing completes. Who borrows has a count of the session until GIVE_BACK was
 * handed over: only then may the owner close the socket, whose descriptor may be somebody else's a moment later. An owner
 * that ends all the same (its thread is terminated) says HANDLE_LOST before it closes: from there a SEND completes as
 * RESET, and nothing touches the descriptor.
 *
 * ## Zero copy
 * A SEND with SEND_FLAG_ZERO_COPY may be read by the kernel where it lies. Its completion says so with
 * COMPLETION_FLAG_NOTIFIES; then NOTIFIED follows, later than that one, in no order with those of other SENDs, and until
 * then the bytes that were taken must not change. Where the flag is missing the bytes were copied, whatever was asked for.
 * A refusal (NO_RESOURCES, NOT_SUPPORTED) has taken nothing, and may be sent again without the flag. CANCEL aborts the
 * connection if a NOTIFIED is outstanding, as it would come only when the peer has acknowledged everything; CLOSE and
 * GIVE_BACK come after the last one. The least size is the control word `zero_copy_bytes`.
 *
 * ## Platform specific
 * Drivers with sockets share what is in socket_driver.h.
 * * io_uring: sends and receives run in the kernel; a wait submits and reaps in one call.
 * * epoll: readiness is turned into completions by non-blocking calls.
 * * iocp: overlapped operations; a native completion thread forwards their packets (docs/decisions).
 */
class Driver {
 public:
  virtual ~Driver() = default;

  /** Makes the instance ready on the calling thread. Empty: it worked; else a sentence. */
  virtual std::string open(const Config& config) = 0;

  /**
   * Accepts on a listening descriptor. Each connection is an ACCEPT completion, whose result is its token in
   * transit() for a worker and its descriptor for an acceptor.
   */
  virtual void listen(int32_t listener, int fd) = 0;
  /** Ends accepting; the descriptor may be closed when this returns. */
  virtual void unlisten(int32_t listener) = 0;
  /** Whether a lack of descriptors or memory has ended accepting. */
  virtual bool accept_starved() const = 0;
  /** Goes on accepting after that. */
  virtual void relisten() = 0;

  /**
   * Takes a run of submissions (SubmissionOp). With `now`, what completes at once is in the ring when it
   * returns; without, the submissions may go to the kernel with the next wait.
   */
  virtual void submit(const int32_t* words, size_t count, bool now) = 0;

  /** Waits for completions, the backend or a wake: at most `timeout_ms` (-1: no limit; 0: only looks). */
  virtual Waited wait(int64_t timeout_ms) = 0;

  // --- where something else sleeps than the driver ---
  /** Whether a wait would end at once. */
  virtual bool has_arrived() const { return false; }
  /** What is received before that moment of the monotonic clock need not end the sleep that begins [REST-1]. */
  virtual void gather_until(int64_t) {}

  /** Cancels everything, reaps until nothing is pending, closes every handle that is not borrowed. */
  virtual void close() = 0;

  Transit& transit() { return transit_; }
  /** Address of an attached session's peer; null when there is none. */
  virtual const shared::SocketAddress* peer(int32_t slot, uint32_t generation) const = 0;

 protected:
  Config config_;
  Transit transit_;
};

/** Null where this system has no such driver. */
std::unique_ptr<Driver> create(Kind kind);

/**
 * Whether this process can use the driver that is best on its system: of io_uring sets up a ring and runs a no-op. Empty:
 * yes; else why not. `features`: what it can, of those that not every kernel has.
 */
std::string probe_driver(uint32_t* features);

}  // namespace driver
