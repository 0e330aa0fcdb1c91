// What: registry of runtimes, wake descriptors.
// Flow: main creates -> workers and the acceptor find by id.
// Thread: any; the registry has a mutex, it is used at start and stop only.
#include "shared/runtime.h"

#include <sys/eventfd.h>

#include <map>

namespace shared {

Runtime::Runtime(Memory memory) : memory_(memory) {
  for (int32_t i = 0; i < memory_.control().thread_count; i++) {
    // Never drained: every signal raises the counter, which is an edge for whoever polls it; the
    // counter overflows after 2^64 signals.
    wake_fds_.emplace_back(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    inboxes_.push_back(std::make_unique<Inbox>());
  }
}

void Runtime::signal(int32_t thread) const {
  uint64_t one = 1;
  ssize_t written = ::write(wake_fd(thread), &one, sizeof one);
  OVERLAPPED_CHECK(written == sizeof one);
}

bool Runtime::wake(int32_t thread) const {
  // order: seq_cst; the publish came before it; pairs with the parking thread's store and re-check [WAKE-1]
  if (atomic(memory_.thread(thread).parked).exchange(0, std::memory_order_seq_cst) == 0) return false;
  signal(thread);
  return true;
}

namespace {
std::mutex registry_mutex;
std::map<int32_t, std::shared_ptr<Runtime>> registry;
int32_t next_id = 1;
}  // namespace

int32_t add_runtime(std::shared_ptr<Runtime> runtime) {
  std::lock_guard<std::mutex> guard(registry_mutex);
  registry[next_id] = std::move(runtime);
  return next_id++;
}

std::shared_ptr<Runtime> find_runtime(int32_t id) {
  std::lock_guard<std::mutex> guard(registry_mutex);
  auto found = registry.find(id);
  return found == registry.end() ? nullptr : found->second;
}

void remove_runtime(int32_t id) {
  std::lock_guard<std::mutex> guard(registry_mutex);
  registry.erase(id);
}

}  // namespace shared
