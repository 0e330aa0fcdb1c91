// What: the steps between two turns of a thread: hand over, look, park, wait, take what was accepted.
// Flow: loop (or the simulation, step by step) -> this -> driver; completions -> JavaScript's turn.
// Thread: a worker or an update thread; it knows neither libuv nor JavaScript.
#include "loop/round.h"

#include <algorithm>

#include "base/platform.h"

namespace loop {

namespace {

// After a wait that is longer than this the CPU clock is read before the next: a system call, for which nobody waits then.
constexpr int64_t kCpuTimeEveryNs = 1'000'000;
// Longest sleep; wakes are not lost, this only bounds what a bug could cost.
constexpr int64_t kSleepMaxMs = 10'000;

}  // namespace

std::string Round::open(std::shared_ptr<shared::Runtime> runtime, int32_t thread,
                        std::unique_ptr<driver::Driver> driver, uint32_t batch, int backend_fd,
                        uint32_t features_forbidden) {
  runtime_ = std::move(runtime);
  thread_ = thread;
  batch_ = batch;
  const shared::Memory& memory = runtime_->memory();
  block_ = &memory.thread(thread);
  counters_ = memory.counters(thread);
  driver::Config config;
  if (thread <= memory.control().driver_count) {
    config = with_sockets();
  } else {
    completions_ = shared::CompletionRing(&no_completion_, 1, &block_->completion_head, &block_->completion_tail);
  }
  config.memory = memory;
  config.completions = &completions_;
  config.counters = counters_;
  config.backend_fd = backend_fd;
  config.alarm = &runtime_->alarm(thread);
  config.thread = thread;
  config.batch = batch;
  config.features_forbidden = features_forbidden;
  std::string why = driver->open(config);
  if (!why.empty()) return why;
  driver_ = std::move(driver);
  // Where libuv has no descriptor it is what sleeps, and the driver rests by itself.
  return block_->receive_interval_ms == 0 || backend_fd < 0 ? "" : open_rest(config);
}

/** What is waited for between two looks at sockets: the same, without them. */
std::string Round::open_rest(driver::Config config) {
  config.slot_count = config.buffer_count = 0;
  rest_ = driver::create(driver::Kind::kNone);
  return rest_->open(config);
}

/** Ring, area, slots and buffers of a thread with a driver: they are found by its id. */
driver::Config Round::with_sockets() {
  const shared::Memory& memory = runtime_->memory();
  const layout::Control& control = memory.control();
  int32_t index = thread_ - 1;
  submissions_ = memory.words + control.submissions_at + index * control.submission_words;
  auto* entries = reinterpret_cast<layout::Completion*>(
      memory.words + control.completions_at +
      index * control.completion_capacity * static_cast<int32_t>(sizeof(layout::Completion) / 4));
  completions_ = shared::CompletionRing(entries, static_cast<uint32_t>(control.completion_capacity),
                                        &block_->completion_head, &block_->completion_tail);
  driver::Config config;
  config.borrows = thread_ > control.worker_count;
  if (config.borrows) {
    config.slot_count = control.session_capacity;
    return config;
  }
  config.first_slot = index * control.sessions_per_worker;
  config.slot_count = std::min(control.sessions_per_worker, control.session_capacity - config.first_slot);
  config.first_buffer = index * control.recv_buffers_per_worker;
  config.buffer_count = control.recv_buffers_per_worker;
  config.assigned_sessions = &block_->assigned_sessions;
  return config;
}

void Round::close() {
  if (driver_ == nullptr) return;
  driver_->close();
  listeners_.clear();
  driver_.reset();
  rest_.reset();
  runtime_->inbox(thread_).take();
}

void Round::stop_accepting() {
  accepting_ended_ = true;
  for (size_t i = 0; i < listeners_.size(); i++) driver_->unlisten(static_cast<int32_t>(i));
  listeners_.clear();
}

bool Round::has_work() const {
  return block_->submission_used != 0 || block_->local_pending != 0 || completions_.used() != 0 ||
         // order: seq_cst; after the store of parked; pairs with the pushes [WAKE-2]
         (block_->deaf == 0 && (shared::atomic(block_->flush_head).load(std::memory_order_seq_cst) != 0 ||
                                shared::atomic(block_->doorbell).load(std::memory_order_seq_cst) != 0)) ||
         shared::atomic(block_->release_head).load(std::memory_order_seq_cst) != 0 ||
         shared::atomic(block_->request_head).load(std::memory_order_seq_cst) != 0 ||
         runtime_->inbox(thread_).waiting();
}

int64_t Round::park(int64_t timeout_ms) {
  if (timeout_ms == 0) return 0;
  // BELL-2: who would not look at a bell does not say that it sleeps, so that nobody signals it in vain.
  bool says_so = block_->deaf == 0;
  // order: seq_cst; before the re-check of every input; pairs with a waker's exchange [WAKE-1]
  if (says_so) shared::atomic(block_->parked).store(1, std::memory_order_seq_cst);
  if (has_work() || driver_->has_arrived()) {
    shared::atomic(block_->parked).store(0, std::memory_order_seq_cst);
    return 0;
  }
  int64_t most_ms = driver_->accept_starved() ? driver::kAcceptRetryMs : kSleepMaxMs;
  return timeout_ms < 0 || timeout_ms > most_ms ? most_ms : timeout_ms;
}

driver::Waited Round::wait(int64_t timeout_ms) {
  if (driver_->accept_starved()) retry_accepting();
  if (timeout_ms == 0) {
    driver::Waited looked = driver_->wait(0);
    stamp_turn(base::now_ns());
    return looked;
  }
  fall_asleep();
  driver::Waited waited = driver_->wait(rest(asleep_at_ns_, timeout_ms) ? 0 : timeout_ms);
  wake_up(waited);
  return waited;
}

void Round::fall_asleep() {
  if (cpu_time_due_) publish_cpu_time();
  cpu_time_due_ = false;
  asleep_at_ns_ = base::now_ns();
  shared::count(counters_, layout::Counter::kSleeps);
  int64_t interval_ns = int64_t{block_->receive_interval_ms} * 1'000'000;
  if (rest_ == nullptr && interval_ns != 0 && may_rest_ && !is_stopping()) driver_->gather_until(awake_at_ns_ + interval_ns);
}

void Round::wake_up(const driver::Waited& waited) {
  may_rest_ = completions_.used() != 0 && !waited.more;
  shared::atomic(block_->parked).store(0, std::memory_order_seq_cst);
  awake_at_ns_ = base::now_ns();
  stamp_turn(awake_at_ns_);
  int64_t waited_ns = awake_at_ns_ - asleep_at_ns_;
  shared::count(counters_, layout::Counter::kWaitedNs, static_cast<double>(waited_ns));
  cpu_time_due_ = waited_ns > kCpuTimeEveryNs;
}

/**
 * REST-1: after a wait that brought all there was, what comes gathers until the interval is over. A wake and libuv
 * end that at once, and so does what completes of the thread's own submissions. False: it is waited for sockets, too.
 */
bool Round::rest(int64_t now_ns, int64_t timeout_ms) {
  int64_t interval_ns = int64_t{block_->receive_interval_ms} * 1'000'000;
  if (rest_ == nullptr || !may_rest_ || is_stopping()) return false;
  int64_t left_ns = std::min(awake_at_ns_ + interval_ns - now_ns, timeout_ms * 1'000'000);
  if (left_ns <= 0) return false;
  driver_->submit(submissions_, 0, true);
  if (completions_.used() == 0) rest_->wait((left_ns + 999'999) / 1'000'000);
  return true;
}

/** The thread writes it itself. Sessions that close one after another do not wait for an interval each. */
bool Round::is_stopping() const {
  return block_->thread_state == static_cast<int32_t>(layout::ThreadState::kStopping);
}

void Round::stamp_turn(int64_t now_ns) {
  block_->turn_at_ms = static_cast<int32_t>(static_cast<uint32_t>(now_ns / 1'000'000));
}

void Round::retry_accepting() {
  int64_t now_ns = base::now_ns();
  if (starved_at_ns_ == 0) starved_at_ns_ = now_ns;
  if (now_ns - starved_at_ns_ < driver::kAcceptRetryMs * 1'000'000) return;
  starved_at_ns_ = 0;
  driver_->relisten();
}

void Round::take_inbox() {
  shared::Inbox& inbox = runtime_->inbox(thread_);
  // A full ring leaves them where they are; nothing behind them is held up.
  if (!inbox.waiting() || completions_.space() < batch_) return;
  for (shared::TransitSocket& socket : inbox.take()) {
    if (socket.listens) {
      if (accepting_ended_) continue;
      auto index = static_cast<size_t>(socket.listener);
      if (listeners_.size() <= index) listeners_.resize(index + 1);
      listeners_[index] = std::move(socket.fd);
      driver_->listen(socket.listener, listeners_[index].get());
      continue;
    }
    layout::Completion completion{};
    completion.kind = static_cast<int32_t>(layout::CompletionKind::kAccept);
    completion.slot = socket.listener;
    if (completions_.space() < 2) {
      inbox.push(std::move(socket));
      continue;
    }
    completion.result = driver_->transit().put(std::move(socket));
    completions_.claim(completion);
  }
  completions_.commit();
}

uint32_t Round::submit() {
  if (driver_ == nullptr) return 0;
  hand_over(true);
  return completions_.used();
}

void Round::hand_over(bool now) {
  auto words = static_cast<size_t>(block_->submission_used);
  if (words == 0) return;
  block_->submission_used = 0;
  driver_->submit(submissions_, words, now);
}

void Round::publish_cpu_time() {
  shared::level(counters_, layout::Counter::kCpuNs, static_cast<double>(base::thread_cpu_ns()));
}

}  // namespace loop
