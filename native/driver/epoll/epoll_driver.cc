// What: the epoll driver: edge-triggered readiness turned into completions by non-blocking calls.
// Flow: submissions -> this -> kernel -> this -> completions.
// Thread: one instance per thread.
#include "driver/epoll/epoll_driver.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "driver/epoll/socket_calls.h"
#include "driver/linux_status.h"
#include "driver/socket.h"

namespace driver {

using layout::CompletionKind;
using layout::IoStatus;

namespace {

// epoll_data = kind 8 | slot 24 | generation 32; a stale event never reaches a reused slot.
enum Source : uint64_t { kSlot = 1, kListener, kBackend, kWake };

uint64_t source(Source kind, int32_t index, uint32_t generation) {
  return static_cast<uint64_t>(kind) << 56 | static_cast<uint64_t>(index) << 32 | generation;
}

// Events of one wait. Each takes a receive buffer; so few, the ones that came back last, stay in the cache and
// the translation buffer: an echo at 1,000 connections costs 0.8 of what it costs with a thousand events.
constexpr uint32_t kEventsPerWait = 64;
// Work per socket and turn: a peer that blasts gets this many buffers before the others get theirs.
constexpr int kReadsPerTurn = 4;
// Connections taken from one listener per turn.
constexpr int kAcceptsPerTurn = 64;
constexpr uint32_t kEdge = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
// Of a borrowed socket; if there is room by now, that is an edge, too.
constexpr uint32_t kRoom = EPOLLOUT | EPOLLET;

}  // namespace

EpollDriver::~EpollDriver() { close(); }

std::string EpollDriver::open(const Config& config) {
  config_ = config;
  epoll_ = base::Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return std::string("epoll_create1 failed: ") + std::strerror(errno);
  endpoints_.resize(static_cast<size_t>(config_.slot_count));
  iovecs_.resize(static_cast<size_t>(layout::kGatherMax));
  events_.resize(std::min(config_.batch, kEventsPerWait));
  for (int32_t i = config_.buffer_count - 1; i >= 0; i--) free_buffers_.push_back(config_.first_buffer + i);
  auto add = [this](int fd, uint32_t events, uint64_t data) {
    if (fd < 0) return;
    epoll_event event{};
    event.events = events;
    event.data.u64 = data;
    OVERLAPPED_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
  };
  // The backend's readiness is a level; the wake descriptor is never drained, every write is an edge.
  add(config_.backend_fd, EPOLLIN, source(kBackend, 0, 0));
  if (config_.alarm != nullptr) add(config_.alarm->fd(), EPOLLIN | EPOLLET, source(kWake, 0, 0));
  return "";
}

const shared::SocketAddress* EpollDriver::peer(int32_t slot, uint32_t generation) const {
  int32_t index = slot - config_.first_slot;
  if (index < 0 || index >= config_.slot_count) return nullptr;
  const Endpoint& endpoint = endpoints_[static_cast<size_t>(index)];
  bool is_attached = endpoint.fd >= 0 && endpoint.generation == generation && !config_.borrows;
  return is_attached ? &endpoint.address : nullptr;
}

EpollDriver::Endpoint& EpollDriver::at(int32_t slot) {
  int32_t index = slot - config_.first_slot;
  OVERLAPPED_CHECK(index >= 0 && index < config_.slot_count);
  return endpoints_[static_cast<size_t>(index)];
}

EpollDriver::Endpoint& EpollDriver::session_at(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = at(slot);
  OVERLAPPED_CHECK(endpoint.fd >= 0 && endpoint.generation == generation);
  return endpoint;
}

// --- listening ---------------------------------------------------------------------------------

void EpollDriver::listen(int32_t listener, int fd) {
  if (listeners_.size() <= static_cast<size_t>(listener)) listeners_.resize(static_cast<size_t>(listener) + 1);
  listeners_[static_cast<size_t>(listener)] = Listener{fd, false, false};
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = source(kListener, listener, 0);
  OVERLAPPED_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
}

void EpollDriver::unlisten(int32_t listener) {
  Listener& entry = listeners_[static_cast<size_t>(listener)];
  if (entry.fd >= 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry.fd, nullptr);
  entry = Listener{};
}

void EpollDriver::accept_again() {
  for (Listener& listener : listeners_) {
    if (listener.starved) listener.ready = true;
    listener.starved = false;
  }
}

void EpollDriver::accept_all() {
  for (size_t i = 0; i < listeners_.size(); i++) {
    Listener& listener = listeners_[i];
    auto index = static_cast<int32_t>(i);
    for (int taken = 0; listener.ready && taken < kAcceptsPerTurn && config_.completions->space() > 1; taken++) {
      shared::count(config_.counters, layout::Counter::kSyscalls);
      int fd = accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        accepted(index, fd);
        continue;
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      listener.ready = false;
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        listener.starved = true;
        accept_ended();
      }
    }
  }
}

