// What: world: connections that answer each tick of a server with a batch of messages.
// Flow: states of a tick, verified -> the connection's place in the spread -> its batch -> server.
// Thread: one client thread with its own epoll; main opens the connections, samples and waits.
//
// An answer for each tick: the work of a tick is the same, however fast the server is. The answers
// are spread over most of the tick, as those of players are, and not by the server's own sending.
//
// All connections are told the same. The first copy of a state is compared with what was sent, the
// others with that copy. In the end every connection must be told that all messages were applied.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../limit/world_state.h"
#include "client_socket.h"
#include "load_client.h"
#include "message.h"
#include "window.h"

#define EVENTS_MAX 1024
// A turn ends at least so often, to notice the end of the run.
#define TURN_MS 20
// What is under way at the end of the run may take so long; then it is lost. Servers that cannot
// keep the rate are seconds behind.
#define DRAIN_NS (10 * NS_PER_SECOND)
#define INPUT_BYTES (256u << 10)
// Places of the spread, one for each millisecond; a power of two.
#define PLACES 1024
// States that one connection may be ahead of another; a power of two.
#define COPIES 16384
#define STATE_FRAME_BYTES (HEADER_BYTES + STATE_BYTES)

_Static_assert(SPREAD_MS_MAX < PLACES, "an answer's place is not that of an earlier millisecond");

struct connection {
  int fd;
  uint32_t id;
  uint64_t sent;
  bool told;          // Of any state; the first may be any.
  bool settled;       // Draining: it was told that everything is applied.
  bool placed;
  uint32_t owed;      // Ticks that are not answered.
  uint32_t next;      // Number of the next state.
  uint64_t tick_ns;   // When the last tick was here; 0: none was.
  struct connection *next_placed;
  uint32_t received;  // Bytes of `frame` that are here.
  uint8_t frame[STATE_FRAME_BYTES];
};

struct copy {
  bool known;
  struct state_head head;
  uint8_t state[STATE_BYTES];
};

struct client {
  struct client_thread common;
  int epoll;
  struct connection *connections;
  struct connection *places[PLACES];
  uint32_t placed_count;
  uint64_t done_ms;         // Places up to this millisecond are done.
  uint8_t *input;
  uint8_t *batch;
  struct copy *copies;      // By number modulo COPIES.
  struct state_head newest;
  uint32_t sent;            // Messages of all connections, and the sum of their moves: modulo 2^32,
  uint32_t sum;             // as the server counts.
  uint32_t settled_count;
  bool draining;
};

// ---- Answering ----

static void count_messages(struct client *client, uint32_t messages) {
  uint64_t before = atomic_load_explicit(&client->common.messages, memory_order_relaxed);
  atomic_store_explicit(&client->common.messages, before + messages, memory_order_relaxed);
}

