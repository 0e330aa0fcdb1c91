// What: the IOCP driver: overlapped operations, whose packets a native completion thread forwards to this thread.
// Flow: submissions -> this -> kernel -> completion thread -> arrivals -> this -> completions.
// Thread: one instance per thread; its completion thread touches nothing of it but the arrivals.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "driver/iocp/arrivals.h"
#include "driver/iocp/completion_port.h"
#include "driver/iocp/operation.h"
#include "driver/iocp/socket_calls.h"
#include "driver/socket_driver.h"

namespace driver {

/**
 * The completion ring has one producer, the driver's thread, as on every driver: what completes at once goes into it
 * where it was submitted, what completes later when its operation has arrived.
 */
class IocpDriver final : public SocketDriver {
 public:
  ~IocpDriver() override;
  std::string open(const Config& config) override;
  void listen(int32_t listener, int fd) override;
  void unlisten(int32_t listener) override;
  Waited wait(int64_t timeout_ms) override;
  void close() override;
  const shared::SocketAddress* peer(int32_t slot, uint32_t generation) const override;
  bool has_arrived() const override;
  void gather_until(int64_t now_ns) override { arrivals_.gather_until(now_ns); }

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
  enum class Recv : uint8_t {
    kIdle,        // not receiving, terminal completion given or never started
    kArmed,       // an operation is with the kernel, or it is in readable_
    kPausing,     // cancel on its way, PAUSED follows
    kPaused,      // nothing with the kernel but perhaps a watch
    kCancelling,  // cancel on its way, a terminal completion follows
  };

  struct Endpoint {
    int fd = -1;
    uint32_t generation = 0;
    Recv recv = Recv::kIdle;
    bool queued = false;   // true exactly when it is in readable_; outlives the session, as the entry does
    bool starved = false;
    bool behind = false;   // the last read filled its buffer: there may be more in the socket
    layout::IoStatus failed = layout::IoStatus::kOk;  // what a receive that was to be paused found
    iocp::Operation* receiving = nullptr;
    iocp::Operation* sending = nullptr;
    iocp::Operation* connecting = nullptr;
    iocp::WatchOperation* watch = nullptr;
    shared::SocketAddress address{};
    /** Where the packets of a borrowed socket go. */
    std::shared_ptr<iocp::CompletionPort> port;
  };
  struct Listener {
    int fd = -1;
    int family = 0;
    bool ending = false;
    std::vector<std::unique_ptr<iocp::AcceptOperation>> accepts;
  };

  Endpoint& at(int32_t slot);
  /** The endpoint of a slot that holds this session. */
  Endpoint& session_at(int32_t slot, uint32_t generation);
  Endpoint* find(int32_t slot, uint32_t generation);
  Endpoint& take_socket(int32_t slot, uint32_t generation, int32_t token);
  bool forbids(Feature feature) const { return (config_.features_forbidden & feature) != 0; }
  bool skips_success() const { return forbids(kFeatureQueuedSuccess); }

  // --- operations ---
  iocp::Operation* take_operation(iocp::OperationKind kind, int32_t slot, uint32_t generation);
  void begin(iocp::Operation& operation, iocp::CompletionPort& port);
  bool ends_at_once(const iocp::Called& called, iocp::CompletionPort& port);
  void take_arrivals();
  void finish(iocp::Operation* operation);
  void finish_send(iocp::Operation* operation, int error);
  void finish_connect(iocp::Operation* operation, int error);
  void finish_accept(iocp::AcceptOperation* operation, int error);
  void finish_watch(iocp::WatchOperation* operation, int error);
  void wait_for(const bool& pending);

  // --- receiving ---
  void arm_recv(int32_t slot, Endpoint& endpoint);
  void finish_receive(iocp::Operation* operation, int error);
  void received(int32_t slot, Endpoint& endpoint, int32_t buffer, uint32_t bytes);
  void mark_readable(int32_t slot, Endpoint& endpoint);
  void read(int32_t slot, Endpoint& endpoint);
  void read_all();
  void end_recv(int32_t slot, Endpoint& endpoint, layout::IoStatus status);
  void paused(int32_t slot, Endpoint& endpoint);
  void arm_watch(int32_t slot, Endpoint& endpoint);
  void drop_watch(Endpoint& endpoint);
  uint8_t* buffer_memory(int32_t buffer) const;

  // --- sending ---
  void send_waiting(const GatheredSend& send, Endpoint& endpoint);
  void report_held();

  // --- accepting ---
  void arm_accept(int32_t listener, iocp::AcceptOperation& operation);

  iocp::Arrivals arrivals_;
  /** Null in a driver that borrows. */
  std::shared_ptr<iocp::CompletionPort> port_;
  std::vector<Endpoint> endpoints_;
  std::vector<Listener> listeners_;
  iocp::Pool<iocp::Operation> pool_;
  iocp::Pool<iocp::WatchOperation> watches_;
  /** What arrived, and the completion ring had no room for: oldest first. */
  iocp::Operation* backlog_ = nullptr;
  iocp::Operation* backlog_last_ = nullptr;
  /** Operations that were issued and have not come back here. */
  int64_t in_flight_ = 0;
  /** Slots that may have something to read, in the order in which they became ready. */
  std::deque<int32_t> readable_;
  std::vector<int32_t> free_buffers_;
  std::vector<WSABUF> buffers_;
};

}  // namespace driver
