// What: the threads of a completion port: who waits, who runs on one of its places, who blocks, and who is woken next.
// Flow: CompletionPort -> this -> the latest of who waits.
// Thread: any; one instance per thread.

import {
  PORT_GRANTING,
  PORT_LIMIT,
  PORT_PLACES_AT,
  PORT_THREAD_STATE,
  PORT_THREAD_WORDS,
  PORT_THREADS_AT,
  PORT_THREADS_USED,
  PORT_WAITS,
  PortThreadState,
} from '../layout/layout.ts'
import { add, compareExchange, load, notify, store, wait } from './atomics.ts'
import { type PortQueue, SEALED } from './port_queue.ts'

/** In place of an entry. */
export const TIMED_OUT = -3
export const CLOSED = -4

/** A state word: what a thread of the port does, and above it the number of a wait or a place. */
const STATE_BITS = 3
const STATE_MASK = 7
const NO_PLACE = -1
const NO_THREAD = -1

export const kindOf = (state: number): number => state & STATE_MASK
export const numberOf = (state: number): number => state >> STATE_BITS

/** Whether a wait began after another one; numbers of waits have 29 bits and come round. */
export function isLater(wait: number, other: number): boolean {
  return (wait - other) << STATE_BITS > 0
}

export class PortThreads {
  readonly #words: Int32Array
  readonly #queue: Pick<PortQueue, 'count' | 'take' | 'wasLast' | 'settle'>
  readonly #limit: number
  readonly #placesAt: number
  readonly #threadsAt: number
  /** State word of this thread, and how it is named in places. */
  readonly #own: number
  readonly #name: number

  constructor(
    words: Int32Array,
    thread: number,
    queue: Pick<PortQueue, 'count' | 'take' | 'wasLast' | 'settle'>,
  ) {
    this.#words = words
    this.#queue = queue
    this.#limit = words[PORT_LIMIT]
    this.#placesAt = words[PORT_PLACES_AT]
    this.#threadsAt = words[PORT_THREADS_AT]
    this.#own = this.#stateAt(thread)
    this.#name = thread + 1
  }

