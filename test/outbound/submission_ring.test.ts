// What: tests of the submission area: every operation word by word, what does not fit, buffers that return.
// Flow: submission_ring -> words as the driver reads them -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  SEND_FLAG_LAZY,
  SEND_FLAG_NOW,
  SEND_HEADER_WORDS,
  SubmissionOp,
  THREAD_LOCAL_PENDING,
  THREAD_SUBMISSION_USED,
} from '../../src/layout/layout.ts'
import { SubmissionRing } from '../../src/outbound/submission_ring.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

const GENERATION = 2 ** 32 - 2
const AS_WORD = GENERATION | 0

function setup(submissionWords = 64, thread = 2, receiveBuffers = 16) {
  const memory = unitMemory({ receiveBuffers, arenaBytes: 8_388_608 }, { submissionWords })
  const arena = memory.arena(thread)
  const ring = new SubmissionRing(arena)
  const { words } = arena
  const usedAt = arena.threadAt(thread) + THREAD_SUBMISSION_USED
  const pendingAt = arena.threadAt(thread) + THREAD_LOCAL_PENDING
  const start = arena.plan.submissionsAt + (thread - 1) * submissionWords
  /** What the driver takes. */
  const take = () => {
    const taken = [...words.subarray(start, start + words[usedAt])]
    words[usedAt] = 0
    return taken
  }
  const pending = () => words[pendingAt]
  return { ring, words, take, pending, start, usedAt, pendingAt }
}

describe('operations', () => {
  it.each([
    ['attach', [3, GENERATION, 77], [SubmissionOp.ATTACH, 3, AS_WORD, 77]],
    ['connect', [3, GENERATION, 77], [SubmissionOp.CONNECT, 3, AS_WORD, 77]],
    ['refuse', [77], [SubmissionOp.REFUSE, 77]],
    ['recv', [3, GENERATION], [SubmissionOp.RECV, 3, AS_WORD]],
    ['pause', [3, GENERATION], [SubmissionOp.PAUSE, 3, AS_WORD]],
    ['cancel', [3, GENERATION], [SubmissionOp.CANCEL, 3, AS_WORD]],
    ['shutdown', [3, GENERATION], [SubmissionOp.SHUTDOWN, 3, AS_WORD]],
    ['close', [3, GENERATION, false], [SubmissionOp.CLOSE, 3, AS_WORD]],
    ['close', [3, GENERATION, true], [SubmissionOp.CLOSE | 0x100, 3, AS_WORD]],
  ])('%s %j', (name, args, expected) => {
    const { ring, take, pending } = setup()
    ;(ring as unknown as Record<string, (...args: unknown[]) => void>)[name](...args)
    expect(take()).toEqual(expected)
    expect(pending()).toBe(0)
    expect(ring.promptSends).toBe(0)
  })

  it.each([
    [0, 1],
    [SEND_FLAG_NOW, 1],
    [SEND_FLAG_NOW | SEND_FLAG_LAZY, 0],
  ])('claimSend with flags %i', (flags, prompt) => {
    const { ring, words, take, start } = setup()
    const at = ring.claimSend(3, GENERATION, 2, flags)
    expect(at).toBe(start + SEND_HEADER_WORDS)
    words.set([30, 100, 10, 200, 20], at - 1)
    expect(ring.promptSends).toBe(prompt)
    const op = SubmissionOp.SEND | (flags << 8) | (2 << 16)
    expect(take()).toEqual([op, 3, AS_WORD, 30, 100, 10, 200, 20])
    expect(ring.takePrompt()).toBe(prompt === 1)
    expect(ring.takePrompt()).toBe(false)
  })

  it('stand behind one another, in order', () => {
    const { ring, words, take } = setup()
    ring.recv(1, 1)
    words.set([7, 8], ring.claimSend(2, 2, 1, SEND_FLAG_NOW))
    ring.cancel(3, 3)
    const taken = take()
    expect(taken.filter((_, i) => [0, 3, 9].includes(i)).map((word) => word & 0xff)).toEqual([
      SubmissionOp.RECV,
      SubmissionOp.SEND,
      SubmissionOp.CANCEL,
    ])
    expect(taken).toHaveLength(12)
    expect(take()).toEqual([])
  })

  it('of two workers are in areas of their own', () => {
    const memory = unitMemory()
    const rings = [1, 2].map((thread) => new SubmissionRing(memory.arena(thread)))
    rings[0].refuse(1)
    const { plan, words, threadAt } = {
      plan: memory.arena(1).plan,
      words: memory.words,
      threadAt: (thread: number) => memory.arena(1).threadAt(thread),
    }
    expect(words[threadAt(1) + THREAD_SUBMISSION_USED]).toBe(2)
    expect(words[threadAt(2) + THREAD_SUBMISSION_USED]).toBe(0)
    rings[1].refuse(2)
    expect(words[plan.submissionsAt + 1]).toBe(1)
    expect(words[plan.submissionsAt + plan.submissionWords + 1]).toBe(2)
  })
})

