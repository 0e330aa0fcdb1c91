// What: the loop of a thread: how it begins, calls JavaScript and ends; how it sleeps is the system's own.
// Flow: loop/linux, loop/windows -> this -> one JavaScript turn -> driver submissions.
// Thread: one worker, update or send thread.
#include "loop/loop.h"

#include <cstdlib>
#include <cstring>

namespace loop {

std::string Loop::open(napi_env env, const LoopOptions& options, napi_value turn) {
  env_ = env;
  options_ = options;
  for (const UvType& type : kUvTypes) {
    if (std::strcmp(uv_handle_type_name(type.number), type.name) != 0) {
      return "this Node carries a libuv that is not libuv 1";
    }
  }
  if (napi_get_uv_event_loop(env, reinterpret_cast<uv_loop_s**>(&uv_)) != napi_ok) return "there is no libuv loop";

  std::string why = round_.open(options_.runtime, options_.thread, driver::create(options_.kind), options_.batch,
                                uv_backend_fd(uv_), options_.features_forbidden);
  if (!why.empty()) return why;

  napi_create_reference(env, turn, 1, &turn_);
  start();
  napi_add_async_cleanup_hook(env, on_cleanup, this, &hook_);
  ended_ = false;
  return "";
}

uv_handle_t* Loop::add_handle(int type) {
  auto* handle = static_cast<uv_handle_t*>(std::calloc(1, uv_handle_size(type)));
  handles_.push_back(handle);
  handles_open_++;
  return handle;
}

Loop* Loop::of(uv_handle_t* handle) { return static_cast<Loop*>(uv_handle_get_data(handle)); }

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
  if (!handles_.empty()) end();
  for (uv_handle_t* handle : handles_) uv_close(handle, on_closed);
  handles_.clear();
  if (turn_ != nullptr) {
    // Also when the environment ends: Node does not free the references of others.
    napi_delete_reference(env_, turn_);
    turn_ = nullptr;
  }
}

void Loop::on_closed(uv_handle_t* handle) {
  Loop* self = of(handle);
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
