// What: an echo server that receives and sends in a way that it is told, and can time each call and look into the sockets.
// Flow: load client -> receive by readiness or overlapped -> send by a call or overlapped -> one JSON line at SIGTERM.
// Thread: one, which serves all connections.
//
// echo_ways PORT RECEIVE SEND BUFFER SNDBUF timed|plain
//
// RECEIVE  ready  epoll tells that there are bytes; then recv
//          poll   a poll of io_uring tells; then recv, and the next poll: what a zero-byte receive is
//          armed  a receive is pending in a buffer of the connection's own
//          lent   multishot receives, which take one of a few shared buffers when there are bytes
// SEND     call   send, which does not wait; what the socket does not take is kept until it has room
//          ring   a send of io_uring, which completes when all is taken
//          async  the same, handed to a thread of the kernel at once
// BUFFER   bytes of a receive buffer
// SNDBUF   SO_SNDBUF of the connections, 0: the system's
//
// A connection is read again when what was read before is sent. `timed` makes each operation a call of its own, with
// the clock around it, and looks into every eighth socket; `plain` hands over all operations of a turn in one call.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "../limit/backlog.h"
#include "../limit/server_setup.h"
#include "../limit/uring_ring.h"
#include "report.h"

#define EVENTS_MAX 256
#define SUBMISSIONS 4096
#define COMPLETIONS 32768
#define LENT_BUFFERS 1024
#define LENT_AT_FIRST 64
#define CONNECTIONS_MAX 65536
#define LOOK_EVERY 8
#define NOBODY UINT32_MAX

enum receive_way { BY_READY, BY_POLL, BY_ARMED, BY_LENT };
enum send_way { BY_CALL, BY_RING, BY_ASYNC };
enum operation { OP_ACCEPT = 1, OP_RECEIVE, OP_SEND, OP_READABLE, OP_WRITABLE };

#define USER_DATA(operation, index) ((uint64_t)(operation) << 56 | (uint32_t)(index))

struct connection {
  int fd;              // -1: none.
  bool ended;          // `lent`: its stream is over, or broken; closed when nothing is on its way.
  bool sending;        // What was read is not sent yet.
  uint8_t *own;        // `armed`: its receive buffer.
  const uint8_t *out;  // Overlapped: what is being sent.
  uint32_t out_length;
  struct backlog rest;  // `call`: what the socket did not take.
  uint16_t lent_first;  // `lent`: buffers that wait to be sent, oldest first; by next_lent.
  uint16_t lent_last;
  uint16_t lent_count;
  uint32_t next_free;
};

struct counts {
  uint64_t sends_whole;    // Taken whole when the call returned.
  uint64_t sends_part;     // In part.
  uint64_t sends_none;     // Nothing of it.
  uint64_t receives_inline;   // Bytes were there when they were asked for.
  uint64_t receives_pending;  // They came later.
  uint64_t bytes;
};

static enum receive_way receive_way;
static enum send_way send_way;
static uint32_t buffer_bytes;
static bool timed;
static volatile sig_atomic_t ending;

static int epoll;
static int listener;
static struct uring ring;
static struct uring_buffers lent;
static uint16_t next_lent[LENT_BUFFERS];
static uint32_t lent_length[LENT_BUFFERS];
// Connections whose receive found no buffer; it is armed again when the turn has given some back.
static uint32_t starved[CONNECTIONS_MAX];
static uint32_t starved_count;
static uint8_t *input;
static struct connection *connections;
static uint32_t connection_count;
static uint32_t free_connection = NOBODY;

static struct counts counts;
static uint32_t looks;
static struct histogram send_ns, receive_ns, send_queue_bytes, receive_queue_bytes;

static void begin_receive(uint32_t index);
static void send_bytes(uint32_t index, const uint8_t *bytes, uint32_t length);

// ---- Operations ----

