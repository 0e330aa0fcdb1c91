// What: finds a session by id from any thread, pins it, and gives the slot back to its owner when the last pin goes.
// Flow: id -> this -> words of the slot, under a pin.
// Thread: any.

import {
  SESSION_GENERATION,
  SESSION_IO_COUNT,
  SESSION_OWNER,
  SESSION_RELEASE_LINK,
  THREAD_RELEASE_HEAD,
} from '../layout/layout.ts'
import type { Arena } from './arena.ts'
import { load } from './atomics.ts'
import { release, tryRetain } from './io_count.ts'
import { push } from './link_stack.ts'
import { generationOf, type SessionId, slotOf } from './session_id.ts'
import type { Waker } from './waker.ts'

export class SessionTable {
  readonly #arena: Arena
  readonly #waker: Waker

  constructor(arena: Arena, waker: Waker) {
    this.#arena = arena
    this.#waker = waker
  }

  /** Pins the session: slot, or -1 when it is gone. Pair with unpin. */
  pin(id: SessionId): number {
    const slot = slotOf(id)
    if (slot >= this.#arena.plan.sessionCapacity) return -1
    return this.pinSlot(slot, generationOf(id)) ? slot : -1
  }

  /** Pins the slot if it holds this generation [SESSION-1]. */
  pinSlot(slot: number, generation: number): boolean {
    const at = this.#arena.sessionAt(slot)
    const { words } = this.#arena
    if (!tryRetain(words, at + SESSION_IO_COUNT)) return false
    if (load(words, at + SESSION_GENERATION) >>> 0 === generation) return true
    this.unpin(slot)
    return false
  }

  /** Pins whatever session the slot holds now. */
  pinOpen(slot: number): boolean {
    return tryRetain(this.#arena.words, this.#arena.sessionAt(slot) + SESSION_IO_COUNT)
  }

  /** Drops a pin (or the count of a send flag); the last one hands the slot to its owner. */
  unpin(slot: number): void {
    const at = this.#arena.sessionAt(slot)
    const { words } = this.#arena
    if (release(words, at + SESSION_IO_COUNT)) this.giveBack(slot)
  }

  /** Hands a released slot to its owner: its count fell to 0, or onLeave has returned in an update thread. */
  giveBack(slot: number): void {
    const at = this.#arena.sessionAt(slot)
    const { words } = this.#arena
    const owner = words[at + SESSION_OWNER]
    push(
      words,
      this.#arena.threadAt(owner) + THREAD_RELEASE_HEAD,
      at + SESSION_RELEASE_LINK,
      slot + 1,
    )
    this.#waker.mark(owner)
  }
}
