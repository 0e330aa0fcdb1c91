// What: the accept thread: takes connections and gives each to the worker with the fewest sessions.
// Flow: listeners -> this -> a worker's inbox.
// Thread: its own; started and joined by main.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/platform.h"
#include "driver/driver.h"
#include "shared/runtime.h"

namespace loop {

class Acceptor {
 public:
  /** `thread` is the acceptor's thread id. */
  Acceptor(std::shared_ptr<shared::Runtime> runtime, int32_t thread, driver::Kind kind,
           uint32_t features_forbidden);
  ~Acceptor();

  /** Adds a listener before start; its index is its listener index. */
  void add(base::Fd listener);
  /** Empty: it runs; else a sentence. */
  std::string start();
  /** Ends accepting, joins the thread, closes the listeners. */
  void stop();

 private:
  void run();
  void give(int32_t listener, base::Fd socket);
  int32_t least_loaded() const;

  std::shared_ptr<shared::Runtime> runtime_;
  int32_t thread_id_;
  driver::Kind kind_;
  uint32_t features_forbidden_;
  std::vector<base::Fd> listeners_;
  std::atomic<bool> stopping_{false};
  base::Gate opened_;
  std::string why_;  // Set before it is opened; empty: it runs.
  std::thread thread_;
  std::vector<bool> touched_;
};

}  // namespace loop
