// What: what src/shared and src/outbound do on the shared words, in C++, so that sanitizers see it.
// Flow: this -> worker, senders; the same words, in the same order, as the TypeScript of the same name.
// Thread: one Thread for each thread.
#pragma once

#include <array>
#include <utility>

#include "stress.h"

namespace stress {

using shared::atomic;

// --- link_stack.ts -------------------------------------------------------------------------------

inline void push(int32_t& head, int32_t& link, int32_t entry) {
  int32_t first = atomic(head).load();
  do {
    link = first;
  } while (!atomic(head).compare_exchange_strong(first, entry));
}

inline int32_t take_all(int32_t& head) { return atomic(head).load() == 0 ? 0 : atomic(head).exchange(0); }

// --- io_count.ts ---------------------------------------------------------------------------------

inline bool try_retain(int32_t& count) {
  int32_t value = atomic(count).load();
  do {
    if (value == 0 || (value & layout::kIoReleased) != 0) return false;
  } while (!atomic(count).compare_exchange_strong(value, value + 1));
  return true;
}

inline bool release(int32_t& count) {
  if (atomic(count).fetch_sub(1) != 1) return false;
  int32_t zero = 0;
  return atomic(count).compare_exchange_strong(zero, layout::kIoReleased);
}

/** What each thread has: nodes, an open chunk, a waker. */
class Thread {
 public:
  Thread(Shared& shared, int32_t id)
      : shared_(shared), memory_(shared.runtime->memory()), id_(id) {
    const layout::Control& control = memory_.control();
    nodes_ = reinterpret_cast<layout::Node*>(memory_.words + control.nodes_at);
    fresh_ = id * kNodesPerThread + 1;
  }

  layout::Session& session(int32_t slot) {
    return reinterpret_cast<layout::Session*>(memory_.words + memory_.control().sessions_at)[slot];
  }
  layout::Thread& block(int32_t thread) { return memory_.thread(thread); }
  uint8_t* bytes(int32_t offset) { return memory_.arena + offset; }
  int32_t id() const { return id_; }

  // --- waker.ts ------------------------------------------------------------------------------------

  void mark(int32_t thread) { marked_[static_cast<size_t>(thread)] = true; }
  void wake_marked() {
    for (int32_t thread = 0; thread < kThreads; thread++) {
      if (!std::exchange(marked_[static_cast<size_t>(thread)], false)) continue;
      if (atomic(block(thread).parked).exchange(0) != 1) continue;
      shared_.runtime->signal(thread);
      shared_.totals.wakes++;
    }
  }

  // --- session_table.ts ----------------------------------------------------------------------------

  bool pin(int32_t slot, uint32_t generation) {
    if (!try_retain(session(slot).io_count)) return false;
    if (static_cast<uint32_t>(atomic(session(slot).generation).load()) == generation) return true;
    unpin(slot);
    return false;
  }
  void unpin(int32_t slot) {
    layout::Session& session = this->session(slot);
    if (!release(session.io_count)) return;
    push(block(session.owner).release_head, session.release_link, slot + 1);
    mark(session.owner);
  }

  // --- node_pool.ts --------------------------------------------------------------------------------

  layout::Node& node(int32_t node) { return nodes_[node - 1]; }
  int32_t allocate(int32_t offset, int32_t length, int32_t block) {
    int32_t taken = free_;
    if (taken == 0 && fresh_ <= (id_ + 1) * kNodesPerThread) {
      taken = fresh_++;
    } else {
      if (taken == 0) taken = take_all(this->block(id_).node_return_head);
      if (taken == 0) return 0;
      free_ = node(taken).next;
    }
    node(taken).offset = offset;
    node(taken).length = length;
    node(taken).block = block;
    return taken;
  }
  void free_node(int32_t freed) {
    int32_t owner = (freed - 1) / kNodesPerThread;
    if (owner == id_) {
      node(freed).next = free_;
      free_ = freed;
    } else {
      push(block(owner).node_return_head, node(freed).next, freed);
    }
  }
  /** Nodes of this thread that are in nobody's list; at the end that is all of them. */
  int32_t free_nodes() {
    int32_t count = (id_ + 1) * kNodesPerThread + 1 - fresh_;
    for (int32_t at = free_; at != 0; at = node(at).next) count++;
    for (int32_t at = atomic(block(id_).node_return_head).load(); at != 0; at = node(at).next) count++;
    return count;
  }

  // --- chunk_pool.ts, chunk_writer.ts ----------------------------------------------------------------

  /** Room for a slice in this thread's open chunk, with its reference; -1: no chunk is free. */
  int32_t reserve(int32_t length) {
    if (chunk_ == -1 || position_ + length > end_) {
      int32_t chunk = acquire();
      if (chunk == -1) return -1;
      retire();
      chunk_ = chunk;
      position_ = memory_.control().chunk_byte_at + chunk * kChunkBytes;
      end_ = position_ + kChunkBytes;
    }
    if (options.plant != Plant::kFreedChunk || given_ % 64 != 63) given_++;
    return std::exchange(position_, position_ + length);
  }
  int32_t chunk() const { return chunk_; }
  void retire() {
    if (chunk_ == -1) return;
    drop_chunk(chunk_, kOpenCharge - given_);
    chunk_ = -1;
    given_ = 0;
  }
  void drop_chunk(int32_t chunk, int32_t count) {
    int32_t& refs = memory_.words[memory_.control().chunk_refs_at + chunk];
    if (atomic(refs).fetch_sub(count) != count) return;
    // Whoever still reads from it, or lets the driver, is found by AddressSanitizer.
    ASAN_POISON_MEMORY_REGION(bytes(memory_.control().chunk_byte_at + chunk * kChunkBytes), kChunkBytes);
    atomic(memory_.words[memory_.control().chunk_bitmap_at + chunk / 32]).fetch_or(static_cast<int32_t>(1u << (chunk % 32)));
  }
  /** Gives back a reference that was reserved for a slice that was not sent. */
  void unreserve() { given_--; }

