// What: the io_uring limit server: echo, broadcast or tick world, as fast as C makes it.
// Flow: completions of one turn -> frames -> handler -> one output area -> one send per connection.
// Thread: each server thread runs its own ring, listener and connections; nothing is shared.
//
// uring_echo PORT THREADS echo|bcast|world [STATES]
//
// One turn:
//   1. uring_enter      submits the sends of the turn before and waits for the next completions.
//   2. settle_sends     what a socket did not take is moved from the output area to a backlog.
//   3. handle           now the output area is free again: received frames are answered into it.
//   4. flush            one send per connection that has an answer; at a tick, one to each.
#define _GNU_SOURCE
#include <pthread.h>

#include "backlog.h"
#include "frames.h"
#include "server_setup.h"
#include "tick_world.h"
#include "uring_ring.h"

// Entries: a broadcast to so many connections goes to the kernel in one call.
#define SUBMISSIONS 8192
// Entries: room for a completion of every connection, twice; the kernel keeps what does not fit.
#define COMPLETIONS 32768
// Bytes: 64 connections with 16 small messages each, or 4 of 4 KiB, fit one buffer each.
#define RECEIVE_BUFFER_BYTES (32u << 10)
// Buffers lent to the kernel at first, and at most. When they run out in a turn, twice as many.
#define RECEIVE_BUFFERS_FIRST 128
#define RECEIVE_BUFFERS 2048
// Bytes of answers in one turn. A turn that would exceed them ends early.
#define OUTPUT_BYTES (1u << 20)
// Connections: slots of the file table, also limited by the number of open files.
#define CONNECTIONS_MAX (1u << 18)

_Static_assert(OUTPUT_BYTES >= 4 * (RECEIVE_BUFFER_BYTES + FRAME_BYTES_MAX),
               "a turn has room for the answers to several receives");

enum operation {
  OP_ACCEPT = 1,
  OP_RECEIVE,
  OP_SEND_NOW,      // From the output area; completes only if the socket did not take everything.
  OP_SEND_BACKLOG,  // From the backlog; always completes.
  OP_SHUTDOWN,
  OP_CLOSE,
};

#define USER_DATA(operation, slot) ((uint64_t)(operation) << 56 | (uint32_t)(slot))

struct connection {
  bool open;
  bool sending_backlog;  // True exactly while an OP_SEND_BACKLOG is in flight.
  bool closing;          // The peer is gone; close when the backlog send has completed.
  uint32_t open_index;   // Where this slot stands in server.open_slots.

  // This connection's answers in the output area: valid in turn `answer_turn` only.
  uint64_t answer_turn;
  uint32_t answer_begin;
  uint32_t answer_length;

  struct partial_frame partial;
  struct backlog sending;  // Owned by the kernel while sending_backlog.
  struct backlog waiting;  // Comes after `sending`.
};

struct server {
  struct uring ring;
  struct uring_buffers buffers;
  bool buffers_ran_out;  // In this turn.
  int listener;
  enum server_mode mode;

  struct connection *connections;  // By slot of the file table.
  uint32_t *open_slots;
  uint32_t open_count;

  uint64_t turn;
  struct output output;
  uint32_t length_to_all;     // Bytes of the output area that the last flush sent to everyone.
  uint32_t *answered_slots;   // Connections with an answer in this turn.
  uint32_t answered_count;

  unsigned settled_end;  // Completions before this one have been through settle_sends().
};

static struct server_arguments arguments;
static uint32_t slot_count;

// ---- Sending ----

static void send_backlog(struct server *server, uint32_t slot) {
  struct connection *connection = &server->connections[slot];
  struct backlog *sending = &connection->sending;
  connection->sending_backlog = true;
  uring_queue_send_all(&server->ring, (int)slot, sending->bytes + sending->begin,
                       backlog_length(sending), USER_DATA(OP_SEND_BACKLOG, slot));
}

static void add_to_backlog(struct server *server, uint32_t slot, const uint8_t *bytes,
                           uint32_t length) {
  struct connection *connection = &server->connections[slot];
  bool idle = !connection->sending_backlog;
  if (!backlog_add(idle ? &connection->sending : &connection->waiting, bytes, length)) {
    // The receive then completes with 0, and the connection closes on the usual way.
    uring_queue_shutdown(&server->ring, (int)slot, USER_DATA(OP_SHUTDOWN, slot));
  } else if (idle) {
    send_backlog(server, slot);
  }
}

// A socket did not take everything: the rest leaves the output area before that is used again.
static void on_send_short(struct server *server, uint32_t slot, int result) {
  struct connection *connection = &server->connections[slot];
  if (result < 0 && result != -EAGAIN) return;  // The receive completion will tell.
  bool to_all = server->mode != MODE_ECHO;
  uint32_t begin = to_all ? 0 : connection->answer_begin;
  uint32_t length = to_all ? server->length_to_all : connection->answer_length;
  uint32_t sent = result < 0 ? 0 : (uint32_t)result;
  if (connection->open) {
    add_to_backlog(server, slot, server->output.bytes + begin + sent, length - sent);
  }
}

