// What: peers that misbehave, thousands at a time: storms of resets, silence, blasting, never reading; and healthy ones.
// Flow: test/helpers/abuse_client.ts (arguments, commands on stdin) -> this -> a server; lines on stdout tell what it saw.
// Thread: its own process.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 512
#define HEADER_BYTES 2
#define PAYLOAD_MAX 600
#define FRAMES_MAX 8
// Ports of one source address that are used before the next address: fewer than ip_local_port_range has.
#define CONNECTIONS_PER_ADDRESS 20000
// hit: rounds of an empty loop between connect and the byte; up to about 0.1 ms.
#define HIT_ROUNDS_MAX 200000
#define HIT_SLEEP_MAX_NS 100000
// Descriptors of this process beside its peers.
#define OTHER_DESCRIPTORS 64
#define BLAST_BYTES 65536
// First payload byte of what the test's server sends by itself; an echoed payload never begins so.
#define FOREIGN 0xee

enum mode { MODE_STORM, MODE_HOLD, MODE_BLAST, MODE_ECHO, MODE_HIT };

static struct {
  enum mode mode;
  uint16_t port;
  int count;      // storm, hit: connections in all; else: peers
  int at_once;    // storm: connections at a time
  int waits;      // storm: 1 keeps the first wave until the command `go`
  int size;       // blast, echo: payload bytes
  int reads;      // blast: 1 reads what comes back
  int burst;      // blast: bytes in one send
  int heavy;      // blast: so many of the peers send as much as they can instead
  int rcvbuf;     // SO_RCVBUF; 0: the system's
  int partial;    // hold: bytes of a frame that is never finished, sent at once
  int limit_pid;  // process whose RLIMIT_NOFILE is lowered before the first connect; 0: none
  int spare;      // descriptors that it then has left
  uint32_t seed;
} options = {.at_once = 1, .size = 16, .burst = BLAST_BYTES, .seed = 1};

struct peer {
  int fd;  // -1: none
  int index;
  bool connected;
  bool said_hello;  // storm, first wave: its one frame was echoed
  bool gone;        // FIN or reset was seen
  uint8_t stream[HEADER_BYTES * FRAMES_MAX + PAYLOAD_MAX * FRAMES_MAX];
  int whole;     // storm: bytes of the whole frames before the cut
  int cut;       // bytes to send before the reset
  int want;      // bytes of the echo to wait for before the reset
  int sent;
  int received;  // bytes of the echo that were right
  uint8_t frame[HEADER_BYTES + PAYLOAD_MAX];  // the frame that is being received
  int frame_bytes;
  uint64_t answered;  // echo: messages
};

static int epoll;
static struct peer *peers;
static int peer_count;
static uint32_t state;
static struct rlimit limit_before;
static int opened, connected_count, hellos, fins, resets, faults;
static bool released;  // storm: the first wave was complete
static uint64_t sent_bytes, received_bytes;
static uint8_t blast[BLAST_BYTES];
static int blast_bytes;

static void die(const char *what) {
  fprintf(stderr, "abuse_client: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint32_t random_below(uint32_t limit) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % limit;
}

static void watch(struct peer *peer, int change, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = peer};
  if (epoll_ctl(epoll, change, peer->fd, &event) < 0) die("epoll_ctl");
}

static int put_frame(uint8_t *to, int payload, int seed) {
  to[0] = (uint8_t)(payload >> 8);
  to[1] = (uint8_t)payload;
  for (int i = 0; i < payload; i++) to[HEADER_BYTES + i] = (uint8_t)((seed + i * 7) & 0x7f);
  return HEADER_BYTES + payload;
}

/** What this connection will say, where it is cut, and what it waits for. */
static void plan(struct peer *peer) {
  int total = 0;
  int ends[FRAMES_MAX];
  int frames = 1 + (int)random_below(FRAMES_MAX);
  for (int i = 0; i < frames; i++) {
    total += put_frame(peer->stream + total, (int)random_below(PAYLOAD_MAX + 1), opened + i);
    ends[i] = total;
  }
  peer->cut = (int)random_below((uint32_t)total + 1);
  peer->whole = 0;
  for (int i = 0; i < frames && ends[i] <= peer->cut; i++) peer->whole = ends[i];
  peer->want = random_below(2) == 0 ? 0 : (int)random_below((uint32_t)peer->whole + 1);
  peer->sent = peer->received = peer->frame_bytes = 0;
}

/** A socket that is connecting, or connected where it blocks. */
static int start_connect(int type) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | type, 0);
  if (fd < 0) die("socket");
  int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (options.rcvbuf > 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &options.rcvbuf, sizeof options.rcvbuf);
  struct sockaddr_in from = {.sin_family = AF_INET};
  from.sin_addr.s_addr = htonl(0x7f000101u + ((uint32_t)(opened / CONNECTIONS_PER_ADDRESS) << 8));
  if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) die("bind");
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(options.port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) die("connect");
  opened++;
  return fd;
}

