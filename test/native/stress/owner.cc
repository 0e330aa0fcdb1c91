// What: a worker that only receives: the send thread sends on its sockets.
// Flow: acceptor, clients -> this -> requests to the send thread; its counts -> this.
// Thread: one for each worker.
#include "owner.h"

#include <utility>

namespace stress {

using layout::CompletionKind;
using layout::IoStatus;
using layout::SessionState;
using layout::SubmissionOp;

namespace {

// After workers_stop, when the last sessions end by themselves.
constexpr int64_t kEndingMs = 1;

}  // namespace

Owner::Owner(Shared& shared, int32_t id) : DriverThread(shared, id), first_slot_((id - 1) * kSessionsPerWorker) {
  for (int32_t i = kSessionsPerWorker - 1; i >= 0; i--) free_slots_.push_back(first_slot_ + i);
}

void Owner::run() {
  open(options.workers == 1 ? random_.next() : 0);
  bool stopping = false;
  while (!shared_.workers_stop || live_ > 0 || round_.has_work()) {
    if (!stopping && shared_.workers_stop) {
      stopping = true;
      round_.stop_accepting();
      for (int32_t slot = first_slot_; slot < first_slot_ + kSessionsPerWorker; slot++) terminate(slot);
    }
    round_.hand_over(false);
    sleep_or_look(shared_.workers_stop ? kEndingMs : kNoLimit);
    round_.take_inbox();
    if (stopping) drop_requests();
    if (round_.has_work()) turn();
  }
  atomic(mine_.thread_state).store(static_cast<int32_t>(layout::ThreadState::kGone));
  round_.close();
}

void Owner::turn() {
  mine_.local_pending = 0;
  for (layout::Completion completion; next(&completion);) {
    if (static_cast<CompletionKind>(completion.kind) == CompletionKind::kAccept) {
      accepted(completion.result);
      continue;
    }
    expect(static_cast<CompletionKind>(completion.kind) == CompletionKind::kRecv && at(completion.slot).receiving &&
               generation(completion.slot) == completion.generation,
           "COMPLETION-4: a session outlives its operations");
    received(completion.slot, completion);
  }
  finish_releases();
  if (!attached_.empty()) round_.submit();
  for (int32_t slot : std::exchange(attached_, {})) {
    expect(atomic(session(slot).handle).load() > 0, "an attached socket has a handle");
    ask(slot, layout::kSessionRequestFlow);
  }
  wake_marked();
}

void Owner::accepted(int32_t token) {
  if (free_slots_.empty()) {
    put({word(SubmissionOp::kRefuse), token});
    atomic(mine_.assigned_sessions).fetch_sub(1);
    return;
  }
  // The slot that was used last: its next session comes as soon as it can.
  int32_t slot = free_slots_.back();
  free_slots_.pop_back();
  layout::Session& words = session(slot);
  atomic(words.generation).store(words.generation + 1);
  atomic(words.io_count).store(1);
  atomic(words.state).store(static_cast<int32_t>(SessionState::kOpen));
  at(slot) = {true, true, false};
  live_++;
  shared_.totals.sessions++;
  put({word(SubmissionOp::kAttach), slot, generation(slot), token});
  put({word(SubmissionOp::kRecv), slot, generation(slot)});
  attached_.push_back(slot);
}

void Owner::received(int32_t slot, const layout::Completion& completion) {
  if (completion.result > 0) {
    put({word(SubmissionOp::kBufferReturn, 0, 1), completion.buffer});
    if (!shared_.clients_quiet && random_.one_in(30)) terminate(slot);
    return;
  }
  at(slot).receiving = false;
  // A peer that has ended its stream still gets everything.
  if (static_cast<IoStatus>(completion.status) != IoStatus::kEndOfStream) ask(slot, layout::kSessionRequestTerminate);
  unpin(slot);
}

void Owner::terminate(int32_t slot) {
  Session& session = at(slot);
  if (!session.receiving || session.reset_on_close) return;
  shared_.totals.resets++;
  session.reset_on_close = true;
  put({word(SubmissionOp::kCancel), slot, generation(slot)});
}

/** While it receives it has a count; each request takes one more with it. */
void Owner::ask(int32_t slot, int32_t request) {
  layout::Session& words = session(slot);
  if (atomic(words.request).fetch_or(request) != 0) return;
  atomic(words.io_count).fetch_add(1);
  push(block(kSendThread).request_head, words.request_link, slot + 1);
  mark(kSendThread);
}

void Owner::finish_releases() {
  for (int32_t entry = take_all(mine_.release_head); entry != 0;) {
    int32_t slot = entry - 1;
    layout::Session& words = session(slot);
    entry = words.release_link;
    expect(at(slot).live && !at(slot).receiving && words.request == 0, "SESSION-3: at count 0 nothing is left");
    put({word(SubmissionOp::kClose, at(slot).reset_on_close ? layout::kCloseFlagReset : 0), slot, generation(slot)});
    atomic(words.state).store(static_cast<int32_t>(SessionState::kFree));
    at(slot).live = false;
    live_--;
    free_slots_.push_back(slot);
    atomic(mine_.assigned_sessions).fetch_sub(1);
  }
}

}  // namespace stress
