// What: the state message of a tick world, and what a message must hold to be applied to it.
// Flow: tick_world.h writes states -> ../load/tick_world.c verifies them.
// Thread: any.
//
//   message  client id (4) | sequence (8) | move (4) | ...      see ../load/message.h
//   state    number (4) | applied (4) | sum (4) | faults (4) | pattern, from the number
//
// All little-endian. `applied` counts the messages, `sum` adds up their moves, `faults` counts
// messages that were not the next of their client; all of them modulo 2^32.
#ifndef BENCH_WORLD_STATE_H
#define BENCH_WORLD_STATE_H

#include <stdint.h>

// Where the move stands in a message, and how short a message may be.
#define MOVE_OFFSET 12
#define MOVE_MESSAGE_BYTES_MIN 16
#define STATE_BYTES 64
// States of a tick; all of them go to a connection in one send.
#define STATES_MAX 1000

struct state_head {
  uint32_t number;
  uint32_t applied;
  uint32_t sum;
  uint32_t faults;
};

// What stands behind the head.
static inline uint8_t state_pattern(uint32_t number, uint32_t place) {
  return (uint8_t)(number * 31 + place * 7);
}

#endif
