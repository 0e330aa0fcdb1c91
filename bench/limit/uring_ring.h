// What: the raw io_uring interface in one header: open a ring, submit, wait, reap, lend buffers.
// Flow: caller fills entries -> uring_enter submits and waits -> caller walks the completions.
// Thread: a ring belongs to the one thread that opened it (SINGLE_ISSUER); nothing is shared.
//
// It stands on <linux/io_uring.h> and system calls alone: a compiler is all it takes to build.
// Needs Linux 6.1 or newer: DEFER_TASKRUN and multishot receive.
#ifndef BENCH_URING_RING_H
#define BENCH_URING_RING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Constants that <linux/io_uring.h> of Linux 5.10 does not have yet; the kernel's ABI fixes them.
#ifndef IORING_SETUP_SUBMIT_ALL
#define IORING_SETUP_SUBMIT_ALL (1U << 7)
#endif
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif
#ifndef IORING_ENTER_EXT_ARG
#define IORING_ENTER_EXT_ARG (1U << 3)
#endif
#ifndef IORING_ENTER_REGISTERED_RING
#define IORING_ENTER_REGISTERED_RING (1U << 4)
#endif
#ifndef IORING_ACCEPT_MULTISHOT
#define IORING_ACCEPT_MULTISHOT (1U << 0)
#endif
#ifndef IORING_RECV_MULTISHOT
#define IORING_RECV_MULTISHOT (1U << 1)
#endif
#ifndef IOSQE_CQE_SKIP_SUCCESS
#define IOSQE_CQE_SKIP_SUCCESS (1U << 6)
#endif
#ifndef IORING_RSRC_REGISTER_SPARSE
#define IORING_RSRC_REGISTER_SPARSE (1U << 0)
#endif
// These four are enumerators where they exist, so the names are our own.
enum {
  URING_REGISTER_FILES2 = 13,
  URING_REGISTER_RING_FDS = 20,
  URING_REGISTER_BUFFER_RING = 22,
  URING_OP_SHUTDOWN = 34,
};

// The kernel picks a free slot of the registered file table (IORING_FILE_INDEX_ALLOC, 5.19).
#define URING_ANY_SLOT (-1)

// ---- The ring ----

struct uring {
  int fd;
  int enter_fd;          // Index of the registered ring, or fd where registering failed.
  unsigned enter_flags;  // IORING_ENTER_REGISTERED_RING, or 0.

  struct io_uring_sqe *sqes;
  unsigned *sq_head;  // Written by the kernel.
  unsigned *sq_tail;  // Written by us.
  unsigned sq_mask;
  unsigned sq_entries;
  unsigned sq_next;  // Entries handed out so far; published as *sq_tail by uring_enter().

  struct io_uring_cqe *cqes;
  unsigned *cq_head;  // Written by us.
  unsigned *cq_tail;  // Written by the kernel.
  unsigned cq_mask;
};

static inline int uring_register(const struct uring *ring, unsigned what, const void *argument,
                                 unsigned count) {
  return (int)syscall(__NR_io_uring_register, ring->fd, what, argument, count) < 0 ? -errno : 0;
}

// Lets the kernel find the ring by index instead of by file descriptor: one reference count less
// per call. It is a saving only, so a kernel that refuses it is no error.
static inline void uring_register_own_fd(struct uring *ring) {
  struct {
    uint32_t offset;
    uint32_t reserved;
    uint64_t data;
  } update = {.offset = UINT32_MAX, .data = (uint64_t)ring->fd};
  long registered =
      syscall(__NR_io_uring_register, ring->fd, URING_REGISTER_RING_FDS, &update, 1);
  if (registered == 1) {
    ring->enter_fd = (int)update.offset;
    ring->enter_flags = IORING_ENTER_REGISTERED_RING;
  }
}