// --- submissions -------------------------------------------------------------------------------

void EpollDriver::watch(int32_t slot, const Endpoint& endpoint, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = source(kSlot, slot, endpoint.generation);
  shared::count(config_.counters, layout::Counter::kSyscalls);
  OVERLAPPED_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, endpoint.fd, &event) == 0);
}

EpollDriver::Endpoint& EpollDriver::take_socket(int32_t slot, uint32_t generation, int32_t token) {
  Endpoint& endpoint = at(slot);
  OVERLAPPED_CHECK(endpoint.fd < 0);
  shared::TransitSocket socket = transit_.take(token);
  bool queued = endpoint.queued;
  endpoint = Endpoint{};
  endpoint.queued = queued;
  endpoint.fd = socket.fd.release();
  endpoint.generation = generation;
  endpoint.address = socket.peer;
  show_handle(slot, endpoint.fd, endpoint.address);
  return endpoint;
}

void EpollDriver::attach(int32_t slot, uint32_t generation, int32_t token) {
  watch(slot, take_socket(slot, generation, token), kEdge);
}

void EpollDriver::connect(int32_t slot, uint32_t generation, int32_t token) {
  Endpoint& endpoint = take_socket(slot, generation, token);
  set_nonblocking(endpoint.fd);
  int result = ::connect(endpoint.fd, &endpoint.address.any, address_length(endpoint.address));
  endpoint.connecting = result < 0 && errno == EINPROGRESS;
  int error = result < 0 ? errno : 0;
  watch(slot, endpoint, kEdge);
  if (!endpoint.connecting) complete(CompletionKind::kConnect, slot, generation, status_of(error), error);
}

void EpollDriver::finish_connect(int32_t slot, Endpoint& endpoint) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(endpoint.fd, SOL_SOCKET, SO_ERROR, &error, &length);
  endpoint.connecting = false;
  complete(CompletionKind::kConnect, slot, endpoint.generation, status_of(error), error);
}

void EpollDriver::start_recv(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  OVERLAPPED_CHECK(endpoint.recv != Recv::kArmed);
  endpoint.recv = Recv::kArmed;
  // The edge may have come before: one read finds out.
  endpoint.readable = true;
  mark_readable(slot, endpoint);
}

void EpollDriver::pause_recv(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  if (endpoint.recv != Recv::kArmed) return;
  endpoint.recv = Recv::kPaused;
  complete(CompletionKind::kPaused, slot, generation, IoStatus::kOk);
  if (endpoint.hangup) complete(CompletionKind::kPeerGone, slot, generation, IoStatus::kOk);
}

void EpollDriver::cancel_all(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  if (endpoint.recv != Recv::kIdle) end_recv(slot, endpoint, IoStatus::kCancelled);
  if (!endpoint.pending.empty()) {
    endpoint.pending.clear();
    complete(CompletionKind::kSend, slot, generation, IoStatus::kCancelled);
  }
  if (endpoint.connecting) {
    endpoint.connecting = false;
    complete(CompletionKind::kConnect, slot, generation, IoStatus::kCancelled);
  }
}

void EpollDriver::shut_down(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  if (is_lost(slot, endpoint.fd)) return;
  shared::count(config_.counters, layout::Counter::kSyscalls);
  ::shutdown(endpoint.fd, SHUT_WR);
}

void EpollDriver::close_socket(int32_t slot, uint32_t generation, bool resets) {
  Endpoint& endpoint = session_at(slot, generation);
  OVERLAPPED_CHECK(endpoint.recv == Recv::kIdle && endpoint.pending.empty() && !endpoint.connecting);
  if (resets) set_reset_on_close(endpoint.fd);
  hide_handle(slot, 0);
  shared::count(config_.counters, layout::Counter::kSyscalls);
  ::close(endpoint.fd);
  endpoint.fd = -1;
}

void EpollDriver::borrow(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = at(slot);
  OVERLAPPED_CHECK(endpoint.fd < 0);
  endpoint = Endpoint{};
  endpoint.fd = handle_of(slot, generation);
  endpoint.generation = generation;
}

void EpollDriver::give_back(int32_t slot, uint32_t generation) {
  Endpoint& endpoint = session_at(slot, generation);
  OVERLAPPED_CHECK(endpoint.pending.empty() && !holds(slot));
  if (!is_lost(slot, endpoint.fd) && endpoint.watched) {
    shared::count(config_.counters, layout::Counter::kSyscalls);
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, endpoint.fd, nullptr);
  }
  endpoint.fd = -1;
}

