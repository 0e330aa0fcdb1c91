// What: sessions that ask for many messages at once, and one that asks for one now and then.
// Flow: request -> handlers/gather.mjs -> so many messages, every byte verified -> next request; one JSON line.
// Thread: main has the sessions that ask for many; one thread has the probe.
//
// gather_client PORT PID SESSIONS COUNT SIZE SECONDS
//
// PID is the server, whose CPU time is read at both ends. The probe asks for one message of 64 bytes, waits for it, and
// sleeps half a millisecond.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "../limit/server_setup.h"
#include "report.h"

#define HEADER_BYTES 2
#define REQUEST_BYTES 8
#define SIZE_MAX_BYTES 65535
#define SESSIONS_MAX 1024
#define INPUT_BYTES (256u << 10)
#define PROBE_SIZE 64
#define PROBE_SLEEP_US 500
#define WARMUP_SHARE 0.3
#define EVENTS_MAX 64
#define TURN_MS 20
// An answer that is on its way at the end of the run is waited for as long.
#define DRAIN_NS 5000000000ull

struct session {
  int fd;
  uint64_t missing;  // Bytes of the answer that have not come.
  uint32_t offset;   // In the message that comes now.
};

static uint16_t port;
static atomic_bool measuring;
static atomic_bool probing = true;
static struct histogram probe_ns;  // Writer: the probe's thread.
static uint64_t probe_faults;

static int open_session(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
  return fd;
}

static void ask(int fd, uint32_t count, uint32_t size) {
  uint8_t frame[HEADER_BYTES + REQUEST_BYTES] = {REQUEST_BYTES};
  memcpy(frame + HEADER_BYTES, &count, sizeof count);
  memcpy(frame + HEADER_BYTES + sizeof count, &size, sizeof size);
  if (send(fd, frame, sizeof frame, MSG_NOSIGNAL) != sizeof frame) fail("send");
}

// A message as handlers/gather.mjs makes it.
static void build_message(uint8_t *frame, uint32_t size) {
  frame[0] = (uint8_t)size;
  frame[1] = (uint8_t)(size >> 8);
  for (uint32_t i = 0; i < size; i++) frame[HEADER_BYTES + i] = (uint8_t)(i * 31 + 7);
}

// ---- The probe ----

static void *probe(void *unused) {
  (void)unused;
  // The wait for a core is the client's, not the server's. Where it is not allowed, it is in the figure.
  struct sched_param first = {.sched_priority = 1};
  pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
  uint8_t expected[HEADER_BYTES + PROBE_SIZE];
  uint8_t answer[sizeof expected];
  build_message(expected, PROBE_SIZE);
  int fd = open_session();
  while (atomic_load(&probing)) {
    uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
    ask(fd, 1, PROBE_SIZE);
    ssize_t length = recv(fd, answer, sizeof answer, MSG_WAITALL);
    uint64_t taken_ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
    if (length != sizeof answer || memcmp(answer, expected, sizeof answer) != 0) {
      probe_faults++;
      break;
    }
    if (atomic_load(&measuring)) histogram_add(&probe_ns, taken_ns);
    usleep(PROBE_SLEEP_US);
  }
  close(fd);
  return NULL;
}

// ---- Those that ask for many ----

static uint64_t server_cpu_ns(pid_t server) {
  clockid_t clock;
  return clock_getcpuclockid(server, &clock) == 0 ? clock_ns(clock) : 0;
}

// Verifies what has come. Returns the messages that were completed, -1 at a wrong byte.
static int64_t verify(struct session *session, const uint8_t *bytes, uint32_t length,
                      const uint8_t *message, uint32_t message_bytes) {
  int64_t completed = 0;
  if (length > session->missing) return -1;
  session->missing -= length;
  while (length > 0) {
    uint32_t part = message_bytes - session->offset;
    if (part > length) part = length;
    if (memcmp(bytes, message + session->offset, part) != 0) return -1;
    bytes += part;
    length -= part;
    session->offset = (session->offset + part) % message_bytes;
    completed += session->offset == 0;
  }
  return completed;
}

