// What: client sockets: source address, no delay, reset on close.
// Flow: open_socket -> connected (or connecting) descriptor.
// Thread: any; the count of opened sockets is shared and atomic.
#define _GNU_SOURCE
#include "client_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_client.h"

// 127.0.1.1: the first of the source addresses.
#define FIRST_SOURCE_ADDRESS 0x7F000101u
// A server that is just starting is tried again: 50 times 20 ms.
#define CONNECT_ATTEMPTS 50
#define CONNECT_RETRY_NS (20 * NS_PER_MS)
// 16,000 connections per second at most: slower than any of the servers accepts.
#define PACE_CONNECTIONS 32
#define PACE_NS (2 * NS_PER_MS)
// An answer that does not come for so long is lost.
#define ANSWER_SECONDS 5

static _Atomic uint32_t sockets_opened;

static bool is_loopback(struct in_addr address) { return ntohl(address.s_addr) >> 24 == 127; }

// Spreads the connections over several local addresses: one address has some 28,000 ports only.
static bool bind_source(int fd) {
  int on = 1;
  // The port is chosen by connect(), which may use the same one for different destinations.
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  uint32_t number = atomic_fetch_add_explicit(&sockets_opened, 1, memory_order_relaxed);
  uint32_t source = FIRST_SOURCE_ADDRESS + number % (uint32_t)options.sources;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
  return bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
}

int open_socket(bool non_blocking) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (non_blocking ? SOCK_NONBLOCK : 0), 0);
  if (fd < 0) return -1;
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // Closing resets: no TIME_WAIT is left behind to use up the ports.
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);

  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(options.port)};
  bool ready = inet_pton(AF_INET, options.host, &server.sin_addr) == 1;
  if (ready && is_loopback(server.sin_addr)) ready = bind_source(fd);
  if (ready) {
    int result = connect(fd, (struct sockaddr *)&server, sizeof server);
    ready = result == 0 || (non_blocking && errno == EINPROGRESS);
  }
  if (ready) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int open_socket_or_fail(void) {
  for (int attempt = 0; attempt < CONNECT_ATTEMPTS; attempt++) {
    int fd = open_socket(false);
    if (fd >= 0) return fd;
    sleep_ns(CONNECT_RETRY_NS);
  }
  fail_setup("connect", strerror(errno));
  return -1;
}

bool exchange_bytes(int fd, uint8_t *bytes, uint32_t length) {
  struct timeval patience = {.tv_sec = ANSWER_SECONDS};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (send(fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) return false;
  memset(bytes, 0, length);
  return recv(fd, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

void pace_connecting(int index) {
  if (index % PACE_CONNECTIONS == PACE_CONNECTIONS - 1) sleep_ns(PACE_NS);
}