  /** What this thread does. */
  kind(): number {
    return kindOf(load(this.#words, this.#own))
  }

  /**
   * Takes the oldest entry, when there is one and this thread may run; waits for it up to `timeoutMs`. Else TIMED_OUT
   * or CLOSED.
   */
  obtain(timeoutMs: number, keepsPlace: boolean): number {
    const words = this.#words
    const at = this.#own
    let state = load(words, at)
    // Who has a place goes on with it, except where another one runs without any: then it stands back [PORT-5].
    if (kindOf(state) === PortThreadState.RUNNING && !this.#isAnyOver()) {
      const entry = this.more()
      if (entry >= 0) return entry
    }
    const deadline = performance.now() + timeoutMs
    for (;;) {
      // A wait that kept its place goes on, or has ended well meanwhile.
      if (kindOf(state) !== PortThreadState.WAITING && kindOf(state) !== PortThreadState.CHOSEN) {
        state = this.#announce()
        this.dispatch()
      }
      if (kindOf(state) === PortThreadState.WAITING)
        state = this.#sleep(state, deadline, keepsPlace)
      if (kindOf(state) === PortThreadState.WAITING) return TIMED_OUT
      if (kindOf(state) === PortThreadState.OUTSIDE) return CLOSED
      const place = numberOf(state)
      // order: seq_cst; before the take: who counts entries and then chosen threads misses neither [PORT-2]
      store(words, at, (place << STATE_BITS) | PortThreadState.RUNNING)
      const entry = this.more()
      if (entry >= 0) return entry
      // A thread that ran already came first.
      state = PortThreadState.RUNNING
    }
  }

  /** Takes another entry, for who has one already; negative: there is none. */
  more(): number {
    const entry = this.#queue.take()
    // Whoever takes the last one tells those who wait for more [PORT-7].
    if (entry >= 0 && this.#queue.wasLast()) this.#endWaits()
    return entry
  }

  /** The place of this thread goes to another one. */
  pause(): void {
    this.#free(this.#become(PortThreadState.PAUSED))
    this.dispatch()
  }

  /** Back from pause(). */
  resume(): void {
    const words = this.#words
    const place = this.#claim(this.#name)
    if (place !== NO_PLACE) {
      store(words, this.#own, (place << STATE_BITS) | PortThreadState.RUNNING)
      return
    }
    // order: seq_cst; before the look at the places; pairs with who frees one and then looks at states [PORT-5]
    store(words, this.#own, PortThreadState.OVER)
    this.dispatch()
  }

  /** This thread has nothing any more. */
  leave(): void {
    this.#free(this.#become(PortThreadState.OUTSIDE))
    this.dispatch()
    store(this.#words, this.#own, PortThreadState.ABSENT)
  }

  /** Takes from a thread that has ended all that others could wait for [PORT-8]. */
  abandon(thread: number): void {
    const words = this.#words
    const at = this.#stateAt(thread)
    let state = load(words, at)
    while (kindOf(state) === PortThreadState.WAITING || kindOf(state) === PortThreadState.OVER) {
      // From here on nobody gives it a place.
      const seen = compareExchange(words, at, state, PortThreadState.OUTSIDE)
      if (seen === state) break
      state = seen
    }
    this.#queue.settle()
    this.#reclaimPlaces(thread, state)
    // It may have ended between choosing a thread and waking it.
    const used = load(words, PORT_THREADS_USED)
    for (let other = 0; other < used; other++) {
      if (kindOf(load(words, this.#stateAt(other))) === PortThreadState.CHOSEN)
        notify(words, this.#stateAt(other), 1)
    }
    // order: seq_cst; before the look: whoever was chosen and has ended takes no entry [PORT-8]
    store(words, at, PortThreadState.ABSENT)
    this.dispatch()
  }

  /** Begins a wait: its state word. What it ran on is free afterwards. */
  #announce(): number {
    const waiting = (add(this.#words, PORT_WAITS, 1) << STATE_BITS) | PortThreadState.WAITING
    // In this order: whoever finds the place free finds this thread, too [PORT-3].
    this.#free(this.#become(waiting))
    return waiting
  }

  /** The state that ended the wait: CHOSEN, or OUTSIDE when the port came to its end; the wait itself after a timeout. */
  #sleep(waiting: number, deadline: number, keepsPlace: boolean): number {
    const words = this.#words
    const at = this.#own
    for (;;) {
      const leftMs = deadline - performance.now()
      if (leftMs <= 0 || !wait(words, at, waiting, leftMs)) break
      const state = load(words, at)
      if (state !== waiting) return state
    }
    if (keepsPlace) return waiting
    // order: seq_cst; who chooses it does the same on the same word: one of the two succeeds [PORT-3]
    return compareExchange(words, at, waiting, PortThreadState.OUTSIDE)
  }

  /**
   * Gives places to threads while both are there: first to those that run without one, then, for entries that nobody
   * was chosen for, to the latest of those who wait. To be called after an entry was appended, a wait has begun, or a
   * place was freed: so the last of these sees the other two [PORT-2].
   */
  dispatch(): void {
    const words = this.#words
    for (;;) {
      const count = this.#queue.count()
      if (count === SEALED) {
        this.#endWaits()
        return
      }
      let chosen = 0
      let over = NO_THREAD
      let latest = NO_THREAD
      let latestState = 0
      const used = load(words, PORT_THREADS_USED)
      for (let thread = 0; thread < used; thread++) {
        const state = load(words, this.#stateAt(thread))
        const kind = kindOf(state)
        if (kind === PortThreadState.CHOSEN) chosen++
        else if (kind === PortThreadState.OVER) over = thread
        else if (kind === PortThreadState.WAITING) {
          if (latest !== NO_THREAD && !isLater(numberOf(state), numberOf(latestState))) continue
          latest = thread
          latestState = state
        }
      }
      if (over === NO_THREAD && (latest === NO_THREAD || count <= chosen)) return
      const place = this.#claim(PORT_GRANTING | this.#name)
      if (place === NO_PLACE) return
      const isGiven =
        over === NO_THREAD ? this.#choose(latest, latestState, place) : this.#settle(over, place)
      // It has gone on meanwhile: somebody else may want the place [PORT-2].
      if (!isGiven) this.#free(place)
      // Whoever appended more since they were counted looks for itself.
      else if (over === NO_THREAD && count === chosen + 1) return
    }
  }

  /** Gives a place to a thread that runs without one. */
  #settle(thread: number, place: number): boolean {
    const words = this.#words
    const running = (place << STATE_BITS) | PortThreadState.RUNNING
    const seen = compareExchange(words, this.#stateAt(thread), PortThreadState.OVER, running)
    if (seen !== PortThreadState.OVER) return false
    // It may have freed the place already.
    compareExchange(words, this.#placesAt + place, PORT_GRANTING | this.#name, thread + 1)
    return true
  }

  /** Gives a place to a thread that waits, and wakes it. */
  #choose(thread: number, waiting: number, place: number): boolean {
    const words = this.#words
    const at = this.#stateAt(thread)
    const chosen = (place << STATE_BITS) | PortThreadState.CHOSEN
    // order: seq_cst; no ABA: the number of the wait is part of the word [PORT-3]
    if (compareExchange(words, at, waiting, chosen) !== waiting) return false
    notify(words, at, 1)
    return true
  }

  /** Everybody who waits for what will never come goes on [PORT-7]. */
  #endWaits(): void {
    const words = this.#words
    const used = load(words, PORT_THREADS_USED)
    for (let thread = 0; thread < used; thread++) {
      const at = this.#stateAt(thread)
      const state = load(words, at)
      if (kindOf(state) !== PortThreadState.WAITING) continue
      if (compareExchange(words, at, state, PortThreadState.OUTSIDE) === state) notify(words, at, 1)
    }
  }

  #isAnyOver(): boolean {
    const words = this.#words
    const used = load(words, PORT_THREADS_USED)
    for (let thread = 0; thread < used; thread++)
      if (kindOf(load(words, this.#stateAt(thread))) === PortThreadState.OVER) return true
    return false
  }

  /** Changes this thread's own state; returns the place that it had, which is still its own. */
  #become(next: number): number {
    const words = this.#words
    const at = this.#own
    for (;;) {
      const state = load(words, at)
      const kind = kindOf(state)
      if (kind === PortThreadState.RUNNING || kind === PortThreadState.CHOSEN) {
        // Whoever gave it away may still stand in it: from here on nobody but this thread frees it [PORT-4].
        store(words, this.#placesAt + numberOf(state), this.#name)
        store(words, at, next)
        return numberOf(state)
      }
      if (compareExchange(words, at, state, next) === state) return NO_PLACE
    }
  }

  /** A place in which `owner` stands from now on. */
  #claim(owner: number): number {
    const words = this.#words
    for (let place = 0; place < this.#limit; place++) {
      const at = this.#placesAt + place
      if (load(words, at) === 0 && compareExchange(words, at, 0, owner) === 0) return place
    }
    return NO_PLACE
  }

  #free(place: number): void {
    if (place !== NO_PLACE) store(this.#words, this.#placesAt + place, 0)
  }

  /** Places of a thread that has ended in this state [PORT-8]. */
  #reclaimPlaces(thread: number, state: number): void {
    const words = this.#words
    const name = thread + 1
    const kind = kindOf(state)
    if (kind === PortThreadState.CHOSEN || kind === PortThreadState.RUNNING)
      this.#free(numberOf(state))
    for (let place = 0; place < this.#limit; place++) {
      const at = this.#placesAt + place
      // It ended between the two words.
      compareExchange(words, at, name, 0)
      // It ended while it gave this one away: whoever has it by now stands in it.
      if (load(words, at) === (PORT_GRANTING | name))
        compareExchange(words, at, PORT_GRANTING | name, this.#userOf(place) + 1)
    }
  }

  /** The thread whose state names a place; NO_THREAD when there is none. */
  #userOf(place: number): number {
    const words = this.#words
    const used = load(words, PORT_THREADS_USED)
    for (let thread = 0; thread < used; thread++) {
      const state = load(words, this.#stateAt(thread))
      const kind = kindOf(state)
      const hasPlace = kind === PortThreadState.CHOSEN || kind === PortThreadState.RUNNING
      if (hasPlace && numberOf(state) === place) return thread
    }
    return NO_THREAD
  }

  #stateAt(thread: number): number {
    return this.#threadsAt + thread * PORT_THREAD_WORDS + PORT_THREAD_STATE
  }
}