static void open_peer(struct peer *peer) {
  peer->fd = start_connect(SOCK_NONBLOCK);
  peer->connected = peer->gone = false;
  peer->sent = peer->received = peer->frame_bytes = 0;
  watch(peer, EPOLL_CTL_ADD, EPOLLOUT);
}

static void reset(int fd) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  close(fd);
}

static void drop(struct peer *peer, bool with_reset) {
  if (with_reset) reset(peer->fd);
  else close(peer->fd);
  peer->fd = -1;
}

/** The server ended it. A held peer keeps its socket and answers nothing. */
static void lost(struct peer *peer, bool was_reset) {
  if (was_reset) resets++;
  else fins++;
  peer->gone = true;
  if (options.mode == MODE_STORM) {
    drop(peer, true);
  } else if (was_reset || options.mode != MODE_HOLD) {
    drop(peer, false);
  } else {
    watch(peer, EPOLL_CTL_MOD, 0);  // a reset is still reported
  }
}

// --- storm -------------------------------------------------------------------------------------

static void replace(struct peer *peer) {
  if (peer->fd >= 0) drop(peer, true);
  if (opened < options.count) open_peer(peer);
}

/** Takes a frame apart from the stream; false when a byte is wrong. */
static bool check_frame(struct peer *peer, const uint8_t *frame, int length) {
  if (length > HEADER_BYTES && frame[HEADER_BYTES] == FOREIGN) return true;
  if (peer->received + length > peer->whole) return false;
  if (memcmp(frame, peer->stream + peer->received, (size_t)length) != 0) return false;
  peer->received += length;
  return true;
}

/** Bytes of whole frames, and of the one that has begun, are compared. -1: ended; -2: reset; -3: wrong. */
static int receive_frames(struct peer *peer) {
  uint8_t bytes[16384];
  for (;;) {
    ssize_t length = recv(peer->fd, bytes, sizeof bytes, 0);
    if (length == 0) return -1;
    if (length < 0) return errno == EAGAIN ? 0 : -2;
    received_bytes += (uint64_t)length;
    for (ssize_t i = 0; i < length; i++) {
      peer->frame[peer->frame_bytes++] = bytes[i];
      if (peer->frame_bytes < HEADER_BYTES) continue;
      int whole = HEADER_BYTES + (peer->frame[0] << 8 | peer->frame[1]);
      if (whole > (int)sizeof peer->frame) return -3;
      if (peer->frame_bytes < whole) continue;
      if (!check_frame(peer, peer->frame, whole)) return -3;
      peer->frame_bytes = 0;
    }
  }
}

static void plan_hello(struct peer *peer) {
  peer->cut = peer->whole = put_frame(peer->stream, 2, 1);
  peer->sent = peer->received = peer->frame_bytes = 0;
}