static void settle_sends(struct server *server, unsigned end) {
  for (; server->settled_end != end; server->settled_end++) {
    const struct io_uring_cqe *cqe = uring_cqe(&server->ring, server->settled_end);
    if (cqe->user_data >> 56 == OP_SEND_NOW) {
      on_send_short(server, (uint32_t)cqe->user_data, cqe->res);
    }
  }
}

static void send_output(struct server *server, uint32_t slot, uint32_t begin, uint32_t length) {
  const uint8_t *bytes = server->output.bytes + begin;
  if (server->connections[slot].sending_backlog) {
    add_to_backlog(server, slot, bytes, length);
  } else {
    uring_queue_send_now(&server->ring, (int)slot, bytes, length, USER_DATA(OP_SEND_NOW, slot));
  }
}

static void flush(struct server *server) {
  if (server->mode != MODE_ECHO) {
    server->length_to_all = server->output.used;
    if (server->output.used == 0) return;
    for (uint32_t i = 0; i < server->open_count; i++) {
      send_output(server, server->open_slots[i], 0, server->output.used);
    }
    return;
  }
  for (uint32_t i = 0; i < server->answered_count; i++) {
    uint32_t slot = server->answered_slots[i];
    const struct connection *connection = &server->connections[slot];
    if (!connection->open) continue;
    send_output(server, slot, connection->answer_begin, connection->answer_length);
  }
}

// ---- Opening and closing ----

static void arm_accept(struct server *server) {
  uring_queue_accept(&server->ring, server->listener, USER_DATA(OP_ACCEPT, 0));
}

static void arm_receive(struct server *server, uint32_t slot) {
  uring_queue_receive(&server->ring, (int)slot, 0, USER_DATA(OP_RECEIVE, slot));
}

static void open_connection(struct server *server, uint32_t slot) {
  server->connections[slot] = (struct connection){.open = true, .open_index = server->open_count};
  server->open_slots[server->open_count++] = slot;
  arm_receive(server, slot);
}

static void close_connection(struct server *server, uint32_t slot) {
  struct connection *connection = &server->connections[slot];
  if (connection->open) {
    connection->open = false;
    uint32_t moved = server->open_slots[--server->open_count];
    server->open_slots[connection->open_index] = moved;
    server->connections[moved].open_index = connection->open_index;
  }
  connection->closing = connection->sending_backlog;
  if (connection->closing) return;  // The kernel still reads the backlog.
  drop_partial_frame(&connection->partial);
  backlog_free(&connection->sending);
  backlog_free(&connection->waiting);
  uring_queue_close(&server->ring, (int)slot, USER_DATA(OP_CLOSE, slot));
}

// ---- Completions ----

static bool has_answer(const struct server *server, const struct connection *connection) {
  return connection->answer_turn == server->turn;
}

// The answers of one connection are one piece of the output area. Where another connection has
// answered in between (rare: two receives of one connection in one turn), the piece moves to the
// end.
static void continue_answer(struct server *server, struct connection *connection) {
  struct output *output = &server->output;
  if (connection->answer_begin + connection->answer_length == output->used) return;
  memcpy(output->bytes + output->used, output->bytes + connection->answer_begin,
         connection->answer_length);
  connection->answer_begin = output->used;
  output->used += connection->answer_length;
}

static void on_bytes(struct server *server, uint32_t slot, const uint8_t *bytes, uint32_t length) {
  struct connection *connection = &server->connections[slot];
  struct output *output = &server->output;
  if (server->mode != MODE_ECHO) {
    read_frames(&connection->partial, bytes, length, output);
    return;
  }
  bool first = !has_answer(server, connection);
  if (!first) continue_answer(server, connection);
  uint32_t before = output->used;
  read_frames(&connection->partial, bytes, length, output);
  uint32_t added = output->used - before;
  if (added == 0) return;
  if (first) {
    connection->answer_turn = server->turn;
    connection->answer_begin = before;
    connection->answer_length = 0;
    server->answered_slots[server->answered_count++] = slot;
  }
  connection->answer_length += added;
}

static void on_receive(struct server *server, uint32_t slot, const struct io_uring_cqe *cqe) {
  if (cqe->res > 0) {
    unsigned id = uring_buffer_id(cqe);
    on_bytes(server, slot, uring_buffer(&server->buffers, id), (uint32_t)cqe->res);
    uring_buffers_return(&server->buffers, id);
  } else if (cqe->res == -ENOBUFS) {
    server->buffers_ran_out = true;
  } else {
    close_connection(server, slot);  // 0: the peer has ended; negative: the connection is broken.
    return;
  }
  if (!(cqe->flags & IORING_CQE_F_MORE)) arm_receive(server, slot);
}

