// What: the submission area: operations for the driver, written in order, handed over in one call.
// Flow: sender, session life -> this -> native/driver, in the same thread.
// Thread: a worker.

import { assert } from '../assert.ts'
import {
  CLOSE_FLAG_RESET,
  SEND_FLAG_LAZY,
  SEND_FLAG_NOW,
  SEND_HEADER_WORDS,
  SubmissionOp,
  THREAD_LOCAL_PENDING,
  THREAD_SUBMISSION_USED,
} from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'

/** Buffers returned by one entry; keeps an entry small. */
const RETURNS_PER_ENTRY = 256

export class SubmissionRing {
  /** SENDs written since takePrompt() whose completion is wanted at once. */
  promptSends = 0
  readonly #words: Int32Array
  readonly #at: number
  readonly #capacity: number
  readonly #usedAt: number
  readonly #pendingAt: number
  /** Control operations that did not fit; they go first next time, in order. */
  readonly #deferred: number[] = []
  readonly #returns: Int32Array
  #returnCount = 0

  constructor(arena: Arena) {
    this.#words = arena.words
    this.#capacity = arena.plan.submissionWords
    this.#at = arena.plan.submissionsAt + (arena.thread - 1) * this.#capacity
    this.#usedAt = arena.threadAt(arena.thread) + THREAD_SUBMISSION_USED
    this.#pendingAt = arena.threadAt(arena.thread) + THREAD_LOCAL_PENDING
    this.#returns = new Int32Array(arena.plan.recvBuffersPerWorker)
  }

  /**
   * Starts a gathered send; the caller stores `slices` (offset, length) pairs at the returned word, and their
   * sum in the word before. 0 when the area is full: submit first.
   */
  claimSend(slot: number, generation: number, slices: number, flags: number): number {
    const used = this.#words[this.#usedAt]
    const length = SEND_HEADER_WORDS + 2 * slices
    if (this.#deferred.length > 0 || used + length > this.#capacity) return 0
    const at = this.#at + used
    const words = this.#words
    words[at] = SubmissionOp.SEND | (flags << 8) | (slices << 16)
    words[at + 1] = slot
    words[at + 2] = generation
    words[this.#usedAt] = used + length
    if (flags !== (SEND_FLAG_NOW | SEND_FLAG_LAZY)) this.promptSends++
    return at + SEND_HEADER_WORDS
  }

  attach(slot: number, generation: number, token: number): void {
    this.#control(SubmissionOp.ATTACH, slot, generation, token)
  }

  connect(slot: number, generation: number, token: number): void {
    this.#control(SubmissionOp.CONNECT, slot, generation, token)
  }

  /** Send threads: sends on the socket that the slot's owner has attached. */
  borrow(slot: number, generation: number): void {
    this.#control(SubmissionOp.BORROW, slot, generation)
  }

  giveBack(slot: number, generation: number): void {
    this.#control(SubmissionOp.GIVE_BACK, slot, generation)
  }

  refuse(token: number): void {
    this.#control(SubmissionOp.REFUSE, token)
  }

  recv(slot: number, generation: number): void {
    this.#control(SubmissionOp.RECV, slot, generation)
  }

  pause(slot: number, generation: number): void {
    this.#control(SubmissionOp.PAUSE, slot, generation)
  }

  cancel(slot: number, generation: number): void {
    this.#control(SubmissionOp.CANCEL, slot, generation)
  }

  shutdown(slot: number, generation: number): void {
    this.#control(SubmissionOp.SHUTDOWN, slot, generation)
  }

  close(slot: number, generation: number, reset: boolean): void {
    this.#control(SubmissionOp.CLOSE | ((reset ? CLOSE_FLAG_RESET : 0) << 8), slot, generation)
  }

  /** Gives a receive buffer back to the driver, with the next submit or sleep. */
  returnBuffer(buffer: number): void {
    assert(this.#returnCount < this.#returns.length, 'BUFFER-1: a buffer is returned once')
    this.#returns[this.#returnCount++] = buffer
    this.#words[this.#pendingAt] = 1
  }

  /** Whether a completion is wanted at once of what was written since the last time this was asked. */
  takePrompt(): boolean {
    const isPrompt = this.promptSends > 0
    this.promptSends = 0
    return isPrompt
  }

  /** Whether the area has everything that was written so far. */
  get isWhole(): boolean {
    return this.#deferred.length === 0
  }

  /** Moves what was set aside into the area; called before every submit. */
  prepare(): void {
    let taken = 0
    while (taken < this.#deferred.length) {
      const length = this.#deferred[taken]
      if (this.#words[this.#usedAt] + length > this.#capacity) break
      for (let i = 1; i <= length; i++) this.#append(this.#deferred[taken + i])
      taken += 1 + length
    }
    if (taken > 0) this.#deferred.splice(0, taken)
    while (this.#returnCount > 0) {
      const count = Math.min(this.#returnCount, RETURNS_PER_ENTRY)
      if (this.#words[this.#usedAt] + 1 + count > this.#capacity) break
      this.#append(SubmissionOp.BUFFER_RETURN | (count << 16))
      for (let i = 0; i < count; i++) this.#append(this.#returns[--this.#returnCount])
    }
    // What did not fit needs another turn; nothing else would bring one.
    if (this.#returnCount > 0 || this.#deferred.length > 0) this.#words[this.#pendingAt] = 1
  }

  #append(word: number): void {
    const used = this.#words[this.#usedAt]
    this.#words[this.#at + used] = word
    this.#words[this.#usedAt] = used + 1
  }

  #control(...entry: number[]): void {
    const used = this.#words[this.#usedAt]
    if (this.#deferred.length > 0 || used + entry.length > this.#capacity) {
      this.#deferred.push(entry.length, ...entry)
      this.#words[this.#pendingAt] = 1
      return
    }
    for (let i = 0; i < entry.length; i++) this.#words[this.#at + used + i] = entry[i]
    this.#words[this.#usedAt] = used + entry.length
  }
}
