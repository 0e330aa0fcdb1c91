// What: echo, fanout and relay: connections that send, receive and verify, in a closed or open loop.
// Flow: flush builds and sends what is due -> server -> every byte verified -> next message due.
// Thread: client threads, each with its own io_uring ring and connections; main samples and waits.
//
// The client must cost less than the server it loads: receives are multishot into lent buffers,
// sends are silent unless a socket does not take all, and a connection sends once per turn.
#define _GNU_SOURCE
#include <string.h>

#include "../limit/uring_ring.h"
#include "client_socket.h"
#include "load_client.h"
#include "measure.h"
#include "message.h"
#include "window.h"

// A turn wakes at least so often, to notice the end of the run.
#define TURN_NS (20 * NS_PER_MS)
// Outstanding messages may arrive so long after the end of the run; then they are lost.
#define DRAIN_NS (2 * NS_PER_SECOND)
// And after the last of them nothing more may come; we listen for this long.
#define SURPLUS_NS (20 * NS_PER_MS)
#define SUBMISSIONS_MAX 8192u
#define COMPLETIONS_MAX 32768u
#define RECEIVE_BUFFERS_MAX 32768u

// Relay: connections are partners; what one sends arrives at the other. A connection's id tells the
// server both: the low half is its own number, the high half its partner's.
#define RELAY_ID_BITS 16
// Two connections of the one worker and two of the other: partners are in the same group.
#define RELAY_GROUP 4

enum operation {
  OP_RECEIVE = 1,
  OP_SEND_NOW,   // Completes only if the socket did not take everything.
  OP_SEND_REST,  // What was left; always completes.
};

#define USER_DATA(operation, index) ((uint64_t)(operation) << 56 | (uint32_t)(index))

struct connection {
  int fd;
  uint32_t id;
  uint32_t source;          // The connection of this client whose messages arrive here.
  uint32_t neighbour;       // Relay: the connection it keeps pace with; itself: none.
  uint32_t waiting;         // Messages that have arrived while the neighbour's have not.
  uint64_t sent;            // Messages built so far; the next one has this sequence.
  uint64_t received;        // Messages verified so far.
  uint32_t frame_offset;    // Bytes of the next expected frame that are here and verified.
  uint32_t due;             // Messages to send in the next flush.
  bool listed;              // True exactly while it stands in client.to_flush.
  bool sending_rest;        // True exactly while an OP_SEND_REST is in flight.
  bool failed;
  uint8_t *outgoing;        // Room for `depth` frames.
  uint32_t outgoing_begin;  // First byte of it that is not known to be sent.
  uint32_t outgoing_end;
  uint64_t *sent_at_ns;     // By sequence modulo depth: when the message was sent, or was due.
};

struct client {
  struct client_thread common;
  struct uring ring;
  struct uring_buffers buffers;
  struct connection *connections;
  uint32_t count;
  uint32_t *to_flush;
  uint32_t to_flush_count;
  uint64_t turn_ns;         // The time of this turn; completions carry none of their own.
  bool measuring;
  bool draining;
  uint32_t next_by_rate;    // Open loop: the connection whose turn it is.
};

// Fanout: connection 0 sends, everyone receives; counts who has got a broadcast.
struct fanout {
  bool on;
  uint32_t *deliveries;  // By sequence modulo depth.
};

static struct fanout fanout;
static bool relay_on;
static pthread_barrier_t barrier;

// ---- Sending ----

static void list_for_flush(struct client *client, uint32_t index) {
  struct connection *connection = &client->connections[index];
  if (connection->listed) return;
  connection->listed = true;
  client->to_flush[client->to_flush_count++] = index;
}

static void send_rest(struct client *client, uint32_t index) {
  struct connection *connection = &client->connections[index];
  connection->sending_rest = true;
  uring_queue_send_all(&client->ring, connection->fd,
                       connection->outgoing + connection->outgoing_begin,
                       connection->outgoing_end - connection->outgoing_begin,
                       USER_DATA(OP_SEND_REST, index));
}

// The time for a latency. A turn of fanout may handle thousands of deliveries, so that its begin
// is not the moment of anything; elsewhere a clock call for each message would cost more than that.
static uint64_t moment_ns(const struct client *client) {
  return fanout.on ? now_ns() : client->turn_ns;
}