void EpollDriver::submitted(bool now) {
  if (now) report_held();
  config_.completions->commit();
}

// --- sending -----------------------------------------------------------------------------------

void EpollDriver::send(const GatheredSend& send) {
  Endpoint& endpoint = session_at(send.slot, send.generation);
  OVERLAPPED_CHECK(endpoint.pending.empty());
  for (size_t i = 0; i < send.slices; i++) {
    iovecs_[i] = {config_.memory.arena + send.pairs[2 * i], static_cast<size_t>(send.pairs[2 * i + 1])};
  }
  if (is_lost(send.slot, endpoint.fd)) {
    complete(CompletionKind::kSend, send.slot, send.generation, IoStatus::kReset);
    return;
  }
  if (!send.now) {
    endpoint.pending.assign(iovecs_.begin(), iovecs_.begin() + static_cast<ptrdiff_t>(send.slices));
    send_pending(send.slot, endpoint);
    shared::count(config_.counters, endpoint.pending.empty() ? layout::Counter::kSendsInline : layout::Counter::kSendsPending);
    return;
  }
  shared::count(config_.counters, layout::Counter::kSendsInline);
  shared::count(config_.counters, layout::Counter::kSyscalls);
  ssize_t sent;
  if (send.slices == 1) {
    sent = send_now(endpoint.fd, iovecs_[0].iov_base, iovecs_[0].iov_len);
  } else {
    msghdr header{};
    header.msg_iov = iovecs_.data();
    header.msg_iovlen = send.slices;
    sent = send_now(endpoint.fd, header);
  }
  if (send.lazy && sent == send.bytes) {
    held_.push_back({send.slot, send.generation, send.bytes, false});
    return;
  }
  // EAGAIN: the socket took nothing; that is an outcome, not a failure.
  bool took = sent >= 0 || errno == EAGAIN || errno == EINTR;
  complete(CompletionKind::kSend, send.slot, send.generation, took ? IoStatus::kOk : status_of(errno),
           static_cast<int32_t>(std::max<ssize_t>(sent, 0)));
}

void EpollDriver::report_held() {
  for (const HeldSend& held : held_) {
    complete(CompletionKind::kSend, held.slot, held.generation, IoStatus::kOk, held.bytes);
  }
  held_.clear();
}

/** Tries the waiting send; on EAGAIN the next EPOLLOUT edge tries again. A borrowed socket is watched from then on. */
void EpollDriver::send_pending(int32_t slot, Endpoint& endpoint) {
  msghdr header{};
  header.msg_iov = endpoint.pending.data();
  header.msg_iovlen = endpoint.pending.size();
  shared::count(config_.counters, layout::Counter::kSyscalls);
  ssize_t sent = send_now(endpoint.fd, header);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
    if (config_.borrows && !endpoint.watched) {
      endpoint.watched = true;
      watch(slot, endpoint, kRoom);
    }
    return;
  }
  int error = sent < 0 ? errno : 0;
  endpoint.pending.clear();
  complete(CompletionKind::kSend, slot, endpoint.generation, status_of(error),
           static_cast<int32_t>(std::max<ssize_t>(sent, 0)));
}

// --- receiving ---------------------------------------------------------------------------------

void EpollDriver::end_recv(int32_t slot, Endpoint& endpoint, IoStatus status) {
  endpoint.recv = Recv::kIdle;
  endpoint.readable = false;
  complete(CompletionKind::kRecv, slot, endpoint.generation, status, 0, layout::kCompletionFlagTerminal);
}

void EpollDriver::mark_readable(int32_t slot, Endpoint& endpoint) {
  if (endpoint.queued || endpoint.recv != Recv::kArmed) return;
  endpoint.queued = true;
  readable_.push_back(slot);
}

