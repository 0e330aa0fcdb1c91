// What: the nested loop: the engine as outer wait, libuv inside it, so that handlers may use any Node API.
// Flow: driver completions, other threads' stacks -> this -> one JavaScript turn -> driver submissions.
// Thread: one worker thread.
#include "loop/loop.h"

#include <cstdlib>
#include <cstring>

namespace loop {

namespace {

// Turns before libuv gets a visit although nothing asked for one: keeps its handles fair when the
// ring is never empty. A visit costs one epoll_wait.
constexpr int kTurnsPerVisit = 64;

}  // namespace

std::string Loop::open(napi_env env, const LoopOptions& options, napi_value turn) {
  env_ = env;
  options_ = options;
  if (std::strcmp(uv_handle_type_name(kUvPrepare), "prepare") != 0 ||
      std::strcmp(uv_handle_type_name(kUvIdle), "idle") != 0) {
    return "this Node carries a libuv that is not libuv 1";
  }
  if (napi_get_uv_event_loop(env, reinterpret_cast<uv_loop_s**>(&uv_)) != napi_ok) return "there is no libuv loop";

  std::string why = round_.open(options_.runtime, options_.thread, driver::create(options_.kind), options_.batch,
                                uv_backend_fd(uv_), options_.features_forbidden);
  if (!why.empty()) return why;

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

void Loop::run() {
  if (ended_) return;
  // Idle off, so that the timeout below is libuv's own.
  uv_idle_stop(idle_);
  // One for all turns of this visit: it is allocated, and a turn leaves but a few handles.
  napi_handle_scope scope;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) {
    ended_ = true;
    return;
  }
  for (int turns = 0; !ended_ && turns < kTurnsPerVisit; turns++) {
    uv_update_time(uv_);
    int timeout_ms = uv_backend_timeout(uv_);
    round_.hand_over(false);
    driver::Waited waited = round_.wait(round_.park(round_.look(timeout_ms)));
    bool visit = timeout_ms == 0 || waited.backend_ready;
    round_.take_inbox();
    if (round_.has_work() && !call_turn()) break;
    if (visit) break;
    // A timer that became due while the thread slept makes the next timeout 0.
  }
  napi_close_handle_scope(env_, scope);
  round_.publish_cpu_time();
  // libuv's own poll must not block, it is deaf to the driver.
  if (!ended_) uv_idle_start(idle_, on_idle);
}

bool Loop::call_turn() {
  shared::count(round_.counters(), layout::Counter::kTurns);
  napi_value turn;
  napi_value result;
  napi_get_reference_value(env_, turn_, &turn);
  // The receiver can be any object; the turn ignores it.
  napi_status status = napi_make_callback(env_, nullptr, turn, turn, 0, nullptr, &result);
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
  return good && !ended_;
}

void Loop::close() {
  ended_ = true;
  round_.close();
  if (prepare_ != nullptr) {
    uv_prepare_stop(prepare_);
    uv_idle_stop(idle_);
    uv_close(prepare_, on_closed);
    uv_close(idle_, on_closed);
    prepare_ = idle_ = nullptr;
  }
  if (turn_ != nullptr) {
    // Also when the environment ends: Node does not free the references of others.
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
