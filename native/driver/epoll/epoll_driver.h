// What: the epoll driver: edge-triggered readiness turned into completions by non-blocking calls.
// Flow: submissions -> this -> kernel -> this -> completions.
// Thread: one instance per thread.
#pragma once

#include <sys/epoll.h>
#include <sys/uio.h>

#include <deque>
#include <vector>

#include "base/fd.h"
#include "driver/socket_driver.h"

namespace driver {

class EpollDriver final : public SocketDriver {
 public:
  ~EpollDriver() override;
  std::string open(const Config& config) override;
  void listen(int32_t listener, int fd) override;
  void unlisten(int32_t listener) override;
  Waited wait(int64_t timeout_ms) override;
  void close() override;
  const shared::SocketAddress* peer(int32_t slot, uint32_t generation) const override;

 protected:
  void send(const GatheredSend& send) override;
  void return_buffer(int32_t buffer) override { free_buffers_.push_back(buffer); }
  void attach(int32_t slot, uint32_t generation, int32_t token) override;
  void connect(int32_t slot, uint32_t generation, int32_t token) override;
  void start_recv(int32_t slot, uint32_t generation) override;
  void pause_recv(int32_t slot, uint32_t generation) override;
  void cancel_all(int32_t slot, uint32_t generation) override;
  void shut_down(int32_t slot, uint32_t generation) override;
  void close_socket(int32_t slot, uint32_t generation, bool resets) override;
  void borrow(int32_t slot, uint32_t generation) override;
  void give_back(int32_t slot, uint32_t generation) override;
  void submitted(bool now) override;
  void accept_again() override;

 private:
  enum class Recv : uint8_t { kIdle, kArmed, kPaused };

  struct Endpoint {
    int fd = -1;
    uint32_t generation = 0;
    Recv recv = Recv::kIdle;
    bool queued = false;    // true exactly when it is in readable_
    bool readable = false;  // an edge came and no EAGAIN or short read since
    bool behind = false;    // its last receive left bytes in the socket, as far as it could tell
    bool hangup = false;    // RDHUP, HUP or ERR came: a read to the end tells which
    bool connecting = false;
    bool starved = false;
    bool watched = false;   // a borrowed socket's room is watched
    std::vector<iovec> pending;  // the send that waits for room; empty: none
    shared::SocketAddress address{};
  };
  struct Listener {
    int fd = -1;
    bool ready = false;
    bool starved = false;
  };

  Endpoint& at(int32_t slot);
  /** The endpoint of a slot that holds this session. */
  Endpoint& session_at(int32_t slot, uint32_t generation);
  Endpoint& take_socket(int32_t slot, uint32_t generation, int32_t token);
  void watch(int32_t slot, const Endpoint& endpoint, uint32_t events);
  void report_held();
  void send_pending(int32_t slot, Endpoint& endpoint);
  void finish_connect(int32_t slot, Endpoint& endpoint);
  void mark_readable(int32_t slot, Endpoint& endpoint);
  void read(int32_t slot, Endpoint& endpoint);
  void read_all();
  void end_recv(int32_t slot, Endpoint& endpoint, layout::IoStatus status);
  void accept_all();
  void on_event(const epoll_event& event, Waited* waited);

  base::Fd epoll_;
  std::vector<Endpoint> endpoints_;
  std::vector<Listener> listeners_;
  /** Slots that may have something to read, in the order in which they became ready. */
  std::deque<int32_t> readable_;
  /** The reads of this wait filled a receive buffer. */
  bool filled_ = false;
  std::vector<int32_t> free_buffers_;
  std::vector<iovec> iovecs_;
  std::vector<epoll_event> events_;
};

}  // namespace driver
