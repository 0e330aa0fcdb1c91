// What: the tick world: what a message does to it, and the state that all are told at each tick.
// Flow: apply_message per message -> a tick is due -> put_states -> one send per connection.
// Thread: the one server thread.
#ifndef BENCH_TICK_WORLD_H
#define BENCH_TICK_WORLD_H

#include <stdint.h>
#include <string.h>
#include <time.h>

#include "frames.h"
#include "world_state.h"

#define WORLD_TICK_NS 50000000u
#define WORLD_PLAYERS_MAX 65536
#define STATE_FRAME_BYTES (FRAME_HEADER_BYTES + STATE_BYTES)

struct player {
  uint32_t next;  // The sequence of its next message.
  uint32_t position;
};

static struct {
  struct player players[WORLD_PLAYERS_MAX];
  struct state_head head;
  uint64_t due_ns;  // The next tick.
} world;

static inline void apply_message(struct output *output, const uint8_t *payload, uint32_t length) {
  (void)output;
  uint32_t id, sequence, move;
  if (length < MOVE_MESSAGE_BYTES_MIN) {
    world.head.faults++;
    return;
  }
  memcpy(&id, payload, sizeof id);
  memcpy(&sequence, payload + 4, sizeof sequence);
  memcpy(&move, payload + MOVE_OFFSET, sizeof move);
  world.head.applied++;
  world.head.sum += move;
  struct player *player = id < WORLD_PLAYERS_MAX ? &world.players[id] : NULL;
  if (!player || player->next != sequence) {
    world.head.faults++;
    return;
  }
  player->next++;
  player->position += move;
}

// Appends the frames of a tick.
static inline void put_states(struct output *output, int count) {
  for (int i = 0; i < count; i++, world.head.number++) {
    uint8_t *frame = output->bytes + output->used;
    frame[0] = STATE_BYTES;
    frame[1] = 0;
    memcpy(frame + FRAME_HEADER_BYTES, &world.head, sizeof world.head);
    for (uint32_t place = sizeof world.head; place < STATE_BYTES; place++) {
      frame[FRAME_HEADER_BYTES + place] = state_pattern(world.head.number, place);
    }
    output->used += STATE_FRAME_BYTES;
  }
}

// Nanoseconds until the next tick; 0: it is due. A late tick does not move those after it.
static inline uint64_t world_wait_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  uint64_t now = (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
  if (world.due_ns == 0) world.due_ns = now + WORLD_TICK_NS;
  return now < world.due_ns ? world.due_ns - now : 0;
}

// A tick has taken place. Those that were missed meanwhile are left out.
static inline void world_ticked(void) {
  do {
    world.due_ns += WORLD_TICK_NS;
  } while (world_wait_ns() == 0);
}

#endif
