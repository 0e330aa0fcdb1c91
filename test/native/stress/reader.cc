// What: connections that read what the send thread sends, check each byte, stall, end or reset.
// Flow: listener of the stress program <-> this.
// Thread: its own, with many connections.
#include "reader.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "driver/socket.h"

namespace stress {

namespace {

constexpr int kSocketBytes = 4096;
// Whoever is to get so much more, and does not read, fills both sockets.
constexpr uint32_t kMoreThanSocketsHold = 60'000;

}  // namespace

void Reader::run() {
  // More than there are slots: now and then a connection finds no room.
  connections_.resize(static_cast<size_t>(session_count()) + 2);
  for (Connection& connection : connections_) open(connection);
  auto patience = std::chrono::milliseconds(options.patience_ms);
  auto heard_at = std::chrono::steady_clock::now();
  while (!shared_.clients_finish || stalled_for_good_ == 0 ||
         std::any_of(connections_.begin(), connections_.end(), [](const Connection& c) { return c.fd.valid() && !c.for_good; })) {
    std::vector<pollfd> polled;
    for (Connection& connection : connections_) {
      bool wants = !connection.for_good && connection.stalled == 0;
      if (connection.stalled > 0) connection.stalled--;
      polled.push_back({wants ? connection.fd.get() : -1, POLLIN, 0});
    }
    if (poll(polled.data(), polled.size(), 2) > 0) heard_at = std::chrono::steady_clock::now();
    for (size_t i = 0; i < connections_.size(); i++) {
      Connection& connection = connections_[i];
      if (connection.for_good) continue;
      if (connection.fd.valid() && (polled[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) read(connection);
      if (!connection.fd.valid() && (!shared_.clients_finish || stalled_for_good_ == 0)) open(connection);
    }
    if (std::chrono::steady_clock::now() > heard_at + patience) fail("waited in vain for what was to be sent");
  }
}

void Reader::open(Connection& connection) {
  connection = Connection{};
  // Some read but a few times before they reset.
  connection.reads_left = random_.one_in(3) ? random_.below(8) : ~0u;
  connection.fd = base::Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  setsockopt(connection.fd.get(), SOL_SOCKET, SO_RCVBUF, &kSocketBytes, sizeof kSocketBytes);
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

void Reader::read(Connection& connection) {
  uint8_t bytes[8192];
  ssize_t count = recv(connection.fd.get(), bytes, sizeof bytes, 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    if (count == 0) {
      expect(connection.received == static_cast<uint32_t>(connection.hello.total) && connection.received > 0,
             "a stream ended before its end");
      ended_whole_++;
    }
    connection.fd.reset();
    return;
  }
  check(connection, bytes, static_cast<uint32_t>(count));
  if (connection.received < sizeof(Hello)) return;
  auto left = static_cast<uint32_t>(connection.hello.total) - connection.received;
  if (shared_.clients_finish && left > kMoreThanSocketsHold) {
    connection.for_good = true;
    stalled_for_good_++;
    return;
  }
  // The owner hears it while the send thread goes on.
  if (random_.one_in(4) && !connection.fin_sent &&
      send(connection.fd.get(), bytes, 1 + random_.below(64), MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
    // It has told of the reset, which the next read would not.
    connection.fd.reset();
    return;
  }
  if (random_.one_in(20) && !connection.fin_sent) {
    shared_.totals.closes++;
    connection.fin_sent = true;
    shutdown(connection.fd.get(), SHUT_WR);
  }
  // Long enough for the sockets to fill up.
  if (random_.one_in(40)) connection.stalled = 20;
  if (connection.reads_left-- == 0) leave(connection);
}

void Reader::leave(Connection& connection) {
  driver::set_reset_on_close(connection.fd.get());
  connection.fd.reset();
}

void Reader::check(Connection& connection, const uint8_t* bytes, uint32_t count) {
  auto* hello = reinterpret_cast<uint8_t*>(&connection.hello);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t at = connection.received++;
    if (at < sizeof(Hello)) {
      hello[at] = bytes[i];
      continue;
    }
    uint32_t key = key_of(connection.hello.slot, static_cast<uint32_t>(connection.hello.generation), kSendThread, 0);
    expect(bytes[i] == byte_of(key, at), "a byte that is not this session's");
  }
  shared_.totals.echoed_bytes += count;
}

}  // namespace stress
