// What: the send thread: sends a stream of bytes on each socket that it borrows, and gives it back.
// Flow: requests of owners -> this -> sockets; counts -> owners.
// Thread: its own.
#pragma once

#include <array>

#include "driver_thread.h"

namespace stress {

class Borrower : public DriverThread {
 public:
  explicit Borrower(Shared& shared) : DriverThread(shared, kSendThread) {}
  /** Until senders_stop is set; sends that wait then are cut off by the end of the driver. */
  void run();
  /** Sends that wait for room; after the end, those that waited when the driver was closed. */
  int32_t waiting() const { return waiting_; }

 private:
  /** A session that is borrowed. */
  struct Loan {
    bool borrowed = false;
    bool ending = false;    // nothing more is sent
    bool waiting = false;   // its send has no SEND_FLAG_NOW
    int32_t in_flight = 0;  // bytes of its send
    int32_t sent = 0;
    int32_t total = 0;
  };

  void turn();
  void requested(int32_t slot, int32_t requests);
  void completed(const layout::Completion& completion);
  void go_on(int32_t slot);
  void send(int32_t slot, bool has_room);
  void give_back(int32_t slot);
  uint8_t* window(int32_t slot) { return bytes(window_at(slot)); }
  int32_t window_at(int32_t slot) const { return window_at_ + slot * kWindowBytes; }

  static constexpr int32_t kWindowBytes = 8192;
  static_assert(kSessions * kWindowBytes <= kChunks * kChunkBytes);

  int32_t window_at_ = memory().control().chunk_byte_at;
  std::array<Loan, kSessions> loans_{};
  /** In this turn: their counts go when the driver has been told. */
  std::vector<int32_t> given_back_;
  std::atomic<int32_t> waiting_{0};
};

}  // namespace stress
