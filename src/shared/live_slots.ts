// What: which slots hold a session, a bit for each; the words of a worker's slots are written by that worker alone.
// Flow: registry -> this -> broadcasts to all sessions.
// Thread: bits are set and cleared by the owning worker; looks: any.

import { CACHE_LINE_WORDS } from '../layout/layout.ts'
import type { Arena } from './arena.ts'
import { load, store } from './atomics.ts'

/** Words of the control memory that one worker has, on cache lines of its own. */
export function liveSlotWords(sessionsPerWorker: number): number {
  const words = Math.ceil(sessionsPerWorker / 32)
  return Math.ceil(words / CACHE_LINE_WORDS) * CACHE_LINE_WORDS
}

export class LiveSlots {
  /** Words of one worker that have slots. */
  readonly slotWords: number
  readonly #words: Int32Array
  readonly #at: number
  readonly #stride: number
  readonly #sessionsPerWorker: number

  constructor({ words, plan }: Arena) {
    this.slotWords = Math.ceil(plan.sessionsPerWorker / 32)
    this.#words = words
    this.#at = plan.liveSlotsAt
    this.#stride = liveSlotWords(plan.sessionsPerWorker)
    this.#sessionsPerWorker = plan.sessionsPerWorker
  }

  /** The owner's slot has a session, of which nobody else was told [LIVE-1]. */
  occupy(slot: number): void {
    const at = this.#wordOf(slot)
    // order: before anything that tells of the session; pairs with bits()
    store(this.#words, at, this.#words[at] | this.#bitOf(slot))
  }

  /** It has none any more. */
  vacate(slot: number): void {
    const at = this.#wordOf(slot)
    store(this.#words, at, this.#words[at] & ~this.#bitOf(slot))
  }

  /** Slots of a worker that may have a session, 32 to a word from 0 to slotWords - 1. */
  bits(worker: number, word: number): number {
    // order: pairs with occupy(); whether a session is there is for a pin to say [LIVE-2]
    return load(this.#words, this.#at + (worker - 1) * this.#stride + word)
  }

  #wordOf(slot: number): number {
    const owner = Math.floor(slot / this.#sessionsPerWorker)
    return this.#at + owner * this.#stride + ((slot - owner * this.#sessionsPerWorker) >>> 5)
  }

  #bitOf(slot: number): number {
    return 1 << ((slot % this.#sessionsPerWorker) & 31)
  }
}
