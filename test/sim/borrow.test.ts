// What: the sim driver sends on sockets that another sim driver has attached, as its contract says, with faults.
// Flow: words for two sim drivers of one world -> completions, what clients read -> this.
// Thread: the test's.

import { describe, expect, it } from 'vitest'
import { CompletionRing } from '../../src/inbound/completion_ring.ts'
import {
  COMPLETION_KIND,
  COMPLETION_RESULT,
  COMPLETION_STATUS,
  CONTROL_WORKER_COUNT,
  CompletionKind,
  IoStatus,
  SEND_FLAG_LAZY,
  SEND_FLAG_NOW,
  SESSION_GENERATION,
  SESSION_HANDLE,
  SubmissionOp,
  THREAD_SUBMISSION_USED,
} from '../../src/layout/layout.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'
import { FAULTS, loadSimAddon } from './addon.ts'

const SLOT = 5
const GENERATION = 1
const OWNER = 1
const SENDER = 2
const SEEDS = 100
const BYTES = 20_000
const PIPE_BYTES = 4096
const FAULT_PERMILLE = 100
const STEP_NS = 50_000

const addon = loadSimAddon()

interface Done {
  readonly kind: number
  readonly status: number
  readonly result: number
}

/** One world with an owner, a send thread, and a connection that both have. */
function borrowed(seed: number) {
  const memory = unitMemory()
  const { words, memories } = memory
  words[CONTROL_WORKER_COUNT] = 1
  const arena = new Uint8Array(memories.arena)
  const world = addon.create(
    new Uint8Array(memories.control),
    arena,
    seed,
    new Int32Array(FAULTS.length).fill(FAULT_PERMILLE),
    PIPE_BYTES,
    0,
  )
  const arenas = [OWNER, SENDER].map((thread) => memory.arena(thread))
  const rings = arenas.map((each) => new CompletionRing(each))
  for (const thread of [OWNER, SENDER]) expect(addon.openWorker(world, thread, 16)).toBe('')
  const { plan } = arenas[0]
  const handle = () => words[arenas[0].sessionAt(SLOT) + SESSION_HANDLE]

  const submit = (thread: number, op: number, ...more: number[]) => {
    const usedAt = arenas[0].threadAt(thread) + THREAD_SUBMISSION_USED
    const area = plan.submissionsAt + (thread - 1) * plan.submissionWords
    const entry = [op, SLOT, GENERATION, ...more]
    words.set(entry, area + words[usedAt])
    words[usedAt] += entry.length
  }
  /** Hands over, lets time pass, and takes what has completed. */
  const pass = (thread: number): Done[] => {
    addon.handOver(world, thread)
    addon.park(world, thread, 0)
    addon.advance(world, STEP_NS)
    addon.wait(world, thread, 0)
    const done: Done[] = []
    const ring = rings[thread - 1]
    for (let at = ring.next(); at !== -1; at = ring.next()) {
      const kind = words[at + COMPLETION_KIND]
      const status = words[at + COMPLETION_STATUS]
      done.push({ kind, status, result: words[at + COMPLETION_RESULT] })
    }
    return done
  }
  const connection = addon.connect(world, 0, OWNER)
  const [accepted] = pass(OWNER).concat(pass(OWNER))
  expect(accepted.kind).toBe(CompletionKind.ACCEPT)
  words[arenas[0].sessionAt(SLOT) + SESSION_GENERATION] = GENERATION
  submit(OWNER, SubmissionOp.ATTACH, accepted.result)
  pass(OWNER)
  expect(handle()).toBe(connection + 1)
  submit(SENDER, SubmissionOp.BORROW)
  return { world, connection, arena, chunkByteAt: plan.chunkByteAt, handle, submit, pass }
}

describe('a sim driver that borrows', () => {
  it('sends everything, in order, and gives the socket back', () => {
    let waits = 0
    let cancels = 0
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { world, connection, arena, chunkByteAt, handle, submit, pass } = borrowed(seed)
      const random = new Random(seed)
      for (let i = 0; i < BYTES; i++) arena[chunkByteAt + i] = random.below(256)
      const received: number[] = []
      const buffer = new Uint8Array(PIPE_BYTES)
      let taken = 0
      while (taken < BYTES) {
        const length = random.between(1, Math.min(3000, BYTES - taken))
        const flags = random.pick([0, SEND_FLAG_NOW, SEND_FLAG_NOW | SEND_FLAG_LAZY])
        const op = SubmissionOp.SEND | (flags << 8) | (1 << 16)
        submit(SENDER, op, length, chunkByteAt + taken, length)
        let done: Done[] = []
        for (let passes = 0; done.length === 0; passes++) {
          done = pass(SENDER)
          if (flags === 0 && passes > 0 && random.chance(20)) submit(SENDER, SubmissionOp.CANCEL)
          const count = random.chance(50) ? addon.clientRecv(world, connection, buffer) : 0
          received.push(...buffer.subarray(0, Math.max(0, count)))
          if (flags === 0 && passes > 0) waits++
        }
        expect(done.length).toBe(1)
        const [{ kind, status, result }] = done
        expect(kind).toBe(CompletionKind.SEND)
        if (status === IoStatus.CANCELLED) cancels++
        else expect(status).toBe(IoStatus.OK)
        taken += result
        // A cancel that came too late must not end the next one.
        for (let i = 0; i < 20; i++) expect(pass(SENDER)).toEqual([])
      }
      submit(SENDER, SubmissionOp.SHUTDOWN)
      submit(SENDER, SubmissionOp.GIVE_BACK)
      pass(SENDER)
      for (let count = 0; count !== -1; ) {
        pass(OWNER)
        count = addon.clientRecv(world, connection, buffer)
        received.push(...buffer.subarray(0, Math.max(0, count)))
      }
      submit(OWNER, SubmissionOp.CLOSE)
      pass(OWNER)
      expect(handle()).toBe(0)
      expect(Buffer.from(received).equals(arena.subarray(chunkByteAt, chunkByteAt + BYTES))).toBe(
        true,
      )
      expect(addon.violation(world), `seed ${seed}`).toBe('')
      addon.destroy(world)
    }
    expect(waits).toBeGreaterThan(0)
    expect(cancels).toBeGreaterThan(0)
  })

  it.each([
    [OWNER, SubmissionOp.CLOSE, 'CLOSE of a socket that another driver has borrowed'],
    [SENDER, SubmissionOp.RECV, 'a submission that is for owners'],
    [SENDER, SubmissionOp.BORROW, 'BORROW of what is borrowed already'],
  ])('finds a breach of thread %i, operation %i', (thread, op, violation) => {
    const { world, submit, pass } = borrowed(1)
    pass(SENDER)
    submit(thread, op)
    pass(thread)
    expect(addon.violation(world)).toBe(violation)
    addon.destroy(world)
  })
})
