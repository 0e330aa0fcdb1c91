// What: the nested loop: the engine as outer wait, libuv inside it, so that handlers may use any Node API.
// Flow: driver completions, other threads' stacks -> this -> one JavaScript turn -> driver submissions.
// Thread: one worker thread.
#include "loop/loop.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/clock.h"

namespace loop {

namespace {

// Turns before libuv gets a visit although nothing asked for one: keeps its handles fair when the
// ring is never empty. A visit costs one epoll_wait.
constexpr int kTurnsPerVisit = 64;
// A wait that is longer than this is followed by a reading of the CPU clock, which is a system call.
constexpr int64_t kCpuTimeEveryNs = 1'000'000;
// Longest sleep; wakes are not lost, this only bounds what a bug could cost.
constexpr int64_t kSleepMaxMs = 10'000;

}  // namespace

std::string Loop::open(napi_env env, const LoopOptions& options, napi_value turn) {
  env_ = env;
  options_ = options;
  const shared::Memory& memory = options_.runtime->memory();
  const layout::Control& control = memory.control();
  int32_t worker = options_.thread - 1;
  block_ = &memory.thread(options_.thread);
  counters_ = memory.counters(options_.thread);
  submissions_ = memory.words + control.submissions_at + worker * control.submission_words;
  auto* entries = reinterpret_cast<layout::Completion*>(
      memory.words + control.completions_at +
      worker * control.completion_capacity * static_cast<int32_t>(sizeof(layout::Completion) / 4));
  completions_ = shared::CompletionRing(entries, static_cast<uint32_t>(control.completion_capacity),
                                        &block_->completion_head, &block_->completion_tail);

  if (std::strcmp(uv_handle_type_name(kUvPrepare), "prepare") != 0 ||
      std::strcmp(uv_handle_type_name(kUvIdle), "idle") != 0) {
    return "this Node carries a libuv that is not libuv 1";
  }
  if (napi_get_uv_event_loop(env, reinterpret_cast<uv_loop_s**>(&uv_)) != napi_ok) return "there is no libuv loop";

  driver_ = driver::create(options_.kind);
  driver::Config config;
  config.memory = memory;
  config.completions = &completions_;
  config.counters = counters_;
  config.first_slot = worker * control.sessions_per_worker;
  config.slot_count = std::min(control.sessions_per_worker, control.session_capacity - config.first_slot);
  config.first_buffer = worker * control.recv_buffers_per_worker;
  config.buffer_count = control.recv_buffers_per_worker;
  config.backend_fd = uv_backend_fd(uv_);
  config.wake_fd = options_.runtime->wake_fd(options_.thread);
  config.batch = options_.batch;
  config.features_forbidden = options_.features_forbidden;
  std::string why = driver_->open(config);
  if (!why.empty()) {
    driver_.reset();
    return why;
  }

  napi_create_reference(env, turn, 1, &turn_);
  prepare_ = static_cast<uv_handle_t*>(std::calloc(1, uv_handle_size(kUvPrepare)));
  idle_ = static_cast<uv_handle_t*>(std::calloc(1, uv_handle_size(kUvIdle)));
  uv_prepare_init(uv_, prepare_);
  uv_idle_init(uv_, idle_);
  uv_handle_set_data(prepare_, this);
  uv_handle_set_data(idle_, this);
  handles_open_ = 2;
  uv_prepare_start(prepare_, on_prepare);
  napi_add_async_cleanup_hook(env, on_cleanup, this, &hook_);
  ended_ = false;
  return "";
}

void Loop::on_prepare(uv_handle_t* handle) { static_cast<Loop*>(uv_handle_get_data(handle))->run(); }
void Loop::on_idle(uv_handle_t*) {}

/** The one declared list of what must be empty before a sleep. */
bool Loop::has_work() const {
  return block_->submission_used != 0 || block_->local_pending != 0 || completions_.used() != 0 ||
         // order: seq_cst; after the store of parked; pairs with the pushes [WAKE-2]
         shared::atomic(block_->flush_head).load(std::memory_order_seq_cst) != 0 ||
         shared::atomic(block_->release_head).load(std::memory_order_seq_cst) != 0 ||
         shared::atomic(block_->request_head).load(std::memory_order_seq_cst) != 0 ||
         options_.runtime->inbox(options_.thread).waiting();
}

void Loop::take_inbox() {
  shared::Inbox& inbox = options_.runtime->inbox(options_.thread);
  // A full ring leaves them where they are; nothing behind them is held up.
  if (!inbox.waiting() || completions_.space() < static_cast<uint32_t>(options_.batch)) return;
  for (shared::TransitSocket& socket : inbox.take()) {
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

void Loop::sleep_or_look(int64_t timeout_ms) {
  if (timeout_ms == 0 || has_work()) {
    waited_ = driver_->wait(0);
    return;
  }
  // order: seq_cst; before the re-check of every input; pairs with a waker's exchange [WAKE-1]
  shared::atomic(block_->parked).store(1, std::memory_order_seq_cst);
  if (has_work()) {
    shared::atomic(block_->parked).store(0, std::memory_order_seq_cst);
    waited_ = driver_->wait(0);
    return;
  }
  int64_t asleep_at = base::now_ns();
  shared::count(counters_, layout::Counter::kSleeps);
  waited_ = driver_->wait(timeout_ms < 0 || timeout_ms > kSleepMaxMs ? kSleepMaxMs : timeout_ms);
  shared::atomic(block_->parked).store(0, std::memory_order_seq_cst);
  int64_t waited_ns = base::now_ns() - asleep_at;
  shared::count(counters_, layout::Counter::kWaitedNs, static_cast<double>(waited_ns));
  if (waited_ns > kCpuTimeEveryNs) publish_cpu_time();
}

void Loop::publish_cpu_time() {
  double& value = counters_[static_cast<int32_t>(layout::Counter::kCpuNs)];
  std::atomic_ref<double>(value).store(static_cast<double>(base::thread_cpu_ns()), std::memory_order_relaxed);
}

void Loop::run() {
  if (ended_) return;
  // Idle off, so that the timeout below is libuv's own.
  uv_idle_stop(idle_);
  for (int turns = 0; !ended_ && turns < kTurnsPerVisit; turns++) {
    uv_update_time(uv_);
    int timeout_ms = uv_backend_timeout(uv_);
    hand_over(false);
    sleep_or_look(timeout_ms);
    bool visit = timeout_ms == 0 || waited_.backend_ready;
    take_inbox();
    if (has_work() && !call_turn()) break;
    if (visit) break;
    // A timer may have become due while the thread slept.
    if (timeout_ms > 0) {
      uv_update_time(uv_);
      if (uv_backend_timeout(uv_) == 0) break;
    }
  }
  publish_cpu_time();
  // libuv's own poll must not block, it is deaf to the driver.
  if (!ended_) uv_idle_start(idle_, on_idle);
}

uint32_t Loop::submit() {
  if (driver_ == nullptr) return 0;
  hand_over(true);
  return completions_.used();
}

void Loop::hand_over(bool now) {
  auto words = static_cast<size_t>(block_->submission_used);
  if (words == 0) return;
  block_->submission_used = 0;
  driver_->submit(submissions_, words, now);
}

bool Loop::call_turn() {
  shared::count(counters_, layout::Counter::kTurns);
  napi_handle_scope scope;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) {
    ended_ = true;
    return false;
  }
  napi_value turn;
  napi_value receiver;
  napi_value result;
  napi_get_reference_value(env_, turn_, &turn);
  napi_get_global(env_, &receiver);
  napi_status status = napi_make_callback(env_, nullptr, receiver, turn, 0, nullptr, &result);
  bool good = status == napi_ok;
  if (!good) {
    // The thread is being terminated, or a turn threw, which it must not: never call JavaScript again.
    ended_ = true;
    bool pending = false;
    napi_is_exception_pending(env_, &pending);
    if (pending) {
      napi_value error;
      if (napi_get_and_clear_last_exception(env_, &error) == napi_ok) napi_fatal_exception(env_, error);
    }
  }
  napi_close_handle_scope(env_, scope);
  return good && !ended_;
}

void Loop::close() {
  ended_ = true;
  if (driver_ != nullptr) {
    driver_->close();
    driver_.reset();
    options_.runtime->inbox(options_.thread).take();
  }
  if (prepare_ != nullptr) {
    uv_prepare_stop(prepare_);
    uv_idle_stop(idle_);
    uv_close(prepare_, on_closed);
    uv_close(idle_, on_closed);
    prepare_ = idle_ = nullptr;
  }
  if (turn_ != nullptr && !cleaning_) {
    napi_delete_reference(env_, turn_);
    turn_ = nullptr;
  }
}

void Loop::on_closed(uv_handle_t* handle) {
  auto* self = static_cast<Loop*>(uv_handle_get_data(handle));
  std::free(handle);
  self->handles_open_--;
  if (self->cleaning_) self->finish_cleanup();
}

/** Runs on the worker when its environment ends, however it ends; memory is released only afterwards. */
void Loop::on_cleanup(napi_async_cleanup_hook_handle, void* data) {
  auto* self = static_cast<Loop*>(data);
  self->cleaning_ = true;
  self->close();
  self->finish_cleanup();
}

void Loop::finish_cleanup() {
  if (handles_open_ > 0) return;  // libuv still has them
  napi_remove_async_cleanup_hook(hook_);
  delete this;
}

}  // namespace loop
