// What: the kernel's half of the sim driver: what operations that were submitted do, and when in virtual time.
// Flow: world, operations of sim_driver.cc -> this -> their completions, in sim_driver.cc's queue.
// Thread: as the driver's.
#include <algorithm>
#include <cstring>

#include "driver/sim/sim_driver.h"

namespace driver::sim {

using layout::CompletionKind;
using layout::IoStatus;

namespace {

// Receives of one session before the others get theirs.
constexpr int kReadsPerRound = 4;
// How late a notification is that is late: a few times what anything else takes.
constexpr int64_t kNotificationNsMin = 100'000;
constexpr int64_t kNotificationNsMax = 5'000'000;

}  // namespace

bool SimDriver::peer_left(const Endpoint& endpoint) const {
  if (endpoint.connection < 0) return false;
  const Connection& connection = world_.at(endpoint.connection);
  return connection.server_reset || connection.to_server.end_arrived();
}

/** The socket takes what it has room for; seeded, less. */
void SimDriver::execute_send(int32_t slot, Endpoint& endpoint) {
  Send& send = endpoint.send;
  Connection& connection = world_.at(endpoint.connection);
  // Closed it is only where its owner has ended.
  if (connection.server_reset || !connection.server_open) {
    connection.server_error = false;
    send.active = false;
    return complete(CompletionKind::kSend, slot, endpoint, IoStatus::kReset);
  }
  if (send.number >= 0 && world_.strikes(Fault::kZeroCopyRefused)) {
    send.active = false;
    bool notifies = world_.random().below(2) == 0;
    if (notifies) take_zero_copy(endpoint, 0);
    return complete(CompletionKind::kSend, slot, endpoint, IoStatus::kNoResources, 0,
                    notifies ? layout::kCompletionFlagNotifies : 0);
  }
  int32_t most = send.total;
  // One that waits for room takes at least a byte when there is some.
  if (send.total > 0 && world_.strikes(Fault::kShortSend)) {
    most = static_cast<int32_t>(world_.random().below(send.total));
    if (!send.now) most = std::max(most, 1);
  }
  int32_t taken = 0;
  for (const Slice& slice : send.slices) {
    if (taken == most) break;
    auto count = static_cast<size_t>(std::min(slice.length, most - taken));
    size_t part = world_.server_send(connection, config_.memory.arena + slice.offset, count);
    taken += static_cast<int32_t>(part);
    if (part < count) break;
  }
  // Without SEND_FLAG_NOW it waits for room.
  if (taken == 0 && send.total > 0 && !send.now) return;
  if (taken == 0 && send.total > 0) world_.count(Fault::kSocketFull);
  send.active = false;
  if (send.number >= 0) {
    take_zero_copy(endpoint, taken);
    return complete(CompletionKind::kSend, slot, endpoint, IoStatus::kOk, taken, layout::kCompletionFlagNotifies);
  }
  if (send.now && send.lazy && taken == send.total) {
    held_.push_back({slot, endpoint.generation, taken, false});
    return;
  }
  if (world_.bug(Bug::kShortSendWhole)) taken = send.total;
  complete(CompletionKind::kSend, slot, endpoint, IoStatus::kOk, taken);
}

/** The kernel may read what it has taken until a time of its own, in no order. */
void SimDriver::take_zero_copy(Endpoint& endpoint, int32_t taken) {
  Read read;
  read.number = endpoint.send.number;
  read.due_ns = world_.operation_due();
  if (world_.strikes(Fault::kLateNotification)) read.due_ns += kNotificationNsMin + world_.random().below(kNotificationNsMax);
  for (const Slice& slice : endpoint.send.slices) {
    int32_t count = std::min(slice.length, taken);
    if (count == 0) break;
    read.slices.push_back({slice.offset, count});
    const uint8_t* bytes = config_.memory.arena + slice.offset;
    read.bytes.insert(read.bytes.end(), bytes, bytes + count);
    taken -= count;
  }
  endpoint.reads.push_back(std::move(read));
}

void SimDriver::notify(int32_t slot, Endpoint& endpoint) {
  for (size_t i = 0; i < endpoint.reads.size();) {
    if (endpoint.reads[i].due_ns > world_.now_ns()) {
      i++;
      continue;
    }
    Read read = std::move(endpoint.reads[i]);
    endpoint.reads.erase(endpoint.reads.begin() + static_cast<ptrdiff_t>(i));
    size_t at = 0;
    for (const Slice& slice : read.slices) {
      if (std::memcmp(config_.memory.arena + slice.offset, read.bytes.data() + at, static_cast<size_t>(slice.length)) != 0) {
        return world_.violate("the bytes of a zero-copy SEND changed before it was notified");
      }
      at += static_cast<size_t>(slice.length);
    }
    bool copied = read.bytes.empty() || world_.random().below(2) == 0;
    complete(CompletionKind::kNotified, slot, endpoint, IoStatus::kOk, read.number, copied ? layout::kCompletionFlagCopied : 0);
  }
}

void SimDriver::end_recv(int32_t slot, Endpoint& endpoint, IoStatus status) {
  if (endpoint.pause_due_ns >= 0 || (endpoint.cancel_due_ns >= 0 && status != IoStatus::kCancelled)) {
    // It lost against the stream's end, which is reported instead.
    world_.count(Fault::kLostRace);
  }
  endpoint.recv = Recv::kIdle;
  endpoint.pause_due_ns = -1;
  if (status == IoStatus::kCancelled && world_.bug(Bug::kCancelUnanswered)) return;
  complete(CompletionKind::kRecv, slot, endpoint, status, 0, layout::kCompletionFlagTerminal);
}

void SimDriver::paused(int32_t slot, Endpoint& endpoint) {
  endpoint.recv = Recv::kPaused;
  endpoint.pause_due_ns = -1;
  endpoint.watched = true;
  if (!world_.bug(Bug::kPauseUnanswered)) complete(CompletionKind::kPaused, slot, endpoint, IoStatus::kOk);
}

void SimDriver::receive(int32_t slot, Endpoint& endpoint) {
  const layout::Control& control = config_.memory.control();
  Connection& connection = world_.at(endpoint.connection);
  for (int reads = 0; reads < kReadsPerRound; reads++) {
    if (connection.to_server.visible() == 0) {
      if (connection.server_error) {
        connection.server_error = false;
        end_recv(slot, endpoint, IoStatus::kReset);
      } else if (connection.server_reset || connection.to_server.ended()) {
        end_recv(slot, endpoint, IoStatus::kEndOfStream);
      }
      return;
    }
    if (free_buffers_.empty()) {
      shared::count(config_.counters, layout::Counter::kBuffersStarved);
      world_.count(Fault::kStarved);
      if (endpoint.recv == Recv::kPausing) return paused(slot, endpoint);
      if (endpoint.recv == Recv::kCancelling) return end_recv(slot, endpoint, IoStatus::kCancelled);
      endpoint.recv = Recv::kStarved;
      starved_.push_back({slot, endpoint.generation});
      return;
    }
    int32_t buffer = free_buffers_.back();
    free_buffers_.pop_back();
    buffer_is_free_[static_cast<size_t>(buffer - config_.first_buffer)] = false;
    auto most = std::min<int64_t>(static_cast<int64_t>(connection.to_server.visible()), control.recv_buffer_bytes);
    if (world_.strikes(Fault::kShortRead)) most = 1 + world_.random().below(most);
    uint8_t* memory = config_.memory.arena + control.recv_byte_at +
                      static_cast<int64_t>(buffer) * control.recv_buffer_stride;
    auto received = static_cast<int32_t>(connection.to_server.read(memory, static_cast<size_t>(most)));
    complete(CompletionKind::kRecv, slot, endpoint, IoStatus::kOk, received, 0, buffer);
    endpoint.recv_due_ns = world_.operation_due();
    if (endpoint.recv_due_ns > world_.now_ns()) return;
  }
}

/** The cancel arrives: what has not finished by now is answered. */
void SimDriver::cancel(int32_t slot, Endpoint& endpoint) {
  if (endpoint.recv != Recv::kIdle) end_recv(slot, endpoint, IoStatus::kCancelled);
  if (endpoint.send.active && !endpoint.send.now) {
    endpoint.send.active = false;
    complete(CompletionKind::kSend, slot, endpoint, IoStatus::kCancelled);
  }
  if (endpoint.connect_due_ns >= 0) {
    endpoint.connect_due_ns = -1;
    complete(CompletionKind::kConnect, slot, endpoint, IoStatus::kCancelled);
  }
  endpoint.cancel_due_ns = -1;
  // Aborted: nothing of it is read any more.
  for (Read& read : endpoint.reads) read.due_ns = world_.now_ns();
}

void SimDriver::progress(int32_t slot, Endpoint& endpoint) {
  int64_t now = world_.now_ns();
  if (endpoint.connect_due_ns >= 0 && endpoint.connect_due_ns <= now) {
    endpoint.connect_due_ns = -1;
    if (endpoint.connect_status == IoStatus::kOk) {
      endpoint.connection = world_.add(-1);
      endpoint.address.v4.sin_port = htons(static_cast<uint16_t>(kFirstPort + endpoint.connection));
      show_handle(slot, endpoint.connection, endpoint.address);
    }
    complete(CompletionKind::kConnect, slot, endpoint, endpoint.connect_status);
  }
  if (endpoint.send.active && endpoint.send.issued && endpoint.send.due_ns <= now) execute_send(slot, endpoint);
  bool receives = endpoint.recv == Recv::kArmed || endpoint.recv == Recv::kPausing || endpoint.recv == Recv::kCancelling;
  if (receives && endpoint.recv_due_ns <= now) receive(slot, endpoint);
  if (endpoint.pause_due_ns >= 0 && endpoint.pause_due_ns <= now && endpoint.recv == Recv::kPausing) {
    paused(slot, endpoint);
  }
  if (endpoint.watched && peer_left(endpoint)) {
    endpoint.watched = false;
    complete(CompletionKind::kPeerGone, slot, endpoint, IoStatus::kOk);
  }
  if (endpoint.cancel_due_ns >= 0 && endpoint.cancel_due_ns <= now) cancel(slot, endpoint);
  notify(slot, endpoint);
}

void SimDriver::progress() {
  for (int32_t i = 0; i < config_.slot_count; i++) {
    Endpoint& endpoint = endpoints_[static_cast<size_t>(i)];
    if (endpoint.used) progress(config_.first_slot + i, endpoint);
  }
}

/** Buffers came back: first come first served, at most as many as there are buffers. */
void SimDriver::serve_starved() {
  if (world_.bug(Bug::kStarvedForgotten)) return;
  for (size_t budget = free_buffers_.size(); budget > 0 && !starved_.empty(); budget--) {
    Starved next = starved_.front();
    starved_.pop_front();
    Endpoint& endpoint = endpoints_[static_cast<size_t>(next.slot - config_.first_slot)];
    if (!endpoint.used || endpoint.generation != next.generation || endpoint.recv != Recv::kStarved) continue;
    endpoint.recv = Recv::kArmed;
    endpoint.recv_due_ns = world_.operation_due();
  }
}

}  // namespace driver::sim