// Builds the due messages and sends them in one piece.
static void flush_connection(struct client *client, uint32_t index) {
  struct connection *connection = &client->connections[index];
  connection->listed = false;
  if (connection->due == 0 || connection->failed || connection->sending_rest) return;
  uint8_t *at = connection->outgoing;
  for (; connection->due > 0; connection->due--, connection->sent++) {
    build_frame(at, connection->id, connection->sent);
    // The open loop has noted already when the message was due.
    if (options.rate == 0) {
      connection->sent_at_ns[connection->sent % (uint32_t)options.depth] = moment_ns(client);
    }
    at += frame_length();
  }
  connection->outgoing_begin = 0;
  connection->outgoing_end = (uint32_t)(at - connection->outgoing);
  uring_queue_send_now(&client->ring, connection->fd, connection->outgoing,
                       connection->outgoing_end, USER_DATA(OP_SEND_NOW, index));
}

static void flush(struct client *client) {
  for (uint32_t i = 0; i < client->to_flush_count; i++) {
    flush_connection(client, client->to_flush[i]);
  }
  client->to_flush_count = 0;
}

static void fail_connection(struct client *client, struct connection *connection) {
  if (connection->failed) return;
  connection->failed = true;
  client->common.faults++;
}

static void on_send_result(struct client *client, uint32_t index, int result) {
  struct connection *connection = &client->connections[index];
  connection->sending_rest = false;
  if (result > 0) connection->outgoing_begin += (uint32_t)result;
  if (result < 0 && result != -EAGAIN && result != -EINTR) {
    fail_connection(client, connection);
  } else if (connection->outgoing_begin < connection->outgoing_end) {
    send_rest(client, index);
  } else if (connection->due > 0) {
    list_for_flush(client, index);
  }
}

// ---- Receiving ----

static void make_due(struct client *client, uint32_t index) {
  client->connections[index].due++;
  list_for_flush(client, index);
}

// Closed loop: one more message, but one that keeps pace with a neighbour waits for it.
static void make_next_due(struct client *client, uint32_t index) {
  struct connection *connection = &client->connections[index];
  struct connection *neighbour = &client->connections[connection->neighbour];
  if (neighbour != connection) {
    connection->waiting++;
    if (neighbour->waiting == 0) return;
    connection->waiting--;
    neighbour->waiting--;
    make_due(client, connection->neighbour);
  }
  make_due(client, index);
}

// A message of this connection has arrived where it should.
static void on_echo(struct client *client, uint32_t index, uint64_t sent_at_ns) {
  if (client->measuring) histogram_add(&client->common.latency, moment_ns(client) - sent_at_ns);
  if (!client->draining && options.rate == 0) make_next_due(client, index);
}

// The broadcast with this sequence has reached one more connection; the last of them ends it.
static void on_delivery(struct client *client, uint64_t sequence) {
  uint32_t place = (uint32_t)(sequence % (uint32_t)options.depth);
  if (++fanout.deliveries[place] < client->count) return;
  fanout.deliveries[place] = 0;
  on_echo(client, 0, client->connections[0].sent_at_ns[place]);
}

static void on_message(struct client *client, uint32_t index) {
  struct connection *connection = &client->connections[index];
  uint64_t sequence = connection->received++;
  if (fanout.on) {
    on_delivery(client, sequence);
  } else {
    const struct connection *source = &client->connections[connection->source];
    on_echo(client, connection->source, source->sent_at_ns[sequence % (uint32_t)options.depth]);
  }
}

// Verifies every byte. Returns the number of messages completed, or -1 at the first wrong byte.
static int verify(struct client *client, uint32_t index, const uint8_t *bytes, uint32_t length) {
  struct connection *connection = &client->connections[index];
  const struct connection *sender = &client->connections[connection->source];
  int completed = 0;
  while (length > 0) {
    if (connection->received == sender->sent) return -1;  // Nobody has sent that message.
    uint32_t missing = frame_length() - connection->frame_offset;
    uint32_t part = length < missing ? length : missing;
    bool right = frame_matches(bytes, connection->frame_offset, part, sender->id,
                               connection->received);
    if (!right) return -1;
    bytes += part;
    length -= part;
    connection->frame_offset += part;
    if (connection->frame_offset == frame_length()) {
      connection->frame_offset = 0;
      on_message(client, index);
      completed++;
    }
  }
  return completed;
}

static void arm_receive(struct client *client, uint32_t index) {
  uring_queue_receive(&client->ring, client->connections[index].fd, 0,
                      USER_DATA(OP_RECEIVE, index));
}

static void on_receive(struct client *client, uint32_t index, const struct io_uring_cqe *cqe) {
  struct connection *connection = &client->connections[index];
  if (cqe->res > 0) {
    unsigned id = uring_buffer_id(cqe);
    if (!connection->failed) {
      int completed = verify(client, index, uring_buffer(&client->buffers, id), (uint32_t)cqe->res);
      if (completed < 0) {
        fail_connection(client, connection);
      } else {
        uint64_t messages = atomic_load_explicit(&client->common.messages, memory_order_relaxed);
        atomic_store_explicit(&client->common.messages, messages + (uint64_t)completed,
                              memory_order_relaxed);
      }
    }
    uring_buffers_return(&client->buffers, id);
  } else if (cqe->res != -ENOBUFS) {
    fail_connection(client, connection);  // The server has ended or broken the connection.
    return;
  }
  if (!(cqe->flags & IORING_CQE_F_MORE)) arm_receive(client, index);
}