// Opens a ring for the calling thread. Returns 0 or a negative errno.
static inline int uring_open(struct uring *ring, unsigned sq_entries, unsigned cq_entries) {
  struct io_uring_params params = {
      .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
               IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
      .cq_entries = cq_entries,
  };
  int fd = (int)syscall(__NR_io_uring_setup, sq_entries, &params);
  if (fd < 0) return -errno;

  // One mapping holds both rings (IORING_FEAT_SINGLE_MMAP, Linux 5.4).
  size_t sq_bytes = params.sq_off.array + params.sq_entries * sizeof(unsigned);
  size_t cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  size_t ring_bytes = sq_bytes > cq_bytes ? sq_bytes : cq_bytes;
  uint8_t *rings = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                        IORING_OFF_SQ_RING);
  struct io_uring_sqe *sqes =
      mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
           MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
  if (rings == MAP_FAILED || sqes == MAP_FAILED) {
    int error = errno;
    close(fd);
    return -error;
  }

  *ring = (struct uring){
      .fd = fd,
      .enter_fd = fd,
      .sqes = sqes,
      .sq_head = (unsigned *)(rings + params.sq_off.head),
      .sq_tail = (unsigned *)(rings + params.sq_off.tail),
      .sq_mask = params.sq_entries - 1,
      .sq_entries = params.sq_entries,
      .cqes = (struct io_uring_cqe *)(rings + params.cq_off.cqes),
      .cq_head = (unsigned *)(rings + params.cq_off.head),
      .cq_tail = (unsigned *)(rings + params.cq_off.tail),
      .cq_mask = params.cq_entries - 1,
  };
  // Entry i of the submission ring is always sqes[i].
  unsigned *sq_array = (unsigned *)(rings + params.sq_off.array);
  for (unsigned i = 0; i < params.sq_entries; i++) sq_array[i] = i;
  uring_register_own_fd(ring);
  return 0;
}

// Registers a table of `count` empty slots; accepted sockets are placed there by the kernel and
// never become file descriptors of the process.
static inline int uring_register_slots(const struct uring *ring, unsigned count) {
  struct {
    uint32_t count;
    uint32_t flags;
    uint64_t reserved;
    uint64_t data;
    uint64_t tags;
  } table = {.count = count, .flags = IORING_RSRC_REGISTER_SPARSE};
  return uring_register(ring, URING_REGISTER_FILES2, &table, sizeof table);
}

// ---- Submission ----

static inline unsigned uring_unsubmitted(const struct uring *ring) {
  return ring->sq_next - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
}

static inline int uring_call(struct uring *ring, unsigned wait_count, unsigned flags,
                             void *argument, size_t argument_bytes) {
  // order: release; publishes the filled entries to the kernel.
  __atomic_store_n(ring->sq_tail, ring->sq_next, __ATOMIC_RELEASE);
  long submitted = syscall(__NR_io_uring_enter, ring->enter_fd, uring_unsubmitted(ring), wait_count,
                           flags | ring->enter_flags, argument, argument_bytes);
  return submitted < 0 ? -errno : (int)submitted;
}

// Submits what was queued, then waits until `wait_count` completions are there or, when
// `timeout_ns` is not 0, until that time has passed. Interruption and timeout are not errors: the
// caller looks at the completion ring in any case. Returns 0 or a negative errno.
static inline int uring_enter(struct uring *ring, unsigned wait_count, uint64_t timeout_ns) {
  int result;
  if (timeout_ns == 0) {
    result = uring_call(ring, wait_count, IORING_ENTER_GETEVENTS, NULL, 0);
  } else {
    struct {
      int64_t seconds;
      int64_t nanoseconds;
    } timeout = {.seconds = (int64_t)(timeout_ns / 1000000000u),
                 .nanoseconds = (int64_t)(timeout_ns % 1000000000u)};
    struct {
      uint64_t signal_mask;
      uint32_t signal_mask_bytes;
      uint32_t reserved;
      uint64_t timeout;
    } argument = {.timeout = (uint64_t)(uintptr_t)&timeout};
    result = uring_call(ring, wait_count, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument,
                        sizeof argument);
  }
  bool expected = result >= 0 || result == -EINTR || result == -ETIME || result == -EAGAIN ||
                  result == -EBUSY;
  return expected ? 0 : result;
}

