// What: the epoll limit server: echo, broadcast or tick world, as fast as C makes it.
// Flow: ready sockets -> one recv -> frames -> handler -> output area -> one send per connection.
// Thread: each server thread runs its own epoll, listener and connections; nothing is shared.
//
// epoll_echo PORT THREADS echo|bcast|world [STATES]
//
// Level-triggered: one recv per ready socket and turn, so that none can starve the others.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>

#include "backlog.h"
#include "frames.h"
#include "server_setup.h"
#include "tick_world.h"

// Ready sockets taken per epoll_wait.
#define EVENTS_MAX 1024
// Connections accepted per ready listener and turn.
#define ACCEPTS_MAX 64
// Bytes one recv may take: 4 pipelined messages of 4 KiB and many more fit.
#define INPUT_BYTES (64u << 10)
// Bytes of a broadcast that are collected before they are sent even within a turn.
#define BROADCAST_BYTES (256u << 10)
#define OUTPUT_BYTES (BROADCAST_BYTES + INPUT_BYTES + FRAME_BYTES_MAX)

struct connection {
  int fd;
  bool open;
  uint32_t open_index;  // Where this connection stands in server.open_connections.
  struct partial_frame partial;
  struct backlog backlog;  // Not empty: waiting for the socket to become writable.
  struct connection *next_closed;
};

struct server {
  int epoll;
  int listener;
  enum server_mode mode;
  uint8_t *input;
  struct output output;

  struct connection **open_connections;
  uint32_t open_count;
  struct connection *closed;  // Freed at the end of the turn: events may still point to them.
};

static struct server_arguments arguments;
static uint32_t connections_max;

// ---- Opening and closing ----

// An echo connection with a backlog is not read until it is sent; with one that is told what others
// do, that would not help.
static void watch(struct server *server, struct connection *connection, int change) {
  bool behind = backlog_length(&connection->backlog) > 0;
  bool reads = !behind || server->mode != MODE_ECHO;
  struct epoll_event event = {.events = (reads ? EPOLLIN : 0u) | (behind ? EPOLLOUT : 0u),
                              .data.ptr = connection};
  if (epoll_ctl(server->epoll, change, connection->fd, &event) < 0) fail("epoll_ctl");
}

static void accept_connections(struct server *server) {
  for (int i = 0; i < ACCEPTS_MAX && server->open_count < connections_max; i++) {
    int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) abort();
    connection->fd = fd;
    connection->open = true;
    connection->open_index = server->open_count;
    server->open_connections[server->open_count++] = connection;
    watch(server, connection, EPOLL_CTL_ADD);
  }
}

static void close_connection(struct server *server, struct connection *connection) {
  connection->open = false;
  close(connection->fd);
  struct connection *moved = server->open_connections[--server->open_count];
  server->open_connections[connection->open_index] = moved;
  moved->open_index = connection->open_index;
  connection->next_closed = server->closed;
  server->closed = connection;
}

static void free_closed(struct server *server) {
  while (server->closed) {
    struct connection *connection = server->closed;
    server->closed = connection->next_closed;
    drop_partial_frame(&connection->partial);
    backlog_free(&connection->backlog);
    free(connection);
  }
}

// ---- Sending ----

// Sends, or keeps what the socket does not take. Returns false when the connection was closed.
static bool send_or_keep(struct server *server, struct connection *connection, const uint8_t *bytes,
                         uint32_t length) {
  bool behind = backlog_length(&connection->backlog) > 0;
  if (!behind) {
    ssize_t sent = send(connection->fd, bytes, length, MSG_NOSIGNAL);
    if (sent == (ssize_t)length) return true;
    if (sent < 0 && errno != EAGAIN) {
      close_connection(server, connection);
      return false;
    }
    if (sent > 0) {
      bytes += sent;
      length -= (uint32_t)sent;
    }
  }
  if (!backlog_add(&connection->backlog, bytes, length)) {
    close_connection(server, connection);
    return false;
  }
  if (!behind) watch(server, connection, EPOLL_CTL_MOD);
  return true;
}

static void send_output_to_all(struct server *server) {
  uint32_t i = 0;
  while (i < server->open_count) {
    // A connection that closes leaves its place to the last one.
    struct connection *connection = server->open_connections[i];
    if (send_or_keep(server, connection, server->output.bytes, server->output.used)) i++;
  }
  server->output.used = 0;
}

static void on_writable(struct server *server, struct connection *connection) {
  struct backlog *backlog = &connection->backlog;
  if (backlog_length(backlog) == 0) return;
  ssize_t sent =
      send(connection->fd, backlog->bytes + backlog->begin, backlog_length(backlog), MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN) close_connection(server, connection);
    return;
  }
  backlog_drop(backlog, (uint32_t)sent);
  if (backlog_length(backlog) == 0) watch(server, connection, EPOLL_CTL_MOD);
}

// ---- Receiving ----

static void on_readable(struct server *server, struct connection *connection) {
  ssize_t received = recv(connection->fd, server->input, INPUT_BYTES, 0);
  if (received <= 0) {
    if (received == 0 || errno != EAGAIN) close_connection(server, connection);
    return;
  }
  struct output *output = &server->output;
  read_frames(&connection->partial, server->input, (uint32_t)received, output);
  if (server->mode != MODE_ECHO) {
    if (output->used > BROADCAST_BYTES) send_output_to_all(server);
    return;
  }
  if (output->used > 0) send_or_keep(server, connection, output->bytes, output->used);
  output->used = 0;
}

static void on_event(struct server *server, struct connection *connection, uint32_t events) {
  if (connection->open && (events & EPOLLOUT)) on_writable(server, connection);
  bool readable = events & (EPOLLIN | EPOLLHUP | EPOLLERR);
  if (connection->open && readable) on_readable(server, connection);
}

// ---- The loop ----

static struct server *open_server(void) {
  struct server *server = calloc(1, sizeof *server);
  server->mode = arguments.mode;
  server->input = malloc(INPUT_BYTES);
  server->output.bytes = malloc(OUTPUT_BYTES);
  server->open_connections = calloc(connections_max, sizeof *server->open_connections);
  if (!server->input || !server->output.bytes || !server->open_connections) fail("memory");
  server->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (server->epoll < 0) fail("epoll_create1");
  server->listener = open_listener(arguments.port, true);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};  // NULL: the listener.
  if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &event) < 0) fail("epoll_ctl");
  return server;
}

// Rounded up: a tick is late by up to 1 ms, as timers of Node are.
static int wait_ms(const struct server *server) {
  return server->mode == MODE_WORLD ? (int)((world_wait_ns() + 999999) / 1000000) : -1;
}

static void *serve(void *unused) {
  (void)unused;
  struct server *server = open_server();
  struct epoll_event *events = calloc(EVENTS_MAX, sizeof *events);
  if (!events) fail("memory");
  for (;;) {
    int count = epoll_wait(server->epoll, events, EVENTS_MAX, wait_ms(server));
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; i++) {
      struct connection *connection = events[i].data.ptr;
      if (connection) {
        on_event(server, connection, events[i].events);
      } else {
        accept_connections(server);
      }
    }
    if (server->mode == MODE_WORLD && world_wait_ns() == 0) {
      put_states(&server->output, arguments.states);
      world_ticked();
    }
    if (server->output.used > 0) send_output_to_all(server);
    free_closed(server);
  }
  return NULL;
}

int main(int count, char **values) {
  arguments = parse_arguments(count, values);
  connections_max = raise_descriptor_limit();
  for (int i = 1; i < arguments.threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, NULL) != 0) fail("pthread_create");
  }
  serve(NULL);
}
