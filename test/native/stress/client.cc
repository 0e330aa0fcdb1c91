// What: connections that send, stall, end or reset, and check every byte that comes back.
// Flow: listener of the stress program <-> this.
// Thread: each has its own, with many connections.
#include "client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "driver/socket.h"

namespace stress {

namespace {

constexpr uint32_t kOutstanding = 16'384;
constexpr int kSocketBytes = 4096;
constexpr int kSegmentBytes = 536;
constexpr int kOn = 1;
constexpr int kKeepaliveSeconds = 1;

}  // namespace

void Client::run() {
  // One more than there are slots, with two clients: now and then a connection finds no room.
  std::vector<Connection> connections(static_cast<size_t>(session_count()) / 2 + 1);
  for (Connection& connection : connections) open(connection);
  auto finish_at = std::chrono::steady_clock::time_point::max();
  for (;;) {
    if (shared_.clients_quiet) quiet_ = true;
    if (!finishing_ && shared_.clients_finish) {
      finishing_ = true;
      finish_at = std::chrono::steady_clock::now() + std::chrono::milliseconds(options.patience_ms);
    }
    std::vector<pollfd> polled;
    bool all_finished = true;
    for (Connection& connection : connections) {
      bool wants_write = !quiet_ && !connection.fin_sent && connection.sent < connection.budget &&
                         connection.sent - connection.echoed < kOutstanding;
      if (connection.stalled > 0) connection.stalled--;
      bool wants_read = quiet_ || connection.stalled == 0;
      auto events = static_cast<short>((wants_write ? POLLOUT : 0) | (wants_read ? POLLIN : 0));
      polled.push_back({connection.finished ? -1 : connection.fd.get(), events, 0});
      if (!connection.finished) all_finished = false;
    }
    if (finishing_ && all_finished) return;
    poll(polled.data(), polled.size(), 2);
    for (size_t i = 0; i < connections.size(); i++) {
      Connection& connection = connections[i];
      if (connection.finished) continue;
      if ((polled[i].revents & POLLOUT) != 0) write(connection);
      if (connection.fd.valid() && (polled[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) read(connection);
      if (connection.fd.valid() && !connection.fin_sent) {
        bool reset = !quiet_ && connection.sent >= connection.budget && connection.key % 3 == 0;
        bool end = quiet_ ? finishing_ && complete(connection) : connection.sent >= connection.budget;
        if (reset) {
          driver::set_reset_on_close(connection.fd.get());
          connection.fd.reset();
        } else if (end) {
          connection.fin_sent = true;
          shutdown(connection.fd.get(), SHUT_WR);
        }
      }
      if (connection.fd.valid()) continue;
      if (quiet_) connection.finished = true;
      else open(connection);
    }
    if (std::chrono::steady_clock::now() > finish_at) fail("a message was lost: waited in vain for what was sent");
  }
}

void Client::open(Connection& connection) {
  connection = Connection{};
  connection.key = options.seed * 31u + index_ * 1'000'003u + opened_++;
  connection.budget = random_.one_in(4) ? random_.below(200'000) : random_.below(5000);
  connection.fd = base::Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  setsockopt(connection.fd.get(), SOL_SOCKET, SO_RCVBUF, &kSocketBytes, sizeof kSocketBytes);
  // A window below one segment is filled by TCP's persist timer only, every 200 ms, and on loopback a segment is half of
  // the window at first. It shrinks with the memory that arrives: of a gather that is not copied that is whole pages.
  setsockopt(connection.fd.get(), IPPROTO_TCP, TCP_MAXSEG, &kSegmentBytes, sizeof kSegmentBytes);
  // Where there was no memory for a segment, a reset behind it is out of the window and goes unheard: who only reads asks.
  setsockopt(connection.fd.get(), SOL_SOCKET, SO_KEEPALIVE, &kOn, sizeof kOn);
  setsockopt(connection.fd.get(), IPPROTO_TCP, TCP_KEEPIDLE, &kKeepaliveSeconds, sizeof kKeepaliveSeconds);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // Where no slot is free it is reset, sometimes before this call has returned.
  if (connect(connection.fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 && errno != ECONNRESET) {
    fail(std::string("a connection was not made: ") + std::strerror(errno));
  }
  driver::set_nonblocking(connection.fd.get());
}

void Client::write(Connection& connection) {
  uint8_t bytes[4096];
  uint32_t length = std::min<uint32_t>(1 + random_.below(sizeof bytes), connection.budget - connection.sent);
  for (uint32_t i = 0; i < length; i++) bytes[i] = byte_of(connection.key, connection.sent + i);
  ssize_t written = send(connection.fd.get(), bytes, length, MSG_NOSIGNAL);
  if (written > 0) connection.sent += static_cast<uint32_t>(written);
  else if (errno != EAGAIN) ended(connection, true);
}

void Client::read(Connection& connection) {
  uint8_t bytes[8192];
  ssize_t count = recv(connection.fd.get(), bytes, sizeof bytes, 0);
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) ended(connection, true);
    return;
  }
  if (count == 0) return ended(connection, false);
  connection.received.insert(connection.received.end(), bytes, bytes + count);
  size_t used = parse(connection);
  connection.received.erase(connection.received.begin(), connection.received.begin() + static_cast<ptrdiff_t>(used));
  // Long enough for the sockets to fill up.
  if (random_.one_in(200)) connection.stalled = 50;
}

size_t Client::parse(Connection& connection) {
  size_t at = 0;
  while (connection.received.size() - at >= sizeof(Record)) {
    Record record;
    std::memcpy(&record, connection.received.data() + at, sizeof record);
    expect(record.length >= 0 && record.length <= kPayloadMax, "a record with an impossible length");
    size_t total = sizeof record + static_cast<size_t>(record.length);
    if (connection.received.size() - at < total) break;
    check(connection, record, connection.received.data() + at + sizeof record);
    at += total;
  }
  return at;
}

void Client::check(Connection& connection, const Record& record, const uint8_t* payload) {
  auto length = static_cast<uint32_t>(record.length);
  if (record.from == kFromHello) {
    expect(connection.slot == -1 && length == 8, "a session says its name once");
    std::memcpy(&connection.slot, payload, 4);
    std::memcpy(&connection.generation, payload + 4, 4);
    return;
  }
  if (record.from == kFromBye) {
    connection.bye = true;
    return;
  }
  if (record.from == kFromEcho) {
    expect(record.sequence == connection.echo_sequence++, "an echo is out of order");
    expect(connection.echoed + length <= connection.sent, "an echo of what was not sent");
    for (uint32_t i = 0; i < length; i++) {
      expect(payload[i] == byte_of(connection.key, connection.echoed + i), "an echo with another byte");
    }
    connection.echoed += length;
    shared_.totals.echoed_bytes += length;
    return;
  }
  expect(record.from >= 0 && record.from < kThreads, "a record from nobody");
  expect(connection.slot != -1, "a message came before what the session itself sent first");
  expect(record.sequence == connection.foreign[record.from]++, "a message of another thread was lost, doubled or moved");
  uint32_t key = key_of(connection.slot, connection.generation, record.from, record.sequence);
  for (uint32_t i = 0; i < length; i++) expect(payload[i] == byte_of(key, i), "a message with another byte");
}

void Client::ended(Connection& connection, bool by_reset) {
  if (!by_reset && !connection.bye) {
    expect(connection.fin_sent, "a session ended without a word");
    expect(connection.echoed == connection.sent, "bytes were not echoed before the end");
    expect(connection.received.empty(), "half a record before the end");
    ended_whole_++;
  }
  connection.fd.reset();
}

/** Everything that was on its way to it has come. */
bool Client::complete(const Connection& connection) const {
  if (connection.slot == -1 || connection.echoed < connection.sent) return false;
  for (int32_t thread = 0; thread < kThreads; thread++) {
    uint64_t pushed = shared_.pushed.of[thread][connection.slot].load();
    uint64_t count = pushed >> 32 == connection.generation ? pushed & 0xffffffffu : 0;
    if (static_cast<uint64_t>(connection.foreign[thread]) < count) return false;
  }
  return true;
}

}  // namespace stress
