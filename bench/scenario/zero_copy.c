// What: what a byte costs that is sent with a copy into the kernel, and without one.
// Flow: sender: numbered messages of a pool of buffers -> one connection -> receiver: every byte verified -> a JSON line each.
// Thread: one; sender and receiver are processes of their own, so that they can stand in different network namespaces.
//
// zero_copy receive HOST PORT SIZE
// zero_copy send HOST PORT call|ring|zero|fixed SIZE SLICES SECONDS
//
// call   send(2), which copies
// ring   SEND of io_uring, of several slices SENDMSG: copies, too
// zero   SEND_ZC or SENDMSG_ZC: the kernel refers to the pages, and tells when it does no longer
// fixed  SEND_ZC from memory that is registered with the ring, whose pages need not be looked up
//
// A buffer is used again when the kernel has let go of it; then it gets another number, so that one that was let go of
// too early is a wrong byte at the receiver. The receiver prints "ready" when it listens.
#define _GNU_SOURCE
#include <sys/uio.h>

#include "../limit/server_setup.h"
#include "../limit/uring_ring.h"
#include "report.h"

// Enumerators or missing, depending on the header's age; the kernel's ABI fixes them (Linux 6.0, 6.1, 6.2).
enum {
  OP_SEND_ZC = 47,
  OP_SENDMSG_ZC = 48,
  FLAG_NOTIFICATION = 1 << 3,
  PRIO_FIXED_BUFFER = 1 << 2,
  PRIO_REPORT_USAGE = 1 << 3,
};
#define USAGE_COPIED (1u << 31)

#define POOL_BYTES (4u << 20)
#define BUFFERS_MAX 256
#define SLICES_MAX 64
#define SIZE_MAX_BYTES (1u << 20)
#define INPUT_BYTES (256u << 10)
#define CONNECT_MS 5000

enum way { BY_CALL, BY_RING, BY_ZERO, BY_FIXED };

static struct sockaddr_in address_of(const char *host, const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
    fprintf(stderr, "%s is no IPv4 address\n", host);
    exit(2);
  }
  return address;
}

// Byte `at` of every message, behind its number.
static uint8_t pattern_byte(uint32_t at) { return (uint8_t)(at * 31 + (at >> 8) * 7); }

static void fill(uint8_t *message, uint32_t size) {
  for (uint32_t at = 0; at < size; at++) message[at] = pattern_byte(at);
}

// ---- The receiver ----

// Compares what has come of a message with what it is. False: a wrong byte.
static bool matches(const uint8_t *bytes, uint32_t offset, uint32_t length, const uint8_t *pattern,
                    uint64_t number) {
  const uint8_t *head = (const uint8_t *)&number;
  while (length > 0 && offset < sizeof number) {
    if (*bytes != head[offset]) return false;
    bytes++;
    offset++;
    length--;
  }
  return memcmp(bytes, pattern + offset, length) == 0;
}

static int receive(const char *host, const char *port, uint32_t size) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = address_of(host, port);
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
  if (listen(listener, 1) < 0) fail("listen");
  printf("ready\n");
  fflush(stdout);
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) fail("accept");
  uint8_t *pattern = malloc(size);
  uint8_t *input = malloc(INPUT_BYTES);
  if (!pattern || !input) fail("memory");
  fill(pattern, size);
  uint64_t begin_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  uint64_t received = 0;
  bool right = true;
  ssize_t length;
  while (right && (length = recv(fd, input, INPUT_BYTES, 0)) > 0) {
    for (uint32_t at = 0; right && at < (uint32_t)length;) {
      uint32_t offset = (uint32_t)(received % size);
      uint32_t part = size - offset;
      if (part > (uint32_t)length - at) part = (uint32_t)length - at;
      right = matches(input + at, offset, part, pattern, received / size);
      at += part;
      received += part;
    }
  }
  report_begin();
  report_number("bytes", (double)received);
  report_number("cpu_s", (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_cpu_ns) / 1e9);
  report_number("faults", right && received > 0 && received % size == 0 ? 0 : 1);
  report_end();
  return right && received > 0 && received % size == 0 ? 0 : 3;
}

