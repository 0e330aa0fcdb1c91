// What: what all parts of the stress program share: its options, memory, counters, and the bytes that are sent.
// Flow: this -> stand_in.h, worker, client, main.
// Thread: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "driver/driver.h"
#include "layout/layout.h"
#include "shared/memory.h"
#include "shared/runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace stress {

/** Bugs that the program has on request, to show that each of them is found. */
enum class Plant { kNone, kRace, kUseAfterFree, kFreedChunk, kOverflow, kOutOfBounds, kUnseenInbox, kUnheld };

struct Options {
  driver::Kind driver = driver::Kind::kEpoll;
  int seconds = 5;
  uint32_t seed = 1;
  Plant plant = Plant::kNone;
  /** Workers only receive; a thread with a driver of its own sends on their sockets. */
  bool sends_elsewhere = false;
  /** What this kernel has of driver::Feature. */
  uint32_t features = 0;
  /** 2 get their connections from the accept thread; a single one accepts by itself. */
  int32_t workers = 2;
  /** How long a message may be on its way when nothing else happens; after that it is lost. */
  int patience_ms = 20'000;
};
inline Options options;

// Threads: main, the workers, the send thread, the acceptor, and threads that only push to sessions of others.
inline constexpr int32_t kWorkers = 2;  // at most; ids and memory are planned for all of them
inline constexpr int32_t kSendThread = kWorkers + 1;
inline constexpr int32_t kDrivers = kSendThread;
inline constexpr int32_t kAcceptor = kSendThread + 1;
inline constexpr int32_t kSenders = 2;
inline constexpr int32_t kThreads = kAcceptor + 1 + kSenders;

// Small, so that every pool runs out now and then.
inline constexpr int32_t kSessionsPerWorker = 12;
inline constexpr int32_t kSessions = kWorkers * kSessionsPerWorker;
inline int32_t session_count() { return options.workers * kSessionsPerWorker; }
inline constexpr int32_t kNodesPerThread = 2048;
inline constexpr int32_t kChunks = 20;
inline constexpr int32_t kChunkBytes = 16'384;
inline constexpr int32_t kBuffers = 32;
inline constexpr int32_t kBufferBytes = 2048;
inline constexpr int32_t kBufferStride = kBufferBytes + 64;
inline constexpr int32_t kBlocks = 160;
inline constexpr int32_t kBlockBytes = 4096;
inline constexpr int32_t kSubmissionWords = 8192;
inline constexpr int32_t kCompletionCapacity = 8192;
inline constexpr uint32_t kBatch = 64;
/** Bytes that other threads may have queued for a session. */
inline constexpr int32_t kBackpressure = 32'768;

/** A seeded generator (splitmix64): each thread has its own. */
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u) {}
  uint32_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<uint32_t>(z >> 32);
  }
  uint32_t below(uint32_t bound) { return next() % bound; }
  bool one_in(uint32_t many) { return below(many) == 0; }

 private:
  uint64_t state_;
};

/** Prints why and ends with 1: something was lost, doubled or mixed up. */
[[noreturn]] inline void fail(const std::string& why) {
  std::fprintf(stderr, "stress: %s (seed %u)\n", why.c_str(), options.seed);
  std::_Exit(1);
}
inline void expect(bool holds, const char* what) {
  if (!holds) fail(what);
}

// --- what goes over the wire ---------------------------------------------------------------------

/** Records of the server: who wrote it, its number among those of the writer, payload bytes. */
struct Record {
  int32_t from;
  int32_t sequence;
  int32_t length;
};
inline constexpr int32_t kFromHello = 100;  // payload: slot, generation
inline constexpr int32_t kFromEcho = 101;   // payload: what was received
inline constexpr int32_t kFromBye = 102;    // the server ends this session
inline constexpr int32_t kPayloadMax = 6000;

/** Where a send thread sends: the stream of a session begins with this, `total` bytes with it. */
struct Hello {
  int32_t slot;
  int32_t generation;
  int32_t total;
};

/** Byte `at` of the stream that a key names. */
inline uint8_t byte_of(uint32_t key, uint32_t at) {
  return static_cast<uint8_t>((key * 2654435761u + at * 40503u) >> 13);
}
inline uint32_t key_of(int32_t slot, uint32_t generation, int32_t from, int32_t sequence) {
  return static_cast<uint32_t>(slot) * 31 + generation * 131 + static_cast<uint32_t>(from) * 1031 +
         static_cast<uint32_t>(sequence) * 65599;
}

// --- memory and counters -------------------------------------------------------------------------

/** Both memories of a runtime, planned as src/server/memory_plan.ts does. */
class Planned {
 public:
  Planned();
  shared::Memory memory() { return {words_, arena_}; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> words_memory_;
  std::unique_ptr<void, Free> arena_memory_;
  int32_t* words_ = nullptr;
  uint8_t* arena_ = nullptr;
};

/** What was pushed: generation and count for each thread and slot, read by clients after the senders have ended. */
struct Pushed {
  std::atomic<uint64_t> of[kThreads][kSessions] = {};
};

struct Totals {
  std::atomic<uint64_t> sessions{0}, echoed_bytes{0}, foreign_messages{0}, refused{0}, resets{0}, closes{0}, pauses{0},
      short_sends{0}, waits{0}, cancels{0}, contended{0}, notifications{0}, copies_by_limit{0}, wakes{0}, sleeps{0};
};

struct Shared {
  explicit Shared(std::shared_ptr<shared::Runtime> runtime) : runtime(std::move(runtime)) {}
  std::shared_ptr<shared::Runtime> runtime;
  Pushed pushed;
  Totals totals;
  /** A worker's driver may leave bytes where they lie; then it must have happened. */
  std::atomic<bool> sends_without_copies{false};
  /** No thread pushes to sessions of all the others any more; senders wake sleeping workers, then end. */
  std::atomic<bool> senders_stop{false};
  /** Clients only read, so that nothing but a wake-up brings a worker to its turn. */
  std::atomic<bool> clients_quiet{false};
  /** Clients wait for what is on its way, then end. */
  std::atomic<bool> clients_finish{false};
  std::atomic<bool> workers_stop{false};
};

}  // namespace stress
