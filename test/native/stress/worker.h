// What: a worker of the stress program: the production driver and round, with a turn that is written in C++.
// Flow: round, stacks of other threads -> this -> round, as workers/assemble.ts does.
// Thread: one for each worker.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "driver_thread.h"

namespace stress {

class Worker : public DriverThread {
 public:
  Worker(Shared& shared, int32_t id);
  /** Until workers_stop is set and the last session is gone. */
  void run();

 private:
  enum class Receiving { kArmed, kPausing, kPaused, kEnded };
  /** The gather in flight is copied. */
  static constexpr int32_t kNoNumber = -1;

  /** A session, with what the sender knows of it (src/outbound/outbox.ts). */
  struct Session {
    int32_t slot = 0;
    uint32_t generation = 0;
    layout::Session* words = nullptr;
    layout::SessionState state = layout::SessionState::kOpen;
    Receiving receiving = Receiving::kArmed;
    bool resume = false;
    bool shutdown_done = false;
    bool reset_on_close = false;
    int32_t echo_sequence = 0;

    int32_t wait_first = 0, wait_last = 0, wait_count = 0;
    int32_t flight_first = 0, flight_bytes = 0;
    int32_t foreign_bytes = 0;
    /** A gather that the kernel may read where it lies: its nodes, from its result on, and what its bytes were. */
    struct Held {
      bool taken = false;
      int32_t first = 0;
      uint32_t sum = 0;
    };
    std::array<Held, layout::kNotificationsMax> numbers{};
    int32_t notifications = 0;
    int32_t held_blocks = 0;
    int32_t flight_number = kNoNumber;
    uint32_t flight_sum = 0;
    struct Block {
      int32_t at;
      int32_t start;
      int32_t end;
    };
    std::deque<Block> overflow;
    /** The owner has its one count: the base, or one that came with a flag after that. */
    bool counted = true;
    bool waiting = false;
    bool dirty = false;
    bool prompt = false;
    bool dead = false;

    bool sending() const { return waiting || flight_first != 0 || wait_first != 0; }
  };

  // --- between turns ---
  void sleep_without_inbox();
  bool has_work_without_inbox();
  void turn();

  // --- submissions (submission_ring.ts) ---
  void control(std::initializer_list<int32_t> entry);
  void prepare();

  // --- life of a session (lifecycle.ts) ---
  void drain();
  void accepted(int32_t token);
  void received(Session& session, const layout::Completion& completion);
  void receive_ended(Session& session, layout::IoStatus status);
  void to(Session& session, layout::SessionState state);
  void close(Session& session);
  void terminate(Session& session);
  void end_stream(Session& session);
  void drop_base_when_idle(Session& session);
  void resume_paused();
  void take_foreign();
  void finish_releases();
  void closed(Session& session);

  // --- sending (sender.ts) ---
  void echo(Session& session, const layout::Completion& completion);
  bool append(Session& session, int32_t from, int32_t sequence, const uint8_t* payload, int32_t length);
  void append_node(Session& session, int32_t node);
  void mark_dirty(Session& session);
  void flush();
  void take_flushes();
  void flush_one(Session& session);
  void submit_next(Session& session);
  void take_shared(Session& session);
  void completed(Session& session, layout::IoStatus status, int32_t taken, int32_t flags);
  void sent_all(Session& session);
  bool idle(const Session& session);
  void spill_flight(Session& session, int32_t taken);
  void spill(Session& session);
  void overflow(Session& session, int32_t offset, int32_t length);
  void submit_overflow(Session& session);
  void discard(Session& session);
  void settle_foreign(Session& session, int32_t taken);
  void drop_nodes(int32_t first);
  void drop_node(int32_t node);
  void drop_block(int32_t block);
  uint32_t look_at(int32_t offset, int32_t length);

  // --- gathers that are not copied (zero_copy.ts) ---
  int32_t take_number(Session& session);
  template <typename Take>
  void each_block(int32_t first, Take take);
  bool pin(Session& session, int32_t first);
  void unpin(Session& session, int32_t first);
  void zero_copy_ended(Session& session, int32_t taken, bool notifies);
  void notified(Session& session, int32_t number);

  void release_buffer(int32_t buffer);

  std::deque<std::vector<int32_t>> deferred_;
  std::vector<int32_t> returns_;
  bool prompt_sends_ = false;

  std::vector<std::unique_ptr<Session>> sessions_;
  std::deque<int32_t> free_slots_;
  int32_t live_ = 0;
  std::vector<Session*> released_;
  std::vector<Session*> dirty_;
  std::vector<Session*> paused_;
  bool behind_flight_ = false;
  std::vector<int32_t> buffer_references_;
  /** Gathers that the kernel may read, by chunk and by receive buffer; of how many there are any. */
  std::vector<int32_t> chunk_pins_;
  std::vector<int32_t> buffer_pins_;
  int32_t held_chunks_ = 0;
  int32_t held_buffers_ = 0;
  std::vector<int32_t> free_blocks_;
  uint32_t looked_at_ = 0;
  int32_t bytes_out_ = 0;
};

}  // namespace stress