// Hands out the next submission entry, zeroed. When the ring is full it submits first; that call
// reaps nothing, so the completion ring does not change under a caller that is walking it, except
// for operations that complete at once and are appended.
static inline struct io_uring_sqe *uring_sqe(struct uring *ring) {
  while (uring_unsubmitted(ring) == ring->sq_entries) {
    int result = uring_call(ring, 0, 0, NULL, 0);
    if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
      fprintf(stderr, "io_uring_enter: %s\n", strerror(-result));
      exit(1);
    }
  }
  struct io_uring_sqe *sqe = &ring->sqes[ring->sq_next++ & ring->sq_mask];
  memset(sqe, 0, sizeof *sqe);
  return sqe;
}

// ---- Completion ----
//
//   unsigned end = uring_cq_end(ring);
//   for (unsigned at = uring_cq_begin(ring); at != end; at++) use(uring_cqe(ring, at));
//   uring_cq_release(ring, end);

static inline unsigned uring_cq_begin(const struct uring *ring) { return *ring->cq_head; }

static inline unsigned uring_cq_end(const struct uring *ring) {
  // order: acquire; pairs with the kernel's release of the entries before the tail.
  return __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE);
}

static inline const struct io_uring_cqe *uring_cqe(const struct uring *ring, unsigned at) {
  return &ring->cqes[at & ring->cq_mask];
}

static inline void uring_cq_release(struct uring *ring, unsigned end) {
  // order: release; our reads of the entries come before the kernel may overwrite them.
  __atomic_store_n(ring->cq_head, end, __ATOMIC_RELEASE);
}

// ---- Receive buffers ----
//
// A ring of buffers lent to the kernel. A multishot receive takes one when bytes have arrived, so a
// quiet connection holds none. Buffers go back with return() and become visible with publish().
// The kernel takes them in turn, oldest first, so the fewer are lent, the better they stay in the
// cache: begin with few, and lend more when a receive reports -ENOBUFS.

struct uring_buffer_slot {
  uint64_t address;
  uint32_t length;
  uint16_t id;
  uint16_t tail;  // Of slot 0 only: the tail of the whole ring (struct io_uring_buf_ring).
};

struct uring_buffers {
  struct uring_buffer_slot *slots;
  uint8_t *bytes;
  uint32_t count;   // All there are; a power of two.
  uint32_t lent;    // The first so many are in use.
  uint32_t size;    // Bytes the kernel may fill.
  size_t stride;    // Bytes from one buffer to the next.
  uint16_t tail;    // Ours; what publish() shows to the kernel.
};

// Between two buffers: without it every buffer would begin in the same set of the L1 and L2 caches.
#define URING_BUFFER_STAGGER_BYTES 64

static inline uint8_t *uring_buffer(const struct uring_buffers *buffers, unsigned id) {
  return buffers->bytes + id * buffers->stride;
}

static inline void uring_buffers_return(struct uring_buffers *buffers, unsigned id) {
  struct uring_buffer_slot *slot = &buffers->slots[buffers->tail++ & (buffers->count - 1)];
  slot->address = (uint64_t)(uintptr_t)uring_buffer(buffers, id);
  slot->length = buffers->size;
  slot->id = (uint16_t)id;  // slot->tail stays as it is: in slot 0 it is the ring's tail.
}

static inline void uring_buffers_publish(struct uring_buffers *buffers) {
  // order: release; the slots are written before the kernel sees the tail.
  __atomic_store_n(&buffers->slots[0].tail, buffers->tail, __ATOMIC_RELEASE);
}

