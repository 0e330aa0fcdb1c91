// What: what all threads of one runtime share natively: memory, alarms, sockets in transit to a worker.
// Flow: main creates it -> workers and the acceptor find it by id.
// Thread: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fd.h"
#include "base/platform.h"
#include "shared/memory.h"

namespace shared {

/** An IPv4 or IPv6 address: 28 bytes, where sockaddr_storage has 128; there is one per session. */
union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

/** A peer's address into the words of its slot, which any thread may read while the session lives. */
void write_peer(layout::Session& session, const SocketAddress& peer);
SocketAddress read_peer(const layout::Session& session);

/** An accepted or prepared socket that no session has yet, or a listener that a worker gets. */
struct TransitSocket {
  base::Fd fd;
  int32_t listener = 0;
  /** The descriptor listens: whoever takes it accepts on it. */
  bool listens = false;
  SocketAddress peer{};
};

/** Sockets on their way to one worker. Bounded: a socket counts against the worker's session slots. */
class Inbox {
 public:
  void push(TransitSocket socket) {
    std::lock_guard<std::mutex> guard(mutex_);
    sockets_.push_back(std::move(socket));
    waiting_.store(true, std::memory_order_seq_cst);
  }
  /** Whether a take would find something; may be read before a sleep. */
  bool waiting() const { return waiting_.load(std::memory_order_seq_cst); }
  std::vector<TransitSocket> take() {
    std::lock_guard<std::mutex> guard(mutex_);
    waiting_.store(false, std::memory_order_seq_cst);
    return std::exchange(sockets_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<TransitSocket> sockets_;
  std::atomic<bool> waiting_{false};
};

class Runtime {
 public:
  explicit Runtime(Memory memory);

  const Memory& memory() const { return memory_; }
  /** What wakes a thread. */
  base::Alarm& alarm(int32_t thread) const { return *alarms_[static_cast<size_t>(thread)]; }
  Inbox& inbox(int32_t thread) { return *inboxes_[static_cast<size_t>(thread)]; }

  /** Rings the thread's alarm; the caller has exchanged `parked` to 0 and found 1. */
  void signal(int32_t thread) const;

  /** Wakes a thread if it is parked, as src/shared/waker.ts does. Returns whether it signalled. */
  bool wake(int32_t thread) const;

 private:
  Memory memory_;
  std::vector<std::unique_ptr<base::Alarm>> alarms_;
  std::vector<std::unique_ptr<Inbox>> inboxes_;
};

/** Registers a runtime; the id stays valid until remove. */
int32_t add_runtime(std::shared_ptr<Runtime> runtime);
std::shared_ptr<Runtime> find_runtime(int32_t id);
void remove_runtime(int32_t id);

}  // namespace shared
