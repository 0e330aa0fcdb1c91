// What: the loop of a thread: driver and libuv, turns of JavaScript between them; who sleeps is the system's own.
// Flow: driver completions, other threads' stacks -> this -> one JavaScript turn -> driver submissions.
// Thread: one worker, update or send thread.
#pragma once

#include <node_api.h>

#include <memory>
#include <string>
#include <vector>

#include "driver/driver.h"
#include "loop/round.h"
#include "loop/uv.h"
#include "shared/runtime.h"

namespace loop {

struct LoopOptions {
  std::shared_ptr<shared::Runtime> runtime;
  int32_t thread = 0;
  driver::Kind kind = driver::Kind::kEpoll;
  uint32_t batch = 1024;
  uint32_t features_forbidden = 0;
};

/**
 * On Linux the driver sleeps, and libuv is nested in it (loop/linux); on Windows libuv sleeps, which has no descriptor
 * there that a driver could watch (loop/windows). Allocated with new; deletes itself when its environment ends.
 */
class Loop {
 public:
  Loop() = default;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /** Opens the driver and starts to run. `turn` is called without arguments. Empty: it worked; else a sentence. */
  std::string open(napi_env env, const LoopOptions& options, napi_value turn);

  /** Hands the submission area to the driver. Returns the completions that wait. */
  uint32_t submit() { return round_.submit(); }
  /** The same, but what needs the kernel may wait for the next wait. */
  void hand_over() { round_.hand_over(false); }
  void stop_accepting() { round_.stop_accepting(); }

  /** Drains the driver and ends; libuv's loop can then end too. */
  void close();

  driver::Driver* driver() { return round_.driver(); }
  int32_t thread() const { return options_.thread; }

 private:
  static Loop* of(uv_handle_t* handle);
  static void on_cleanup(napi_async_cleanup_hook_handle handle, void* self);
  static void on_closed(uv_handle_t* handle);

  ~Loop() = default;
  void finish_cleanup();
  uv_handle_t* add_handle(int type);

  // --- the system's own ---
  /** Makes the handles and begins to run. */
  void start();
  /** Stops them. */
  void end();
  /** Turns, until there is nothing to do, or libuv is due. */
  void run();

  bool call_turn();

  napi_env env_ = nullptr;
  LoopOptions options_;
  Round round_;

  uv_loop_t* uv_ = nullptr;
  std::vector<uv_handle_t*> handles_;
  napi_ref turn_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  int handles_open_ = 0;  // those that are being closed, too
  bool asleep_ = false;   // libuv sleeps for this thread; on Windows
  bool ended_ = true;     // no JavaScript is called any more
  bool cleaning_ = false;  // the environment waits for our handles
};

}  // namespace loop
