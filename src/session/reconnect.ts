// What: how long a reconnecting client waits before its next attempt.
// Flow: connect() options -> this -> connector.
// Thread: those that run content.

import type { ReconnectOptions } from './handler.ts'

/** Delays that grow from minDelay to maxDelay, and begin anew after a session that was of use. */
export class Backoff {
  readonly #options: Required<ReconnectOptions>
  readonly #random: () => number
  /** Delays since the beginning. */
  #steps = 0
  #failed = 0

  /** `random` draws from [0, 1). */
  constructor(options: Required<ReconnectOptions>, random: () => number) {
    this.#options = options
    this.#random = random
  }

  /** Attempts in a row that have failed. */
  get failed(): number {
    return this.#failed
  }

  /** An attempt failed. Milliseconds until the next one; null: there is none. */
  afterFailure(): number | null {
    this.#failed++
    return this.#failed >= this.#options.attempts ? null : this.#delay()
  }

  /**
   * A session ended; milliseconds until the next attempt. It was of use, and delays begin anew, when the peer sent
   * something or it lived for maxDelay: who accepts and hangs up at once is no better than one who refuses.
   */
  afterSession(heard: boolean, livedMs: number): number | null {
    if (!heard && livedMs < this.#options.maxDelay) return this.afterFailure()
    this.#failed = this.#steps = 0
    return this.#delay()
  }

  #delay(): number {
    const { minDelay, maxDelay, factor, jitter } = this.#options
    const delay = Math.min(maxDelay, minDelay * factor ** this.#steps)
    // A delay that does not grow any more needs no count.
    if (delay < maxDelay) this.#steps++
    return delay * (1 - jitter * this.#random())
  }
}