static struct io_uring_sqe *claim(uint8_t opcode, enum operation operation, uint32_t index) {
  struct io_uring_sqe *sqe = uring_sqe(&ring);
  sqe->opcode = opcode;
  sqe->fd = operation == OP_ACCEPT ? listener : connections[index].fd;
  sqe->user_data = USER_DATA(operation, index);
  return sqe;
}

// Timed: hands over the one operation that was claimed; true when it is over already. Completions of others are not
// made meanwhile, they need a call that waits (DEFER_TASKRUN).
static bool submit_timed(struct histogram *histogram) {
  unsigned before = uring_cq_end(&ring);
  uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
  uring_call(&ring, 0, 0, NULL, 0);
  histogram_add(histogram, clock_ns(CLOCK_MONOTONIC) - begin_ns);
  return uring_cq_end(&ring) != before;
}

static void watch(uint32_t index, int change, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u32 = index};
  if (epoll_ctl(epoll, change, connections[index].fd, &event) < 0) fail("epoll_ctl");
}

static void queue_poll(enum operation operation, uint32_t index, uint32_t events) {
  struct io_uring_sqe *sqe = claim(IORING_OP_POLL_ADD, operation, index);
  sqe->poll32_events = events;
}

// ---- Connections ----

static void open_connection(int fd) {
  uint32_t index = free_connection;
  if (index != NOBODY) {
    free_connection = connections[index].next_free;
  } else {
    if (connection_count == CONNECTIONS_MAX) {
      close(fd);
      return;
    }
    index = connection_count++;
  }
  struct connection *connection = &connections[index];
  *connection = (struct connection){.fd = fd, .next_free = NOBODY};
  if (receive_way == BY_ARMED) {
    connection->own = malloc(buffer_bytes);
    if (!connection->own) fail("memory");
  }
  if (receive_way == BY_READY) {
    watch(index, EPOLL_CTL_ADD, EPOLLIN);
  } else {
    begin_receive(index);
  }
}

static void close_connection(uint32_t index) {
  struct connection *connection = &connections[index];
  close(connection->fd);
  connection->fd = -1;
  while (connection->lent_count > 0) {
    uint16_t id = connection->lent_first;
    connection->lent_first = next_lent[id];
    connection->lent_count--;
    uring_buffers_return(&lent, id);
  }
  backlog_free(&connection->rest);
  free(connection->own);
  connection->own = NULL;
  connection->next_free = free_connection;
  free_connection = index;
}

// A receive that is pending has its last completion first: until then the number is not another connection's.
static void break_connection(uint32_t index) {
  struct connection *connection = &connections[index];
  if (receive_way != BY_LENT) {
    close_connection(index);
    return;
  }
  connection->sending = false;
  connection->ended = true;
  shutdown(connection->fd, SHUT_RDWR);
}

static void accept_connections(void) {
  int fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) open_connection(fd);
}

// ---- Sending ----

// How full the socket is now that the answer is in it, and whether the next message is here already.
static void look_into(int fd) {
  if (!timed || ++looks % LOOK_EVERY != 0) return;
  int unsent = 0, unread = 0;
  ioctl(fd, SIOCOUTQ, &unsent);
  ioctl(fd, SIOCINQ, &unread);
  histogram_add(&send_queue_bytes, (uint64_t)unsent);
  histogram_add(&receive_queue_bytes, (uint64_t)unread);
}

static void count_send(int64_t sent, uint32_t length) {
  if (sent == (int64_t)length) {
    counts.sends_whole++;
  } else if (sent > 0) {
    counts.sends_part++;
  } else {
    counts.sends_none++;
  }
}

// All that was read is sent: reads on, or sends what has come meanwhile.
static void sent_all(uint32_t index) {
  struct connection *connection = &connections[index];
  connection->sending = false;
  if (receive_way == BY_LENT) {
    uint16_t id = connection->lent_first;
    connection->lent_first = next_lent[id];
    connection->lent_count--;
    uring_buffers_return(&lent, id);
    if (connection->lent_count > 0) {
      uint16_t next = connection->lent_first;
      send_bytes(index, uring_buffer(&lent, next), lent_length[next]);
    } else if (connection->ended) {
      close_connection(index);
    }
  } else {
    begin_receive(index);
  }
}

