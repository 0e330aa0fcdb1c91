// What: a simulated network for the sim driver: connections, a virtual clock, and seeded faults, each kind counted.
// Flow: simulated clients, sim drivers -> this -> what each side can read, in virtual time.
// Thread: the one that steps the simulation.
#include "driver/sim/world.h"

#include <algorithm>
#include <cstring>

namespace driver::sim {

void Pipe::write(const uint8_t* bytes, size_t count, int64_t due_ns) {
  bytes_.insert(bytes_.end(), bytes, bytes + count);
  // In order: nothing overtakes on a stream.
  if (!on_way_.empty()) due_ns = std::max(due_ns, on_way_.back().due_ns);
  on_way_.push_back({count, due_ns});
}

void Pipe::end(int64_t due_ns) { write(nullptr, 0, due_ns); }

bool Pipe::arrive(int64_t now_ns) {
  bool ended = false;
  while (!on_way_.empty() && on_way_.front().due_ns <= now_ns) {
    visible_ += on_way_.front().count;
    if (on_way_.front().count == 0) ended = ended_ = true;
    on_way_.pop_front();
  }
  return ended;
}

size_t Pipe::read(uint8_t* to, size_t count) {
  count = std::min(count, visible_);
  if (count == 0) return 0;
  std::memcpy(to, bytes_.data() + head_, count);
  head_ += count;
  visible_ -= count;
  if (head_ == bytes_.size()) {
    bytes_.clear();
    head_ = 0;
  }
  return count;
}

void Pipe::drop() {
  bytes_.clear();
  head_ = visible_ = 0;
  on_way_.clear();
}

void Pipe::cut() {
  bytes_.resize(head_ + visible_);
  on_way_.clear();
}

World::World(Options options)
    : options_(std::move(options)), random_(options_.seed), counts_(static_cast<size_t>(Fault::kCount)) {
  options_.permille.resize(static_cast<size_t>(Fault::kCount));
}

bool World::strikes(Fault fault) {
  int32_t permille = options_.permille[static_cast<size_t>(fault)];
  if (permille == 0 || random_.below(1000) >= permille) return false;
  count(fault);
  return true;
}

int64_t World::operation_due() {
  return strikes(Fault::kLateCompletion) ? now_ns_ + 1 + random_.below(kOperationNsMax) : now_ns_;
}

int32_t World::add(int listener) {
  connections_.emplace_back();
  connections_.back().listener = listener;
  return count() - 1;
}

int32_t World::knock(int listener) {
  int32_t made = add(listener);
  int64_t due_ns = arrival_due();
  if (!backlog_.empty()) due_ns = std::max(due_ns, backlog_.back().due_ns);
  backlog_.push_back({made, due_ns});
  return made;
}

int32_t World::take_backlog() {
  int32_t connection = backlog_.front().connection;
  backlog_.pop_front();
  return connection;
}

void World::close_listener(int listener) {
  std::erase_if(backlog_, [&](const Knocking& knocking) {
    Connection& connection = at(knocking.connection);
    if (connection.listener != listener) return false;
    server_close(connection, true);
    return true;
  });
}

void World::deliver() {
  for (Connection& connection : connections_) {
    if (connection.to_server.arrive(now_ns_)) count(Fault::kPeerEnd);
    connection.to_client.arrive(now_ns_);
    if (connection.reset_to_server_ns >= 0 && connection.reset_to_server_ns <= now_ns_) {
      connection.reset_to_server_ns = -1;
      if (connection.server_open && !connection.server_reset) {
        connection.server_reset = connection.server_error = true;
        count(Fault::kPeerReset);
        connection.to_server.cut();
        if (connection.to_server.held() > 0 && strikes(Fault::kUnreadDropped)) connection.to_server.drop();
      }
      connection.to_client.drop();
    }
    if (connection.reset_to_client_ns >= 0 && connection.reset_to_client_ns <= now_ns_) {
      connection.reset_to_client_ns = -1;
      connection.client_reset = true;
      connection.to_client.drop();
      connection.to_server.drop();
    }
    // Bytes for a socket that is gone are answered by RST.
    if (connection.client_gone && connection.to_client.visible() > 0 && connection.reset_to_server_ns < 0) {
      connection.to_client.drop();
      if (connection.server_open) connection.reset_to_server_ns = arrival_due();
    }
    if (!connection.server_open && connection.to_server.visible() > 0) {
      connection.to_server.drop();
      if (connection.reset_to_client_ns < 0) connection.reset_to_client_ns = arrival_due();
    }
  }
}

int64_t World::next_due() const {
  int64_t next = -1;
  auto take = [&next](int64_t due) {
    if (due >= 0 && (next < 0 || due < next)) next = due;
  };
  if (!backlog_.empty() && !backlog_waits()) take(backlog_.front().due_ns);
  for (const Connection& connection : connections_) {
    take(connection.to_server.next_due());
    take(connection.to_client.next_due());
    take(connection.reset_to_server_ns);
    take(connection.reset_to_client_ns);
  }
  return next;
}

size_t World::server_send(Connection& connection, const uint8_t* bytes, size_t count) {
  auto capacity = static_cast<size_t>(options_.pipe_bytes);
  size_t taken = std::min(count, capacity - std::min(capacity, connection.to_client.held()));
  if (taken > 0) connection.to_client.write(bytes, taken, arrival_due());
  connection.taken_from_server += static_cast<int64_t>(taken);
  return taken;
}

void World::server_end(Connection& connection) {
  if (connection.server_ended) return;
  connection.server_ended = true;
  connection.to_client.end(arrival_due());
}

void World::server_close(Connection& connection, bool reset) {
  connection.server_open = false;
  // What was not read makes it an RST too: tcp(7), RFC 2525 2.17.
  if (reset || connection.to_server.visible() > 0) {
    connection.reset_to_client_ns = arrival_due();
  } else if (!connection.server_reset) {
    server_end(connection);
  }
  if (connection.to_server.visible() > 0) connection.to_server.drop();
}

size_t World::client_send(Connection& connection, const uint8_t* bytes, size_t count) {
  if (connection.client_ended || connection.client_reset) return 0;
  auto capacity = static_cast<size_t>(options_.pipe_bytes);
  size_t taken = std::min(count, capacity - std::min(capacity, connection.to_server.held()));
  for (size_t done = 0; done < taken;) {
    // Cut at any byte: a stream keeps no message together.
    size_t part = static_cast<size_t>(1 + random_.below(static_cast<int64_t>(taken - done)));
    connection.to_server.write(bytes + done, part, arrival_due());
    done += part;
  }
  return taken;
}

void World::client_end(Connection& connection) {
  if (connection.client_ended) return;
  connection.client_ended = true;
  if (connection.server_open) connection.to_server.end(arrival_due());
}

void World::client_close(Connection& connection) {
  client_end(connection);
  connection.client_open = false;
  connection.client_gone = true;
}

void World::client_reset(Connection& connection) {
  connection.client_ended = connection.client_gone = true;
  connection.client_open = false;
  if (connection.server_open) connection.reset_to_server_ns = arrival_due();
}

}  // namespace driver::sim