// ---- A turn ----

// Sends what is due, waits, handles what has come. A connection is flushed here only, so it has at
// most one send that is not settled.
static void turn(struct client *client, uint64_t wait_ns) {
  flush(client);
  int result = uring_enter(&client->ring, 1, wait_ns);
  if (result < 0) fail_setup("io_uring_enter", strerror(-result));
  int now_phase = current_phase();
  client->turn_ns = now_ns();
  client->measuring = now_phase == PHASE_MEASURE;
  client->draining = now_phase == PHASE_DRAIN;

  unsigned begin = uring_cq_begin(&client->ring);
  unsigned end = uring_cq_end(&client->ring);
  // Sends first: a connection whose send was cut short must not send anything else before the rest.
  for (unsigned at = begin; at != end; at++) {
    const struct io_uring_cqe *cqe = uring_cqe(&client->ring, at);
    if (cqe->user_data >> 56 != OP_RECEIVE) {
      on_send_result(client, (uint32_t)cqe->user_data, cqe->res);
    }
  }
  for (unsigned at = begin; at != end; at++) {
    const struct io_uring_cqe *cqe = uring_cqe(&client->ring, at);
    if (cqe->user_data >> 56 == OP_RECEIVE) on_receive(client, (uint32_t)cqe->user_data, cqe);
  }
  uring_cq_release(&client->ring, end);
  uring_buffers_publish(&client->buffers);
}

// ---- The life of a client thread ----

static uint32_t power_of_two_at_least(uint32_t value) {
  uint32_t power = 1;
  while (power < value) power *= 2;
  return power;
}

static uint32_t clamp(uint32_t value, uint32_t least, uint32_t most) {
  return value < least ? least : value > most ? most : value;
}

static void check(int result, const char *what) {
  if (result < 0) fail_setup(what, strerror(-result));
}

// Connects, then moves the sockets into the ring's file table, where `fd` is their slot.
static void open_client(struct client *client) {
  uint32_t depth = (uint32_t)options.depth;
  client->to_flush = allocate(client->count, sizeof *client->to_flush);
  int *fds = allocate(client->count, sizeof *fds);
  for (uint32_t i = 0; i < client->count; i++) {
    struct connection *connection = &client->connections[i];
    fds[i] = open_socket_or_fail();
    pace_connecting((int)i);
    connection->fd = (int)i;
    bool sends = !fanout.on || i == 0;
    if (!sends) continue;
    connection->outgoing = allocate(depth, frame_length());
    connection->sent_at_ns = allocate(depth, sizeof *connection->sent_at_ns);
  }
  uint32_t submissions = clamp(power_of_two_at_least(client->count * 2), 256, SUBMISSIONS_MAX);
  check(uring_open(&client->ring, submissions, COMPLETIONS_MAX), "io_uring (needs Linux 6.1)");
  check(uring_register(&client->ring, IORING_REGISTER_FILES, fds, client->count), "file table");
  free(fds);
  // A buffer for all that one connection has in flight; two buffers for each connection.
  uint32_t size = clamp(power_of_two_at_least(depth * frame_length()), 512, 128u << 10);
  uint32_t buffers = clamp(power_of_two_at_least(client->count * 2), 256, RECEIVE_BUFFERS_MAX);
  check(uring_buffers_open(&client->buffers, &client->ring, buffers, size, 0), "receive buffers");
  uring_buffers_lend(&client->buffers, buffers);
  for (uint32_t i = 0; i < client->count; i++) arm_receive(client, i);
}

static uint64_t outstanding(const struct client *client) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < client->count; i++) {
    const struct connection *connection = &client->connections[i];
    const struct connection *sender = &client->connections[connection->source];
    if (!connection->failed) total += sender->sent - connection->received;
  }
  return total;
}

// As fast as answers come: every answer makes the next message due.
static void run_closed_loop(struct client *client) {
  uint32_t senders = fanout.on ? 1 : client->count;
  for (uint32_t i = 0; i < senders; i++) {
    client->connections[i].due = (uint32_t)options.depth;
    list_for_flush(client, i);
  }
  client->turn_ns = now_ns();
  while (current_phase() != PHASE_DRAIN) turn(client, TURN_NS);
}

