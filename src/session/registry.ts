// What: the slots of one worker: which session each holds, which are free (oldest first), who is live.
// Flow: lifecycle -> this.
// Thread: the owning worker.

import {
  Counter,
  GENERATION_MAX,
  SESSION_GENERATION,
  SESSION_STATE,
  SessionState,
} from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'
import { store } from '../shared/atomics.ts'
import { LiveSlots } from '../shared/live_slots.ts'
import type { LiveSession } from './session.ts'

export class Registry {
  /** Every session from join to the closing of its handle, in no order. */
  readonly live: LiveSession[] = []
  /** When each slot's session last received, in milliseconds of core.now: a number field would be allocated anew each time. */
  readonly #receivedAt: Float64Array
  readonly #arena: Arena
  /** The same for broadcasts of other threads. */
  readonly #liveSlots: LiveSlots
  readonly #first: number
  readonly #sessions: (LiveSession | undefined)[]
  /** Free slots, a ring: the one that has been free for longest is used next. */
  readonly #free: Int32Array
  #freeHead = 0
  #freeCount = 0

  constructor(arena: Arena) {
    this.#arena = arena
    this.#liveSlots = new LiveSlots(arena)
    const { sessionsPerWorker, sessionCapacity } = arena.plan
    this.#first = (arena.thread - 1) * sessionsPerWorker
    const count = Math.max(0, Math.min(sessionsPerWorker, sessionCapacity - this.#first))
    this.#sessions = new Array(count)
    this.#receivedAt = new Float64Array(count)
    this.#free = new Int32Array(count)
    for (let i = 0; i < count; i++) this.#free[i] = this.#first + i
    this.#freeCount = count
  }

  /** Slots that this worker has. */
  get capacity(): number {
    return this.#free.length
  }

  /** A free slot; -1 when there is none. */
  allocate(): number {
    if (this.#freeCount === 0) return -1
    const slot = this.#free[this.#freeHead]
    this.#freeHead = (this.#freeHead + 1) % this.#free.length
    this.#freeCount--
    return slot
  }

  /** Generation of the slot's next session; 0 is never issued. */
  generationOf(slot: number): number {
    const at = this.#arena.sessionAt(slot) + SESSION_GENERATION
    if (this.#arena.words[at] === 0) store(this.#arena.words, at, 1)
    return this.#arena.words[at] >>> 0
  }

  put(session: LiveSession): void {
    this.#sessions[session.slot - this.#first] = session
    session.liveIndex = this.live.length
    this.live.push(session)
    this.#liveSlots.occupy(session.slot)
  }

  /** Notes that the session receives, or begins anew to be waited for. */
  received(session: LiveSession, now: number): void {
    this.#receivedAt[session.slot - this.#first] = now
  }

  /** When it last did. */
  receivedAt(session: LiveSession): number {
    return this.#receivedAt[session.slot - this.#first]
  }

  /** The session in a slot of this worker. */
  at(slot: number): LiveSession | undefined {
    return this.#sessions[slot - this.#first]
  }

  /** The handle is closed: the slot's generation ends. False: it was the last, the slot is retired [SESSION-2]. */
  free(session: LiveSession): boolean {
    const { slot } = session
    this.#sessions[slot - this.#first] = undefined
    const last = this.live.pop() as LiveSession
    if (last !== session) {
      this.live[session.liveIndex] = last
      last.liveIndex = session.liveIndex
    }
    this.#liveSlots.vacate(slot)
    const at = this.#arena.sessionAt(slot)
    const { words } = this.#arena
    if (session.generation === GENERATION_MAX) {
      store(words, at + SESSION_STATE, SessionState.RETIRED)
      this.#arena.counters[Counter.SLOTS_RETIRED]++
      return false
    }
    store(words, at + SESSION_STATE, SessionState.FREE)
    store(words, at + SESSION_GENERATION, session.generation + 1)
    this.#free[(this.#freeHead + this.#freeCount) % this.#free.length] = slot
    this.#freeCount++
    return true
  }
}
