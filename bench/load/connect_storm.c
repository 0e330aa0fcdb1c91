// What: connect: connections that open, exchange one verified message and reset, one after another.
// Flow: connect -> send -> the echo, verified -> close with a reset -> the next, in the same place.
// Thread: client threads, each with its own epoll and places; main samples and waits.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_socket.h"
#include "load_client.h"
#include "message.h"
#include "window.h"

#define EVENTS_MAX 256
#define TURN_MS 20
// Connections in flight may finish for so long after the end of the run; then they are faults.
#define DRAIN_NS (2 * NS_PER_SECOND)

// Where one connection after another lives.
struct place {
  int fd;  // -1: none.
  uint32_t id;
  uint64_t sequence;  // Connections that this place has had.
  uint64_t opened_ns;
  uint32_t received;  // Bytes of the echo.
  bool sent;
};

struct client {
  struct client_thread common;  // Its messages: connections that got their echo.
  int epoll;
  struct place *places;
  int count;
  int busy;  // Places with a connection.
  uint8_t *frame;
};

static void watch(struct client *client, struct place *place, int change, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = place};
  if (epoll_ctl(client->epoll, change, place->fd, &event) < 0) {
    fail_setup("epoll_ctl", strerror(errno));
  }
}

// Tries to send the message. False when the connection is broken.
static bool try_send(struct client *client, struct place *place) {
  build_frame(client->frame, place->id, place->sequence);
  ssize_t sent = send(place->fd, client->frame, frame_length(), MSG_NOSIGNAL);
  place->sent = sent == (ssize_t)frame_length();
  // Not connected yet is the one reason to come back; a fresh socket has room for a whole message.
  return place->sent || (sent < 0 && (errno == EAGAIN || errno == ENOTCONN));
}

static void open_next(struct client *client, struct place *place) {
  place->opened_ns = now_ns();
  place->sequence++;
  place->received = 0;
  place->fd = open_socket(true);
  if (place->fd < 0) fail_setup("connect", strerror(errno));
  client->busy++;
  // On loopback the connection is there when connect() returns, so the first try succeeds.
  if (!try_send(client, place)) client->common.faults++;
  watch(client, place, EPOLL_CTL_ADD, place->sent ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

static void close_place(struct client *client, struct place *place) {
  close(place->fd);
  place->fd = -1;
  client->busy--;
  if (current_phase() != PHASE_DRAIN) open_next(client, place);
}

// Receives and verifies. False when the connection is broken or a byte is wrong.
static bool receive_echo(struct place *place) {
  uint8_t bytes[4096];
  ssize_t length = recv(place->fd, bytes, sizeof bytes, 0);
  if (length < 0) return errno == EAGAIN;
  if (length == 0 || length > (ssize_t)(frame_length() - place->received)) return false;
  bool right = frame_matches(bytes, place->received, (uint32_t)length, place->id, place->sequence);
  place->received += (uint32_t)length;
  return right;
}

static void on_event(struct client *client, struct place *place, uint32_t events) {
  bool good = true;
  if (!place->sent && (events & EPOLLOUT)) {
    good = try_send(client, place);
    if (good && place->sent) watch(client, place, EPOLL_CTL_MOD, EPOLLIN);
  }
  if (good && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) good = receive_echo(place);
  if (!good) {
    client->common.faults++;
    close_place(client, place);
  } else if (place->received == frame_length()) {
    if (current_phase() == PHASE_MEASURE) {
      histogram_add(&client->common.latency, now_ns() - place->opened_ns);
    }
    atomic_fetch_add_explicit(&client->common.messages, 1, memory_order_relaxed);
    close_place(client, place);
  }
}

static void turn(struct client *client) {
  struct epoll_event events[EVENTS_MAX];
  int count = epoll_wait(client->epoll, events, EVENTS_MAX, TURN_MS);
  for (int i = 0; i < count; i++) on_event(client, events[i].data.ptr, events[i].events);
}

static void *run_client(void *argument) {
  struct client *client = argument;
  for (int i = 0; i < client->count; i++) open_next(client, &client->places[i]);
  while (current_phase() != PHASE_DRAIN) turn(client);
  uint64_t deadline = now_ns() + DRAIN_NS;
  while (client->busy > 0 && now_ns() < deadline) turn(client);
  client->common.lost = (uint64_t)client->busy;
  client->common.faults += client->common.lost;
  return NULL;
}

static struct client *start_clients(void) {
  struct client *clients = allocate((size_t)options.threads, sizeof *clients);
  uint32_t next_id = 0;
  for (int i = 0; i < options.threads; i++) {
    struct client *client = &clients[i];
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (client->epoll < 0) fail_setup("epoll_create1", strerror(errno));
    client->frame = allocate(1, frame_length());
    client->count = options.connections / options.threads +
                    (i < options.connections % options.threads);
    client->places = allocate((size_t)client->count, sizeof *client->places);
    for (int p = 0; p < client->count; p++) client->places[p].id = next_id++;
    if (pthread_create(&client->common.thread, NULL, run_client, client) != 0) {
      fail_setup("thread", strerror(errno));
    }
  }
  return clients;
}

uint64_t run_connect(void) {
  struct client *clients = start_clients();
  return run_window(&clients->common, sizeof *clients);
}
