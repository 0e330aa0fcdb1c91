// What: a completion port and its completion thread, which takes packets in batches and forwards what is over.
// Flow: kernel -> this -> arrivals of the driver whose operation it was.
// Thread: opened and closed by the driver's thread; the completion thread is its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "driver/iocp/operation.h"

namespace driver::iocp {

/**
 * One for each driver that owns sockets. A socket belongs to one port for life, also when the driver of a send thread
 * sends on it: the packet then comes here, and goes on to that driver.
 */
class CompletionPort {
 public:
  CompletionPort() = default;
  ~CompletionPort();
  CompletionPort(const CompletionPort&) = delete;
  CompletionPort& operator=(const CompletionPort&) = delete;

  /** `batch`: packets taken by one call, at most; `owner`: where the driver that opens this hears of its own. */
  void open(uint32_t batch, Arrivals* owner);

  /** The packets of a socket come here from now on. Returns a Windows error, 0 on success. */
  int associate(int fd, bool skips_success);

  /** An operation is about to be issued: its packet will come. */
  void begins() { outstanding_.fetch_add(1, std::memory_order_seq_cst); }
  /** It will not: the operation failed at once, or needs none. */
  void ends() { outstanding_.fetch_sub(1, std::memory_order_seq_cst); }
  /** Operations whose packets are to come or not yet forwarded, of all drivers. */
  int64_t outstanding() const { return outstanding_.load(std::memory_order_seq_cst); }

  /** Ends the thread; nothing may be outstanding. */
  void close();

  /**
   * Held shared by a borrower from its look whether the socket is lost to the end of its call, and alone by the owner
   * while it says so and closes: a descriptor that the system has given to somebody else is never sent on.
   */
  std::shared_mutex lost;

 private:
  /** What of one batch goes to one driver. */
  struct Delivery {
    Arrivals* home;
    Operation* newest;
    Operation* oldest;
    bool only_receives;
  };

  void run();
  void sort(Operation* operation);
  /** Wakes the owner when what it left to gather is due; milliseconds until then, INFINITE where nothing is. */
  DWORD wake_due();

  HANDLE port_ = nullptr;
  uint32_t batch_ = 0;
  std::thread thread_;
  std::atomic<int64_t> outstanding_{0};
  std::vector<Delivery> deliveries_;
  Arrivals* owner_ = nullptr;
};

/** The port of a worker, by its memory and thread id; null when it has ended or has none. */
std::shared_ptr<CompletionPort> find_port(const void* memory, int32_t thread);
/** Makes it known; null takes it away. */
void set_port(const void* memory, int32_t thread, std::shared_ptr<CompletionPort> port);

}  // namespace driver::iocp