static ssize_t call_send(int fd, const uint8_t *bytes, uint32_t length) {
  uint64_t begin_ns = timed ? clock_ns(CLOCK_MONOTONIC) : 0;
  ssize_t sent = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  int error = errno;
  if (timed) histogram_add(&send_ns, clock_ns(CLOCK_MONOTONIC) - begin_ns);
  count_send(sent, length);
  errno = error;
  return sent;
}

// False when the connection is broken.
static bool keep(struct connection *connection, const uint8_t *bytes, uint32_t length) {
  bool was_empty = backlog_length(&connection->rest) == 0;
  if (!backlog_add(&connection->rest, bytes, length)) return false;
  uint32_t index = (uint32_t)(connection - connections);
  if (receive_way != BY_READY) {
    queue_poll(OP_WRITABLE, index, POLLOUT);
  } else if (was_empty) {
    watch(index, EPOLL_CTL_MOD, EPOLLOUT);
  }
  return true;
}

static void send_by_call(uint32_t index, const uint8_t *bytes, uint32_t length) {
  struct connection *connection = &connections[index];
  ssize_t sent = call_send(connection->fd, bytes, length);
  look_into(connection->fd);
  if (sent == (ssize_t)length) {
    sent_all(index);
    return;
  }
  bool broken = sent < 0 && errno != EAGAIN;
  uint32_t taken = sent < 0 ? 0 : (uint32_t)sent;
  if (broken || !keep(connection, bytes + taken, length - taken)) break_connection(index);
}

static void on_writable(uint32_t index) {
  struct connection *connection = &connections[index];
  struct backlog *rest = &connection->rest;
  ssize_t sent = call_send(connection->fd, rest->bytes + rest->begin, backlog_length(rest));
  if (sent < 0 && errno != EAGAIN) {
    break_connection(index);
    return;
  }
  if (sent > 0) backlog_drop(rest, (uint32_t)sent);
  if (backlog_length(rest) > 0) {
    if (receive_way != BY_READY) queue_poll(OP_WRITABLE, index, POLLOUT);
    return;
  }
  if (receive_way == BY_READY) watch(index, EPOLL_CTL_MOD, EPOLLIN);
  sent_all(index);
}

static void send_by_ring(uint32_t index, const uint8_t *bytes, uint32_t length) {
  struct connection *connection = &connections[index];
  connection->out = bytes;
  connection->out_length = length;
  struct io_uring_sqe *sqe = claim(IORING_OP_SEND, OP_SEND, index);
  sqe->addr = (uint64_t)(uintptr_t)bytes;
  sqe->len = length;
  sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
  if (send_way == BY_ASYNC) sqe->flags = IOSQE_ASYNC;
  if (!timed) return;
  if (submit_timed(&send_ns)) {
    counts.sends_whole++;
  } else {
    counts.sends_none++;
  }
  look_into(connection->fd);
}

static void on_sent(uint32_t index, int result) {
  struct connection *connection = &connections[index];
  if (result <= 0) {
    break_connection(index);
  } else if ((uint32_t)result < connection->out_length) {
    send_by_ring(index, connection->out + result, connection->out_length - (uint32_t)result);
  } else {
    sent_all(index);
  }
}

static void send_bytes(uint32_t index, const uint8_t *bytes, uint32_t length) {
  connections[index].sending = true;
  if (send_way == BY_CALL) {
    send_by_call(index, bytes, length);
  } else {
    send_by_ring(index, bytes, length);
  }
}

// ---- Receiving ----

