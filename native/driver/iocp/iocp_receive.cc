// What: receiving of the IOCP driver: receives of no bytes, buffers for what is there, pauses and their watch.
// Flow: RECV, PAUSE -> this -> kernel -> this -> RECV, PAUSED, PEER_GONE completions.
// Thread: the driver's.
#include "driver/iocp/iocp_driver.h"
#include "driver/iocp/windows_status.h"

namespace driver {

using layout::CompletionKind;
using layout::IoStatus;
using namespace iocp;

namespace {

// Work per socket and turn: a peer that blasts gets this many buffers before the others get theirs.
constexpr int kReadsPerTurn = 4;

}  // namespace

void IocpDriver::start_recv(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  OVERLAPPED_CHECK(endpoint.recv == Recv::kIdle || endpoint.recv == Recv::kPaused);
  drop_watch(endpoint);
  endpoint.recv = Recv::kArmed;
  if (endpoint.failed != IoStatus::kOk) return end_recv(slot, endpoint, endpoint.failed);
  arm_recv(slot, endpoint);
}

void IocpDriver::pause_recv(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  if (endpoint.recv != Recv::kArmed) return;
  if (endpoint.receiving == nullptr) return paused(slot, endpoint);
  endpoint.recv = Recv::kPausing;
  cancel(endpoint.fd, *endpoint.receiving);
}

void IocpDriver::paused(int32_t slot, Endpoint& endpoint) {
  endpoint.recv = Recv::kPaused;
  complete(CompletionKind::kPaused, slot, endpoint.generation, IoStatus::kOk);
  if (endpoint.failed == IoStatus::kOk) {
    arm_watch(slot, endpoint);
  } else {
    complete(CompletionKind::kPeerGone, slot, endpoint.generation, IoStatus::kOk);
  }
}

void IocpDriver::end_recv(int32_t slot, Endpoint& endpoint, IoStatus status) {
  endpoint.recv = Recv::kIdle;
  complete(CompletionKind::kRecv, slot, endpoint.generation, status, 0, layout::kCompletionFlagTerminal);
}

uint8_t* IocpDriver::buffer_memory(int32_t buffer) const {
  const layout::Control& control = config_.memory.control();
  return config_.memory.arena + control.recv_byte_at + static_cast<int64_t>(buffer) * control.recv_buffer_stride;
}

/** Half of the buffers stay for those who have something to read: a pending receive holds one for as long as it likes. */
void IocpDriver::arm_recv(int32_t slot, Endpoint& endpoint) {
  bool into_buffer = forbids(kFeatureZeroByteReceive) &&
                     2 * free_buffers_.size() > static_cast<size_t>(config_.buffer_count);
  Operation* operation = take_operation(into_buffer ? OperationKind::kReceive : OperationKind::kProbe, slot, endpoint.generation);
  uint8_t* memory = config_.memory.arena;
  uint32_t room = 0;
  if (into_buffer) {
    operation->buffer = free_buffers_.back();
    free_buffers_.pop_back();
    memory = buffer_memory(operation->buffer);
    room = static_cast<uint32_t>(config_.memory.control().recv_buffer_bytes);
  }
  endpoint.receiving = operation;
  begin(*operation, *port_);
  Called called = receive(endpoint.fd, memory, room, *operation);
  // What comes now was not left by the receive before.
  if (called.pending) endpoint.behind = false;
  if (!ends_at_once(called, *port_)) return;
  endpoint.receiving = nullptr;
  if (into_buffer && called.error == 0 && called.bytes > 0) {
    received(slot, endpoint, operation->buffer, called.bytes);
  } else if (into_buffer) {
    free_buffers_.push_back(operation->buffer);
  }
  pool_.give(operation);
  if (called.error != 0) return end_recv(slot, endpoint, status_of(called.error));
  if (into_buffer && called.bytes == 0) return end_recv(slot, endpoint, IoStatus::kEndOfStream);
  // The rest in its round, so that a peer that blasts does not keep the others waiting.
  mark_readable(slot, endpoint);
}

void IocpDriver::received(int32_t slot, Endpoint& endpoint, int32_t buffer, uint32_t bytes) {
  shared::count(config_.counters, endpoint.behind ? layout::Counter::kRecvsInline : layout::Counter::kRecvsPending);
  // A short receive empties the socket.
  endpoint.behind = bytes == static_cast<uint32_t>(config_.memory.control().recv_buffer_bytes);
  complete(CompletionKind::kRecv, slot, endpoint.generation, IoStatus::kOk, static_cast<int32_t>(bytes), 0, buffer);
}

void IocpDriver::finish_receive(Operation* operation, int error) {
  int32_t slot = operation->slot;
  Endpoint& endpoint = session_at(slot, operation->generation);
  int32_t buffer = operation->buffer;
  uint32_t bytes = error == 0 ? operation->bytes : 0;
  pool_.give(operation);
  endpoint.receiving = nullptr;
  bool cancelled = endpoint.recv == Recv::kCancelling;
  if (buffer >= 0 && bytes > 0 && !cancelled) {
    received(slot, endpoint, buffer, bytes);
  } else if (buffer >= 0) {
    free_buffers_.push_back(buffer);
  }
  IoStatus status = status_of(error);
  if (buffer >= 0 && error == 0 && bytes == 0) status = IoStatus::kEndOfStream;
  if (cancelled) return end_recv(slot, endpoint, IoStatus::kCancelled);
  if (endpoint.recv == Recv::kPausing) {
    if (status != IoStatus::kCancelled) endpoint.failed = status;
    return paused(slot, endpoint);
  }
  OVERLAPPED_CHECK(endpoint.recv == Recv::kArmed);
  if (status != IoStatus::kOk) return end_recv(slot, endpoint, status);
  if (buffer >= 0) return arm_recv(slot, endpoint);
  mark_readable(slot, endpoint);
}

// --- reading what is there ---------------------------------------------------------------------

void IocpDriver::mark_readable(int32_t slot, Endpoint& endpoint) {
  if (endpoint.queued) return;
  endpoint.queued = true;
  readable_.push_back(slot);
}

/** It stays readable when it returns without a receive that is pending. */
void IocpDriver::read(int32_t slot, Endpoint& endpoint) {
  auto room = static_cast<uint32_t>(config_.memory.control().recv_buffer_bytes);
  for (int reads = 0; reads < kReadsPerTurn; reads++) {
    if (free_buffers_.empty()) {
      if (!endpoint.starved) shared::count(config_.counters, layout::Counter::kBuffersStarved);
      endpoint.starved = true;
      return;
    }
    if (config_.completions->space() < 2) return;
    endpoint.starved = false;
    int32_t buffer = free_buffers_.back();
    shared::count(config_.counters, layout::Counter::kSyscalls);
    Called called = receive_now(endpoint.fd, buffer_memory(buffer), room);
    if (called.error == WSAEWOULDBLOCK) return arm_recv(slot, endpoint);
    if (called.error != 0) return end_recv(slot, endpoint, status_of(called.error));
    if (called.bytes == 0) return end_recv(slot, endpoint, IoStatus::kEndOfStream);
    free_buffers_.pop_back();
    received(slot, endpoint, buffer, called.bytes);
    if (!endpoint.behind) return arm_recv(slot, endpoint);
  }
}

/** One round over all that are ready; who is not done goes to the end of the queue. */
void IocpDriver::read_all() {
  size_t round = readable_.size();
  for (size_t i = 0; i < round; i++) {
    int32_t slot = readable_.front();
    readable_.pop_front();
    Endpoint& endpoint = at(slot);
    endpoint.queued = false;
    auto is_readable = [&] {
      return endpoint.fd >= 0 && endpoint.recv == Recv::kArmed && endpoint.receiving == nullptr;
    };
    if (!is_readable()) continue;
    read(slot, endpoint);
    if (is_readable()) mark_readable(slot, endpoint);
  }
}

// --- the peer of a paused session --------------------------------------------------------------

void IocpDriver::arm_watch(int32_t slot, Endpoint& endpoint) {
  WatchOperation* operation = watches_.take();
  operation->kind = OperationKind::kWatch;
  operation->slot = slot;
  operation->generation = endpoint.generation;
  endpoint.watch = operation;
  begin(*operation, *port_);
  Called called = watch_peer(endpoint.fd, *operation);
  if (!ends_at_once(called, *port_)) return;
  // Where it cannot be watched, the peer's leaving is found when receiving goes on.
  finish_watch(operation, called.error);
}

void IocpDriver::finish_watch(WatchOperation* operation, int error) {
  Endpoint* endpoint = find(operation->slot, operation->generation);
  bool is_wanted = endpoint != nullptr && endpoint->watch == operation;
  watches_.give(operation);
  if (!is_wanted) return;
  endpoint->watch = nullptr;
  if (error == 0) complete(CompletionKind::kPeerGone, operation->slot, endpoint->generation, IoStatus::kOk);
}

void IocpDriver::drop_watch(Endpoint& endpoint) {
  if (endpoint.watch == nullptr) return;
  cancel(endpoint.fd, *endpoint.watch);
  endpoint.watch = nullptr;
}

}  // namespace driver
