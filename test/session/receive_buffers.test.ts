// What: tests of who needs a receive buffer, and of the views that handlers get.
// Flow: receive_buffers -> submission area -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { SubmissionOp, THREAD_SUBMISSION_USED } from '../../src/layout/layout.ts'
import { SubmissionRing } from '../../src/outbound/submission_ring.ts'
import { ReceiveBuffers } from '../../src/session/receive_buffers.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

/** Buffers 16 to 31 are those of worker 2. */
function setup() {
  const memory = unitMemory()
  const arena = memory.arena(2)
  const ring = new SubmissionRing(arena)
  const buffers = new ReceiveBuffers(arena, ring)
  const returned = () => {
    ring.prepare()
    const start = arena.plan.submissionsAt + arena.plan.submissionWords
    const usedAt = arena.threadAt(2) + THREAD_SUBMISSION_USED
    const [op, ...rest] = arena.words.subarray(start, start + arena.words[usedAt])
    arena.words[usedAt] = 0
    if (op === undefined) return []
    expect(op & 0xff).toBe(SubmissionOp.BUFFER_RETURN)
    return rest
  }
  return { arena, buffers, returned, memory }
}

describe('references', () => {
  it('go back to the driver with the last one', () => {
    const { buffers, returned } = setup()
    buffers.retain(20)
    buffers.retain(20)
    buffers.retain(31)
    expect(buffers.heldCount()).toBe(2)
    expect(buffers.heldPart()).toBe(2 / 16)
    buffers.release(20)
    expect(returned()).toEqual([])
    buffers.release(20)
    expect(returned()).toEqual([20])
    expect(buffers.heldCount()).toBe(1)
    buffers.release(31)
    expect(returned()).toEqual([31])
    expect(buffers.heldCount()).toBe(0)
  })

  it('that were never taken cannot be dropped [BUFFER-2]', () => {
    const { buffers, returned } = setup()
    expect(() => buffers.release(20)).toThrow('BUFFER-2')
    expect(returned()).toEqual([])
  })
})

describe('views', () => {
  it('show the bytes', () => {
    const { arena, buffers } = setup()
    const base = arena.plan.recvByteAt + 17 * arena.plan.recvBufferStride
    arena.bytes.set([1, 2, 3], base + 10)
    buffers.retain(17)
    const view = buffers.view(17, base + 10, base + 13)
    expect([...view]).toEqual([1, 2, 3])
    buffers.release(17)
  })

  it('are made over one buffer, once', () => {
    const { arena, buffers, memory } = setup()
    const { recvByteAt, recvBufferStride } = arena.plan
    const base = recvByteAt + 17 * recvBufferStride
    memory.aliased.length = 0
    const first = buffers.view(17, base, base + 5)
    const second = buffers.view(17, base + 100, base + 512)
    expect(memory.aliased).toEqual([[base, recvBufferStride]])
    expect(first.buffer).toBe(second.buffer)
  })
})