// Sends one batch. A socket takes it whole, as there are never more than a few under way.
static void send_batch(struct client *client, struct connection *connection) {
  uint32_t depth = (uint32_t)options.depth;
  uint8_t *at = client->batch;
  for (uint32_t i = 0; i < depth; i++, at += frame_length()) {
    build_frame(at, connection->id, connection->sent++);
    uint32_t move;
    memcpy(&move, at + HEADER_BYTES + MOVE_OFFSET, sizeof move);
    client->sum += move;
  }
  client->sent += depth;
  ssize_t length = at - client->batch;
  if (send(connection->fd, client->batch, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length) {
    count_messages(client, depth);
  } else {
    client->common.faults++;
  }
}

static void place(struct client *client, struct connection *connection, uint64_t now_ms) {
  uint64_t at_ms = now_ms + 1 + connection->id % (uint32_t)options.spread_ms;
  struct connection **head = &client->places[at_ms % PLACES];
  connection->placed = true;
  connection->next_placed = *head;
  *head = connection;
  client->placed_count++;
}

static void answer_due(struct client *client) {
  uint64_t now_ms = now_ns() / NS_PER_MS;
  // After a long pause each place is done once.
  if (now_ms - client->done_ms > PLACES) client->done_ms = now_ms - PLACES;
  while (client->done_ms < now_ms) {
    struct connection **head = &client->places[++client->done_ms % PLACES];
    struct connection *connection = *head;
    *head = NULL;
    for (; connection; connection = connection->next_placed) {
      connection->placed = false;
      client->placed_count--;
      for (; connection->owed > 0; connection->owed--) send_batch(client, connection);
    }
  }
}

static void on_tick(struct client *client, struct connection *connection) {
  uint64_t now = now_ns();
  if (current_phase() == PHASE_MEASURE && connection->tick_ns != 0) {
    histogram_add(&client->common.latency, now - connection->tick_ns);
  }
  connection->tick_ns = now;
  if (client->draining) return;
  connection->owed++;
  if (!connection->placed) place(client, connection, now / NS_PER_MS);
}

// ---- Verifying ----

// What is in the first copy of a state must be possible: the world goes on, and holds nothing but
// what was sent.
static bool is_possible(const struct client *client, const struct state_head *head) {
  const struct state_head *newest = &client->newest;
  int32_t applied_since = (int32_t)(head->applied - newest->applied);
  bool newer = (int32_t)(head->number - newest->number) > 0;
  bool was_sent = (int32_t)(client->sent - head->applied) >= 0;
  bool sum_fits = head->applied != client->sent || head->sum == client->sum;
  return (newer ? applied_since >= 0 : applied_since <= 0) && was_sent && sum_fits &&
         head->faults == 0;
}

static bool is_right(struct client *client, const struct state_head *head, const uint8_t *state) {
  struct copy *copy = &client->copies[head->number % COPIES];
  if (copy->known && copy->head.number == head->number) {
    return memcmp(copy->state, state, STATE_BYTES) == 0;
  }
  for (uint32_t place = sizeof *head; place < STATE_BYTES; place++) {
    if (state[place] != state_pattern(head->number, place)) return false;
  }
  if (!is_possible(client, head)) return false;
  *copy = (struct copy){.known = true, .head = *head};
  memcpy(copy->state, state, STATE_BYTES);
  if ((int32_t)(head->number - client->newest.number) > 0) client->newest = *head;
  return true;
}

// False when a byte is wrong, or a state is missing.
static bool on_state(struct client *client, struct connection *connection) {
  const uint8_t *state = connection->frame + HEADER_BYTES;
  struct state_head head;
  memcpy(&head, state, sizeof head);
  bool whole = connection->frame[0] == STATE_BYTES && connection->frame[1] == 0;
  bool in_order = !connection->told || head.number == connection->next;
  if (!whole || !in_order || !is_right(client, &head, state)) return false;
  connection->told = true;
  connection->next = head.number + 1;
  count_messages(client, 1);
  if (connection->next % (uint32_t)options.states == 0) on_tick(client, connection);
  if (client->draining && !connection->settled && head.applied == client->sent) {
    connection->settled = true;
    client->settled_count++;
  }
  return true;
}

static void on_readable(struct client *client, struct connection *connection) {
  ssize_t length = recv(connection->fd, client->input, INPUT_BYTES, MSG_DONTWAIT);
  if (length < 0 && errno == EAGAIN) return;
  bool right = length > 0;
  for (uint32_t at = 0; right && at < (uint32_t)length;) {
    uint32_t missing = STATE_FRAME_BYTES - connection->received;
    uint32_t rest = (uint32_t)length - at;
    uint32_t part = rest < missing ? rest : missing;
    memcpy(connection->frame + connection->received, client->input + at, part);
    connection->received = (connection->received + part) % STATE_FRAME_BYTES;
    at += part;
    if (connection->received == 0) right = on_state(client, connection);
  }
  if (right) return;
  client->common.faults++;
  epoll_ctl(client->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
}

// ---- The client thread ----

static void turn(struct client *client) {
  static struct epoll_event events[EVENTS_MAX];
  int wait_ms = client->placed_count > 0 ? 1 : TURN_MS;
  int count = epoll_wait(client->epoll, events, EVENTS_MAX, wait_ms);
  for (int i = 0; i < count; i++) on_readable(client, events[i].data.ptr);
  if (!client->draining) answer_due(client);
}

// Counts what is missing: messages that no state knows of, and connections that were not told.
static void drain(struct client *client) {
  uint32_t count = (uint32_t)options.connections;
  uint64_t deadline = now_ns() + DRAIN_NS;
  client->draining = true;
  while (client->settled_count < count && now_ns() < deadline) turn(client);
  client->common.lost = client->sent - client->newest.applied;
  client->common.faults += client->common.lost + (count - client->settled_count);
}

static void *run_client(void *argument) {
  struct client *client = argument;
  while (current_phase() != PHASE_DRAIN) turn(client);
  drain(client);
  return NULL;
}

static void open_connections(struct client *client) {
  for (int i = 0; i < options.connections; i++) {
    struct connection *connection = &client->connections[i];
    connection->id = (uint32_t)i;
    connection->fd = open_socket_or_fail();
    pace_connecting(i);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(client->epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0) {
      fail_setup("epoll_ctl", strerror(errno));
    }
  }
}

uint64_t run_world(void) {
  if (options.size < MOVE_MESSAGE_BYTES_MIN) fail_setup("--size", "world needs 16 bytes");
  options.threads = 1;  // One thread sees all copies of a state.
  struct client *client = allocate(1, sizeof *client);
  client->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (client->epoll < 0) fail_setup("epoll_create1", strerror(errno));
  client->connections = allocate((size_t)options.connections, sizeof *client->connections);
  client->input = allocate(1, INPUT_BYTES);
  client->batch = allocate((size_t)options.depth, frame_length());
  client->copies = allocate(COPIES, sizeof *client->copies);
  open_connections(client);
  if (pthread_create(&client->common.thread, NULL, run_client, client) != 0) {
    fail_setup("thread", strerror(errno));
  }
  return run_window(&client->common, sizeof *client);
}
