// What: length-prefixed frames: 2 bytes little-endian payload length, then the payload.
// Flow: received bytes -> read_frames -> the message handler -> frames appended to an output.
// Thread: the server thread that owns the connection and the output.
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_HEADER_BYTES 2
#define FRAME_BYTES_MAX (FRAME_HEADER_BYTES + 65535)

// Bytes of one batch on their way out. Whoever reads frames has made sure that there is room.
struct output {
  uint8_t *bytes;
  uint32_t used;
};

// The beginning of a frame whose end has not arrived. Empty (no memory) between whole frames.
struct partial_frame {
  uint8_t *bytes;
  uint32_t length;
};

typedef void message_handler(struct output *output, const uint8_t *payload, uint32_t length);

// What an application would do: here, answer with the same payload.
static void answer_message(struct output *output, const uint8_t *payload, uint32_t length) {
  uint8_t *frame = output->bytes + output->used;
  frame[0] = (uint8_t)length;
  frame[1] = (uint8_t)(length >> 8);
  memcpy(frame + FRAME_HEADER_BYTES, payload, length);
  output->used += FRAME_HEADER_BYTES + length;
}

// Volatile: the compiler may not see through it, so that a message costs a real call, as it does in
// any server whose handler comes from somewhere else.
static message_handler *volatile handle_message = answer_message;

static inline uint32_t frame_bytes(const uint8_t *header) {
  return FRAME_HEADER_BYTES + (uint32_t)(header[0] | header[1] << 8);
}

static inline void drop_partial_frame(struct partial_frame *partial) {
  free(partial->bytes);
  *partial = (struct partial_frame){0};
}

// Keeps the first bytes of a frame. Takes memory for the frame when its length is known.
static inline void keep_partial_frame(struct partial_frame *partial, const uint8_t *bytes,
                                      uint32_t length) {
  partial->bytes = malloc(length < FRAME_HEADER_BYTES ? FRAME_HEADER_BYTES : frame_bytes(bytes));
  if (!partial->bytes) abort();
  memcpy(partial->bytes, bytes, length);
  partial->length = length;
}

// Adds bytes to the kept frame and hands it over when it is whole. Returns the bytes it took.
static inline uint32_t continue_partial_frame(struct partial_frame *partial, const uint8_t *bytes,
                                              uint32_t length, message_handler *handle,
                                              struct output *output) {
  uint32_t taken = 0;
  if (partial->length < FRAME_HEADER_BYTES) {
    partial->bytes[partial->length++] = bytes[taken++];
    partial->bytes = realloc(partial->bytes, frame_bytes(partial->bytes));
    if (!partial->bytes) abort();
  }
  uint32_t whole = frame_bytes(partial->bytes);
  uint32_t missing = whole - partial->length;
  uint32_t added = missing < length - taken ? missing : length - taken;
  memcpy(partial->bytes + partial->length, bytes + taken, added);
  partial->length += added;
  if (partial->length == whole) {
    handle(output, partial->bytes + FRAME_HEADER_BYTES, whole - FRAME_HEADER_BYTES);
    drop_partial_frame(partial);
  }
  return taken + added;
}

// Calls the handler for every whole frame. It appends at most length + FRAME_BYTES_MAX bytes.
static inline void read_frames(struct partial_frame *partial, const uint8_t *bytes, uint32_t length,
                               struct output *output) {
  message_handler *handle = handle_message;
  if (partial->length > 0) {
    uint32_t taken = continue_partial_frame(partial, bytes, length, handle, output);
    bytes += taken;
    length -= taken;
  }
  while (length >= FRAME_HEADER_BYTES) {
    uint32_t whole = frame_bytes(bytes);
    if (whole > length) break;
    handle(output, bytes + FRAME_HEADER_BYTES, whole - FRAME_HEADER_BYTES);
    bytes += whole;
    length -= whole;
  }
  if (length > 0) keep_partial_frame(partial, bytes, length);
}

#endif
