// What: what both limit servers share at start: arguments, descriptor limit, listening socket.
// Flow: main -> parse_arguments (sets the handler), raise_descriptor_limit -> a listener per thread.
// Thread: main, except open_listener(), which each server thread calls for itself.
#ifndef BENCH_SERVER_SETUP_H
#define BENCH_SERVER_SETUP_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tick_world.h"

// Connections waiting to be accepted; the kernel lowers it to net.core.somaxconn.
#define LISTEN_BACKLOG 4096
// Threads of one server; more than any machine this is meant for has cores.
#define SERVER_THREADS_MAX 64

enum server_mode {
  MODE_ECHO,       // A message goes back to the connection it came from.
  MODE_BROADCAST,  // A message goes to every connection of the server (one thread).
  MODE_WORLD,      // At each tick the state of a world goes to every connection (one thread).
};

struct server_arguments {
  uint16_t port;
  int threads;
  enum server_mode mode;
  int states;  // Of a tick.
};

static inline void fail(const char *what) {
  perror(what);
  exit(1);
}

static inline struct server_arguments parse_arguments(int count, char **values) {
  static const char *const names[] = {"echo", "bcast", "world"};
  struct server_arguments arguments = {.states = 1};
  bool known_mode = false;
  if (count == 4 || count == 5) {
    arguments.port = (uint16_t)atoi(values[1]);
    arguments.threads = atoi(values[2]);
    for (int i = 0; i < 3; i++) {
      if (strcmp(values[3], names[i]) != 0) continue;
      known_mode = true;
      arguments.mode = (enum server_mode)i;
    }
    if (count == 5) arguments.states = atoi(values[4]);
  }
  bool threads_fit = arguments.threads >= 1 && arguments.threads <= SERVER_THREADS_MAX;
  bool mode_fits = arguments.mode == MODE_ECHO || arguments.threads == 1;
  bool states_fit = arguments.states >= 1 && arguments.states <= STATES_MAX;
  if (!known_mode || arguments.port == 0 || !threads_fit || !mode_fits || !states_fit) {
    fprintf(stderr, "usage: %s PORT THREADS echo|bcast|world [STATES]   (not echo: 1 thread)\n",
            values[0]);
    exit(2);
  }
  if (arguments.mode == MODE_WORLD) handle_message = apply_message;
  return arguments;
}

// Raises the soft limit of open descriptors to the hard one. Returns the limit.
static inline uint32_t raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) fail("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) fail("setrlimit");
  return limit.rlim_cur > UINT32_MAX ? UINT32_MAX : (uint32_t)limit.rlim_cur;
}

// A listener of its own for each thread: SO_REUSEPORT lets the kernel spread the connections.
static inline int open_listener(uint16_t port, bool non_blocking) {
  int flags = SOCK_CLOEXEC | (non_blocking ? SOCK_NONBLOCK : 0);
  int listener = socket(AF_INET, SOCK_STREAM | flags, 0);
  if (listener < 0) fail("socket");
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // Accepted sockets inherit it.
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
  if (listen(listener, LISTEN_BACKLOG) < 0) fail("listen");
  return listener;
}

#endif
