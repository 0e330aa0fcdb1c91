// What: the tick world in JavaScript: what a message does to it, and the state that all are told.
// Flow: handlers/world.mjs, versus/node_net.mjs -> this, as limit/tick_world.h does in C.
// Thread: the one that runs the content of the server under test.
//
// limit/world_state.h says what is in a message and in a state.

export const STATE_BYTES = 64
export const TICK_MS = 50
const HEAD_BYTES = 16
const PLAYERS_MAX = 65_536

export class World {
  #next = new Uint32Array(PLAYERS_MAX)
  #position = new Uint32Array(PLAYERS_MAX)
  #number = 0
  #applied = 0
  #sum = 0
  #faults = 0

  /** The first three words of a message that matter: client id, sequence, move. */
  apply(id, sequence, move) {
    this.#applied++
    this.#sum = (this.#sum + move) >>> 0
    if (id >= PLAYERS_MAX || this.#next[id] !== sequence) {
      this.#faults++
      return
    }
    this.#next[id]++
    this.#position[id] += move
  }

  /** Writes the next state at the beginning of `bytes`. */
  writeState(bytes) {
    const number = this.#number++
    const head = new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES)
    head.setUint32(0, number, true)
    head.setUint32(4, this.#applied, true)
    head.setUint32(8, this.#sum, true)
    head.setUint32(12, this.#faults, true)
    for (let place = HEAD_BYTES; place < STATE_BYTES; place++)
      bytes[place] = number * 31 + place * 7
  }
}