describe('a full area', () => {
  it('refuses a send that does not fit, and takes one that does', () => {
    const { ring, take, usedAt, words } = setup(16)
    expect(ring.claimSend(1, 1, 7, 0)).toBe(0)
    expect(words[usedAt]).toBe(0)
    expect(ring.claimSend(1, 1, 6, 0)).not.toBe(0)
    expect(ring.claimSend(1, 1, 1, 0)).toBe(0)
    expect(take()).toHaveLength(16)
    expect(ring.claimSend(1, 1, 1, 0)).not.toBe(0)
  })

  it('puts control operations off, in order, and asks for another turn', () => {
    const { ring, take, pending, pendingAt, words } = setup(8)
    for (let token = 1; token <= 9; token++) ring.refuse(token)
    expect(pending()).toBe(1)
    const tokens: number[] = []
    for (let turns = 0; tokens.length < 9; turns++) {
      expect(turns).toBeLessThan(9)
      words[pendingAt] = 0
      ring.prepare()
      const taken = take()
      for (let i = 0; i < taken.length; i += 2) tokens.push(taken[i + 1])
      expect(pending()).toBe(tokens.length < 9 && turns < 2 ? 1 : 0)
    }
    expect(tokens).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('lets nothing overtake what was put off', () => {
    const { ring, take } = setup(8)
    ring.attach(1, 1, 1)
    ring.attach(2, 2, 2)
    ring.recv(1, 1)
    expect(take()).toHaveLength(8)
    // There is room, but RECV of session 1 waits.
    expect(ring.claimSend(1, 1, 1, 0)).toBe(0)
    ring.cancel(1, 1)
    ring.prepare()
    expect(take()).toEqual([SubmissionOp.RECV, 1, 1, SubmissionOp.CANCEL, 1, 1])
    expect(ring.claimSend(1, 1, 1, 0)).not.toBe(0)
  })
})

describe('receive buffers', () => {
  it('return with the next prepare, each once', () => {
    const { ring, take, pending, pendingAt, words } = setup()
    for (const buffer of [20, 17, 31]) ring.returnBuffer(buffer)
    expect(pending()).toBe(1)
    expect(take()).toEqual([])
    words[pendingAt] = 0
    ring.prepare()
    const [op, ...buffers] = take()
    expect(op).toBe(SubmissionOp.BUFFER_RETURN | (3 << 16))
    expect(buffers.toSorted()).toEqual([17, 20, 31])
    expect(pending()).toBe(0)
    ring.prepare()
    expect(take()).toEqual([])
  })

  it('return in entries of at most 256, as the area has room', () => {
    const { ring, take, pending, pendingAt, words } = setup(300, 1, 1024)
    for (let buffer = 0; buffer < 600; buffer++) ring.returnBuffer(buffer)
    const seen = new Set<number>()
    const counts: number[] = []
    for (let turn = 0; turn < 3; turn++) {
      words[pendingAt] = 0
      ring.prepare()
      const taken = take()
      for (let at = 0; at < taken.length; ) {
        const count = taken[at] >>> 16
        expect(taken[at] & 0xffff).toBe(SubmissionOp.BUFFER_RETURN)
        counts.push(count)
        for (const buffer of taken.slice(at + 1, at + 1 + count)) seen.add(buffer)
        at += 1 + count
      }
      expect(pending()).toBe(turn < 2 ? 1 : 0)
    }
    expect(counts).toEqual([256, 256, 88])
    expect(seen.size).toBe(600)
  })

  it('come behind what was put off', () => {
    const { ring, take } = setup(8)
    for (let token = 1; token <= 5; token++) ring.refuse(token)
    ring.returnBuffer(3)
    ring.prepare()
    expect(take()).toHaveLength(8)
    ring.prepare()
    expect(take()).toEqual([SubmissionOp.REFUSE, 5, SubmissionOp.BUFFER_RETURN | (1 << 16), 3])
  })

  it('that return more often than there are buffers assert [BUFFER-1]', () => {
    const { ring } = setup()
    for (let i = 0; i < 16; i++) ring.returnBuffer(i)
    expect(() => ring.returnBuffer(0)).toThrow('BUFFER-1')
  })
})
