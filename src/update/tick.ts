// What: when the next tick is due, how many are overdue, and what becomes of those: pure arithmetic on a clock.
// Flow: clock of a thread -> this -> onTick.
// Thread: any; one instance per thread that ticks.

/** What becomes of overdue ticks. */
export type OverrunPolicy = 'skip' | 'catchUp'

export interface DueTicks {
  /** Ticks to run now. */
  readonly count: number
  /** Ticks that are left out. */
  readonly skipped: number
}

/** Ticks are due at whole multiples of the period after the start: none of them moves the ones behind it. */
export class TickSchedule {
  readonly periodMs: number
  readonly #startMs: number
  readonly #mostAtOnce: number
  /** Ticks that were run or left out. */
  #done = 0

  /** @param mostAtOnce Overdue ticks that are run in a row under `catchUp`; `skip` runs one. */
  constructor(ticksPerSecond: number, startMs: number, overrun: OverrunPolicy, mostAtOnce: number) {
    this.periodMs = 1000 / ticksPerSecond
    this.#startMs = startMs
    this.#mostAtOnce = overrun === 'skip' ? 1 : mostAtOnce
  }

  /** When the next one is due: a multiplication, so that rounding does not add up. */
  get dueMs(): number {
    return this.#startMs + (this.#done + 1) * this.periodMs
  }

  /** What is to be done at this time; nothing before dueMs. */
  take(nowMs: number): DueTicks {
    const overdue = Math.floor((nowMs - this.#startMs) / this.periodMs) - this.#done
    // Rounding may put a tick that is due a hair behind now.
    const due = Math.max(overdue, nowMs >= this.dueMs ? 1 : 0)
    const count = Math.min(due, this.#mostAtOnce)
    this.#done += due
    return { count, skipped: due - count }
  }
}
