// What: one io_uring: its two queues, mapped, and the system call that moves them.
// Flow: uring_driver -> this -> kernel.
// Thread: the thread that opened it; with SINGLE_ISSUER the kernel refuses any other (EEXIST).
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "driver/uring/kernel.h"

namespace driver::uring {

class Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();

  /** Sets up with the best flags the kernel has. Empty: it worked; else a sentence. */
  std::string open(uint32_t sq_entries, uint32_t cq_entries, bool allow_defer, bool allow_registered);
  void close();

  bool is_open() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  bool deferred() const { return deferred_; }
  bool registered() const { return registered_; }

  /** Next free submission entry, zeroed; null when the queue is full: enter first. */
  Sqe* claim();
  uint32_t claimed() const { return sq_local_tail_ - sq_submitted_; }

  /**
   * Submits what was claimed; with `wait` blocks for one completion, at most timeout_ms (-1: no limit).
   * Always lets the kernel post completions. Returns 0 or a negative errno (-ETIME: the time passed).
   */
  int enter(bool wait, int64_t timeout_ms);

  /** Oldest completion, or null. Valid until advance. */
  const Cqe* peek() const;
  void advance();
  /** The kernel holds completions back because the queue was full. */
  bool overflowed() const;

  /** A table of so many files, all empty; refused beyond RLIMIT_NOFILE. */
  int register_file_table(uint32_t entries);
  int register_buffers(Buf* ring, uint32_t entries, uint16_t group);

 private:
  base::Fd fd_;
  int enter_fd_ = -1;
  bool deferred_ = false;
  bool registered_ = false;

  void* queues_ = nullptr;
  size_t queues_bytes_ = 0;
  Sqe* sqes_ = nullptr;
  size_t sqes_bytes_ = 0;

  uint32_t* sq_head_ = nullptr;
  uint32_t* sq_tail_ = nullptr;
  uint32_t* sq_flags_ = nullptr;
  uint32_t sq_mask_ = 0;
  uint32_t sq_entries_ = 0;
  uint32_t sq_local_tail_ = 0;
  uint32_t sq_submitted_ = 0;

  uint32_t* cq_head_ = nullptr;
  uint32_t* cq_tail_ = nullptr;
  Cqe* cqes_ = nullptr;
  uint32_t cq_mask_ = 0;
};

}  // namespace driver::uring
