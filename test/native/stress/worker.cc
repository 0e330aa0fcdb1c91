// What: a worker of the stress program: the production driver and round, with a turn that is written in C++.
// Flow: round, stacks of other threads -> this -> round, as workers/assemble.ts does.
// Thread: one for each worker.
#include "worker.h"

#include <algorithm>
#include <climits>

namespace stress {

using layout::CompletionKind;
using layout::IoStatus;
using layout::SessionState;
using layout::SubmissionOp;

namespace {

constexpr int kRoundsPerTurn = 4;
constexpr int32_t kGather = 16;
// After workers_stop, when the last sessions end by themselves.
constexpr int64_t kEndingMs = 1;
// What the kernel may hold, in blocks, for a worker and for a session: a part of each pool, as src/outbound/zero_copy.ts
// has it. Beyond that a gather is copied: a peer may be slow to acknowledge, and the others need memory meanwhile.
constexpr int32_t kHeldChunks = kChunks / 4;
constexpr int32_t kHeldBuffers = kBuffers / 4;
constexpr int32_t kHeldBySession = 4;
// Of a node: it has no reference on a chunk (0 or more) or a receive buffer (-2 or less).
constexpr int32_t kNoBlock = -1;

}  // namespace

Worker::Worker(Shared& shared, int32_t id) : DriverThread(shared, id) {
  const layout::Control& control = memory().control();
  int32_t index = id - 1;
  sessions_.resize(kSessionsPerWorker);
  for (int32_t i = 0; i < kSessionsPerWorker; i++) free_slots_.push_back(index * kSessionsPerWorker + i);
  buffer_references_.resize(kBuffers);
  chunk_pins_.resize(kChunks);
  buffer_pins_.resize(kBuffers);
  for (int32_t i = 0; i < kBlocks; i++) free_blocks_.push_back(control.heap_byte_at + (index * kBlocks + i) * kBlockBytes);
  if (options.plant == Plant::kOverflow) bytes_out_ = INT_MAX - 1000;
}

// --- between turns -------------------------------------------------------------------------------

void Worker::run() {
  // With two, one has every feature; the other receives one by one and is without what else the seed says.
  uint32_t features_forbidden = 0;
  if (options.workers == 1) features_forbidden = random_.next();
  else if (id() == kWorkers) features_forbidden = random_.next() | driver::kFeatureMultishotRecv;
  open(features_forbidden);
  if ((options.features & ~features_forbidden & driver::kFeatureZeroCopy) != 0) shared_.sends_without_copies = true;
  bool accepting = true;
  while (!shared_.workers_stop || live_ > 0 || round_.has_work()) {
    if (accepting && shared_.workers_stop) {
      accepting = false;
      round_.stop_accepting();
    }
    round_.hand_over(false);
    if (options.plant == Plant::kUnseenInbox) sleep_without_inbox();
    else sleep_or_look(shared_.workers_stop ? kEndingMs : kNoLimit);
    round_.take_inbox();
    if (round_.has_work()) turn();
  }
  atomic(mine_.thread_state).store(static_cast<int32_t>(layout::ThreadState::kGone));
  round_.close();
  retire();
  for (int32_t references : buffer_references_) expect(references == 0, "a receive buffer is still in use");
  expect(held_chunks_ == 0 && held_buffers_ == 0, "ZEROCOPY-2: what the kernel held is let go of");
  expect(free_blocks_.size() == kBlocks, "a block of the heap is still in use");
}

void Worker::sleep_without_inbox() {
  int64_t limit_ms = round_.park(round_.look(shared_.workers_stop ? kEndingMs : kNoLimit));
  if (limit_ms == 0 && !has_work_without_inbox()) {
    atomic(mine_.parked).store(1);
    limit_ms = kNoLimit;
  }
  sleep(limit_ms);
}

/** The list before a sleep, as it must not be. */
bool Worker::has_work_without_inbox() {
  return mine_.submission_used != 0 || mine_.local_pending != 0 || atomic(mine_.completion_tail).load() != head_ ||
         atomic(mine_.flush_head).load() != 0 || atomic(mine_.release_head).load() != 0 ||
         atomic(mine_.request_head).load() != 0;
}

void Worker::turn() {
  for (int round = 1;; round++) {
    drain();
    take_foreign();
    if (round == 1) resume_paused();
    if (round > kRoundsPerTurn) break;
    flush();
    finish_releases();
    bool prompt = prompt_sends_;
    prepare();
    if (!prompt) break;
    if (round_.submit() == 0) break;
  }
  wake_marked();
}

// --- submissions ---------------------------------------------------------------------------------

void Worker::control(std::initializer_list<int32_t> entry) {
  if (!deferred_.empty() || !has_room(entry.size())) {
    deferred_.emplace_back(entry);
    mine_.local_pending = 1;
    return;
  }
  put(entry);
}

void Worker::prepare() {
  while (!deferred_.empty() && has_room(deferred_.front().size())) {
    put(deferred_.front().data(), deferred_.front().size());
    deferred_.pop_front();
  }
  auto count = static_cast<int32_t>(returns_.size());
  if (count > 0 && mine_.submission_used + 1 + count <= kSubmissionWords) {
    area_[mine_.submission_used] = word(SubmissionOp::kBufferReturn, 0, count);
    std::copy(returns_.begin(), returns_.end(), area_ + mine_.submission_used + 1);
    mine_.submission_used += 1 + count;
    returns_.clear();
  }
  prompt_sends_ = false;
  if (!deferred_.empty() || !returns_.empty()) mine_.local_pending = 1;
}

// --- life of a session ---------------------------------------------------------------------------

void Worker::drain() {
  for (layout::Completion completion; next(&completion);) {
    auto kind = static_cast<CompletionKind>(completion.kind);
    if (kind == CompletionKind::kAccept) {
      accepted(completion.result);
      continue;
    }
    Session* session = sessions_[static_cast<size_t>(completion.slot - (id() - 1) * kSessionsPerWorker)].get();
    expect(session != nullptr && session->generation == static_cast<uint32_t>(completion.generation),
           "COMPLETION-4: a session outlives its operations");
    switch (kind) {
      case CompletionKind::kRecv:
        received(*session, completion);
        break;
      case CompletionKind::kSend:
        completed(*session, static_cast<IoStatus>(completion.status), completion.result, completion.flags);
        break;
      case CompletionKind::kNotified:
        notified(*session, completion.result);
        break;
      case CompletionKind::kPaused:
        if (session->receiving == Receiving::kPausing) session->receiving = Receiving::kPaused;
        if (session->state == SessionState::kClosing) session->resume = true;
        paused_.push_back(session);
        mine_.local_pending = 1;
        break;
      case CompletionKind::kPeerGone:
        break;
      default:
        fail("a completion of an unknown kind");
    }
  }
}

void Worker::accepted(int32_t token) {
  if (free_slots_.empty()) {
    control({word(SubmissionOp::kRefuse), token});
    atomic(mine_.assigned_sessions).fetch_sub(1);
    return;
  }
  auto made = std::make_unique<Session>();
  Session& session = *made;
  session.slot = free_slots_.front();
  free_slots_.pop_front();
  session.words = &this->session(session.slot);
  if (session.words->generation == 0) atomic(session.words->generation).store(1);
  session.generation = static_cast<uint32_t>(session.words->generation);
  atomic(session.words->queued_bytes).store(0);
  atomic(session.words->request).store(0);
  atomic(session.words->io_count).store(1);
  atomic(session.words->state).store(static_cast<int32_t>(SessionState::kOpen));
  sessions_[static_cast<size_t>(session.slot - (id() - 1) * kSessionsPerWorker)] = std::move(made);
  live_++;
  shared_.totals.sessions++;
  auto generation = static_cast<int32_t>(session.generation);
  control({word(SubmissionOp::kAttach), session.slot, generation, token});
  control({word(SubmissionOp::kRecv), session.slot, generation});
  int32_t hello[2] = {session.slot, generation};
  if (!append(session, kFromHello, 0, reinterpret_cast<uint8_t*>(hello), sizeof hello)) terminate(session);
}

void Worker::received(Session& session, const layout::Completion& completion) {
  if (completion.result == 0) {
    receive_ended(session, static_cast<IoStatus>(completion.status));
    return;
  }
  size_t buffer = static_cast<size_t>(completion.buffer - (id() - 1) * kBuffers);
  buffer_references_[buffer]++;
  if (session.state == SessionState::kOpen) {
    echo(session, completion);
    if (!shared_.senders_stop && random_.one_in(2)) {
      // A single worker, too, sends as another thread would: to itself.
      int32_t first = id() < options.workers ? kSessionsPerWorker : 0;
      send_foreign(first + static_cast<int32_t>(random_.below(kSessionsPerWorker)), random_);
      mine_.local_pending = 1;
    }
    if (random_.one_in(400)) {
      shared_.totals.resets++;
      terminate(session);
    } else if (random_.one_in(400)) {
      close(session);
    } else if (session.receiving == Receiving::kArmed && random_.one_in(100)) {
      shared_.totals.pauses++;
      session.receiving = Receiving::kPausing;
      control({word(SubmissionOp::kPause), session.slot, static_cast<int32_t>(session.generation)});
    }
  }
  release_buffer(completion.buffer);
}

void Worker::receive_ended(Session& session, IoStatus status) {
  session.receiving = Receiving::kEnded;
  if (status == IoStatus::kEndOfStream) {
    if (session.state == SessionState::kOpen) to(session, SessionState::kClosing);
  } else if (status != IoStatus::kCancelled) {
    to(session, SessionState::kTerminating);
    session.dead = true;
    if (session.wait_first != 0) mark_dirty(session);
    control({word(SubmissionOp::kCancel), session.slot, static_cast<int32_t>(session.generation)});
  }
  drop_base_when_idle(session);
}

void Worker::to(Session& session, SessionState state) {
  session.state = state;
  atomic(session.words->state).store(static_cast<int32_t>(state));
  session.prompt = true;
  if (session.sending()) mine_.local_pending = 1;
}

void Worker::close(Session& session) {
  if (session.state != SessionState::kOpen) return;
  // Without memory for the last record the client could not tell this end from a loss.
  if (!append(session, kFromBye, 0, nullptr, 0)) {
    terminate(session);
    return;
  }
  to(session, SessionState::kClosing);
  if (session.receiving == Receiving::kPaused) session.resume = true;
  mine_.local_pending = 1;
}

void Worker::terminate(Session& session) {
  if (session.state != SessionState::kOpen && session.state != SessionState::kClosing) return;
  to(session, SessionState::kTerminating);
  session.reset_on_close = true;
  session.dead = true;
  if (session.wait_first != 0) mark_dirty(session);
  control({word(SubmissionOp::kCancel), session.slot, static_cast<int32_t>(session.generation)});
  if (session.receiving == Receiving::kEnded) drop_base_when_idle(session);
}

void Worker::end_stream(Session& session) {
  if (session.receiving == Receiving::kEnded || session.shutdown_done) return;
  session.shutdown_done = true;
  session.dead = true;
  control({word(SubmissionOp::kShutdown), session.slot, static_cast<int32_t>(session.generation)});
}

void Worker::drop_base_when_idle(Session& session) {
  if (!session.counted || session.receiving != Receiving::kEnded || session.sending()) return;
  if (session.notifications > 0) return;
  session.counted = false;
  if (release(session.words->io_count)) {
    released_.push_back(&session);
    mine_.local_pending = 1;
  }
}

/** Goes on receiving, sometimes only after a few turns. */
void Worker::resume_paused() {
  std::vector<Session*> waiting = std::exchange(paused_, {});
  for (Session* session : waiting) {
    if (session->receiving != Receiving::kPaused) continue;
    bool open = session->state == SessionState::kOpen || session->state == SessionState::kClosing;
    if (!open) continue;
    if (!session->resume && random_.one_in(2)) {
      paused_.push_back(session);
      mine_.local_pending = 1;
      continue;
    }
    session->resume = false;
    session->receiving = Receiving::kArmed;
    control({word(SubmissionOp::kRecv), session->slot, static_cast<int32_t>(session->generation)});
  }
}

void Worker::take_foreign() {
  auto at = [this](int32_t entry) {
    return sessions_[static_cast<size_t>(entry - 1 - (id() - 1) * kSessionsPerWorker)].get();
  };
  for (int32_t entry = take_all(mine_.release_head); entry != 0;) {
    Session* session = at(entry);
    expect(session != nullptr, "SESSION-3: a slot on a release stack has a session");
    entry = session->words->release_link;
    released_.push_back(session);
  }
  for (int32_t entry = take_all(mine_.request_head); entry != 0;) {
    layout::Session& words = this->session(entry - 1);
    Session* session = at(entry);
    entry = words.request_link;
    atomic(words.request).exchange(0);
    if (session != nullptr) close(*session);
  }
}

void Worker::finish_releases() {
  while (!released_.empty()) {
    Session& session = *released_.back();
    released_.pop_back();
    expect(!session.sending() && session.overflow.empty(), "IOCOUNT-4: at count 0 nothing is queued");
    expect(session.notifications == 0, "ZEROCOPY-3: who is released has no notification outstanding");
    expect(atomic(session.words->send_head).load() == 0 && atomic(session.words->send_flag).load() == 0,
           "IOCOUNT-4: at count 0 the list is empty and the flag free");
    to(session, SessionState::kReleased);
    control({word(SubmissionOp::kClose, session.reset_on_close ? layout::kCloseFlagReset : 0), session.slot,
             static_cast<int32_t>(session.generation)});
    closed(session);
  }
}

/** The driver closes the handle before it reads what is submitted later, so the slot can be used again. */
void Worker::closed(Session& session) {
  int32_t slot = session.slot;
  expect(atomic(session.words->queued_bytes).load() == 0, "bytes of other threads are still counted as queued");
  std::erase(paused_, &session);
  std::erase(dirty_, &session);
  atomic(session.words->state).store(static_cast<int32_t>(SessionState::kFree));
  atomic(session.words->generation).store(static_cast<int32_t>(session.generation + 1));
  live_--;
  sessions_[static_cast<size_t>(slot - (id() - 1) * kSessionsPerWorker)].reset();
  free_slots_.push_back(options.plant == Plant::kUseAfterFree ? session.slot : slot);
  atomic(mine_.assigned_sessions).fetch_sub(1);
}

// --- sending -------------------------------------------------------------------------------------

/** Half of it by reference on the receive buffer, half of it copied. */
void Worker::echo(Session& session, const layout::Completion& completion) {
  int32_t sequence = session.echo_sequence++;
  if (random_.one_in(2)) {
    if (!append(session, kFromEcho, sequence, bytes(completion.offset), completion.result)) terminate(session);
    return;
  }
  int32_t offset = reserve(sizeof(Record));
  int32_t header = offset == -1 ? 0 : allocate(offset, sizeof(Record), chunk());
  int32_t payload = header == 0 ? 0 : allocate(completion.offset, completion.result, -2 - completion.buffer);
  if (payload == 0) {
    if (header != 0) free_node(header);
    if (offset != -1) unreserve();
    terminate(session);
    return;
  }
  Record record{kFromEcho, sequence, completion.result};
  std::memcpy(bytes(offset), &record, sizeof record);
  buffer_references_[static_cast<size_t>(completion.buffer - (id() - 1) * kBuffers)]++;
  append_node(session, header);
  append_node(session, payload);
}

bool Worker::append(Session& session, int32_t from, int32_t sequence, const uint8_t* payload, int32_t length) {
  int32_t total = static_cast<int32_t>(sizeof(Record)) + length;
  int32_t offset = reserve(total);
  if (offset == -1) return false;
  int32_t taken = allocate(offset, total, chunk());
  if (taken == 0) {
    unreserve();
    return false;
  }
  Record record{from, sequence, length};
  std::memcpy(bytes(offset), &record, sizeof record);
  if (length > 0) std::memcpy(bytes(offset) + sizeof record, payload, static_cast<size_t>(length));
  append_node(session, taken);
  return true;
}

void Worker::append_node(Session& session, int32_t taken) {
  node(taken).next = 0;
  if (session.wait_last == 0) session.wait_first = taken;
  else node(session.wait_last).next = taken;
  session.wait_last = taken;
  session.wait_count++;
  mark_dirty(session);
}

void Worker::mark_dirty(Session& session) {
  if (session.dirty) return;
  session.dirty = true;
  dirty_.push_back(&session);
  mine_.local_pending = 1;
}

void Worker::take_flushes() {
  for (int32_t entry = take_all(mine_.flush_head); entry != 0;) {
    Session* session = sessions_[static_cast<size_t>(entry - 1 - (id() - 1) * kSessionsPerWorker)].get();
    expect(session != nullptr, "SESSION-3: a slot with a held flag has a session");
    entry = session->words->flush_link;
    expect(atomic(session->words->send_flag).exchange(0) != 0, "FLUSH-2: a slot on the flush stack is held");
    take_shared(*session);
    if (!session->counted) session->counted = true;
    else expect(!release(session->words->io_count), "IOCOUNT-5: our own count is still there");
    mark_dirty(*session);
  }
}

void Worker::flush() {
  take_flushes();
  std::vector<Session*> list = std::exchange(dirty_, {});
  for (Session* session : list) {
    session->dirty = false;
    flush_one(*session);
  }
  mine_.local_pending = !dirty_.empty() || behind_flight_ || !paused_.empty() || !released_.empty() ? 1 : 0;
  behind_flight_ = false;
}

void Worker::flush_one(Session& session) {
  if (session.flight_first != 0) behind_flight_ = true;
  else if (session.waiting) spill(session);
  else submit_next(session);
}

void Worker::submit_next(Session& session) {
  if (!session.overflow.empty()) spill(session);
  if (session.dead) discard(session);
  if (!session.overflow.empty()) return submit_overflow(session);
  if (session.wait_first == 0) return sent_all(session);
  int32_t slices = std::min(session.wait_count, kGather);
  bool lazy = slices == session.wait_count && session.foreign_bytes == 0 && !session.prompt;
  int32_t length = layout::kSendHeaderWords + 2 * slices;
  if (!deferred_.empty() || mine_.submission_used + length > kSubmissionWords) return mark_dirty(session);
  int32_t* entry = area_ + mine_.submission_used;
  mine_.submission_used += length;
  if (!lazy) prompt_sends_ = true;
  entry[1] = session.slot;
  entry[2] = static_cast<int32_t>(session.generation);
  int32_t at = session.wait_first;
  int32_t last = 0;
  int32_t sum = 0;
  session.flight_sum = 0;
  for (int32_t i = 0; i < slices; i++) {
    const layout::Node& slice = node(at);
    entry[layout::kSendHeaderWords + 2 * i] = slice.offset;
    entry[layout::kSendHeaderWords + 2 * i + 1] = slice.length;
    session.flight_sum += look_at(slice.offset, slice.length);
    sum += slice.length;
    last = at;
    at = slice.next;
  }
  entry[3] = sum;
  node(last).next = 0;
  session.flight_first = session.wait_first;
  session.flight_bytes = sum;
  session.wait_first = at;
  session.wait_count -= slices;
  if (at == 0) session.wait_last = 0;
  int32_t flags = layout::kSendFlagNow | (lazy ? layout::kSendFlagLazy : 0);
  session.flight_number = take_number(session);
  if (session.flight_number != kNoNumber) {
    flags |= layout::kSendFlagZeroCopy | session.flight_number << layout::kSendNumberShift;
  }
  entry[0] = word(SubmissionOp::kSend, flags, slices);
}

void Worker::take_shared(Session& session) {
  int32_t at = take_all(session.words->send_head);
  if (at == 0) return;
  int32_t newest = at;
  int32_t oldest = 0;
  while (at != 0) {
    int32_t older = node(at).next;
    session.foreign_bytes += node(at).length;
    session.wait_count++;
    node(at).next = oldest;
    oldest = at;
    at = older;
  }
  if (session.wait_last == 0) session.wait_first = oldest;
  else node(session.wait_last).next = oldest;
  session.wait_last = newest;
}

void Worker::completed(Session& session, IoStatus status, int32_t taken, int32_t flags) {
  expect(session.waiting || session.flight_first != 0, "SENDFLAG-3: a session has one send in flight");
  bool notifies = (flags & layout::kCompletionFlagNotifies) != 0;
  expect(!notifies || session.flight_number != kNoNumber, "ZEROCOPY-1: what is copied has no notification");
  if (session.flight_number != kNoNumber) zero_copy_ended(session, taken, notifies);
  // Refused: it is copied, like what a socket does not take.
  if (status == IoStatus::kNoResources || status == IoStatus::kNotSupported) status = IoStatus::kOk;
  bytes_out_ = options.plant == Plant::kOverflow ? bytes_out_ + taken : taken;
  if (session.waiting) {
    session.waiting = false;
    int32_t left = taken;
    while (left > 0) {
      Session::Block& block = session.overflow.front();
      int32_t part = std::min(left, block.end - block.start);
      block.start += part;
      left -= part;
      if (block.start < block.end) break;
      free_blocks_.push_back(block.at);
      session.overflow.pop_front();
    }
  } else if (status == IoStatus::kOk && taken == session.flight_bytes) {
    spill_flight(session, taken);
  } else {
    shared_.totals.short_sends++;
    if (status == IoStatus::kOk) spill_flight(session, taken);
  }
  settle_foreign(session, taken);
  if (status != IoStatus::kOk && !session.dead) {
    session.dead = true;
    if (session.state == SessionState::kOpen || session.state == SessionState::kClosing) {
      to(session, SessionState::kTerminating);
    }
    control({word(SubmissionOp::kCancel), session.slot, static_cast<int32_t>(session.generation)});
  }
  submit_next(session);
}

void Worker::settle_foreign(Session& session, int32_t taken) {
  int32_t settled = std::min(session.foreign_bytes, taken);
  if (settled == 0) return;
  session.foreign_bytes -= settled;
  atomic(session.words->queued_bytes).fetch_sub(settled);
}

void Worker::sent_all(Session& session) {
  if (session.state == SessionState::kOpen || !idle(session)) return;
  if (session.state == SessionState::kClosing) end_stream(session);
  drop_base_when_idle(session);
}

bool Worker::idle(const Session& session) {
  return !session.sending() && atomic(session.words->send_flag).load() == 0 &&
         atomic(session.words->send_head).load() == 0;
}

/** Copies what was not taken; drops every node of the gather, or holds them for its notification. */
void Worker::spill_flight(Session& session, int32_t taken) {
  int32_t skip = taken;
  for (int32_t at = session.flight_first; at != 0;) {
    layout::Node slice = node(at);
    if (skip < slice.length) overflow(session, slice.offset + skip, slice.length - skip);
    skip = std::max(0, skip - slice.length);
    at = slice.next;
  }
  if (session.flight_number == kNoNumber) {
    drop_nodes(session.flight_first);
  } else {
    Session::Held& held = session.numbers[static_cast<size_t>(session.flight_number)];
    held.first = session.flight_first;
    held.sum = session.flight_sum;
    session.flight_number = kNoNumber;
    if (options.plant == Plant::kUnheld) {
      unpin(session, held.first);
      for (int32_t at = held.first; at != 0; at = node(at).next) drop_block(std::exchange(node(at).block, kNoBlock));
    }
  }
  session.flight_first = session.flight_bytes = 0;
}

void Worker::spill(Session& session) {
  int32_t at = std::exchange(session.wait_first, 0);
  session.wait_last = session.wait_count = 0;
  while (at != 0) {
    layout::Node slice = node(at);
    overflow(session, slice.offset, slice.length);
    drop_node(at);
    at = slice.next;
  }
}

void Worker::overflow(Session& session, int32_t offset, int32_t length) {
  while (length > 0 && !session.dead) {
    if (session.overflow.empty() || session.overflow.back().end == session.overflow.back().at + kBlockBytes) {
      if (free_blocks_.empty()) return terminate(session);
      int32_t block = free_blocks_.back();
      free_blocks_.pop_back();
      session.overflow.push_back({block, block, block});
    }
    Session::Block& block = session.overflow.back();
    int32_t part = std::min(length, block.at + kBlockBytes - block.end);
    std::memcpy(bytes(block.end), bytes(offset), static_cast<size_t>(part));
    block.end += part;
    offset += part;
    length -= part;
  }
}

void Worker::submit_overflow(Session& session) {
  int32_t slices = std::min(static_cast<int32_t>(session.overflow.size()), kGather);
  int32_t length = layout::kSendHeaderWords + 2 * slices;
  if (!deferred_.empty() || mine_.submission_used + length > kSubmissionWords) return mark_dirty(session);
  int32_t* entry = area_ + mine_.submission_used;
  mine_.submission_used += length;
  prompt_sends_ = true;
  entry[0] = word(SubmissionOp::kSend, 0, slices);
  entry[1] = session.slot;
  entry[2] = static_cast<int32_t>(session.generation);
  entry[3] = 0;
  for (int32_t i = 0; i < slices; i++) {
    const Session::Block& block = session.overflow[static_cast<size_t>(i)];
    entry[layout::kSendHeaderWords + 2 * i] = block.start;
    entry[layout::kSendHeaderWords + 2 * i + 1] = block.end - block.start;
    entry[3] += block.end - block.start;
  }
  session.waiting = true;
}

void Worker::discard(Session& session) {
  drop_nodes(session.flight_first);
  drop_nodes(session.wait_first);
  session.flight_first = session.flight_bytes = 0;
  session.wait_first = session.wait_last = session.wait_count = 0;
  for (const Session::Block& block : session.overflow) free_blocks_.push_back(block.at);
  session.overflow.clear();
  settle_foreign(session, session.foreign_bytes);
}

void Worker::drop_nodes(int32_t first) {
  for (int32_t at = first; at != 0;) {
    int32_t next = node(at).next;
    drop_node(at);
    at = next;
  }
}

void Worker::drop_node(int32_t dropped) {
  drop_block(node(dropped).block);
  free_node(dropped);
}

void Worker::drop_block(int32_t block) {
  if (block == kNoBlock) return;
  if (block >= 0) drop_chunk(block, 1);
  else release_buffer(-2 - block);
}

void Worker::release_buffer(int32_t buffer) {
  int32_t left = --buffer_references_[static_cast<size_t>(buffer - (id() - 1) * kBuffers)];
  expect(left >= 0, "BUFFER-2: a receive buffer has no more releases than retains");
  if (left > 0) return;
  returns_.push_back(buffer);
  mine_.local_pending = 1;
}

/** Reads what is given to the driver: the kernel's own reads are not seen by a sanitizer. The sum of the bytes. */
uint32_t Worker::look_at(int32_t offset, int32_t length) {
  const uint8_t* from = bytes(offset);
  uint32_t sum = 0;
  for (int32_t i = 0; i < length; i++) sum += from[i] * static_cast<uint32_t>(i + 1);
  looked_at_ += sum;
  if (options.plant == Plant::kOutOfBounds) {
    looked_at_ += static_cast<uint32_t>(memory().words[memory().control().control_words]);
  }
  return sum;
}

// --- gathers that are not copied -----------------------------------------------------------------

/** Every second gather goes without a copy, where the kernel may hold what it refers to. */
int32_t Worker::take_number(Session& session) {
  if (random_.one_in(2)) return kNoNumber;
  auto free = std::find_if(session.numbers.begin(), session.numbers.end(), [](const auto& held) { return !held.taken; });
  if (free == session.numbers.end() || !pin(session, session.flight_first)) {
    shared_.totals.copies_by_limit++;
    return kNoNumber;
  }
  *free = {true, 0, 0};
  session.notifications++;
  return static_cast<int32_t>(free - session.numbers.begin());
}

/** What the nodes of a list refer to: the same block in several nodes that follow one another once. */
template <typename Take>
void Worker::each_block(int32_t first, Take take) {
  for (int32_t at = first, before = kNoBlock; at != 0; at = node(at).next) {
    if (node(at).block != before) take(before = node(at).block);
  }
}

bool Worker::pin(Session& session, int32_t first) {
  int32_t chunks = 0;
  int32_t buffers = 0;
  each_block(first, [&](int32_t block) { (block < 0 ? buffers : chunks)++; });
  if (session.held_blocks + chunks + buffers > kHeldBySession || held_chunks_ + chunks > kHeldChunks ||
      held_buffers_ + buffers > kHeldBuffers) {
    return false;
  }
  session.held_blocks += chunks + buffers;
  each_block(first, [&](int32_t block) {
    if (block >= 0) held_chunks_ += chunk_pins_[static_cast<size_t>(block)]++ == 0 ? 1 : 0;
    else held_buffers_ += buffer_pins_[static_cast<size_t>(-2 - block - (id() - 1) * kBuffers)]++ == 0 ? 1 : 0;
  });
  return true;
}

void Worker::unpin(Session& session, int32_t first) {
  each_block(first, [&](int32_t block) {
    session.held_blocks--;
    if (block >= 0) held_chunks_ -= --chunk_pins_[static_cast<size_t>(block)] == 0 ? 1 : 0;
    else held_buffers_ -= --buffer_pins_[static_cast<size_t>(-2 - block - (id() - 1) * kBuffers)] == 0 ? 1 : 0;
  });
}

/** The result of the gather in flight, which keeps its number where the kernel holds memory of it. */
void Worker::zero_copy_ended(Session& session, int32_t taken, bool notifies) {
  if (!notifies) {
    session.numbers[static_cast<size_t>(session.flight_number)].taken = false;
    session.notifications--;
  }
  if (notifies && taken > 0) return;
  unpin(session, session.flight_first);
  session.flight_number = kNoNumber;
}

/**
 * The kernel has let go of a gather. Production keeps one node for each block; here all of them stay, so that every byte
 * is compared with what it was: who used its memory too early is found whether the kernel had copied it or not.
 */
void Worker::notified(Session& session, int32_t number) {
  Session::Held held = std::exchange(session.numbers[static_cast<size_t>(number)], {});
  expect(held.taken && number != session.flight_number, "ZEROCOPY-1: a notification comes once, after the result of its send");
  session.notifications--;
  if (held.first != 0) {
    shared_.totals.notifications++;
    uint32_t sum = 0;
    for (int32_t at = held.first; at != 0; at = node(at).next) sum += look_at(node(at).offset, node(at).length);
    expect(sum == held.sum, "ZEROCOPY-1: bytes have changed that the kernel might still read");
    unpin(session, held.first);
    drop_nodes(held.first);
  }
  if (session.notifications == 0 && !session.sending()) submit_next(session);
}

}  // namespace stress