void EpollDriver::read(int32_t slot, Endpoint& endpoint) {
  const layout::Control& control = config_.memory.control();
  for (int reads = 0; reads < kReadsPerTurn; reads++) {
    if (free_buffers_.empty()) {
      if (!endpoint.starved) shared::count(config_.counters, layout::Counter::kBuffersStarved);
      endpoint.starved = true;
      return;
    }
    if (config_.completions->space() < 2) return;
    endpoint.starved = false;
    int32_t buffer = free_buffers_.back();
    uint8_t* memory = config_.memory.arena + control.recv_byte_at +
                      static_cast<int64_t>(buffer) * control.recv_buffer_stride;
    shared::count(config_.counters, layout::Counter::kSyscalls);
    ssize_t received = recv_now(endpoint.fd, memory, static_cast<size_t>(control.recv_buffer_bytes));
    if (received > 0) {
      free_buffers_.pop_back();
      shared::count(config_.counters, endpoint.behind ? layout::Counter::kRecvsInline : layout::Counter::kRecvsPending);
      endpoint.behind = received == control.recv_buffer_bytes;
      complete(CompletionKind::kRecv, slot, endpoint.generation, IoStatus::kOk, static_cast<int32_t>(received), 0, buffer);
      // A short read empties the socket (epoll(7)); only a hang-up behind it needs one more.
      if (received < control.recv_buffer_bytes && !endpoint.hangup) {
        endpoint.readable = false;
        return;
      }
      filled_ |= received == control.recv_buffer_bytes;
      continue;
    }
    if (received == 0) return end_recv(slot, endpoint, IoStatus::kEndOfStream);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return end_recv(slot, endpoint, status_of(errno));
    endpoint.readable = endpoint.behind = false;
    return;
  }
}

/** One round over all that are ready; who is not done goes to the end of the queue. */
void EpollDriver::read_all() {
  size_t round = readable_.size();
  for (size_t i = 0; i < round; i++) {
    int32_t slot = readable_.front();
    readable_.pop_front();
    Endpoint& endpoint = at(slot);
    endpoint.queued = false;
    if (endpoint.fd < 0 || endpoint.recv != Recv::kArmed || !endpoint.readable) continue;
    read(slot, endpoint);
    if (endpoint.readable) mark_readable(slot, endpoint);
  }
}

void EpollDriver::on_event(const epoll_event& event, Waited* waited) {
  auto index = static_cast<int32_t>((event.data.u64 >> 32) & 0xffffff);
  switch (event.data.u64 >> 56) {
    case kBackend:
      waited->backend_ready = true;
      return;
    case kWake:
      waited->woken = true;
      return;
    case kListener:
      listeners_[static_cast<size_t>(index)].ready = true;
      return;
    default:
      break;
  }
  Endpoint& endpoint = at(index);
  if (endpoint.fd < 0 || endpoint.generation != static_cast<uint32_t>(event.data.u64)) return;
  if (endpoint.connecting) {
    if ((event.events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) finish_connect(index, endpoint);
    return;
  }
  if ((event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    if (endpoint.recv == Recv::kPaused && !endpoint.hangup) {
      complete(CompletionKind::kPeerGone, index, endpoint.generation, IoStatus::kOk);
    }
    endpoint.hangup = true;
  }
  if ((event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    endpoint.readable = true;
    mark_readable(index, endpoint);
  }
  if ((event.events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0 && !endpoint.pending.empty()) {
    send_pending(index, endpoint);
  }
}

Waited EpollDriver::wait(int64_t timeout_ms) {
  Waited waited;
  bool accepting = std::any_of(listeners_.begin(), listeners_.end(), [](const Listener& l) { return l.ready; });
  // Ready sockets that wait for a buffer, or for room in the ring, must not make the wait spin: they
  // go on when buffers come back, which is a submission and so a turn of this thread.
  // Nor must they wait for a held completion, behind which the buffers may be.
  bool reading = !readable_.empty() && (!free_buffers_.empty() || !held_.empty());
  if (accepting || reading || config_.completions->used() > 0) timeout_ms = 0;
  shared::level(config_.counters, layout::Counter::kBuffersUsed,
                static_cast<double>(static_cast<size_t>(config_.buffer_count) - free_buffers_.size()));
  // Room for what each event can add at once (a send and a peer's leaving).
  size_t room = std::min<size_t>(events_.size(), config_.completions->space() / 3);
  if (room > 0) {
    shared::count(config_.counters, layout::Counter::kSyscalls);
    auto timeout = static_cast<int>(std::min<int64_t>(timeout_ms, 1 << 30));
    int count = epoll_wait(epoll_.get(), events_.data(), static_cast<int>(room), timeout);
    waited.more = count == static_cast<int>(room);
    for (int i = 0; i < count; i++) on_event(events_[static_cast<size_t>(i)], &waited);
  }
  report_held();
  accept_all();
  filled_ = false;
  read_all();
  waited.more |= filled_ || !readable_.empty();
  config_.completions->commit();
  return waited;
}

void EpollDriver::close() {
  for (int32_t i = 0; i < config_.slot_count && !config_.borrows; i++) {
    int fd = endpoints_[static_cast<size_t>(i)].fd;
    if (fd < 0) continue;
    hide_handle(config_.first_slot + i, layout::kHandleLost);
    ::close(fd);
  }
  endpoints_.clear();
  config_.slot_count = 0;
  readable_.clear();
  listeners_.clear();
  transit_.clear();
  epoll_.reset();
}

}  // namespace driver
