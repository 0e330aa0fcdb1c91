// What: a lock in one shared word: for what is changed seldom and held for microseconds, without user code inside.
// Flow: thread -> this -> changes of the group directory.
// Thread: any that may sleep; never main, which releases only for a thread that was lost.

import { LOCK_WAITED } from '../layout/layout.ts'
import { compareExchange, exchange, load, notify, store, wait } from './atomics.ts'

/** Tries before a thread sleeps: about as long as the lock is held. */
const SPINS = 64
/** Longest sleep. No wake-up depends on it, but that of a thread that was ended before it could take the lock. */
const SLEEP_MS = 10
const ALL = 2 ** 31 - 1

export class Lock {
  readonly #words: Int32Array
  readonly #index: number
  readonly #mine: number
  readonly #spins: number

  /** The lock in a word, as a thread sees it. */
  constructor(words: Int32Array, at: number, thread: number, spins = SPINS) {
    this.#words = words
    this.#index = at
    this.#mine = thread + 1
    this.#spins = spins
  }

  /** Takes the lock; sleeps while another thread has it. The holder releases it. */
  acquire(): void {
    const words = this.#words
    const at = this.#index
    for (let tries = 0; ; tries++) {
      const isSpin = tries < this.#spins
      // Others may sleep, too: whoever has slept once leaves the bit, so that its release wakes the next [LOCK-2].
      const mine = isSpin ? this.#mine : this.#mine | LOCK_WAITED
      const held = compareExchange(words, at, 0, mine)
      if (held === 0) return
      if (isSpin) continue
      const waited = held | LOCK_WAITED
      // order: the bit is set before the sleep, which compares the word with it [LOCK-2]
      if (held === waited || compareExchange(words, at, held, waited) === held)
        wait(words, at, waited, SLEEP_MS)
    }
  }

  /** By the holder. */
  release(): void {
    // order: seq_cst; publishes everything that was changed under the lock [LOCK-1]
    if ((exchange(this.#words, this.#index, 0) & LOCK_WAITED) !== 0)
      notify(this.#words, this.#index, 1)
  }

  /** For a thread that has ended: gives back the lock if it had it [LOCK-3]. */
  releaseLost(thread: number): void {
    if ((load(this.#words, this.#index) & ~LOCK_WAITED) !== thread + 1) return
    // order: before the wake-ups; who sets the bit meanwhile finds another word when it would sleep [LOCK-2]
    store(this.#words, this.#index, 0)
    notify(this.#words, this.#index, ALL)
  }
}
