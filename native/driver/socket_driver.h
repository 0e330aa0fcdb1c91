// What: what all drivers with sockets share: a run of submissions taken apart, sockets shown to borrowers, completions.
// Flow: submissions -> this -> the operations of uring, epoll, sim -> this -> completions.
// Thread: the driver's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "driver/driver.h"

namespace driver {

/** SEND, taken apart. Valid while it is being submitted. */
struct GatheredSend {
  int32_t slot;
  uint32_t generation;
  bool now;   // SEND_FLAG_NOW: it does not wait for room
  bool lazy;  // SEND_FLAG_LAZY: its completion may come when a wait ends
  int32_t number;  // of one that the kernel may read where it lies (SEND_FLAG_ZERO_COPY); -1: it is copied
  int32_t bytes;
  size_t slices;
  const int32_t* pairs;  // offset in the arena and length, of each slice
};

/** A lazy send that was taken whole, or is on its way to the kernel; its completion comes when a wait ends. */
struct HeldSend {
  int32_t slot;
  uint32_t generation;
  int32_t bytes;
  bool settled;  // it failed or was short, and has been reported
};

/**
 * A driver with sockets implements the operations below, each of which is one SubmissionOp, and submitted(). It finds
 * the session of a slot itself, and whether its state allows the operation; who may ask for it is checked here.
 */
class SocketDriver : public Driver {
 public:
  void submit(const int32_t* words, size_t count, bool now) final;
  bool accept_starved() const final { return accept_starved_; }
  void relisten() final;

 protected:
  // --- what was submitted ---
  virtual void send(const GatheredSend& send) = 0;
  virtual void return_buffer(int32_t buffer) = 0;
  /** The socket in transit is reset. */
  virtual void refuse(int32_t token);
  virtual void attach(int32_t slot, uint32_t generation, int32_t token) = 0;
  virtual void connect(int32_t slot, uint32_t generation, int32_t token) = 0;
  virtual void start_recv(int32_t slot, uint32_t generation) = 0;
  virtual void pause_recv(int32_t slot, uint32_t generation) = 0;
  virtual void cancel_all(int32_t slot, uint32_t generation) = 0;
  virtual void shut_down(int32_t slot, uint32_t generation) = 0;
  virtual void close_socket(int32_t slot, uint32_t generation, bool resets) = 0;
  virtual void borrow(int32_t slot, uint32_t generation) = 0;
  virtual void give_back(int32_t slot, uint32_t generation) = 0;
  /** The whole run has been taken apart; `now` as in submit(). */
  virtual void submitted(bool now) = 0;
  /** A submission breaks the contract: that ends the process, and the simulation reports it. */
  virtual void misused(const char* what);

  // --- accepting ---
  /** A connection was accepted: reports it, unless it has left already. */
  void accepted(int32_t listener, int fd);
  /** The same in a worker: the socket is in transit, and counted. */
  void accepted(shared::TransitSocket socket);
  /** Accepting ended for lack of descriptors or memory. */
  void accept_ended();
  /** Takes up every listener for which that is so. */
  virtual void accept_again() = 0;

  // --- sockets that other drivers send on ---
  /** Tells other drivers the descriptor of a slot that was attached. */
  void show_handle(int32_t slot, int fd, const shared::SocketAddress& peer);
  /** Ends that before the descriptor is closed; `last` is 0 or HANDLE_LOST. */
  void hide_handle(int32_t slot, int32_t last);
  /** The descriptor of a session of another driver. */
  int handle_of(int32_t slot, uint32_t generation) const;
  /** Whether a borrowed socket was closed, because its owner has ended. */
  bool is_lost(int32_t slot, int fd) const;

  // --- completions ---
  /** Whether the completion of a lazy send of this slot is still to come. */
  bool holds(int32_t slot) const;
  layout::Completion completion_of(layout::CompletionKind kind, int32_t slot, uint32_t generation,
                                   layout::IoStatus status, int32_t result, int32_t flags, int32_t buffer) const;
  /** Writes a completion into the ring. */
  void complete(layout::CompletionKind kind, int32_t slot, uint32_t generation, layout::IoStatus status,
                int32_t result = 0, int32_t flags = 0, int32_t buffer = -1) {
    config_.completions->claim(completion_of(kind, slot, generation, status, result, flags, buffer));
  }

  std::vector<HeldSend> held_;

 private:
  size_t submit_one(const int32_t* words);
  void submit_to_session(layout::SubmissionOp op, const int32_t* words);

  bool accept_starved_ = false;
};

inline layout::Completion SocketDriver::completion_of(layout::CompletionKind kind, int32_t slot, uint32_t generation,
                                                      layout::IoStatus status, int32_t result, int32_t flags,
                                                      int32_t buffer) const {
  layout::Completion completion{};
  completion.kind = static_cast<int32_t>(kind);
  completion.flags = flags;
  completion.slot = slot;
  completion.generation = static_cast<int32_t>(generation);
  completion.status = static_cast<int32_t>(status);
  completion.result = result;
  completion.buffer = buffer;
  if (buffer >= 0) {
    const layout::Control& control = config_.memory.control();
    completion.offset = control.recv_byte_at + buffer * control.recv_buffer_stride;
  }
  return completion;
}

}  // namespace driver