/** Sends up to the cut; whether the peer lives. */
static bool send_stream(struct peer *peer) {
  while (peer->sent < peer->cut) {
    ssize_t sent = send(peer->fd, peer->stream + peer->sent, (size_t)(peer->cut - peer->sent), MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    peer->sent += (int)sent;
  }
  return true;
}

static void storm_goes_on(struct peer *peer) {
  if (!send_stream(peer)) {
    lost(peer, true);
    replace(peer);
  } else if (peer->sent < peer->cut) {
    watch(peer, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
  } else if (released && peer->received >= peer->want) {
    replace(peer);
  } else {
    watch(peer, EPOLL_CTL_MOD, EPOLLIN);
  }
}

static void release_wave(void) {
  released = true;
  for (int i = 0; i < peer_count; i++) {
    if (peers[i].fd < 0) continue;
    plan(&peers[i]);
    storm_goes_on(&peers[i]);
  }
}

static void on_storm(struct peer *peer, uint32_t events) {
  if (!peer->connected) {
    peer->connected = true;
    connected_count++;
    if (released) plan(peer);
    else plan_hello(peer);
  }
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    int outcome = receive_frames(peer);
    if (outcome == -3) {
      faults++;
      replace(peer);
      return;
    }
    if (outcome < 0) {
      lost(peer, outcome == -2);
      replace(peer);
      return;
    }
  }
  if (!released && peer->received == peer->whole && !peer->said_hello) {
    peer->said_hello = true;
    if (++hellos == peer_count) {
      // Everybody has been answered: that many sessions exist at once.
      printf("ready\n");
      if (!options.waits) {
        release_wave();
        return;
      }
    }
  }
  storm_goes_on(peer);
}

// --- the others --------------------------------------------------------------------------------

/** Reads and forgets. False: it ended. */
static bool swallow(struct peer *peer) {
  static uint8_t bytes[262144];
  ssize_t length = recv(peer->fd, bytes, sizeof bytes, 0);
  if (length > 0) received_bytes += (uint64_t)length;
  if (length > 0 || (length < 0 && errno == EAGAIN)) return true;
  lost(peer, length < 0);
  return false;
}

static void on_blast(struct peer *peer, uint32_t events) {
  if (options.reads ? (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 : (events & (EPOLLHUP | EPOLLERR)) != 0) {
    if (!options.reads) {
      lost(peer, true);
      return;
    }
    if (!swallow(peer)) return;
  }
  if (!(events & EPOLLOUT)) return;
  int left = blast_bytes - peer->sent;
  int most = peer->index < options.heavy ? left : options.burst;
  ssize_t sent = send(peer->fd, blast + peer->sent, (size_t)(left < most ? left : most), MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) {
    lost(peer, true);
    return;
  }
  if (sent <= 0) return;
  sent_bytes += (uint64_t)sent;
  peer->sent = (peer->sent + (int)sent) % blast_bytes;
}

static void next_echo(struct peer *peer) {
  peer->whole = peer->cut = put_frame(peer->stream, options.size, (int)peer->answered + peer->index);
  peer->sent = peer->received = 0;
  if (!send_stream(peer)) lost(peer, true);
  else if (peer->sent < peer->cut) faults++;  // one small message always fits
}

static void on_echo(struct peer *peer, uint32_t events) {
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  int outcome = receive_frames(peer);
  if (outcome == -3) {
    faults++;
    drop(peer, true);
  } else if (outcome < 0) {
    lost(peer, outcome == -2);
  } else if (peer->received == peer->whole) {
    if (peer->answered++ == 0 && ++hellos == peer_count) printf("ready\n");
    next_echo(peer);
  }
}

static void on_hold(struct peer *peer, uint32_t events) {
  if (events & (EPOLLHUP | EPOLLERR)) lost(peer, true);
  else if (events & EPOLLRDHUP && !peer->gone) lost(peer, false);
}

static void on_connected(struct peer *peer) {
  peer->connected = true;
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) {
    lost(peer, true);
  } else if (options.mode == MODE_HOLD) {
    watch(peer, EPOLL_CTL_MOD, EPOLLRDHUP);
    if (options.partial > 0) {
      static uint8_t bytes[BLAST_BYTES] = {0xff, 0xff};
      if (send(peer->fd, bytes, (size_t)options.partial, MSG_NOSIGNAL) != options.partial) faults++;
    }
  } else if (options.mode == MODE_ECHO) {
    watch(peer, EPOLL_CTL_MOD, EPOLLIN);
    next_echo(peer);
  } else {
    watch(peer, EPOLL_CTL_MOD, options.reads ? EPOLLIN | EPOLLOUT : EPOLLOUT);
  }
  if (++connected_count == peer_count && options.mode != MODE_ECHO) printf("ready\n");
}

/**
 * One after the other: a byte and a reset right behind it, at any moment of the server's accept. Every other one sleeps
 * before: where both share a core, the server would else never accept before the reset.
 */
static void hit(void) {
  while (opened < options.count) {
    int fd = start_connect(0);
    connected_count++;
    if (opened % 2 == 0) {
      const struct timespec pause = {.tv_nsec = 1 + random_below(HIT_SLEEP_MAX_NS)};
      nanosleep(&pause, NULL);
    }
    for (volatile uint32_t i = random_below(HIT_ROUNDS_MAX); i > 0; i--) continue;
    if (send(fd, "", 1, MSG_NOSIGNAL) == 1) sent_bytes++;
    reset(fd);
  }
}

static void on_event(struct peer *peer, uint32_t events) {
  if (options.mode == MODE_STORM) on_storm(peer, events);
  else if (!peer->connected) on_connected(peer);
  else if (options.mode == MODE_BLAST) on_blast(peer, events);
  else if (options.mode == MODE_ECHO) on_echo(peer, events);
  else on_hold(peer, events);
}

// --- the frame around it -----------------------------------------------------------------------

static int descriptors_of(int pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *folder = opendir(path);
  if (folder == NULL) die(path);
  int count = -2;  // . and ..
  while (readdir(folder) != NULL) count++;
  closedir(folder);
  return count;
}

static void lower_limit(void) {
  if (prlimit(options.limit_pid, RLIMIT_NOFILE, NULL, &limit_before) < 0) die("prlimit");
  struct rlimit low = limit_before;
  low.rlim_cur = (rlim_t)(descriptors_of(options.limit_pid) + options.spare);
  if (prlimit(options.limit_pid, RLIMIT_NOFILE, &low, NULL) < 0) die("prlimit");
}

static void restore_limit(void) {
  if (options.limit_pid == 0) return;
  prlimit(options.limit_pid, RLIMIT_NOFILE, &limit_before, NULL);
  options.limit_pid = 0;
}

/** `go` lets a storm begin, `restore` lifts the lowered limit, `drop` resets every peer, the end of stdin ends this process. */
static bool take_command(void) {
  char command[64];
  ssize_t length = read(STDIN_FILENO, command, sizeof command);
  if (length <= 0) return false;
  if (command[0] == 'g') release_wave();
  if (command[0] == 'r') restore_limit();
  if (command[0] == 'd') {
    for (int i = 0; i < peer_count; i++) {
      if (peers[i].fd >= 0) drop(&peers[i], true);
    }
    printf("dropped\n");
  }
  return true;
}

static void report(void) {
  printf("opened=%d connected=%d fins=%d resets=%d faults=%d sent=%llu received=%llu answered=", opened,
         connected_count, fins, resets, faults, (unsigned long long)sent_bytes, (unsigned long long)received_bytes);
  for (int i = 0; options.mode == MODE_ECHO && i < peer_count; i++) {
    printf("%s%llu", i > 0 ? "," : "", (unsigned long long)peers[i].answered);
  }
  printf("\n");
}

static void parse(int argc, char **argv) {
  static const char *const modes[] = {"storm", "hold", "blast", "echo", "hit"};
  const struct {
    const char *name;
    int *value;
  } integers[] = {
      {"count", &options.count},         {"at_once", &options.at_once}, {"waits", &options.waits},
      {"size", &options.size},           {"reads", &options.reads},     {"burst", &options.burst},
      {"heavy", &options.heavy},         {"rcvbuf", &options.rcvbuf},   {"partial", &options.partial},
      {"limit_pid", &options.limit_pid}, {"spare", &options.spare},     {"seed", (int *)&options.seed},
  };
  bool known = false;
  for (int i = 0; argc > 2 && i < 5; i++) {
    if (strcmp(argv[1], modes[i]) != 0) continue;
    options.mode = (enum mode)i;
    known = true;
  }
  if (argc > 2) options.port = (uint16_t)atoi(argv[2]);
  for (int i = 3; known && i < argc; i++) {
    char *equals = strchr(argv[i], '=');
    known = false;
    for (size_t k = 0; equals != NULL && k < sizeof integers / sizeof integers[0]; k++) {
      if (strncmp(argv[i], integers[k].name, strlen(integers[k].name)) != 0) continue;
      if (argv[i] + strlen(integers[k].name) != equals) continue;
      *integers[k].value = atoi(equals + 1);
      known = true;
    }
  }
  if (known && options.port != 0 && options.count > 0 && options.size <= PAYLOAD_MAX) return;
  fprintf(stderr, "usage: abuse_client storm|hold|blast|echo|hit PORT count=N [at_once= size= reads= ...]\n");
  exit(2);
}

int main(int argc, char **argv) {
  parse(argc, argv);
  setvbuf(stdout, NULL, _IOLBF, 0);
  state = options.seed * 2654435761u | 1u;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (options.mode == MODE_HIT) {
    hit();
    report();
    return 0;
  }
  peer_count = options.mode == MODE_STORM ? options.at_once : options.count;
  if (limit.rlim_cur < (rlim_t)peer_count + OTHER_DESCRIPTORS) {
    fprintf(stderr, "abuse_client: RLIMIT_NOFILE is %llu; %d peers need more\n", (unsigned long long)limit.rlim_cur,
            peer_count);
    return 1;
  }
  while (blast_bytes + HEADER_BYTES + options.size <= BLAST_BYTES) {
    blast_bytes += put_frame(blast + blast_bytes, options.size, blast_bytes);
  }
  epoll = epoll_create1(EPOLL_CLOEXEC);
  peers = calloc((size_t)peer_count, sizeof *peers);
  if (epoll < 0 || peers == NULL) die("start");
  if (options.limit_pid != 0) lower_limit();
  struct epoll_event commands = {.events = EPOLLIN};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &commands) < 0) die("stdin");
  for (int i = 0; i < peer_count; i++) {
    peers[i].index = i;
    open_peer(&peers[i]);
  }

  for (bool goes_on = true; goes_on;) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
    for (int i = 0; i < count; i++) {
      struct peer *peer = events[i].data.ptr;
      if (peer == NULL) goes_on = take_command();
      else if (peer->fd >= 0) on_event(peer, events[i].events);
    }
    if (options.mode != MODE_STORM || opened < options.count || !released) continue;
    bool alive = false;
    for (int i = 0; i < peer_count && !alive; i++) alive = peers[i].fd >= 0;
    if (!alive) break;
  }
  restore_limit();
  report();
  return faults == 0 ? 0 : 1;
}
