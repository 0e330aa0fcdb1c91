// What: the send thread: sends a stream of bytes on each socket that it borrows, and gives it back.
// Flow: requests of owners -> this -> sockets; counts -> owners.
// Thread: its own.
#include "borrower.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

namespace stress {

using layout::CompletionKind;
using layout::IoStatus;
using layout::SubmissionOp;

namespace {

constexpr int kRoundsPerTurn = 4;
constexpr int32_t kSlicesMax = 4;

}  // namespace

void Borrower::run() {
  ASAN_UNPOISON_MEMORY_REGION(window(0), kSessions * kWindowBytes);
  open(options.workers == 1 ? random_.next() : 0);
  while (!shared_.senders_stop) {
    round_.hand_over(false);
    sleep_or_look(kNoLimit);
    if (round_.has_work()) turn();
  }
  round_.close();
  atomic(mine_.thread_state).store(static_cast<int32_t>(layout::ThreadState::kGone));
  drop_requests();
  for (int32_t slot = 0; slot < session_count(); slot++) {
    if (!loans_[static_cast<size_t>(slot)].borrowed) continue;
    expect(fcntl(atomic(session(slot).handle).load() - 1, F_GETFD) >= 0, "a borrowed socket was closed");
    unpin(slot);
  }
  // Stacks and counters of a thread that has ended are looked at by main.
  mine_.local_pending = 0;
  mine_.submission_used = 0;
  atomic(mine_.completion_head).store(mine_.completion_tail);
  wake_marked();
}

void Borrower::turn() {
  mine_.local_pending = 0;
  for (int round = 1;; round++) {
    for (layout::Completion completion; next(&completion);) completed(completion);
    for (int32_t entry = take_all(mine_.request_head); entry != 0;) {
      int32_t slot = entry - 1;
      layout::Session& words = session(slot);
      entry = words.request_link;
      requested(slot, atomic(words.request).exchange(0));
      unpin(slot);
    }
    if (round == kRoundsPerTurn || round_.submit() == 0) break;
  }
  if (!given_back_.empty()) round_.submit();
  for (int32_t slot : std::exchange(given_back_, {})) unpin(slot);
  // A lazy send is reported when a wait ends: there must be one.
  for (const Loan& loan : loans_) {
    if (loan.borrowed && loan.in_flight > 0 && !loan.waiting) mine_.local_pending = 1;
  }
  wake_marked();
}

void Borrower::requested(int32_t slot, int32_t requests) {
  Loan& loan = loans_[static_cast<size_t>(slot)];
  if ((requests & layout::kSessionRequestFlow) != 0) {
    expect(!loan.borrowed, "a slot that is used again was given back");
    atomic(session(slot).io_count).fetch_add(1);
    loan = Loan{};
    loan.borrowed = true;
    loan.total = static_cast<int32_t>(sizeof(Hello) + (random_.one_in(4) ? random_.below(300'000) : random_.below(5000)));
    put({word(SubmissionOp::kBorrow), slot, session(slot).generation});
    if ((requests & layout::kSessionRequestTerminate) != 0) loan.ending = true;
    return go_on(slot);
  }
  // It may have found the end itself.
  if (!loan.borrowed || loan.ending) return;
  loan.ending = true;
  if (loan.in_flight == 0) return give_back(slot);
  put({word(SubmissionOp::kCancel), slot, session(slot).generation});
}

void Borrower::completed(const layout::Completion& completion) {
  int32_t slot = completion.slot;
  Loan& loan = loans_[static_cast<size_t>(slot)];
  expect(static_cast<CompletionKind>(completion.kind) == CompletionKind::kSend && loan.borrowed && loan.in_flight > 0 &&
             session(slot).generation == completion.generation,
         "COMPLETION-4: a session outlives its operations");
  auto status = static_cast<IoStatus>(completion.status);
  bool is_whole = completion.result == loan.in_flight;
  expect(completion.result >= 0 && completion.result <= loan.in_flight, "a send took more than there was");
  expect(is_whole || !loan.waiting || completion.result > 0 || status != IoStatus::kOk, "a send that waits takes something");
  if (status == IoStatus::kOk && loan.waiting) shared_.totals.waits++;
  if (status == IoStatus::kCancelled) shared_.totals.cancels++;
  loan.sent += completion.result;
  loan.in_flight = 0;
  if (std::exchange(loan.waiting, false)) waiting_--;
  // Whoever still reads it sends something else.
  std::memset(window(slot), 0xee, kWindowBytes);
  if (status != IoStatus::kOk) loan.ending = true;
  if (!is_whole && !loan.ending) {
    shared_.totals.short_sends++;
    return send(slot, false);
  }
  go_on(slot);
}

void Borrower::go_on(int32_t slot) {
  Loan& loan = loans_[static_cast<size_t>(slot)];
  if (!loan.ending && loan.sent < loan.total) return send(slot, true);
  if (!loan.ending) put({word(SubmissionOp::kShutdown), slot, session(slot).generation});
  give_back(slot);
}

void Borrower::send(int32_t slot, bool has_room) {
  Loan& loan = loans_[static_cast<size_t>(slot)];
  layout::Session& words = session(slot);
  int32_t length = std::min(1 + static_cast<int32_t>(random_.below(kWindowBytes)), loan.total - loan.sent);
  uint32_t key = key_of(slot, static_cast<uint32_t>(words.generation), kSendThread, 0);
  Hello hello{slot, words.generation, loan.total};
  for (int32_t i = 0; i < length; i++) {
    auto at = static_cast<size_t>(loan.sent + i);
    window(slot)[i] = at < sizeof hello ? reinterpret_cast<uint8_t*>(&hello)[at] : byte_of(key, static_cast<uint32_t>(at));
  }
  int32_t flags = !has_room || random_.one_in(8) ? 0 : layout::kSendFlagNow;
  if (flags != 0 && !random_.one_in(4)) flags |= layout::kSendFlagLazy;
  int32_t slices = std::min(1 + static_cast<int32_t>(random_.below(kSlicesMax)), length);
  put({word(SubmissionOp::kSend, flags, slices), slot, words.generation, length});
  for (int32_t i = 0, start = 0; i < slices; i++) {
    int32_t part = i + 1 == slices ? length - start : length / slices;
    put({window_at(slot) + start, part});
    start += part;
  }
  loan.in_flight = length;
  loan.waiting = flags == 0;
  if (loan.waiting) waiting_++;
}

void Borrower::give_back(int32_t slot) {
  put({word(SubmissionOp::kGiveBack), slot, session(slot).generation});
  loans_[static_cast<size_t>(slot)].borrowed = false;
  given_back_.push_back(slot);
}

}  // namespace stress
