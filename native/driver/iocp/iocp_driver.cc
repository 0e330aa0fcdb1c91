// What: the IOCP driver: overlapped operations, whose packets a native completion thread forwards to this thread.
// Flow: submissions -> this -> kernel -> completion thread -> arrivals -> this -> completions.
// Thread: one instance per thread; its completion thread touches nothing of it but the arrivals.
#include "driver/iocp/iocp_driver.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "driver/iocp/windows_status.h"
#include "driver/socket.h"

namespace driver {

using layout::CompletionKind;
using layout::IoStatus;
using namespace iocp;

namespace {

// Completions that one arrival can add at once: bytes, a pause, a peer's leaving.
constexpr uint32_t kCompletionsPerArrival = 3;
// What may be with the kernel when everything was cancelled: a call in between takes no longer than this.
constexpr int64_t kCancelledWithinMs = 10;

}  // namespace

IocpDriver::~IocpDriver() { close(); }

std::string IocpDriver::open(const Config& config) {
  config_ = config;
  int32_t* parked = config_.slot_count > 0 ? &config_.memory.thread(config_.thread).parked : nullptr;
  arrivals_.open(parked, config_.alarm);
  endpoints_.resize(static_cast<size_t>(config_.slot_count));
  buffers_.resize(static_cast<size_t>(layout::kGatherMax));
  for (int32_t i = config_.buffer_count - 1; i >= 0; i--) free_buffers_.push_back(config_.first_buffer + i);
  if (config_.borrows) return "";
  port_ = std::make_shared<CompletionPort>();
  port_->open(config_.batch, &arrivals_);
  if (config_.slot_count > 0) set_port(config_.memory.words, config_.thread, port_);
  return "";
}

const shared::SocketAddress* IocpDriver::peer(int32_t slot, uint32_t generation) const {
  int32_t index = slot - config_.first_slot;
  if (index < 0 || index >= config_.slot_count) return nullptr;
  const Endpoint& endpoint = endpoints_[static_cast<size_t>(index)];
  bool is_attached = endpoint.fd >= 0 && endpoint.generation == generation && !config_.borrows;
  return is_attached ? &endpoint.address : nullptr;
}

IocpDriver::Endpoint& IocpDriver::at(int32_t slot) {
  int32_t index = slot - config_.first_slot;
  OVERLAPPED_CHECK(index >= 0 && index < config_.slot_count);
  return endpoints_[static_cast<size_t>(index)];
}

IocpDriver::Endpoint* IocpDriver::find(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = at(slot);
  return endpoint.fd >= 0 && endpoint.generation == generation ? &endpoint : nullptr;
}

IocpDriver::Endpoint& IocpDriver::session_at(int32_t slot, uint32_t generation) {
  Endpoint* endpoint = find(slot, generation);
  OVERLAPPED_CHECK(endpoint != nullptr);
  return *endpoint;
}

// --- operations --------------------------------------------------------------------------------

Operation* IocpDriver::take_operation(OperationKind kind, int32_t slot, uint32_t generation) {
  Operation* operation = pool_.take();
  operation->kind = kind;
  operation->slot = slot;
  operation->generation = generation;
  operation->buffer = -1;
  return operation;
}

/** Before the call: its packet may be there before the call returns. */
void IocpDriver::begin(Operation& operation, CompletionPort& port) {
  operation.home = &arrivals_;
  in_flight_++;
  port.begins();
  shared::count(config_.counters, layout::Counter::kSyscalls);
}

/** Whether no packet comes: the call failed, or it succeeded and success is skipped. */
bool IocpDriver::ends_at_once(const Called& called, CompletionPort& port) {
  bool arrives = called.pending || (called.error == 0 && !skips_success());
  if (arrives) return false;
  in_flight_--;
  port.ends();
  return true;
}

void IocpDriver::take_arrivals() {
  if (Operation* first = arrivals_.take()) {
    (backlog_ == nullptr ? backlog_ : backlog_last_->next) = first;
    backlog_last_ = first;
    while (backlog_last_->next != nullptr) backlog_last_ = backlog_last_->next;
  }
  // Nothing is finished beyond a batch, or that the completion ring cannot hold: the rest of it is for what
  // submissions complete. It stays here, in order.
  while (backlog_ != nullptr && config_.completions->used() < config_.batch &&
         config_.completions->space() >= kCompletionsPerArrival) {
    Operation* operation = backlog_;
    backlog_ = operation->next;
    finish(operation);
  }
}

void IocpDriver::finish(Operation* operation) {
  in_flight_--;
  int error = error_of(static_cast<int32_t>(operation->overlapped.Internal));
  switch (operation->kind) {
    case OperationKind::kProbe:
    case OperationKind::kReceive:
      return finish_receive(operation, error);
    case OperationKind::kSend:
      return finish_send(operation, error);
    case OperationKind::kConnect:
      return finish_connect(operation, error);
    case OperationKind::kAccept:
      return finish_accept(static_cast<AcceptOperation*>(operation), error);
    case OperationKind::kWatch:
      return finish_watch(static_cast<WatchOperation*>(operation), error);
  }
}

// --- sessions ----------------------------------------------------------------------------------

IocpDriver::Endpoint& IocpDriver::take_socket(int32_t slot, uint32_t generation, int32_t token) {
  Endpoint& endpoint = at(slot);
  OVERLAPPED_CHECK(endpoint.fd < 0);
  shared::TransitSocket socket = transit_.take(token);
  bool queued = endpoint.queued;
  endpoint = Endpoint{};
  endpoint.queued = queued;
  endpoint.fd = socket.fd.release();
  endpoint.generation = generation;
  endpoint.address = socket.peer;
  // For the calls that do not wait; overlapped ones are pending all the same.
  set_nonblocking(endpoint.fd);
  if (forbids(kFeatureSendBuffer)) set_send_buffer(endpoint.fd, 0);
  shared::count(config_.counters, layout::Counter::kSyscalls, forbids(kFeatureSendBuffer) ? 3 : 2);
  // Here a socket gets its port, for life.
  OVERLAPPED_CHECK(port_->associate(endpoint.fd, skips_success()) == 0);
  show_handle(slot, endpoint.fd, endpoint.address);
  return endpoint;
}

void IocpDriver::attach(int32_t slot, uint32_t generation, int32_t token) { take_socket(slot, generation, token); }

void IocpDriver::connect(int32_t slot, uint32_t generation, int32_t token) {
  Endpoint& endpoint = take_socket(slot, generation, token);
  Operation* operation = take_operation(OperationKind::kConnect, slot, generation);
  begin(*operation, *port_);
  Called called = connect_ex(endpoint.fd, endpoint.address, *operation);
  endpoint.connecting = operation;
  if (ends_at_once(called, *port_)) finish_connect(operation, called.error);
}

void IocpDriver::finish_connect(Operation* operation, int error) {
  Endpoint& endpoint = session_at(operation->slot, operation->generation);
  endpoint.connecting = nullptr;
  pool_.give(operation);
  if (error == 0) iocp::finish_connect(endpoint.fd);
  complete(CompletionKind::kConnect, operation->slot, operation->generation, status_of(error), number_of(error));
}

void IocpDriver::cancel_all(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  drop_watch(endpoint);
  switch (endpoint.recv) {
    case Recv::kIdle:
    case Recv::kCancelling:
      break;
    case Recv::kArmed:
    case Recv::kPausing:
    case Recv::kPaused:
      if (endpoint.receiving == nullptr) {
        end_recv(slot, endpoint, IoStatus::kCancelled);
        break;
      }
      if (endpoint.recv != Recv::kPausing) cancel(endpoint.fd, *endpoint.receiving);
      endpoint.recv = Recv::kCancelling;
      break;
  }
  // A lost socket's operations were ended by its close.
  if (endpoint.sending != nullptr && !is_lost(slot, endpoint.fd)) cancel(endpoint.fd, *endpoint.sending);
  if (endpoint.connecting != nullptr) cancel(endpoint.fd, *endpoint.connecting);
}

void IocpDriver::shut_down(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  CompletionPort* port = config_.borrows ? endpoint.port.get() : port_.get();
  if (port == nullptr) return;
  std::shared_lock<std::shared_mutex> guard(port->lost);
  if (is_lost(slot, endpoint.fd)) return;
  shared::count(config_.counters, layout::Counter::kSyscalls);
  ::shutdown(base::socket_of(endpoint.fd), SD_SEND);
}

void IocpDriver::close_socket(int32_t slot, uint32_t generation, bool resets) {
  Endpoint& endpoint = session_at(slot, generation);
  OVERLAPPED_CHECK(endpoint.recv == Recv::kIdle && endpoint.sending == nullptr && endpoint.connecting == nullptr);
  if (resets) set_reset_on_close(endpoint.fd);
  hide_handle(slot, 0);
  drop_watch(endpoint);
  shared::count(config_.counters, layout::Counter::kSyscalls);
  ::closesocket(base::socket_of(endpoint.fd));
  endpoint.fd = -1;
}

void IocpDriver::borrow(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = at(slot);
  OVERLAPPED_CHECK(endpoint.fd < 0);
  endpoint = Endpoint{};
  endpoint.fd = handle_of(slot, generation);
  endpoint.generation = generation;
  endpoint.port = find_port(config_.memory.words, config_.memory.session(slot).owner);
}

void IocpDriver::give_back(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  OVERLAPPED_CHECK(endpoint.sending == nullptr && !holds(slot));
  endpoint.fd = -1;
  endpoint.port = nullptr;
}

void IocpDriver::submitted(bool now) {
  if (now) {
    report_held();
    take_arrivals();
  }
  config_.completions->commit();
}

// --- waiting -----------------------------------------------------------------------------------

bool IocpDriver::has_arrived() const {
  // Ready sockets that wait for a buffer must not make the wait spin: they go on when buffers come back, which is a
  // submission and so a turn of this thread. Nor must they wait for a held completion, behind which the buffers may be.
  bool reading = !readable_.empty() && (!free_buffers_.empty() || !held_.empty());
  return reading || backlog_ != nullptr || arrivals_.any();
}

Waited IocpDriver::wait(int64_t timeout_ms) {
  Waited waited;
  shared::level(config_.counters, layout::Counter::kBuffersUsed,
                static_cast<double>(static_cast<size_t>(config_.buffer_count) - free_buffers_.size()));
  if (timeout_ms != 0 && !has_arrived() && config_.completions->used() == 0) arrivals_.sleep(timeout_ms);
  arrivals_.gather_until(0);
  take_arrivals();
  waited.woken = arrivals_.take_ring();
  report_held();
  read_all();
  waited.more = backlog_ != nullptr || !readable_.empty();
  config_.completions->commit();
  return waited;
}

void IocpDriver::wait_for(const bool& pending) {
  while (pending) {
    // Room for what others complete meanwhile is there: a thread ends accepting between two turns.
    if (!arrivals_.any() && backlog_ == nullptr) arrivals_.sleep(kCancelledWithinMs);
    take_arrivals();
  }
  config_.completions->commit();
}

void IocpDriver::close() {
  if (config_.memory.words == nullptr) return;
  for (Listener& listener : listeners_) {
    listener.ending = true;
    for (auto& operation : listener.accepts) {
      if (operation->pending) cancel(listener.fd, *operation);
    }
  }
  if (config_.borrows) {
    for (int32_t i = 0; i < config_.slot_count; i++) {
      Endpoint& endpoint = endpoints_[static_cast<size_t>(i)];
      if (endpoint.fd < 0 || endpoint.sending == nullptr) continue;
      std::shared_lock<std::shared_mutex> guard(endpoint.port->lost);
      if (!is_lost(config_.first_slot + i, endpoint.fd)) cancel(endpoint.fd, *endpoint.sending);
    }
  } else {
    std::unique_lock<std::shared_mutex> guard(port_->lost);
    for (int32_t i = 0; i < config_.slot_count; i++) {
      Endpoint& endpoint = endpoints_[static_cast<size_t>(i)];
      if (endpoint.fd < 0) continue;
      hide_handle(config_.first_slot + i, layout::kHandleLost);
      drop_watch(endpoint);
      // Ends every operation on it, of all drivers; Wine's server ends itself where a close finds a send that is pending.
      ::CancelIoEx(base::handle_of(endpoint.fd), nullptr);
      ::closesocket(base::socket_of(endpoint.fd));
    }
  }
  // Memory must outlive every operation: all that were issued arrive, those of others are forwarded.
  for (;;) {
    for (Operation* operation = backlog_ != nullptr ? std::exchange(backlog_, nullptr) : arrivals_.take();
         operation != nullptr; operation = operation->next) {
      in_flight_--;
    }
    if (in_flight_ == 0 && (port_ == nullptr || port_->outstanding() == 0)) break;
    arrivals_.sleep(kCancelledWithinMs);
  }
  if (port_ != nullptr) {
    if (config_.slot_count > 0) set_port(config_.memory.words, config_.thread, nullptr);
    port_->close();
  }
  arrivals_.close();
  port_.reset();
  endpoints_.clear();
  listeners_.clear();
  readable_.clear();
  transit_.clear();
  pool_.clear();
  watches_.clear();
  config_.slot_count = 0;
  config_.memory = {};
}

// --- accepting ---------------------------------------------------------------------------------

namespace {

// AcceptEx calls that wait on each listener. More than come between two turns only cost a system call later.
constexpr size_t kAcceptsPosted = 32;

bool is_starved(int error) { return status_of(error) == IoStatus::kNoResources; }

}  // namespace

void IocpDriver::listen(int32_t index, int fd) {
  if (listeners_.size() <= static_cast<size_t>(index)) listeners_.resize(static_cast<size_t>(index) + 1);
  Listener& listener = listeners_[static_cast<size_t>(index)];
  listener.fd = fd;
  listener.family = family_of(fd);
  OVERLAPPED_CHECK(port_->associate(fd, false) == 0);
  for (size_t i = 0; i < kAcceptsPosted; i++) {
    listener.accepts.push_back(std::make_unique<AcceptOperation>());
    AcceptOperation& operation = *listener.accepts.back();
    operation.kind = OperationKind::kAccept;
    operation.slot = index;
    arm_accept(index, operation);
  }
}

void IocpDriver::arm_accept(int32_t index, AcceptOperation& operation) {
  Listener& listener = listeners_[static_cast<size_t>(index)];
  int error = operation.socket.valid() ? 0 : open_accepting(listener.family, &operation.socket);
  if (error == 0) {
    begin(operation, *port_);
    Called called = accept_ex(listener.fd, operation);
    operation.pending = called.error == 0;
    if (operation.pending) return;
    in_flight_--;
    port_->ends();
    error = called.error;
  }
  // Whatever it is, it is tried again a little later.
  if (!accept_starved()) accept_ended();
}

void IocpDriver::finish_accept(AcceptOperation* operation, int error) {
  int32_t index = operation->slot;
  Listener& listener = listeners_[static_cast<size_t>(index)];
  operation->pending = false;
  // One that the listener has accepted is told of also when accepting ends.
  if (error == 0 && iocp::finish_accept(listener.fd, operation->socket.get()) == 0) {
    accepted(index, operation->socket.release());
  }
  // A socket whose connection was reset before is not used again.
  operation->socket.reset();
  if (listener.ending) return;
  if (is_starved(error)) {
    if (!accept_starved()) accept_ended();
    return;
  }
  arm_accept(index, *operation);
}

void IocpDriver::accept_again() {
  for (size_t i = 0; i < listeners_.size(); i++) {
    Listener& listener = listeners_[i];
    for (auto& operation : listener.accepts) {
      if (!operation->pending && !listener.ending) arm_accept(static_cast<int32_t>(i), *operation);
    }
  }
}

void IocpDriver::unlisten(int32_t index) {
  if (static_cast<size_t>(index) >= listeners_.size()) return;
  Listener& listener = listeners_[static_cast<size_t>(index)];
  listener.ending = true;
  for (auto& operation : listener.accepts) {
    if (operation->pending) cancel(listener.fd, *operation);
  }
  for (auto& operation : listener.accepts) wait_for(operation->pending);
  listener.accepts.clear();
  listener.fd = -1;
}

}  // namespace driver
