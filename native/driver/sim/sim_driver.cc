// What: the sim driver: the driver contract over a simulated network, with seeded faults and planted bugs.
// Flow: submissions -> this -> world -> this -> completions.
// Thread: one instance per simulated worker; all of them are stepped by one thread.
#include "driver/sim/sim_driver.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

namespace driver::sim {

using layout::CompletionKind;
using layout::IoStatus;

namespace {

// How far a completion may overtake others.
constexpr int kOvertakesMax = 4;
// A returned buffer holds these until bytes come: whoever still reads it finds them.
constexpr uint8_t kPoison = 0xdb;

}  // namespace

std::string SimDriver::open(const Config& config) {
  config_ = config;
  open_ = true;
  endpoints_.resize(static_cast<size_t>(config_.slot_count));
  buffer_is_free_.resize(static_cast<size_t>(config_.buffer_count));
  for (int32_t i = config_.buffer_count - 1; i >= 0; i--) {
    free_buffers_.push_back(config_.first_buffer + i);
    buffer_is_free_[static_cast<size_t>(i)] = true;
  }
  return "";
}

void SimDriver::listen(int32_t listener, int) { listening_.push_back(listener); }

void SimDriver::unlisten(int32_t listener) {
  if (std::erase(listening_, listener) != 1) world_.violate("UNLISTEN of a listener that is not accepted on");
  world_.close_listener(listener);
}

void SimDriver::accept_again() { world_.violate("accepting goes on, and had not ended"); }

shared::TransitSocket SimDriver::transit_socket(int32_t connection, int32_t listener) {
  shared::TransitSocket socket;
  socket.fd = base::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  socket.listener = listener;
  socket.peer.v4.sin_family = AF_INET;
  socket.peer.v4.sin_port = htons(static_cast<uint16_t>(kFirstPort + connection));
  return socket;
}

int32_t SimDriver::connection_of(const shared::TransitSocket& socket) {
  return ntohs(socket.peer.v4.sin_port) - kFirstPort;
}

const shared::SocketAddress* SimDriver::peer(int32_t slot, uint32_t generation) const {
  int32_t index = slot - config_.first_slot;
  if (index < 0 || index >= config_.slot_count) return nullptr;
  const Endpoint& endpoint = endpoints_[static_cast<size_t>(index)];
  return endpoint.used && endpoint.generation == generation ? &endpoint.address : nullptr;
}

/** Null, and a violation, when the slot does not hold this session. */
SimDriver::Endpoint* SimDriver::find(int32_t slot, uint32_t generation, const char* what) {
  int32_t index = slot - config_.first_slot;
  if (index >= 0 && index < config_.slot_count) {
    Endpoint& endpoint = endpoints_[static_cast<size_t>(index)];
    if (endpoint.used && endpoint.generation == generation) return &endpoint;
  }
  world_.violate(std::string(what) + " for slot " + std::to_string(slot) + ", which does not hold that session");
  return nullptr;
}

void SimDriver::complete(CompletionKind kind, int32_t slot, const Endpoint& endpoint, IoStatus status, int32_t result,
                         int32_t flags, int32_t buffer) {
  Queued queued{};
  queued.completion = completion_of(kind, slot, endpoint.generation, status, result, flags, buffer);
  bool sends = kind == CompletionKind::kSend || kind == CompletionKind::kNotified;
  queued.stream = sends ? 2 * slot + 1 : 2 * slot;
  if (endpoint.cancel_due_ns >= 0 && status != IoStatus::kCancelled) world_.count(Fault::kLostRace);
  if (endpoint.pause_due_ns >= 0 && kind == CompletionKind::kRecv) world_.count(Fault::kLostRace);
  if (kind == CompletionKind::kSend && world_.bug(Bug::kCompletionLost) && world_.random().below(200) == 0) return;
  size_t place = queue_.size();
  if (world_.bug(Bug::kBuffersReversed) && kind == CompletionKind::kRecv && place > 0 &&
      queue_[place - 1].stream == queued.stream) {
    queue_.insert(queue_.end() - 1, queued);
    return;
  }
  for (int steps = 0; steps < kOvertakesMax && place > 0 && queue_[place - 1].stream != queued.stream; steps++) {
    if (!world_.strikes(Fault::kReorder)) break;
    place--;
  }
  queue_.insert(queue_.begin() + static_cast<ptrdiff_t>(place), queued);
  if (kind == CompletionKind::kRecv && world_.bug(Bug::kCompletionTwice) && world_.random().below(200) == 0) {
    queue_.push_back(queued);
  }
}

// --- submissions -------------------------------------------------------------------------------

void SimDriver::send(const GatheredSend& submitted) {
  int32_t slot = submitted.slot;
  Endpoint* endpoint = find(slot, submitted.generation, "SEND");
  if (endpoint == nullptr) return;
  Send& send = endpoint->send;
  if (send.active || holds(slot)) return world_.violate("SEND while one of this session is outstanding");
  if (endpoint->connection < 0) return world_.violate("SEND before the connection was made");
  if (is_lost(slot, endpoint->connection)) return complete(CompletionKind::kSend, slot, *endpoint, IoStatus::kReset);
  send.active = true;
  send.issued = false;
  send.now = submitted.now;
  send.number = submitted.number;
  if (send.number >= 0 && !send.now) return world_.violate("a zero-copy SEND that waits for room");
  for (const Read& read : endpoint->reads) {
    if (read.number == send.number) return world_.violate("a SEND with the number of one that was not notified");
  }
  send.lazy = submitted.lazy && send.number < 0;
  send.total = 0;
  send.slices.clear();
  for (size_t i = 0; i < submitted.slices; i++) {
    const int32_t* pair = submitted.pairs + 2 * i;
    if (pair[0] < 0 || pair[1] < 0 || pair[0] > config_.memory.control().arena_bytes - pair[1]) {
      return world_.violate("SEND of bytes that are not in the arena");
    }
    send.slices.push_back({pair[0], pair[1]});
    send.total += pair[1];
  }
  if (send.total != submitted.bytes) world_.violate("SEND whose total is not the sum of its slices");
  if (world_.bug(Bug::kSlicesReversed)) std::reverse(send.slices.begin(), send.slices.end());
  staged_.push_back(slot);
}

/** What was submitted goes to the kernel: a send with SEND_FLAG_NOW is tried at once. */
void SimDriver::issue() {
  for (int32_t slot : staged_) {
    Endpoint& endpoint = endpoints_[static_cast<size_t>(slot - config_.first_slot)];
    endpoint.send.issued = true;
    endpoint.send.due_ns = endpoint.send.now ? world_.now_ns() : world_.operation_due();
    if (endpoint.send.now) execute_send(slot, endpoint);
  }
  staged_.clear();
}

void SimDriver::return_buffer(int32_t buffer) {
  int32_t local = buffer - config_.first_buffer;
  if (local < 0 || local >= config_.buffer_count) return world_.violate("a receive buffer of another worker is returned");
  if (buffer_is_free_[static_cast<size_t>(local)]) return world_.violate("a receive buffer is returned twice");
  buffer_is_free_[static_cast<size_t>(local)] = true;
  free_buffers_.push_back(buffer);
  const layout::Control& control = config_.memory.control();
  std::memset(config_.memory.arena + control.recv_byte_at + static_cast<int64_t>(buffer) * control.recv_buffer_stride,
              kPoison, static_cast<size_t>(control.recv_buffer_bytes));
}

void SimDriver::refuse(int32_t token) {
  if (transit_.find(token) == nullptr) return world_.violate("REFUSE of a socket that is not in transit");
  shared::TransitSocket socket = transit_.take(token);
  if (world_.bug(Bug::kTransitLeaked)) {
    socket.fd.release();
    return;
  }
  int32_t connection = connection_of(socket);
  if (connection >= 0) world_.server_close(world_.at(connection), true);
}

/** Null, and a violation, when the slot or the token is not free for it. */
SimDriver::Endpoint* SimDriver::take_socket(int32_t slot, uint32_t generation, int32_t token) {
  int32_t index = slot - config_.first_slot;
  if (index < 0 || index >= config_.slot_count || endpoints_[static_cast<size_t>(index)].used) {
    world_.violate("ATTACH or CONNECT of a slot that is in use or another worker's");
    return nullptr;
  }
  if (transit_.find(token) == nullptr) {
    world_.violate("ATTACH or CONNECT of a socket that is not in transit");
    return nullptr;
  }
  shared::TransitSocket socket = transit_.take(token);
  Endpoint& endpoint = endpoints_[static_cast<size_t>(index)];
  endpoint = Endpoint{};
  endpoint.used = true;
  endpoint.generation = generation;
  endpoint.connection = connection_of(socket);
  endpoint.address = socket.peer;
  endpoint.fd = std::move(socket.fd);
  return &endpoint;
}

void SimDriver::attach(int32_t slot, uint32_t generation, int32_t token) {
  Endpoint* endpoint = take_socket(slot, generation, token);
  if (endpoint == nullptr) return;
  show_handle(slot, endpoint->connection, endpoint->address);
  if (peer_left(*endpoint)) world_.count(Fault::kAcceptedGone);
}

void SimDriver::connect(int32_t slot, uint32_t generation, int32_t token) {
  Endpoint* endpoint = take_socket(slot, generation, token);
  if (endpoint == nullptr) return;
  endpoint->connect_due_ns = world_.operation_due();
  if (world_.strikes(Fault::kConnectRefused)) {
    endpoint->connect_status = IoStatus::kRefused;
  } else if (world_.strikes(Fault::kConnectTimedOut)) {
    endpoint->connect_status = IoStatus::kTimedOut;
  } else {
    endpoint->connect_status = IoStatus::kOk;
  }
}

void SimDriver::start_recv(int32_t slot, uint32_t generation) {
  Endpoint* endpoint = find(slot, generation, "RECV");
  if (endpoint == nullptr) return;
  if (endpoint->recv != Recv::kIdle && endpoint->recv != Recv::kPaused) return world_.violate("RECV while receiving");
  if (endpoint->connection < 0) return world_.violate("RECV before the connection was made");
  endpoint->recv = Recv::kArmed;
  endpoint->watched = false;
  endpoint->recv_due_ns = world_.operation_due();
}

void SimDriver::pause_recv(int32_t slot, uint32_t generation) {
  Endpoint* endpoint = find(slot, generation, "PAUSE");
  if (endpoint == nullptr) return;
  if (endpoint->recv == Recv::kArmed) {
    endpoint->recv = Recv::kPausing;
    endpoint->pause_due_ns = world_.operation_due();
  } else if (endpoint->recv == Recv::kStarved) {
    paused(slot, *endpoint);
  }
}

void SimDriver::cancel_all(int32_t slot, uint32_t generation) {
  Endpoint* endpoint = find(slot, generation, "CANCEL");
  if (endpoint == nullptr) return;
  if (config_.borrows && !endpoint->send.active && endpoint->reads.empty()) return;
  if (endpoint->recv == Recv::kArmed || endpoint->recv == Recv::kPausing) endpoint->recv = Recv::kCancelling;
  endpoint->pause_due_ns = -1;
  endpoint->cancel_due_ns = world_.operation_due();
}

void SimDriver::shut_down(int32_t slot, uint32_t generation) {
  Endpoint* endpoint = find(slot, generation, "SHUTDOWN");
  if (endpoint == nullptr) return;
  if (endpoint->send.active) world_.violate("SHUTDOWN with a send outstanding");
  if (endpoint->connection < 0 || is_lost(slot, endpoint->connection)) return;
  world_.server_end(world_.at(endpoint->connection));
}

void SimDriver::close_socket(int32_t slot, uint32_t generation, bool resets) {
  Endpoint* endpoint = find(slot, generation, "CLOSE");
  if (endpoint == nullptr) return;
  if (has_operation(slot, *endpoint)) world_.violate("CLOSE with an operation outstanding");
  hide_handle(slot, 0);
  if (endpoint->connection >= 0 && world_.at(endpoint->connection).borrowed) {
    return world_.violate("CLOSE of a socket that another driver has borrowed");
  }
  if (endpoint->connection >= 0 && !world_.bug(Bug::kCloseIgnored)) {
    world_.server_close(world_.at(endpoint->connection), resets);
  }
  *endpoint = Endpoint{};
}

void SimDriver::borrow(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = endpoints_[static_cast<size_t>(slot)];
  if (endpoint.used) return world_.violate("BORROW of what is borrowed already");
  layout::Session& session = config_.memory.session(slot);
  if (static_cast<uint32_t>(shared::atomic(session.generation).load()) != generation ||
      shared::atomic(session.handle).load() == 0)
    return world_.violate("BORROW of a session that its owner does not have");
  endpoint = Endpoint{};
  endpoint.used = true;
  endpoint.generation = generation;
  endpoint.connection = handle_of(slot, generation);
  if (!is_lost(slot, endpoint.connection)) world_.at(endpoint.connection).borrowed = true;
}

void SimDriver::give_back(int32_t slot, uint32_t generation) {
  Endpoint* endpoint = find(slot, generation, "GIVE_BACK");
  if (endpoint == nullptr) return;
  if (has_operation(slot, *endpoint)) world_.violate("GIVE_BACK with a send outstanding");
  if (!is_lost(slot, endpoint->connection)) world_.at(endpoint->connection).borrowed = false;
  *endpoint = Endpoint{};
}

void SimDriver::submitted(bool now) {
  if (!now) return;
  issue();
  progress();
  report_held();
  reap();
}

/** Something of this session is going on, or was not yet reported. */
bool SimDriver::has_operation(int32_t slot, const Endpoint& endpoint) const {
  return endpoint.recv != Recv::kIdle || endpoint.send.active || endpoint.connect_due_ns >= 0 ||
         !endpoint.reads.empty() || holds(slot) ||
         std::any_of(queue_.begin(), queue_.end(), [slot](const Queued& each) { return each.stream >> 1 == slot; });
}

// --- completions -------------------------------------------------------------------------------

void SimDriver::report_held() {
  if (world_.bug(Bug::kLazyHeldForever)) return;
  for (const HeldSend& held : held_) {
    Endpoint* endpoint = find(held.slot, held.generation, "a held send");
    if (endpoint != nullptr) complete(CompletionKind::kSend, held.slot, *endpoint, IoStatus::kOk, held.bytes);
  }
  held_.clear();
}

void SimDriver::reap() {
  for (uint32_t taken = 0; !queue_.empty(); taken++) {
    if (taken == config_.batch || config_.completions->space() < 2) {
      world_.count(Fault::kRingFull);
      break;
    }
    config_.completions->claim(queue_.front().completion);
    queue_.pop_front();
  }
  config_.completions->commit();
}

/** Connections that wait for who listens; an ACCEPT completion of a socket that is in transit each. */
void SimDriver::accept() {
  if (listening_.empty()) return;
  while (world_.backlog_waits()) {
    if (config_.completions->space() < 2) {
      world_.count(Fault::kRingFull);
      break;
    }
    int32_t connection = world_.take_backlog();
    accepted(transit_socket(connection, world_.at(connection).listener));
  }
  config_.completions->commit();
}

void SimDriver::begin_wait() {
  serve_starved();
  issue();
}

bool SimDriver::ready() {
  progress();
  if (world_.strikes(Fault::kSpuriousWake)) return true;
  // Who waits for a buffer must not wait for a held completion, behind which the buffers may be.
  bool starving = !starved_.empty() && (!free_buffers_.empty() || !held_.empty());
  bool knocking = !listening_.empty() && world_.backlog_waits();
  return signalled_ || starving || knocking || !queue_.empty() || config_.completions->used() > 0;
}

Waited SimDriver::wait(int64_t) {
  Waited waited;
  begin_wait();
  progress();
  report_held();
  reap();
  accept();
  waited.woken = std::exchange(signalled_, false);
  return waited;
}

void SimDriver::signal() {
  if (world_.bug(Bug::kWakeLost) && world_.random().below(20) == 0) return;
  signalled_ = true;
}

int64_t SimDriver::next_due() const {
  int64_t next = -1;
  auto take = [&next](int64_t due) {
    if (due >= 0 && (next < 0 || due < next)) next = due;
  };
  for (const Endpoint& endpoint : endpoints_) {
    if (!endpoint.used) continue;
    // A send that waits for room, or a receive that waits for bytes, is not due at any time.
    if (endpoint.send.active && endpoint.send.issued && endpoint.send.due_ns > world_.now_ns()) take(endpoint.send.due_ns);
    if (endpoint.recv_due_ns > world_.now_ns()) take(endpoint.recv_due_ns);
    take(endpoint.pause_due_ns);
    take(endpoint.cancel_due_ns);
    take(endpoint.connect_due_ns);
    for (const Read& read : endpoint.reads) take(read.due_ns);
  }
  return next;
}

void SimDriver::close() {
  if (!open_) return;
  open_ = false;
  for (int32_t i = 0; i < config_.slot_count; i++) {
    Endpoint& endpoint = endpoints_[static_cast<size_t>(i)];
    if (!endpoint.used || endpoint.connection < 0) continue;
    if (config_.borrows) {
      if (!is_lost(config_.first_slot + i, endpoint.connection)) world_.at(endpoint.connection).borrowed = false;
      continue;
    }
    hide_handle(config_.first_slot + i, layout::kHandleLost);
    world_.server_close(world_.at(endpoint.connection), true);
  }
  // There are no more tokens than there have been connections.
  for (int32_t token = 0; token < world_.count(); token++) {
    const shared::TransitSocket* socket = transit_.find(token);
    if (socket != nullptr && connection_of(*socket) >= 0) world_.server_close(world_.at(connection_of(*socket)), true);
  }
  endpoints_.clear();
  config_.slot_count = 0;
  transit_.clear();
}

}  // namespace driver::sim