int main(int count, char **values) {
  uint32_t numbers[6] = {0};
  for (int i = 1; count == 7 && i < 6; i++) numbers[i] = (uint32_t)atoi(values[i]);
  uint32_t sessions_count = numbers[3], messages_count = numbers[4], size = numbers[5];
  if (sessions_count < 1 || sessions_count > SESSIONS_MAX || messages_count < 1 || size < 1 ||
      size > SIZE_MAX_BYTES) {
    fprintf(stderr, "usage: %s PORT PID SESSIONS COUNT SIZE SECONDS\n", values[0]);
    return 2;
  }
  port = (uint16_t)numbers[1];
  pid_t server = (pid_t)numbers[2];
  double seconds = atof(values[6]);

  uint32_t message_bytes = HEADER_BYTES + size;
  uint8_t *message = malloc(message_bytes);
  uint8_t *input = malloc(INPUT_BYTES);
  struct session *sessions = calloc(sessions_count, sizeof *sessions);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (!message || !input || !sessions || epoll < 0) fail("memory");
  build_message(message, size);
  for (uint32_t i = 0; i < sessions_count; i++) {
    sessions[i].fd = open_session();
    sessions[i].missing = (uint64_t)messages_count * message_bytes;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &sessions[i]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, sessions[i].fd, &event) < 0) fail("epoll_ctl");
    ask(sessions[i].fd, messages_count, size);
  }
  pthread_t probe_thread;
  if (pthread_create(&probe_thread, NULL, probe, NULL) != 0) fail("thread");

  uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
  uint64_t measure_ns = start_ns + (uint64_t)(seconds * WARMUP_SHARE * 1e9);
  uint64_t stop_ns = measure_ns + (uint64_t)(seconds * 1e9);
  uint64_t now_ns = start_ns, begin_ns = 0, begin_cpu_ns = 0, end_ns = 0, end_cpu_ns = 0;
  uint64_t messages = 0, faults = 0;
  uint32_t asking = sessions_count;
  while (asking > 0 && faults == 0 && now_ns < stop_ns + DRAIN_NS) {
    struct epoll_event events[EVENTS_MAX];
    int ready = epoll_wait(epoll, events, EVENTS_MAX, TURN_MS);
    now_ns = clock_ns(CLOCK_MONOTONIC);
    if (begin_ns == 0 && now_ns >= measure_ns) {
      begin_ns = now_ns;
      begin_cpu_ns = server_cpu_ns(server);
      messages = 0;
      atomic_store(&measuring, true);
    }
    // A machine that is busy with others may need longer for the first message.
    if (end_ns == 0 && now_ns >= stop_ns && messages > 0) {
      end_ns = now_ns;
      end_cpu_ns = server_cpu_ns(server);
      atomic_store(&measuring, false);
      atomic_store(&probing, false);
    }
    for (int i = 0; i < ready; i++) {
      struct session *session = events[i].data.ptr;
      ssize_t length = recv(session->fd, input, INPUT_BYTES, MSG_DONTWAIT);
      int64_t completed =
          length > 0 ? verify(session, input, (uint32_t)length, message, message_bytes) : -1;
      if (completed < 0) {
        faults++;
        break;
      }
      if (end_ns == 0) messages += (uint64_t)completed;
      if (session->missing > 0) continue;
      if (end_ns != 0) {
        asking--;
        epoll_ctl(epoll, EPOLL_CTL_DEL, session->fd, NULL);
        continue;
      }
      session->missing = (uint64_t)messages_count * message_bytes;
      ask(session->fd, messages_count, size);
    }
  }
  atomic_store(&probing, false);
  if (faults > 0 || asking > 0) {
    fprintf(stderr, "%u sessions had no whole answer, or a wrong byte\n", asking);
    return 3;
  }
  pthread_join(probe_thread, NULL);
  double cpu_s = (double)(end_cpu_ns - begin_cpu_ns) / 1e9;
  double wall_s = (double)(end_ns - begin_ns) / 1e9;
  report_begin();
  report_number("messages", (double)messages);
  report_number("msgs_s", (double)messages / wall_s);
  report_number("cpu_us_per_msg", messages > 0 ? cpu_s * 1e6 / (double)messages : 0);
  report_number("server_utilization", cpu_s / wall_s);
  report_histogram("probe_ns", &probe_ns);
  report_number("errors", (double)probe_faults);
  report_end();
  if (probe_faults == 0 && messages > 0) return 0;
  fprintf(stderr, "%llu messages, %llu wrong answers to the probe\n", (unsigned long long)messages,
          (unsigned long long)probe_faults);
  return 3;
}
