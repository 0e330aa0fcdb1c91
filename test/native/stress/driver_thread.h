// What: a thread of the stress program with a production driver and round: its area, its ring, its way to sleep.
// Flow: worker, owner, borrower -> this -> round.
// Thread: one for each thread with a driver.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "loop/round.h"
#include "stand_in.h"

namespace stress {

class DriverThread : public Thread {
 protected:
  DriverThread(Shared& shared, int32_t id)
      : Thread(shared, id), random_(options.seed * 977u + static_cast<uint32_t>(id)), mine_(block(id)) {
    const layout::Control& control = memory().control();
    int32_t index = id - 1;
    area_ = memory().words + control.submissions_at + index * kSubmissionWords;
    entries_ = reinterpret_cast<layout::Completion*>(memory().words + control.completions_at) + index * kCompletionCapacity;
  }

  /** On the thread itself, which says that it runs. */
  void open(uint32_t features_forbidden) {
    constexpr int kNoBackend = -1;
    std::string why =
        round_.open(shared_.runtime, id(), driver::create(options.driver), kBatch, kNoBackend, features_forbidden);
    if (!why.empty()) fail("the driver did not open: " + why);
    atomic(mine_.thread_state).store(static_cast<int32_t>(layout::ThreadState::kRunning));
  }

  /** First word of a submission. */
  static int32_t word(layout::SubmissionOp op, int32_t flags = 0, int32_t count = 0) {
    return static_cast<int32_t>(op) | flags << 8 | count << 16;
  }
  bool has_room(size_t words) const { return mine_.submission_used + static_cast<int32_t>(words) <= kSubmissionWords; }
  void put(std::initializer_list<int32_t> entry) { put(entry.begin(), entry.size()); }
  void put(const int32_t* entry, size_t words) {
    std::copy(entry, entry + words, area_ + mine_.submission_used);
    mine_.submission_used += static_cast<int32_t>(words);
  }

  /** The oldest completion (completion_ring.ts). False: there is none. */
  bool next(layout::Completion* completion) {
    if (head_ == tail_) {
      atomic(mine_.completion_head).store(head_);
      tail_ = atomic(mine_.completion_tail).load();
      if (head_ == tail_) return false;
    }
    *completion = entries_[head_ & (kCompletionCapacity - 1)];
    head_++;
    return true;
  }

  /**
   * As loop.cc does between turns, without libuv. A round's sleep has a limit, `limit_ms` of -1 has none: a wake-up that
   * is lost must not be made good by time.
   */
  void sleep_or_look(int64_t limit_ms) { sleep(round_.park(round_.look(limit_ms))); }
  void sleep(int64_t limit_ms) {
    if (limit_ms > 0) shared_.totals.sleeps++;
    round_.wait(limit_ms > driver::kAcceptRetryMs ? kNoLimit : limit_ms);
  }

  /** Requests to a send thread that has ended: it was asked in vain. */
  void drop_requests() {
    for (int32_t entry = take_all(block(kSendThread).request_head); entry != 0;) {
      int32_t slot = entry - 1;
      layout::Session& words = session(slot);
      entry = words.request_link;
      atomic(words.request).exchange(0);
      unpin(slot);
    }
  }

  static constexpr int64_t kNoLimit = -1;

  Random random_;
  layout::Thread& mine_;
  loop::Round round_;
  int32_t* area_ = nullptr;
  int32_t head_ = 0;

 private:
  layout::Completion* entries_ = nullptr;
  int32_t tail_ = 0;
};

}  // namespace stress