static void on_backlog_sent(struct server *server, uint32_t slot, int result) {
  struct connection *connection = &server->connections[slot];
  connection->sending_backlog = false;
  if (connection->closing) {
    close_connection(server, slot);
    return;
  }
  if (result < 0) return;  // The receive completion will tell.
  backlog_drop(&connection->sending, (uint32_t)result);
  if (backlog_length(&connection->sending) == 0) {
    connection->sending = connection->waiting;
    connection->waiting = (struct backlog){0};
  }
  if (backlog_length(&connection->sending) > 0) send_backlog(server, slot);
}

// True when the answers to one more receive surely fit: its bytes, the frame it may complete, and
// the connection's earlier answers, should they have to move.
static bool output_has_room(const struct server *server, uint32_t slot) {
  const struct connection *connection = &server->connections[slot];
  uint32_t moved = has_answer(server, connection) ? connection->answer_length : 0;
  return server->output.used + moved + RECEIVE_BUFFER_BYTES + FRAME_BYTES_MAX <= OUTPUT_BYTES;
}

// Handles completions up to `end`, or fewer when the output area is full. Returns where it stopped.
static unsigned handle(struct server *server, unsigned end) {
  unsigned at = uring_cq_begin(&server->ring);
  for (; at != end; at++) {
    const struct io_uring_cqe *cqe = uring_cqe(&server->ring, at);
    uint32_t slot = (uint32_t)cqe->user_data;
    switch ((enum operation)(cqe->user_data >> 56)) {
      case OP_RECEIVE:
        if (!output_has_room(server, slot)) return at;
        on_receive(server, slot, cqe);
        break;
      case OP_ACCEPT:
        if (cqe->res >= 0) open_connection(server, (uint32_t)cqe->res);
        if (!(cqe->flags & IORING_CQE_F_MORE)) arm_accept(server);
        break;
      case OP_SEND_BACKLOG:
        on_backlog_sent(server, slot, cqe->res);
        break;
      case OP_SEND_NOW:  // Settled already.
      case OP_SHUTDOWN:  // Only failures complete: the connection was gone before.
      case OP_CLOSE:
        break;
    }
  }
  return at;
}

// ---- The loop ----

static void check(int result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "%s: %s\n", what, strerror(-result));
  exit(1);
}

static struct server *open_server(void) {
  struct server *server = calloc(1, sizeof *server);
  server->mode = arguments.mode;
  check(uring_open(&server->ring, SUBMISSIONS, COMPLETIONS), "io_uring (needs Linux 6.1)");
  check(uring_register_slots(&server->ring, slot_count), "file table");
  int result = uring_buffers_open(&server->buffers, &server->ring, RECEIVE_BUFFERS,
                                  RECEIVE_BUFFER_BYTES, 0);
  check(result, "receive buffers");
  uring_buffers_lend(&server->buffers, RECEIVE_BUFFERS_FIRST);
  server->connections = calloc(slot_count, sizeof *server->connections);
  server->open_slots = calloc(slot_count, sizeof *server->open_slots);
  server->answered_slots = calloc(slot_count, sizeof *server->answered_slots);
  server->output.bytes = uring_map_memory(OUTPUT_BYTES);
  if (!server->connections || !server->open_slots || !server->answered_slots ||
      !server->output.bytes) {
    fail("memory");
  }
  memset(server->output.bytes, 0, OUTPUT_BYTES);  // Touched, as the receive buffers are.
  server->listener = open_listener(arguments.port, false);
  return server;
}

static void *serve(void *unused) {
  (void)unused;
  struct server *server = open_server();
  arm_accept(server);
  bool more = false;
  for (;;) {
    uint64_t wait_ns = server->mode == MODE_WORLD ? world_wait_ns() : 0;
    bool due = server->mode == MODE_WORLD && wait_ns == 0;
    check(uring_enter(&server->ring, more || due ? 0 : 1, wait_ns), "io_uring_enter");
    unsigned end = uring_cq_end(&server->ring);
    settle_sends(server, end);

    server->turn++;
    server->output.used = 0;
    server->answered_count = 0;
    unsigned handled = handle(server, end);
    more = handled != end;
    uring_cq_release(&server->ring, handled);
    uring_buffers_publish(&server->buffers);
    if (server->buffers_ran_out) uring_buffers_lend(&server->buffers, server->buffers.lent * 2);
    server->buffers_ran_out = false;

    if (due) {
      put_states(&server->output, arguments.states);
      world_ticked();
    }
    flush(server);
  }
  return NULL;
}

int main(int count, char **values) {
  arguments = parse_arguments(count, values);
  uint32_t descriptors = raise_descriptor_limit();
  slot_count = descriptors < CONNECTIONS_MAX ? descriptors : CONNECTIONS_MAX;
  for (int i = 1; i < arguments.threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, NULL) != 0) fail("pthread_create");
  }
  serve(NULL);
}
