// What: bytes that a connection's socket did not take, kept until it has room.
// Flow: rest of a send -> backlog_add -> sent from the front -> backlog_drop.
// Thread: the server thread that owns the connection.
#ifndef BENCH_BACKLOG_H
#define BENCH_BACKLOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// A peer that reads nothing is disconnected when this much waits for it.
#define BACKLOG_BYTES_MAX (16u << 20)

struct backlog {
  uint8_t *bytes;
  uint32_t begin;  // First byte not sent yet.
  uint32_t end;
  uint32_t capacity;
};

static inline uint32_t backlog_length(const struct backlog *backlog) {
  return backlog->end - backlog->begin;
}

static inline void backlog_free(struct backlog *backlog) {
  free(backlog->bytes);
  *backlog = (struct backlog){0};
}

// Returns false when the limit is reached; nothing is added then.
static inline bool backlog_add(struct backlog *backlog, const uint8_t *bytes, uint32_t length) {
  uint32_t kept = backlog_length(backlog);
  if (length > BACKLOG_BYTES_MAX - kept) return false;
  if (backlog->end + length > backlog->capacity) {
    if (kept > 0) memmove(backlog->bytes, backlog->bytes + backlog->begin, kept);
    backlog->begin = 0;
    backlog->end = kept;
    if (kept + length > backlog->capacity) {
      backlog->capacity = (kept + length) * 2;
      backlog->bytes = realloc(backlog->bytes, backlog->capacity);
      if (!backlog->bytes) abort();
    }
  }
  memcpy(backlog->bytes + backlog->end, bytes, length);
  backlog->end += length;
  return true;
}

static inline void backlog_drop(struct backlog *backlog, uint32_t length) {
  backlog->begin += length;
  if (backlog->begin == backlog->end) backlog_free(backlog);
}

#endif
