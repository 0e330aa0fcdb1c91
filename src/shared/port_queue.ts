// What: the queue of a completion port: any thread appends, any thread takes, first in, first out, until it is sealed.
// Flow: CompletionPort.post -> this -> CompletionPort.get.
// Thread: any; one instance per thread.

import {
  PORT_CELLS_AT,
  PORT_HEAD,
  PORT_QUEUE_BITS,
  PORT_TAIL,
  PORT_THREAD_HOLDING,
  PORT_THREAD_WORDS,
  PORT_THREADS_AT,
} from '../layout/layout.ts'
import { compareExchange, load } from './atomics.ts'

/** There is nothing to take now. */
export const NOTHING = -1
/** There is nothing to take, and never will be. */
export const SEALED = -2

/**
 * A ring of cells of one word: lap, entry, and a bit that says that an entry is there. Whoever fills a cell, or empties
 * it, does so by one compare-exchange; head and tail only say where to begin, and whoever finds them behind moves them
 * on. So nobody waits for another thread, whatever that one is about to do [PORT-1].
 *
 * There are more cells (2^queue_bits) than entries, so no cell is filled twice.
 * No ABA: the lap is part of the word, and comes again after 2^31 entries.
 */
export class PortQueue {
  readonly #words: Int32Array
  readonly #cellsAt: number
  readonly #bits: number
  readonly #mask: number
  /** Where this thread says which entry it has in hand, so that it is not lost with the thread. */
  readonly #holdingAt: number
  /** Number of the cell that take() emptied last. */
  #taken = 0

  constructor(words: Int32Array, thread: number) {
    this.#words = words
    this.#cellsAt = words[PORT_CELLS_AT]
    this.#bits = words[PORT_QUEUE_BITS]
    this.#mask = 2 ** this.#bits - 1
    this.#holdingAt = words[PORT_THREADS_AT] + thread * PORT_THREAD_WORDS + PORT_THREAD_HOLDING
  }

  /** False: it is sealed. */
  append(entry: number): boolean {
    return this.#fill(entry)
  }

  /** Nothing can be appended any more. */
  seal(): void {
    this.#fill(this.#mask)
  }

  /** The oldest entry, NOTHING or SEALED. */
  take(): number {
    const words = this.#words
    for (;;) {
      const head = load(words, PORT_HEAD)
      const at = this.#cellsAt + (head & this.#mask)
      const cell = load(words, at)
      const empty = this.#empty(head)
      if (cell === empty) return NOTHING
      if (cell === this.#full(head, this.#mask)) return SEALED
      const entry = (cell >>> 1) & this.#mask
      if (cell === this.#full(head, entry)) {
        // order: seq_cst; the entry's words were published by the exchange that filled the cell [PORT-1]
        const seen = compareExchange(words, at, cell, this.#empty(head + this.#mask + 1))
        if (seen === cell) {
          // At once: nothing in between can end the thread [PORT-8].
          words[this.#holdingAt] = entry + 1
          this.#taken = head
          compareExchange(words, PORT_HEAD, head, (head + 1) | 0)
          return entry
        }
      }
      compareExchange(words, PORT_HEAD, head, (head + 1) | 0)
    }
  }

  /**
   * Entries that can be taken; SEALED when there are none and never will be. Whoever appends or takes one may not be
   * counted before its call ends.
   */
  count(): number {
    const words = this.#words
    const tail = load(words, PORT_TAIL)
    const count = (tail - load(words, PORT_HEAD)) | 0
    if (count > 0) return count
    // Others may have gone on since the tail was read; a cell that is sealed stays so.
    return this.#isSealedAt(tail) ? SEALED : 0
  }

  /** Whether nothing can follow what this thread took last. */
  wasLast(): boolean {
    return this.#isSealedAt(this.#taken + 1)
  }

  /** Whether seal() was called. */
  isSealed(): boolean {
    return this.#isSealedAt(load(this.#words, PORT_TAIL))
  }

  /** Moves head and tail on for threads that have ended before they did. */
  settle(): void {
    const words = this.#words
    const tail = load(words, PORT_TAIL)
    const last = load(words, this.#cellsAt + (tail & this.#mask))
    if (last !== this.#empty(tail) && last !== this.#full(tail, this.#mask))
      compareExchange(words, PORT_TAIL, tail, (tail + 1) | 0)
    const head = load(words, PORT_HEAD)
    const front = load(words, this.#cellsAt + (head & this.#mask))
    if (front === this.#empty(head + this.#mask + 1))
      compareExchange(words, PORT_HEAD, head, (head + 1) | 0)
  }

  #isSealedAt(number: number): boolean {
    const cell = load(this.#words, this.#cellsAt + (number & this.#mask))
    return cell === this.#full(number, this.#mask)
  }

  #fill(entry: number): boolean {
    const words = this.#words
    for (;;) {
      const tail = load(words, PORT_TAIL)
      const empty = this.#empty(tail)
      const at = this.#cellsAt + (tail & this.#mask)
      const seen = compareExchange(words, at, empty, this.#full(tail, entry))
      if (seen === this.#full(tail, this.#mask)) return false
      const isMine = seen === empty
      // Also for whoever filled it and has not come to this yet. What is sealed stays the last one.
      if (!isMine || entry !== this.#mask) compareExchange(words, PORT_TAIL, tail, (tail + 1) | 0)
      if (isMine) return true
    }
  }

  /** The cell of this number, before it is filled. */
  #empty(number: number): number {
    return (number >>> this.#bits) << (this.#bits + 1)
  }

  #full(number: number, entry: number): number {
    return this.#empty(number) | (entry << 1) | 1
  }
}