static void begin_receive(uint32_t index) {
  struct connection *connection = &connections[index];
  struct io_uring_sqe *sqe;
  switch (receive_way) {
    case BY_READY:
      return;  // It is watched.
    case BY_POLL:
      queue_poll(OP_READABLE, index, POLLIN);
      break;
    case BY_ARMED:
      sqe = claim(IORING_OP_RECV, OP_RECEIVE, index);
      sqe->addr = (uint64_t)(uintptr_t)connection->own;
      sqe->len = buffer_bytes;
      break;
    case BY_LENT:
      sqe = claim(IORING_OP_RECV, OP_RECEIVE, index);
      sqe->flags = IOSQE_BUFFER_SELECT;
      sqe->ioprio = IORING_RECV_MULTISHOT;
      break;
  }
  if (!timed) return;
  if (submit_timed(&receive_ns)) {
    counts.receives_inline++;
  } else {
    counts.receives_pending++;
  }
}

static void on_readable(uint32_t index) {
  struct connection *connection = &connections[index];
  uint64_t begin_ns = timed ? clock_ns(CLOCK_MONOTONIC) : 0;
  ssize_t received = recv(connection->fd, input, buffer_bytes, MSG_DONTWAIT);
  int error = errno;
  if (timed && receive_way == BY_READY) {
    histogram_add(&receive_ns, clock_ns(CLOCK_MONOTONIC) - begin_ns);
    if (received > 0) counts.receives_inline++;
  }
  if (received > 0) {
    counts.bytes += (uint64_t)received;
    send_bytes(index, input, (uint32_t)received);
  } else if (received < 0 && error == EAGAIN) {
    begin_receive(index);
  } else {
    close_connection(index);
  }
}

// A multishot receive has ended.
static void go_on_receiving(uint32_t index) {
  if (!connections[index].ended) {
    begin_receive(index);
  } else if (!connections[index].sending) {
    close_connection(index);
  }
}

static void on_received(uint32_t index, const struct io_uring_cqe *cqe) {
  struct connection *connection = &connections[index];
  if (cqe->res > 0) counts.bytes += (uint64_t)cqe->res;
  if (receive_way == BY_ARMED) {
    if (cqe->res > 0) {
      send_bytes(index, connection->own, (uint32_t)cqe->res);
    } else {
      close_connection(index);
    }
    return;
  }
  if (cqe->res > 0) {
    uint16_t id = (uint16_t)uring_buffer_id(cqe);
    if (connection->ended) {
      uring_buffers_return(&lent, id);
    } else {
      lent_length[id] = (uint32_t)cqe->res;
      if (connection->lent_count++ == 0) {
        connection->lent_first = id;
      } else {
        next_lent[connection->lent_last] = id;
      }
      connection->lent_last = id;
      if (!connection->sending) send_bytes(index, uring_buffer(&lent, id), lent_length[id]);
    }
    if (cqe->flags & IORING_CQE_F_MORE) return;
  } else if (cqe->res == -ENOBUFS) {
    starved[starved_count++] = index;
    return;
  } else {
    connection->ended = true;
  }
  go_on_receiving(index);
}

// More buffers than there were, and those that came back.
static void feed_starved(void) {
  if (starved_count > 0) uring_buffers_lend(&lent, lent.lent * 2);
  uring_buffers_publish(&lent);
  for (; starved_count > 0; starved_count--) go_on_receiving(starved[starved_count - 1]);
}

// ---- The loops ----

static void serve_by_readiness(void) {
  struct epoll_event events[EVENTS_MAX];
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = NOBODY};
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) fail("epoll");
  while (!ending) {
    int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; i++) {
      uint32_t index = events[i].data.u32;
      if (index == NOBODY) {
        accept_connections();
      } else if (connections[index].fd < 0) {
        continue;
      } else if (backlog_length(&connections[index].rest) > 0) {
        on_writable(index);
      } else {
        on_readable(index);
      }
    }
  }
}

static void queue_accept(void) {
  struct io_uring_sqe *sqe = claim(IORING_OP_ACCEPT, OP_ACCEPT, 0);
  sqe->ioprio = IORING_ACCEPT_MULTISHOT;
}