// ---- The sender ----

struct sender {
  enum way way;
  int fd;
  uint32_t size;
  uint32_t slices;
  struct uring ring;
  uint8_t *pool;
  uint32_t buffers;
  bool lent[BUFFERS_MAX];  // The kernel has it.
  uint32_t lent_count;
  struct msghdr headers[BUFFERS_MAX];
  struct iovec iovecs[BUFFERS_MAX][SLICES_MAX];
  uint64_t notifications;
  uint64_t copied;
};

static struct sender sender;

static int connect_to(const struct sockaddr_in *address) {
  uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + CONNECT_MS * 1000000ull;
  for (;;) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0) return fd;
    // An interface that was just made needs a moment.
    if (clock_ns(CLOCK_MONOTONIC) > end_ns) fail("connect");
    close(fd);
    usleep(10000);
  }
}

static void open_sender(void) {
  sender.buffers = POOL_BYTES / sender.size;
  if (sender.buffers > BUFFERS_MAX) sender.buffers = BUFFERS_MAX;
  size_t bytes = (size_t)sender.buffers * sender.size;
  sender.pool = uring_map_memory(bytes);
  if (!sender.pool) fail("memory");
  for (uint32_t i = 0; i < sender.buffers; i++) {
    uint8_t *buffer = sender.pool + (size_t)i * sender.size;
    fill(buffer, sender.size);
    sender.headers[i] = (struct msghdr){.msg_iov = sender.iovecs[i], .msg_iovlen = sender.slices};
    for (uint32_t s = 0; s < sender.slices; s++) {
      size_t from = (size_t)sender.size * s / sender.slices;
      size_t to = (size_t)sender.size * (s + 1) / sender.slices;
      sender.iovecs[i][s] = (struct iovec){.iov_base = buffer + from, .iov_len = to - from};
    }
  }
  if (sender.way == BY_CALL) return;
  int result = uring_open(&sender.ring, 64, 2 * BUFFERS_MAX);
  if (result == 0 && sender.way == BY_FIXED) {
    struct iovec all = {.iov_base = sender.pool, .iov_len = bytes};
    result = uring_register(&sender.ring, IORING_REGISTER_BUFFERS, &all, 1);
  }
  if (result < 0) {
    errno = -result;
    fail("io_uring");
  }
}

// Takes what completions there are. Returns the result of the send that was waited for, or -EAGAIN when there is none.
static int reap(void) {
  int result = -EAGAIN;
  unsigned end = uring_cq_end(&sender.ring);
  for (unsigned at = uring_cq_begin(&sender.ring); at != end; at++) {
    const struct io_uring_cqe *cqe = uring_cqe(&sender.ring, at);
    bool is_notification = cqe->flags & FLAG_NOTIFICATION;
    if (is_notification) {
      sender.notifications++;
      if ((uint32_t)cqe->res & USAGE_COPIED) sender.copied++;
    } else {
      result = cqe->res;
    }
    if (cqe->flags & IORING_CQE_F_MORE) continue;
    sender.lent[cqe->user_data] = false;
    sender.lent_count--;
  }
  uring_cq_release(&sender.ring, end);
  return result;
}

static void wait_for_completion(void) {
  int result = uring_enter(&sender.ring, 1, 0);
  if (result < 0) fail("io_uring_enter");
}

