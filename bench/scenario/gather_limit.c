// What: how many slices one send may have: sendmsg(2), and SENDMSG of io_uring.
// Flow: sends of one byte per slice, each one slice longer, until one is refused -> one JSON line.
// Thread: one.
#define _GNU_SOURCE
#include <sys/uio.h>

#include "../limit/server_setup.h"
#include "../limit/uring_ring.h"
#include "report.h"

#define SLICES_TRIED 4096

static struct iovec slices[SLICES_TRIED];
static uint8_t bytes[SLICES_TRIED];
static int ends[2];
static struct uring ring;

// Bytes that were sent, or a negative errno.
typedef int send_slices(const struct msghdr *header);

static int by_call(const struct msghdr *header) {
  ssize_t sent = sendmsg(ends[0], header, MSG_NOSIGNAL);
  return sent < 0 ? -errno : (int)sent;
}

static int by_ring(const struct msghdr *header) {
  struct io_uring_sqe *sqe = uring_sqe(&ring);
  sqe->opcode = IORING_OP_SENDMSG;
  sqe->fd = ends[0];
  sqe->addr = (uint64_t)(uintptr_t)header;
  sqe->len = 1;
  sqe->msg_flags = MSG_NOSIGNAL;
  if (uring_enter(&ring, 1, 0) < 0) fail("io_uring_enter");
  int result = uring_cqe(&ring, uring_cq_begin(&ring))->res;
  uring_cq_release(&ring, uring_cq_end(&ring));
  return result;
}

static void report_most(const char *name, send_slices *send_slices) {
  int most = 0;
  int refusal = 0;
  for (int count = 1; count <= SLICES_TRIED && refusal == 0; count++) {
    struct msghdr header = {.msg_iov = slices, .msg_iovlen = (size_t)count};
    int sent = send_slices(&header);
    if (sent < 0) {
      refusal = -sent;
      continue;
    }
    uint8_t received[SLICES_TRIED];
    bool whole = sent == count && recv(ends[1], received, (size_t)count, MSG_WAITALL) == count &&
                 memcmp(received, bytes, (size_t)count) == 0;
    if (!whole) {
      fprintf(stderr, "%d slices were sent as %d bytes, or as others\n", count, sent);
      exit(3);
    }
    most = count;
  }
  char key[64];
  snprintf(key, sizeof key, "%s_most", name);
  report_number(key, most);
  snprintf(key, sizeof key, "%s_errno", name);
  report_number(key, refusal);
}

int main(void) {
  for (int i = 0; i < SLICES_TRIED; i++) {
    bytes[i] = (uint8_t)(i * 31 + (i >> 8));
    slices[i] = (struct iovec){.iov_base = &bytes[i], .iov_len = 1};
  }
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) fail("socketpair");
  int result = uring_open(&ring, 8, 16);
  if (result < 0) {
    errno = -result;
    fail("io_uring (needs Linux 6.1)");
  }
  report_begin();
  report_most("sendmsg", by_call);
  report_most("ring", by_ring);
  report_end();
  return 0;
}
