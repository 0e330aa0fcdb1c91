// What: the sim driver: the driver contract over a simulated network, with seeded faults and planted bugs.
// Flow: submissions -> this -> world -> this -> completions.
// Thread: one instance per simulated worker; all of them are stepped by one thread.
#pragma once

#include <deque>
#include <vector>

#include "driver/sim/world.h"
#include "driver/socket_driver.h"

namespace driver::sim {

/**
 * Works like io_uring: submissions may stay here until the next wait begins, operations finish in virtual
 * time, and what they report is queued until a wait or a prompt submit moves it to the completion ring.
 */
class SimDriver final : public SocketDriver {
 public:
  explicit SimDriver(World& world) : world_(world) {}
  std::string open(const Config& config) override;
  void listen(int32_t listener, int fd) override;
  void unlisten(int32_t listener) override;
  /** Does not block: the simulation calls it when ready() says that a wait would end. */
  Waited wait(int64_t timeout_ms) override;
  void close() override;
  const shared::SocketAddress* peer(int32_t slot, uint32_t generation) const override;

  /** A wait begins: what was submitted goes to the kernel. */
  void begin_wait();
  /** Whether the wait that has begun would end now, without its timeout. */
  bool ready();
  /** Another thread signalled this one. */
  void signal();
  bool signalled() const { return signalled_; }
  /** When an operation of this driver is due; -1: none is. */
  int64_t next_due() const;
  /** Receive buffers that the driver has; all of them when nothing is left anywhere. */
  size_t free_buffers() const { return free_buffers_.size(); }
  /** A socket for transit: descriptors are real, so that a lost one is a leak that can be counted. */
  static shared::TransitSocket transit_socket(int32_t connection, int32_t listener);

 protected:
  void send(const GatheredSend& send) override;
  void return_buffer(int32_t buffer) override;
  void refuse(int32_t token) override;
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
  void misused(const char* what) override { world_.violate(what); }
  void accept_again() override;

 private:
  enum class Recv : uint8_t { kIdle, kArmed, kStarved, kPausing, kPaused, kCancelling };

  struct Slice {
    int32_t offset;
    int32_t length;
  };
  struct Send {
    bool active = false;
    bool issued = false;
    bool now = false;
    bool lazy = false;
    int32_t total = 0;
    int64_t due_ns = 0;
    std::vector<Slice> slices;
    int32_t number = -1;  // of a zero-copy send; -1: it is copied
  };
  /** A zero-copy send that was taken: its bytes as they were, which must be the same until it is notified. */
  struct Read {
    int32_t number;
    int64_t due_ns;
    std::vector<Slice> slices;
    std::vector<uint8_t> bytes;
  };
  struct Endpoint {
    base::Fd fd;
    int32_t connection = -1;  // -1: the slot is free, or CONNECT has made none; its handle says this number
    bool used = false;
    uint32_t generation = 0;
    Recv recv = Recv::kIdle;
    int64_t recv_due_ns = 0;
    int64_t pause_due_ns = -1;
    int64_t cancel_due_ns = -1;
    int64_t connect_due_ns = -1;
    layout::IoStatus connect_status = layout::IoStatus::kOk;
    bool watched = false;
    Send send;
    std::vector<Read> reads;
    shared::SocketAddress address{};
  };
  /** Completions of one stream keep their order: receiving and what ends it; a session's send is another stream. */
  struct Queued {
    layout::Completion completion;
    int32_t stream;
  };
  struct Starved {
    int32_t slot;
    uint32_t generation;
  };

  /** A connection is known by its peer's port: this one and those that follow. */
  static constexpr int kFirstPort = 1024;
  static int32_t connection_of(const shared::TransitSocket& socket);

  // --- operations are begun, what they report is handed over (sim_driver.cc) ---
  Endpoint* find(int32_t slot, uint32_t generation, const char* what);
  Endpoint* take_socket(int32_t slot, uint32_t generation, int32_t token);
  /** Queues a completion; seeded, before others. */
  void complete(layout::CompletionKind kind, int32_t slot, const Endpoint& endpoint, layout::IoStatus status,
                int32_t result = 0, int32_t flags = 0, int32_t buffer = -1);
  void issue();
  void report_held();
  void reap();
  void accept();
  bool has_operation(int32_t slot, const Endpoint& endpoint) const;

  // --- operations go on as time does (sim_kernel.cc) ---
  void progress();
  void progress(int32_t slot, Endpoint& endpoint);
  void execute_send(int32_t slot, Endpoint& endpoint);
  void take_zero_copy(Endpoint& endpoint, int32_t taken);
  void notify(int32_t slot, Endpoint& endpoint);
  void receive(int32_t slot, Endpoint& endpoint);
  void end_recv(int32_t slot, Endpoint& endpoint, layout::IoStatus status);
  void paused(int32_t slot, Endpoint& endpoint);
  void cancel(int32_t slot, Endpoint& endpoint);
  void serve_starved();
  bool peer_left(const Endpoint& endpoint) const;

  World& world_;
  std::vector<Endpoint> endpoints_;
  std::vector<int32_t> free_buffers_;
  std::vector<bool> buffer_is_free_;
  std::deque<Starved> starved_;
  std::deque<Queued> queue_;
  std::vector<int32_t> staged_;  // slots whose SEND waits for the next wait
  bool signalled_ = false;
  std::vector<int32_t> listening_;
  bool open_ = false;
};

}  // namespace driver::sim
