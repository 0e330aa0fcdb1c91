// What: a pin: a session of any thread, held so that it is not released until the pin goes.
// Flow: runtime.pin -> this -> words of the slot, sends and closes of the runtime.
// Thread: the one that pinned.

import { OverlappedError } from '../errors.ts'
import { SESSION_QUEUED_BYTES, SESSION_STATE, SESSION_TAG, SessionState } from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'
import { load, store } from '../shared/atomics.ts'
import type { SessionId } from '../shared/session_id.ts'
import type { Pin, Sendable, SendResult } from './handler.ts'

/** What a pin does by its thread's runtime. */
export interface PinHome {
  send(id: SessionId, data: Sendable): SendResult
  close(id: SessionId): boolean
  /** The pin goes; it may have been the last count of the session. */
  unpinned(slot: number): void
}

export class SessionPin implements Pin {
  readonly id: SessionId
  readonly #home: PinHome
  readonly #words: Int32Array
  readonly #slot: number
  readonly #at: number
  #isHeld = true

  /** The caller has pinned the slot. */
  constructor(home: PinHome, arena: Arena, id: SessionId, slot: number) {
    this.id = id
    this.#home = home
    this.#words = arena.words
    this.#slot = slot
    this.#at = arena.sessionAt(slot)
  }

  get isOpen(): boolean {
    return this.#isHeld && load(this.#words, this.#at + SESSION_STATE) === SessionState.OPEN
  }

  get bufferedAmount(): number {
    this.#check()
    return load(this.#words, this.#at + SESSION_QUEUED_BYTES)
  }

  get tag(): number {
    this.#check()
    return load(this.#words, this.#at + SESSION_TAG)
  }

  set tag(value: number) {
    this.#check()
    store(this.#words, this.#at + SESSION_TAG, value)
  }

  send(data: Sendable): SendResult {
    this.#check()
    return this.#home.send(this.id, data)
  }

  close(): boolean {
    this.#check()
    return this.#home.close(this.id)
  }

  unpin(): void {
    this.#check()
    this.#isHeld = false
    this.#home.unpinned(this.#slot)
  }

  #check(): void {
    if (this.#isHeld) return
    throw new OverlappedError(
      'ERR_PIN_RELEASED',
      `the pin of session ${this.id} was used after unpin()`,
    )
  }
}
