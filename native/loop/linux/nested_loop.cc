// What: the nested loop: the engine as outer wait, libuv inside it, so that handlers may use any Node API.
// Flow: driver completions, other threads' stacks -> this -> turns, visits of libuv.
// Thread: one worker, update or send thread.
#include "loop/loop.h"

namespace loop {

namespace {

// Turns before libuv gets a visit although nothing asked for one: keeps its handles fair when the
// ring is never empty. A visit costs one epoll_wait.
constexpr int kTurnsPerVisit = 64;

/** Of the loop's handles. */
enum Handle : size_t { kPrepare, kIdle };

}  // namespace

void Loop::start() {
  uv_prepare_init(uv_, add_handle(kUvPrepare));
  uv_idle_init(uv_, add_handle(kUvIdle));
  for (uv_handle_t* handle : handles_) uv_handle_set_data(handle, this);
  uv_prepare_start(handles_[kPrepare], [](uv_handle_t* handle) { of(handle)->run(); });
}

void Loop::end() {
  uv_prepare_stop(handles_[kPrepare]);
  uv_idle_stop(handles_[kIdle]);
}

void Loop::run() {
  if (ended_) return;
  // Idle off, so that the timeout below is libuv's own.
  uv_idle_stop(handles_[kIdle]);
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
  if (!ended_) uv_idle_start(handles_[kIdle], [](uv_handle_t*) {});
}

}  // namespace loop