static inline void *uring_map_memory(size_t bytes) {
  size_t huge = 2u << 20;
  bytes = (bytes + huge - 1) & ~(huge - 1);
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

// Lends so many buffers in all, as far as there are so many. Touches them first, so that no page is
// missing when bytes arrive.
static inline void uring_buffers_lend(struct uring_buffers *buffers, uint32_t lent) {
  if (lent > buffers->count) lent = buffers->count;
  for (; buffers->lent < lent; buffers->lent++) {
    memset(uring_buffer(buffers, buffers->lent), 0, buffers->size);
    uring_buffers_return(buffers, buffers->lent);
  }
  uring_buffers_publish(buffers);
}

// Makes buffer group `group` of `count` (a power of two, at most 32768) buffers of `size` bytes.
static inline int uring_buffers_open(struct uring_buffers *buffers, const struct uring *ring,
                                     unsigned count, uint32_t size, uint16_t group) {
  size_t stride = size + URING_BUFFER_STAGGER_BYTES;
  struct uring_buffer_slot *slots =
      mmap(NULL, count * sizeof *slots, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  uint8_t *bytes = uring_map_memory(count * stride);
  if (slots == MAP_FAILED || bytes == NULL) return -ENOMEM;
  struct {
    uint64_t address;
    uint32_t entries;
    uint16_t group;
    uint16_t flags;
    uint64_t reserved[3];
  } description = {.address = (uint64_t)(uintptr_t)slots, .entries = count, .group = group};
  int result = uring_register(ring, URING_REGISTER_BUFFER_RING, &description, 1);
  if (result < 0) return result;
  *buffers = (struct uring_buffers){
      .slots = slots, .bytes = bytes, .count = count, .size = size, .stride = stride};
  return 0;
}

static inline unsigned uring_buffer_id(const struct io_uring_cqe *cqe) {
  return cqe->flags >> IORING_CQE_BUFFER_SHIFT;
}

// ---- Operations on sockets in the registered file table ----

static inline struct io_uring_sqe *uring_queue(struct uring *ring, uint8_t opcode, int slot,
                                               uint64_t user_data) {
  struct io_uring_sqe *sqe = uring_sqe(ring);
  sqe->opcode = opcode;
  sqe->flags = IOSQE_FIXED_FILE;
  sqe->fd = slot;
  sqe->user_data = user_data;
  return sqe;
}

// Accepts again and again; each new socket goes into a free slot, whose number is the result.
static inline void uring_queue_accept(struct uring *ring, int listener_fd, uint64_t user_data) {
  struct io_uring_sqe *sqe = uring_queue(ring, IORING_OP_ACCEPT, listener_fd, user_data);
  sqe->flags = 0;  // The listener itself is an ordinary descriptor.
  sqe->ioprio = IORING_ACCEPT_MULTISHOT;
  sqe->splice_fd_in = URING_ANY_SLOT;  // The field that newer headers also call file_index.
}

// Receives again and again, each time into a buffer of the group.
static inline void uring_queue_receive(struct uring *ring, int slot, uint16_t group,
                                       uint64_t user_data) {
  struct io_uring_sqe *sqe = uring_queue(ring, IORING_OP_RECV, slot, user_data);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->ioprio = IORING_RECV_MULTISHOT;
  sqe->buf_group = group;
}

// Sends at once or not at all, and is silent when everything was taken: if there is no completion
// after the uring_enter() that submitted it, the kernel has copied every byte. Otherwise the
// completion tells how many bytes went (or -EAGAIN). Both flags are needed: MSG_DONTWAIT keeps the
// kernel from waiting on our behalf, MSG_WAITALL makes a short send count as a failure, so that it
// is reported.
static inline void uring_queue_send_now(struct uring *ring, int slot, const void *bytes,
                                        uint32_t length, uint64_t user_data) {
  struct io_uring_sqe *sqe = uring_queue(ring, IORING_OP_SEND, slot, user_data);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->addr = (uint64_t)(uintptr_t)bytes;
  sqe->len = length;
  sqe->msg_flags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
}

// Sends everything, waiting for room in the socket; always completes.
static inline void uring_queue_send_all(struct uring *ring, int slot, const void *bytes,
                                        uint32_t length, uint64_t user_data) {
  struct io_uring_sqe *sqe = uring_queue(ring, IORING_OP_SEND, slot, user_data);
  sqe->addr = (uint64_t)(uintptr_t)bytes;
  sqe->len = length;
  sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
}

// Ends both directions: a pending receive completes with 0. Silent on success.
static inline void uring_queue_shutdown(struct uring *ring, int slot, uint64_t user_data) {
  struct io_uring_sqe *sqe = uring_queue(ring, URING_OP_SHUTDOWN, slot, user_data);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->len = SHUT_RDWR;
}

// Closes the socket and frees its slot. Silent on success.
static inline void uring_queue_close(struct uring *ring, int slot, uint64_t user_data) {
  struct io_uring_sqe *sqe = uring_queue(ring, IORING_OP_CLOSE, 0, user_data);
  sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
  sqe->splice_fd_in = slot + 1;  // file_index counts from 1.
}

#endif
