// What: who still needs a worker's receive buffers: the dispatcher, slices that send from them, paused sessions.
// Flow: RECV completions -> this -> back to the driver when nobody does.
// Thread: the worker that owns the buffers.

import { assert } from '../assert.ts'
import type { SubmissionRing } from '../outbound/submission_ring.ts'
import { type Arena, POISON } from '../shared/arena.ts'

export class ReceiveBuffers {
  readonly #arena: Arena
  readonly #submissions: SubmissionRing
  readonly #first: number
  readonly #references: Int32Array
  #held = 0
  /** One external view per buffer, made when a handler first asks; users may keep it, so it covers nothing else. */
  readonly #views: (Uint8Array | undefined)[] = []

  constructor(arena: Arena, submissions: SubmissionRing) {
    this.#arena = arena
    this.#submissions = submissions
    const count = arena.plan.recvBuffersPerWorker
    this.#first = (arena.thread - 1) * count
    this.#references = new Int32Array(count)
  }

  retain(buffer: number): void {
    if (this.#references[buffer - this.#first]++ === 0) this.#held++
  }

  release(buffer: number): void {
    const local = buffer - this.#first
    const left = --this.#references[local]
    if (left > 0) return
    assert(left === 0, 'BUFFER-2: a receive buffer has no more releases than retains')
    this.#held--
    const { poison, recvByteAt, recvBufferStride } = this.#arena.plan
    if (poison) {
      const start = recvByteAt + buffer * recvBufferStride
      this.#arena.bytes.fill(POISON, start, start + recvBufferStride)
    }
    this.#submissions.returnBuffer(buffer)
  }

  /** A view of [start, end) of the arena, which lies in this buffer. */
  view(buffer: number, start: number, end: number): Uint8Array {
    const local = buffer - this.#first
    const { recvByteAt, recvBufferStride } = this.#arena.plan
    const base = recvByteAt + buffer * recvBufferStride
    let whole = this.#views[local]
    // A user may have transferred it away; then it is made again.
    if (whole === undefined || whole.byteLength === 0) {
      whole = this.#arena.aliasRange(base, recvBufferStride)
      this.#views[local] = whole
    }
    return whole.subarray(start - base, end - base)
  }

  /** Buffers that the driver does not have. */
  heldCount(): number {
    return this.#held
  }

  /** Of all its buffers those that the driver does not have, 0 to 1. */
  heldPart(): number {
    return this.#held / this.#references.length
  }
}
