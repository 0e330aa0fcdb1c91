// What: the loop on Windows: libuv is the outer wait, because it has no descriptor there that a driver could watch.
// Flow: libuv's iterations, the thread's alarm -> this -> turns before each sleep of libuv.
// Thread: one worker, update or send thread.
#include "loop/loop.h"

namespace loop {

namespace {

// Turns before libuv gets a visit although nothing asked for one: keeps its handles fair when the
// port is never empty.
constexpr int kTurnsPerVisit = 64;

/** Of the loop's handles. */
enum Handle : size_t { kPrepare, kIdle, kCheck, kAsync, kTimer };

void nothing(uv_handle_t*) {}

}  // namespace

/**
 * libuv calls prepare, sleeps, calls check, and runs what has become due. Whoever wakes this thread (another one that
 * publishes, the completion thread) ends the sleep by uv_async_send.
 */
void Loop::start() {
  uv_prepare_init(uv_, add_handle(kUvPrepare));
  uv_idle_init(uv_, add_handle(kUvIdle));
  uv_check_init(uv_, add_handle(kUvCheck));
  uv_async_init(uv_, add_handle(kUvAsync), nothing);
  uv_timer_init(uv_, add_handle(kUvTimer));
  for (uv_handle_t* handle : handles_) uv_handle_set_data(handle, this);
  uv_prepare_start(handles_[kPrepare], [](uv_handle_t* handle) { of(handle)->run(); });
  uv_check_start(handles_[kCheck], [](uv_handle_t* handle) {
    Loop* self = of(handle);
    if (!self->asleep_ || self->ended_) return;
    self->asleep_ = false;
    self->round_.wake_up(self->round_.driver()->wait(0));
  });
  options_.runtime->alarm(options_.thread).attach([](void* async) {
    uv_async_send(static_cast<uv_handle_t*>(async));
  }, handles_[kAsync]);
}

void Loop::end() {
  // Before libuv closes the handle: nobody uses it after this.
  options_.runtime->alarm(options_.thread).detach(handles_[kAsync]);
  uv_prepare_stop(handles_[kPrepare]);
  uv_idle_stop(handles_[kIdle]);
  uv_check_stop(handles_[kCheck]);
  uv_timer_stop(handles_[kTimer]);
}

void Loop::run() {
  if (ended_) return;
  asleep_ = false;
  uv_idle_stop(handles_[kIdle]);
  // One for all turns of this visit: it is allocated, and a turn leaves but a few handles.
  napi_handle_scope scope;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) {
    ended_ = true;
    return;
  }
  for (int turns = 0; !ended_ && !asleep_ && turns < kTurnsPerVisit; turns++) {
    round_.hand_over(false);
    round_.wait(0);
    round_.take_inbox();
    if (round_.has_work() && !call_turn()) break;
    // After the turn and its microtasks: what they published, or the port brought, means no sleep.
    asleep_ = round_.park(-1) != 0;
  }
  napi_close_handle_scope(env_, scope);
  round_.publish_cpu_time();
  if (ended_) return;
  if (!asleep_) {
    // libuv must not block.
    uv_idle_start(handles_[kIdle], nothing);
    return;
  }
  round_.fall_asleep();
  // Nothing says when a descriptor is free again.
  if (round_.driver()->accept_starved()) uv_timer_start(handles_[kTimer], nothing, driver::kAcceptRetryMs, 0);
}

}  // namespace loop
