// What: one slice that many sessions of other threads get; what is broadcast right behind it makes it longer for all.
// Flow: broadcast -> this -> send lists of the sessions, when the thread sends something else or its turn ends.
// Thread: one instance per thread; a thread without turns leaves it empty.

import { assert } from '../assert.ts'

/** Grows to as many sessions as there are slots, and as the thread has nodes: each takes one. */
const FIRST_CAPACITY = 256

export class Audience {
  /** Sessions in it. Each is pinned, and has its node, so that ending the slice cannot fail. */
  count = 0
  #slots = new Int32Array(FIRST_CAPACITY)
  #taken = new Int32Array(FIRST_CAPACITY)
  #block = 0
  #start = 0
  #end = 0

  /** Bytes that each session will get. */
  get bytes(): number {
    return this.#end - this.#start
  }

  /** Adds a session, with its pin and a node for this slice, which has a reference on the block. */
  add(slot: number, node: number, block: number, start: number, length: number): void {
    if (this.count === this.#slots.length) this.#grow()
    assert(
      this.count === 0 || (block === this.#block && start + length === this.#end),
      'AUDIENCE-1: all get the same bytes',
    )
    this.#slots[this.count] = slot
    this.#taken[this.count++] = node
    this.#block = block
    this.#start = start
    this.#end = start + length
  }

  /** Makes the slice longer for every session in it. False: there is none, or these bytes do not lie behind it. */
  extend(block: number, start: number, length: number): boolean {
    if (this.count === 0 || block !== this.#block || start !== this.#end) return false
    this.#end += length
    return true
  }

  /** Ends the slice: how many sessions get it. They stay here, by index, until one is added. */
  end(): number {
    const { count } = this
    this.count = 0
    return count
  }

  slotAt(index: number): number {
    return this.#slots[index]
  }

  nodeAt(index: number): number {
    return this.#taken[index]
  }

  #grow(): void {
    const grown = (old: Int32Array) => {
      const made = new Int32Array(2 * old.length)
      made.set(old)
      return made
    }
    this.#slots = grown(this.#slots)
    this.#taken = grown(this.#taken)
  }
}