static void on_completion(const struct io_uring_cqe *cqe) {
  uint32_t index = (uint32_t)cqe->user_data;
  switch ((enum operation)(cqe->user_data >> 56)) {
    case OP_ACCEPT:
      if (cqe->res >= 0) open_connection(cqe->res);
      if (!(cqe->flags & IORING_CQE_F_MORE)) queue_accept();
      break;
    case OP_RECEIVE:
      on_received(index, cqe);
      break;
    case OP_SEND:
      on_sent(index, cqe->res);
      break;
    case OP_READABLE:
      on_readable(index);
      break;
    case OP_WRITABLE:
      on_writable(index);
      break;
  }
}

static void serve_by_completions(void) {
  int result = uring_open(&ring, SUBMISSIONS, COMPLETIONS);
  if (result == 0 && receive_way == BY_LENT) {
    result = uring_buffers_open(&lent, &ring, LENT_BUFFERS, buffer_bytes, 0);
    if (result == 0) uring_buffers_lend(&lent, LENT_AT_FIRST);
  }
  if (result < 0) {
    errno = -result;
    fail("io_uring (needs Linux 6.1)");
  }
  queue_accept();
  while (!ending) {
    result = uring_enter(&ring, 1, 0);
    if (result < 0) fail("io_uring_enter");
    unsigned at = uring_cq_begin(&ring);
    // Operations that are over at once append to what is being walked.
    for (; at != uring_cq_end(&ring); at++) {
      struct io_uring_cqe cqe = *uring_cqe(&ring, at);
      uring_cq_release(&ring, at + 1);
      on_completion(&cqe);
    }
    if (receive_way == BY_LENT) feed_starved();
  }
}

static void end(int signal) {
  (void)signal;
  ending = 1;
}

static int find(const char *const *names, int count, const char *name) {
  for (int i = 0; i < count; i++) {
    if (strcmp(names[i], name) == 0) return i;
  }
  return -1;
}

int main(int count, char **values) {
  static const char *const receive_names[] = {"ready", "poll", "armed", "lent"};
  static const char *const send_names[] = {"call", "ring", "async"};
  int receive = count == 7 ? find(receive_names, 4, values[2]) : -1;
  int sending = count == 7 ? find(send_names, 3, values[3]) : -1;
  // Readiness has no ring; what a poll told is read into memory that all share, so it is sent at once.
  if (receive < 0 || sending < 0 || (receive <= BY_POLL && sending != BY_CALL)) {
    fprintf(stderr, "usage: %s PORT ready|poll|armed|lent call|ring|async BUFFER SNDBUF timed|plain\n",
            values[0]);
    return 2;
  }
  receive_way = (enum receive_way)receive;
  send_way = (enum send_way)sending;
  buffer_bytes = (uint32_t)atoi(values[4]);
  int sndbuf = atoi(values[5]);
  timed = strcmp(values[6], "timed") == 0;
  raise_descriptor_limit();
  input = malloc(buffer_bytes);
  connections = calloc(CONNECTIONS_MAX, sizeof *connections);
  if (!input || !connections) fail("memory");
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);
  listener = open_listener((uint16_t)atoi(values[1]), true);
  if (sndbuf > 0) setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf);

  if (receive_way == BY_READY) {
    serve_by_readiness();
  } else {
    serve_by_completions();
  }

  report_begin();
  report_number("bytes", (double)counts.bytes);
  if (timed) {
    struct histogram clock = {0};
    for (int i = 0; i < 10000; i++) {
      uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
      histogram_add(&clock, clock_ns(CLOCK_MONOTONIC) - begin_ns);
    }
    report_histogram("clock_ns", &clock);
    report_number("sends_whole", (double)counts.sends_whole);
    report_number("sends_part", (double)counts.sends_part);
    report_number("sends_none", (double)counts.sends_none);
    report_number("receives_inline", (double)counts.receives_inline);
    report_number("receives_pending", (double)counts.receives_pending);
    report_histogram("send_ns", &send_ns);
    report_histogram("receive_ns", &receive_ns);
    report_histogram("send_queue_bytes", &send_queue_bytes);
    report_histogram("receive_queue_bytes", &receive_queue_bytes);
  }
  report_end();
  return 0;
}
