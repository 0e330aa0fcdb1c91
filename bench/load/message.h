// What: the content of messages: built for sending, compared byte for byte on receipt.
// Flow: (client id, sequence) -> build_frame -> server -> frame_matches with the same two numbers.
// Thread: any; the pattern is written once by prepare_messages(), before other threads start.
//
//   frame    = length (2 bytes little-endian) | payload
//   payload  = client id (4) | sequence (8) | pattern bytes, from a place that both numbers decide
//
// So a byte that is lost, doubled, changed, or that belongs to another message is always noticed.
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "load_client.h"

#define HEADER_BYTES 2
#define STAMP_BYTES 12
#define PAYLOAD_BYTES_MIN STAMP_BYTES
#define PAYLOAD_BYTES_MAX 65535
// Where a pattern may begin. Small enough that the pattern stays in the second-level cache.
#define PATTERN_STARTS (1u << 15)

extern uint8_t message_pattern[PATTERN_STARTS + PAYLOAD_BYTES_MAX];

static inline void prepare_messages(void) {
  uint32_t state = 0x2545F491u;  // xorshift32: any non-zero seed.
  for (size_t i = 0; i < sizeof message_pattern; i++) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    message_pattern[i] = (uint8_t)(state >> 11);
  }
}

static inline uint32_t frame_length(void) { return HEADER_BYTES + options.size; }

static inline const uint8_t *pattern_for(uint32_t client, uint64_t sequence) {
  uint64_t mixed = ((uint64_t)client << 32 ^ sequence) * 0x9E3779B97F4A7C15ull;
  return message_pattern + (mixed >> 40) % PATTERN_STARTS;
}

static inline void build_frame(uint8_t *frame, uint32_t client, uint64_t sequence) {
  frame[0] = (uint8_t)options.size;
  frame[1] = (uint8_t)(options.size >> 8);
  memcpy(frame + HEADER_BYTES, &client, sizeof client);
  memcpy(frame + HEADER_BYTES + sizeof client, &sequence, sizeof sequence);
  memcpy(frame + HEADER_BYTES + STAMP_BYTES, pattern_for(client, sequence),
         options.size - STAMP_BYTES);
}

static inline bool whole_frame_matches(const uint8_t *frame, uint32_t client, uint64_t sequence) {
  uint32_t got_client;
  uint64_t got_sequence;
  memcpy(&got_client, frame + HEADER_BYTES, sizeof got_client);
  memcpy(&got_sequence, frame + HEADER_BYTES + sizeof got_client, sizeof got_sequence);
  uint32_t got_length = (uint32_t)(frame[0] | frame[1] << 8);
  return got_length == options.size && got_client == client && got_sequence == sequence &&
         memcmp(frame + HEADER_BYTES + STAMP_BYTES, pattern_for(client, sequence),
                options.size - STAMP_BYTES) == 0;
}

// Compares bytes [offset, offset + length) of a frame.
static inline bool frame_matches(const uint8_t *bytes, uint32_t offset, uint32_t length,
                                 uint32_t client, uint64_t sequence) {
  if (offset == 0 && length == frame_length()) return whole_frame_matches(bytes, client, sequence);
  static __thread uint8_t expected[HEADER_BYTES + PAYLOAD_BYTES_MAX];
  build_frame(expected, client, sequence);
  return memcmp(bytes, expected + offset, length) == 0;
}

#endif
