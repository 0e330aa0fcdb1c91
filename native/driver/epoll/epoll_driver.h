// What: the epoll driver: edge-triggered readiness turned into completions by non-blocking calls.
// Flow: submissions -> this -> kernel -> this -> completions.
// Thread: one instance per thread.
#pragma once

#include <sys/epoll.h>
#include <sys/uio.h>

#include <deque>
#include <vector>

#include "base/fd.h"
#include "driver/driver.h"

namespace driver {

class EpollDriver final : public Driver {
 public:
  ~EpollDriver() override;
  std::string open(const Config& config) override;
  void listen(int32_t listener, int fd) override;
  void unlisten(int32_t listener) override;
  void submit(const int32_t* words, size_t count, bool now) override;
  Waited wait(int64_t timeout_ms) override;
  void close() override;
  const shared::SocketAddress* peer(int32_t slot, uint32_t generation) const override;

 protected:
  void accept_again() override;

 private:
  enum class Recv : uint8_t { kIdle, kArmed, kPaused };

  struct Endpoint {
    int fd = -1;
    uint32_t generation = 0;
    Recv recv = Recv::kIdle;
    bool queued = false;    // true exactly when it is in readable_
    bool readable = false;  // an edge came and no EAGAIN or short read since
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
  void complete(layout::CompletionKind kind, int32_t slot, uint32_t generation, layout::IoStatus status,
                int32_t result = 0, int32_t flags = 0, int32_t buffer = -1);
  size_t submit_send(const int32_t* words);
  void watch(int32_t slot, const Endpoint& endpoint, uint32_t events);
  void give_back(int32_t slot, Endpoint& endpoint);
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
  std::vector<int32_t> free_buffers_;
  std::vector<iovec> iovecs_;
  std::vector<epoll_event> events_;
};

}  // namespace driver