// Gives one due message to the next connection that has room. False when none has.
static bool give_to_a_connection(struct client *client, uint64_t due_ns) {
  uint32_t depth = (uint32_t)options.depth;
  for (uint32_t tried = 0; tried < client->count; tried++) {
    uint32_t index = client->next_by_rate++ % client->count;
    struct connection *connection = &client->connections[index];
    uint64_t next = connection->sent + connection->due;
    if (connection->failed || next - connection->received >= depth) continue;
    connection->sent_at_ns[next % depth] = due_ns;
    make_due(client, index);
    return true;
  }
  return false;
}

// At a constant rate: latency counts from the moment a message was due, so that a server that
// stalls is charged for every message that had to wait meanwhile.
static void run_open_loop(struct client *client) {
  double interval_ns = 1e9 * options.threads / options.rate;
  double due_ns = (double)now_ns();
  while (current_phase() != PHASE_DRAIN) {
    double now = (double)now_ns();
    while (due_ns <= now && give_to_a_connection(client, (uint64_t)due_ns)) due_ns += interval_ns;
    // Nothing due yet: sleep until it is. No connection has room: an answer will wake us.
    turn(client, due_ns > now ? (uint64_t)(due_ns - now) + 1 : NS_PER_MS);
  }
}

// Everything that was sent must come back, and nothing else.
static void drain(struct client *client) {
  uint64_t deadline = now_ns() + DRAIN_NS;
  while (outstanding(client) > 0 && now_ns() < deadline) turn(client, TURN_NS);
  client->common.lost = outstanding(client);
  client->common.faults += client->common.lost;
  deadline = now_ns() + SURPLUS_NS;
  while (now_ns() < deadline) turn(client, SURPLUS_NS);
}

static void *run_client(void *argument) {
  struct client *client = argument;
  open_client(client);
  turn(client, 1);                 // Hands the receives to the kernel.
  pthread_barrier_wait(&barrier);  // All are connected.
  pthread_barrier_wait(&barrier);  // The server is ready: go.
  if (options.rate > 0) {
    run_open_loop(client);
  } else {
    run_closed_loop(client);
  }
  drain(client);
  return NULL;
}

// ---- Main's part ----

// The connections come in order, and the server gives them to its two workers in turn: one beside
// is with the other worker, the one after that with the same. It is the server that checks this.
//
// 50 %: every second group of four. Messages to the same worker are quicker, so that they would be
// more than half; therefore each group keeps pace with the next.
static void make_partners(struct client *client) {
  for (uint32_t c = 0; c < client->count; c++) {
    bool half = options.foreign == 50;
    bool foreign = half ? c / RELAY_GROUP % 2 == 0 : options.foreign == 100;
    uint32_t partner = foreign ? c ^ 1 : c ^ 2;
    client->connections[c].source = partner;
    if (half) client->connections[c].neighbour = c ^ RELAY_GROUP;
    client->connections[c].id = partner << RELAY_ID_BITS | c;
  }
}

static struct client *start_clients(void) {
  struct client *clients = allocate((size_t)options.threads, sizeof *clients);
  uint32_t next_id = 0;
  pthread_barrier_init(&barrier, NULL, (unsigned)options.threads + 1);
  for (int i = 0; i < options.threads; i++) {
    struct client *client = &clients[i];
    client->count = (uint32_t)(options.connections / options.threads +
                               (i < options.connections % options.threads));
    client->connections = allocate(client->count, sizeof *client->connections);
    for (uint32_t c = 0; c < client->count; c++) {
      client->connections[c].id = next_id++;
      client->connections[c].source = fanout.on ? 0 : c;
      client->connections[c].neighbour = c;
    }
    if (relay_on) make_partners(client);
    if (pthread_create(&client->common.thread, NULL, run_client, client) != 0) {
      fail_setup("thread", strerror(errno));
    }
  }
  return clients;
}

static uint64_t exchange_messages(void) {
  struct client *clients = start_clients();
  pthread_barrier_wait(&barrier);
  wait_until_server_is_quiet();
  pthread_barrier_wait(&barrier);
  return run_window(&clients->common, sizeof *clients);
}

uint64_t run_echo(void) { return exchange_messages(); }

uint64_t run_fanout(void) {
  options.threads = 1;  // One thread sees all deliveries of a broadcast.
  fanout.on = true;
  fanout.deliveries = allocate((size_t)options.depth, sizeof *fanout.deliveries);
  return exchange_messages();
}

uint64_t run_relay(void) {
  int groups = options.foreign == 50 ? 2 * RELAY_GROUP : RELAY_GROUP;
  if (options.connections % groups != 0 || options.connections > 1 << RELAY_ID_BITS) {
    fail_setup("--conns", "relay needs whole groups of 4 connections (8 with --foreign 50), "
                          "65536 at most");
  }
  options.threads = 1;  // One thread opens the connections in order and sees both partners.
  relay_on = true;
  return exchange_messages();
}
