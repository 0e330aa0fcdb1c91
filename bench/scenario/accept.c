// What: accepts connections in a way that it is told, and says what an accepted connection costs.
// Flow: client processes connect, so many at a time -> accept -> close with a reset -> the clients see it -> one JSON line.
// Thread: main accepts, on the first core; each client is a process of its own, on the second.
//
// accept WAY AT_ONCE SECONDS SERVER_CORE CLIENT_CORE
//
// WAY  blocking   a loop of accept, which waits
//      epoll      epoll tells; then accept until there is none
//      posted     so many accepts are pending as connections come at once, each posted again: what AcceptEx does
//      multishot  one accept of io_uring, which completes for each connection
#define _GNU_SOURCE
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "../limit/server_setup.h"
#include "../limit/uring_ring.h"
#include "report.h"

#define AT_ONCE_MAX 1024
#define SUBMISSIONS 1024
#define COMPLETIONS 4096
#define PATIENCE_MS 2000

enum way { BLOCKING, BY_EPOLL, POSTED, MULTISHOT };

static int listener;
static volatile sig_atomic_t ending;
static uint64_t accepted;
static struct uring ring;

static void end(int signal) {
  (void)signal;
  ending = 1;
}

static void pin_to(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  if (sched_setaffinity(0, sizeof cores, &cores) < 0) fail("core");
}

// ---- The client ----

// Connects `at_once` times, then waits for the end of each. Returns the connections that were made, of which none is
// open any more. A connection is in the listener's queue when connect() returns.
static uint64_t connect_again_and_again(int at_once, uint64_t end_ns) {
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  if (getsockname(listener, (struct sockaddr *)&address, &length) < 0) fail("getsockname");
  int fds[AT_ONCE_MAX];
  uint64_t made = 0;
  do {
    for (int i = 0; i < at_once; i++) {
      fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (fds[i] < 0) fail("socket");
      // It may be accepted and reset before connect() has returned.
      bool made_it = connect(fds[i], (struct sockaddr *)&address, sizeof address) == 0;
      if (!made_it && errno != ECONNRESET) fail("connect");
      made++;
    }
    for (int i = 0; i < at_once; i++) {
      struct pollfd until_reset = {.fd = fds[i], .events = POLLIN};
      if (poll(&until_reset, 1, PATIENCE_MS) != 1) fail("a connection was not accepted");
      close(fds[i]);
    }
  } while (clock_ns(CLOCK_MONOTONIC) < end_ns);
  return made;
}

// ---- The ways ----

static void take(int fd) {
  accepted++;
  close(fd);  // The listener's linger of 0 is inherited: a reset.
}

static void accept_blocking(void) {
  while (!ending) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) take(fd);
  }
}

static void accept_by_epoll(void) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) fail("epoll");
  while (!ending) {
    if (epoll_wait(epoll, &event, 1, -1) < 1) continue;
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) take(fd);
  }
}

static void post_accept(bool multishot) {
  struct io_uring_sqe *sqe = uring_sqe(&ring);
  sqe->opcode = IORING_OP_ACCEPT;
  sqe->fd = listener;
  sqe->accept_flags = SOCK_CLOEXEC;
  if (multishot) sqe->ioprio = IORING_ACCEPT_MULTISHOT;
}

static void accept_by_ring(bool multishot, int pending) {
  int result = uring_open(&ring, SUBMISSIONS, COMPLETIONS);
  if (result < 0) {
    errno = -result;
    fail("io_uring (needs Linux 6.1)");
  }
  for (int i = 0; i < (multishot ? 1 : pending); i++) post_accept(multishot);
  while (!ending) {
    if (uring_enter(&ring, 1, 0) < 0) fail("io_uring_enter");
    unsigned stop = uring_cq_end(&ring);
    for (unsigned at = uring_cq_begin(&ring); at != stop; at++) {
      const struct io_uring_cqe *cqe = uring_cqe(&ring, at);
      if (cqe->res >= 0) take(cqe->res);
      if (!(cqe->flags & IORING_CQE_F_MORE)) post_accept(multishot);
    }
    uring_cq_release(&ring, stop);
  }
}

// ---- A run ----

int main(int count, char **values) {
  static const char *const names[] = {"blocking", "epoll", "posted", "multishot"};
  int way = -1;
  for (int i = 0; count == 6 && i < 4; i++) {
    if (strcmp(names[i], values[1]) == 0) way = i;
  }
  int at_once = way < 0 ? 0 : atoi(values[2]);
  if (at_once < 1 || at_once > AT_ONCE_MAX) {
    fprintf(stderr, "usage: %s %s AT_ONCE SECONDS SERVER_CORE CLIENT_CORE\n", values[0],
            "blocking|epoll|posted|multishot");
    return 2;
  }
  double seconds = atof(values[3]);
  raise_descriptor_limit();
  listener = open_listener(0, way == BY_EPOLL);
  struct linger reset = {.l_onoff = 1};
  setsockopt(listener, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  int result_pipe[2];
  if (pipe(result_pipe) < 0) fail("pipe");

  // No restart: a signal ends a call that waits. It comes again until the server has seen it.
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGCHLD, &action, NULL);
  pid_t server = getpid();
  pid_t client = fork();
  if (client < 0) fail("fork");
  if (client == 0) {
    pin_to(atoi(values[5]));
    uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
    uint64_t made = connect_again_and_again(at_once, end_ns);
    if (write(result_pipe[1], &made, sizeof made) != sizeof made) fail("pipe");
    close(result_pipe[1]);
    for (;;) {
      kill(server, SIGTERM);
      usleep(10000);
    }
  }
  close(result_pipe[1]);
  pin_to(atoi(values[4]));
  uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
  uint64_t begin_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  switch ((enum way)way) {
    case BLOCKING:
      accept_blocking();
      break;
    case BY_EPOLL:
      accept_by_epoll();
      break;
    case POSTED:
      accept_by_ring(false, at_once);
      break;
    case MULTISHOT:
      accept_by_ring(true, 1);
      break;
  }
  double cpu_s = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_cpu_ns) / 1e9;
  double wall_s = (double)(clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e9;
  kill(client, SIGKILL);
  waitpid(client, NULL, 0);
  uint64_t made = 0;
  if (read(result_pipe[0], &made, sizeof made) != sizeof made) made = 0;
  report_begin();
  report_number("accepts", (double)accepted);
  report_number("accepts_per_s", (double)accepted / wall_s);
  report_number("accepts_per_cpu_s", (double)accepted / cpu_s);
  report_number("utilization", cpu_s / wall_s);
  report_end();
  // Every connection was made and accepted once.
  if (made == accepted && made > 0) return 0;
  fprintf(stderr, "%llu connections were made, %llu accepted\n", (unsigned long long)made,
          (unsigned long long)accepted);
  return 3;
}