  // --- sender.ts, for sessions of other workers ------------------------------------------------------

  /** Under a pin. */
  void push_foreign(int32_t slot, int32_t first) {
    layout::Session& session = this->session(slot);
    push(session.send_head, node(first).next, first);
    int32_t nobody = 0;
    if (!atomic(session.send_flag).compare_exchange_strong(nobody, id_ + 1)) {
      shared_.totals.contended++;
      return;
    }
    atomic(session.io_count).fetch_add(1);
    push(block(session.owner).flush_head, session.flush_link, slot + 1);
    mark(session.owner);
  }

  /** Under a pin. */
  void request_close(int32_t slot) {
    layout::Session& session = this->session(slot);
    if (atomic(session.request).fetch_or(layout::kSessionRequestClose) != 0) return;
    push(block(session.owner).request_head, session.request_link, slot + 1);
    mark(session.owner);
  }

  /** Sends a record to whatever session a slot holds, or may ask for its end; it may be refused. */
  void send_foreign(int32_t slot, Random& random, bool may_close = true) {
    auto generation = static_cast<uint32_t>(atomic(session(slot).generation).load());
    if (generation == 0 || !pin(slot, generation)) return;
    layout::Session& session = this->session(slot);
    if (atomic(session.state).load() == static_cast<int32_t>(layout::SessionState::kOpen)) {
      if (may_close && random.one_in(2000)) {
        request_close(slot);
        shared_.totals.closes++;
      } else if (atomic(session.queued_bytes).load() < kBackpressure) {
        if (!write_foreign(slot, generation, random)) shared_.totals.refused++;
      }
    }
    unpin(slot);
  }

  shared::Memory& memory() { return memory_; }

 protected:
  Shared& shared_;

 private:
  static constexpr int32_t kOpenCharge = 1 << 24;

  bool write_foreign(int32_t slot, uint32_t generation, Random& random) {
    auto payload = static_cast<int32_t>(random.one_in(16) ? random.below(kPayloadMax) : random.below(200));
    int32_t length = static_cast<int32_t>(sizeof(Record)) + payload;
    int32_t offset = reserve(length);
    if (offset == -1) return false;
    int32_t taken = allocate(offset, length, chunk_);
    if (taken == 0) {
      unreserve();
      return false;
    }
    std::atomic<uint64_t>& pushed = shared_.pushed.of[id_][slot];
    uint64_t before = pushed.load(std::memory_order_relaxed);
    int32_t sequence = before >> 32 == generation ? static_cast<int32_t>(before & 0xffffffffu) : 0;
    auto fill = [&] {
      Record record{id_, sequence, payload};
      std::memcpy(bytes(offset), &record, sizeof record);
      uint32_t key = key_of(slot, generation, id_, sequence);
      uint8_t* to = bytes(offset) + sizeof record;
      for (int32_t i = 0; i < payload; i++) to[i] = byte_of(key, static_cast<uint32_t>(i));
    };
    atomic(session(slot).queued_bytes).fetch_add(length);
    if (options.plant != Plant::kRace) fill();
    push_foreign(slot, taken);
    if (options.plant == Plant::kRace) fill();
    pushed.store(static_cast<uint64_t>(generation) << 32 | static_cast<uint32_t>(sequence + 1), std::memory_order_relaxed);
    shared_.totals.foreign_messages++;
    return true;
  }

  int32_t acquire() {
    const layout::Control& control = memory_.control();
    for (int32_t word = 0; word < (kChunks + 31) / 32; word++) {
      int32_t& bitmap = memory_.words[control.chunk_bitmap_at + word];
      int32_t free = atomic(bitmap).load();
      while (free != 0) {
        auto bit = static_cast<int32_t>(__builtin_ctz(static_cast<uint32_t>(free)));
        auto without = static_cast<int32_t>(static_cast<uint32_t>(free) & ~(1u << bit));
        if (!atomic(bitmap).compare_exchange_strong(free, without)) continue;
        int32_t chunk = 32 * word + bit;
        ASAN_UNPOISON_MEMORY_REGION(bytes(control.chunk_byte_at + chunk * kChunkBytes), kChunkBytes);
        atomic(memory_.words[control.chunk_refs_at + chunk]).store(kOpenCharge);
        return chunk;
      }
    }
    return -1;
  }

  shared::Memory memory_;
  int32_t id_;
  std::array<bool, kThreads> marked_{};
  layout::Node* nodes_ = nullptr;
  int32_t free_ = 0;
  int32_t fresh_ = 0;
  int32_t chunk_ = -1;
  int32_t position_ = 0;
  int32_t end_ = 0;
  int32_t given_ = 0;
};

}  // namespace stress