// Sends a whole buffer; it may still be lent on return. Ends the program when it was not taken whole.
static void send_by_ring(uint32_t index) {
  struct io_uring_sqe *sqe = uring_sqe(&sender.ring);
  bool copies = sender.way == BY_RING;
  uint8_t *buffer = sender.pool + (size_t)index * sender.size;
  if (sender.slices > 1) {
    sqe->opcode = copies ? IORING_OP_SENDMSG : OP_SENDMSG_ZC;
    sqe->addr = (uint64_t)(uintptr_t)&sender.headers[index];
    sqe->len = 1;
  } else {
    sqe->opcode = copies ? IORING_OP_SEND : OP_SEND_ZC;
    sqe->addr = (uint64_t)(uintptr_t)buffer;
    sqe->len = sender.size;
  }
  if (!copies) sqe->ioprio = PRIO_REPORT_USAGE;
  if (sender.way == BY_FIXED) sqe->ioprio |= PRIO_FIXED_BUFFER;
  sqe->fd = sender.fd;
  sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
  sqe->user_data = index;
  sender.lent[index] = true;
  sender.lent_count++;
  int result;
  do {
    wait_for_completion();
    result = reap();
  } while (result == -EAGAIN);
  if (result != (int)sender.size) {
    fprintf(stderr, "a send of %u bytes ended with %d: %s\n", sender.size, result,
            result < 0 ? strerror(-result) : "short");
    exit(1);
  }
}

static void send_by_call(const uint8_t *buffer) {
  for (uint32_t sent = 0; sent < sender.size;) {
    ssize_t length = send(sender.fd, buffer + sent, sender.size - sent, MSG_NOSIGNAL);
    if (length < 0) fail("send");
    sent += (uint32_t)length;
  }
}

static int run_sender(const struct sockaddr_in *address, double seconds) {
  open_sender();
  sender.fd = connect_to(address);
  uint64_t number = 0;
  uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
  uint64_t begin_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  uint64_t end_ns = begin_ns + (uint64_t)(seconds * 1e9);
  uint32_t index = 0;
  do {
    while (sender.lent[index]) {
      wait_for_completion();
      reap();
    }
    uint8_t *buffer = sender.pool + (size_t)index * sender.size;
    memcpy(buffer, &number, sizeof number);
    number++;
    if (sender.way == BY_CALL) {
      send_by_call(buffer);
    } else {
      send_by_ring(index);
    }
    index = (index + 1) % sender.buffers;
  } while (clock_ns(CLOCK_MONOTONIC) < end_ns);
  double cpu_s = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_cpu_ns) / 1e9;
  double wall_s = (double)(clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e9;
  // What the kernel still refers to must not be unmapped before it was sent.
  while (sender.lent_count > 0) {
    wait_for_completion();
    reap();
  }
  close(sender.fd);
  double bytes = (double)number * sender.size;
  report_begin();
  report_number("bytes", bytes);
  report_number("bytes_per_s", bytes / wall_s);
  report_number("cpu_s", cpu_s);
  report_number("notifications", (double)sender.notifications);
  report_number("copied", (double)sender.copied);
  report_end();
  return 0;
}

static bool size_fits(uint32_t size) { return size >= sizeof(uint64_t) && size <= SIZE_MAX_BYTES; }

int main(int count, char **values) {
  static const char *const names[] = {"call", "ring", "zero", "fixed"};
  if (count == 5 && strcmp(values[1], "receive") == 0) {
    uint32_t size = (uint32_t)atoi(values[4]);
    if (size_fits(size)) return receive(values[2], values[3], size);
  }
  if (count == 8 && strcmp(values[1], "send") == 0) {
    int way = -1;
    for (int i = 0; i < 4; i++) {
      if (strcmp(names[i], values[4]) == 0) way = i;
    }
    sender.size = (uint32_t)atoi(values[5]);
    sender.slices = (uint32_t)atoi(values[6]);
    bool slices_fit = sender.slices >= 1 && sender.slices <= SLICES_MAX && sender.slices <= sender.size &&
                      (sender.slices == 1 || way == BY_RING || way == BY_ZERO);
    if (way >= 0 && size_fits(sender.size) && slices_fit) {
      sender.way = (enum way)way;
      struct sockaddr_in address = address_of(values[2], values[3]);
      return run_sender(&address, atof(values[7]));
    }
  }
  fprintf(stderr,
          "usage: %s receive HOST PORT SIZE\n"
          "       %s send HOST PORT call|ring|zero|fixed SIZE SLICES SECONDS   (slices: ring and zero)\n",
          values[0], values[0]);
  return 2;
}
