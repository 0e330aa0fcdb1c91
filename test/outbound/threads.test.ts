// What: real threads on one send list, flag, count and chunk pool, for a bounded number of operations.
// Flow: built modules in worker_threads, an owner and two producers -> totals -> this.
// Thread: main waits; thread 1 owns, threads 0 and 2 produce.

import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { expect, it } from 'vitest'
import {
  IO_RELEASED,
  SESSION_GENERATION,
  SESSION_IO_COUNT,
  SESSION_QUEUED_BYTES,
  SESSION_SEND_FLAG,
  SESSION_SEND_HEAD,
  THREAD_FLUSH_HEAD,
} from '../../src/layout/layout.ts'
import { open } from '../../src/shared/io_count.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

const MESSAGES = 6000
const SESSIONS = 4
const COUNTS = 2000
const BUILT = new URL('../../dist/src/', import.meta.url)

/**
 * Messages of a producer to a session are 12 bytes: producer, session, sequence. Words of `shared`: 0 counts
 * producers that are done, 1 threads that are ready; the counts to hammer come behind, then how often each was released.
 */
const PROGRAM = `
const { workerData, parentPort } = require('node:worker_threads')
const { role, built, memories, shared, MESSAGES, SESSIONS, COUNTS } = workerData
const binding = { aliasArena: () => null, signal: () => {} }
const nap = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
const words = new Int32Array(shared)
const check = (condition, message) => { if (!condition) throw new Error(message) }

async function run() {
  const load = (name) => import(built + name + '.js')
  const { Arena } = await load('shared/arena')
  const { Waker } = await load('shared/waker')
  const { SessionTable } = await load('shared/session_table')
  const { WorkerHeap } = await load('shared/worker_heap')
  const { makeSessionId } = await load('shared/session_id')
  const ioCount = await load('shared/io_count')
  const { Sender } = await load('outbound/sender')
  const { SubmissionRing } = await load('outbound/submission_ring')
  const { Outbox } = await load('outbound/outbox')
  const { Encoder } = await load('framing/encode')
  const layout = await load('layout/layout')

  const arena = new Arena(binding, memories, role)
  const waker = new Waker(arena, binding)
  const table = new SessionTable(arena, waker)
  const sender = new Sender(arena, waker, table, false)
  const encoder = new Encoder({ kind: 'raw' })
  Atomics.add(words, 1, 1)
  while (Atomics.load(words, 1) < 3) nap(1)

  // Every count has one base, dropped by thread 1 in the middle of pins and unpins of all three.
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < COUNTS; i++) {
      const at = 2 + ((i * 7 + role * 613) % COUNTS)
      const released = at + COUNTS
      if (role === 1 && round === 2) {
        if (ioCount.release(words, at)) Atomics.add(words, released, 1)
      }
      if (!ioCount.tryRetain(words, at)) continue
      if (ioCount.release(words, at)) Atomics.add(words, released, 1)
    }
  }

  const stats = { queued: 0, refused: 0, gathers: 0, foreign: 0 }
  if (role !== 1) {
    const message = new Int32Array(3)
    const bytes = new Uint8Array(message.buffer)
    const next = new Array(SESSIONS).fill(0)
    for (let i = 0; i < MESSAGES; i++) {
      const session = i % 7 === 0 ? i % SESSIONS : 0
      message.set([role, session, next[session]++])
      for (;;) {
        const slot = table.pin(makeSessionId(session, 1))
        check(slot === session, 'a session with a base can be pinned')
        const done = sender.writeForeign(slot, encoder, bytes, 0, 12)
        table.unpin(slot)
        if (done) break
        stats.refused++
        sender.publish()
        nap(0.1)
      }
      stats.queued++
      if (i % 5 === 0) sender.publish()
    }
    sender.publish()
    sender.writer.retire()
    Atomics.add(words, 0, 1)
    return stats
  }

  class Session extends Outbox {}
  const sessions = []
  for (let slot = 0; slot < SESSIONS; slot++)
    sessions.push(new Session(slot, 1, arena.sessionAt(slot), 0, encoder))
  const submissions = new SubmissionRing(arena)
  const none = () => { throw new Error('an event that cannot be') }
  sender.attach({
    submissions,
    heap: new WorkerHeap(arena.plan.heapByteAt, arena.plan.heapBytesPerWorker),
    events: {
      outboxOf: (slot) => sessions[slot],
      sendFailed: none, sent: () => {}, drained: none, sentAll: () => {}, released: none,
      overflowed: none, retainReceiveBuffer: none, releaseReceiveBuffer: none,
      heldBuffersPart: none,
    },
    maxGather: 8, maxBackpressure: 1 << 20, wantsSent: true,
  })
  const usedAt = arena.threadAt(1) + layout.THREAD_SUBMISSION_USED
  const { words: control, bytes, plan } = arena
  const next = new Map()
  const total = 2 * MESSAGES
  const take = (slot, offset, length) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset + offset, length)
    check(length % 12 === 0, 'whole messages')
    for (let at = 0; at < length; at += 12) {
      const [producer, session, sequence] = [0, 4, 8].map((i) => view.getInt32(at + i, true))
      check(session === slot, 'a message is for its session: ' + session + ' on ' + slot)
      const key = producer * 1000 + session
      check(sequence === (next.get(key) ?? 0), 'in order: ' + sequence + ' of ' + key)
      next.set(key, sequence + 1)
      stats.foreign++
    }
  }
  for (let idle = 0; stats.foreign < total || Atomics.load(words, 0) < 2; ) {
    sender.flush()
    submissions.prepare()
    const end = plan.submissionsAt + control[usedAt]
    const done = []
    for (let at = plan.submissionsAt; at < end; ) {
      const slices = control[at] >>> 16
      let sum = 0
      for (let i = 0; i < slices; i++) {
        const pair = at + layout.SEND_HEADER_WORDS + 2 * i
        take(control[at + 1], control[pair], control[pair + 1])
        sum += control[pair + 1]
      }
      done.push([control[at + 1], sum])
      stats.gathers++
      at += layout.SEND_HEADER_WORDS + 2 * slices
    }
    control[usedAt] = 0
    for (const [slot, sum] of done) sender.completed(sessions[slot], layout.IoStatus.OK, sum, 0)
    sender.settle()
    idle = done.length === 0 ? idle + 1 : 0
    if (idle > 10) nap(0.2)
    check(idle < 100000, 'messages were lost: ' + stats.foreign + ' of ' + total)
  }
  for (let i = 0; i < 3; i++) {
    sender.flush()
    check(control[usedAt] === 0, 'nothing is left to send')
  }
  for (const session of sessions) check(!session.holding && session.bufferedBytes === 0, 'all idle')
  sender.settle()
  return stats
}
run().then((stats) => parentPort.postMessage(stats), (error) => { throw error })
`

function start(role: number, data: object): Promise<Record<string, number>> {
  const worker = new Worker(PROGRAM, { eval: true, workerData: { role, ...data } })
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error(`thread ${role} ended without a result`)))
  })
}

it('three threads lose nothing, double nothing, and give everything back', async () => {
  expect(existsSync(BUILT), 'the package is built: npm run build:ts').toBe(true)
  const memory = unitMemory({}, { nodesPerThread: 40, chunkCount: 12, submissionWords: 256 })
  const { words } = memory
  const arena = memory.arena(1)
  for (let slot = 0; slot < SESSIONS; slot++) {
    words[arena.sessionAt(slot) + SESSION_GENERATION] = 1
    open(words, arena.sessionAt(slot) + SESSION_IO_COUNT)
  }
  const shared = new SharedArrayBuffer(4 * (2 + 2 * COUNTS))
  const counts = new Int32Array(shared)
  counts.fill(1, 2, 2 + COUNTS)
  const data = { built: BUILT.href, memories: memory.memories, shared, MESSAGES, SESSIONS, COUNTS }
  const [main, owner, other] = await Promise.all([0, 1, 2].map((role) => start(role, data)))

  expect([main.queued, other.queued, owner.foreign]).toEqual([MESSAGES, MESSAGES, 2 * MESSAGES])
  expect(owner.gathers).toBeGreaterThan(0)
  for (let slot = 0; slot < SESSIONS; slot++) {
    const at = arena.sessionAt(slot)
    expect(words[at + SESSION_IO_COUNT]).toBe(1)
    expect(words[at + SESSION_SEND_FLAG]).toBe(0)
    expect(words[at + SESSION_SEND_HEAD]).toBe(0)
    expect(words[at + SESSION_QUEUED_BYTES]).toBe(0)
  }
  expect(words[arena.threadAt(1) + THREAD_FLUSH_HEAD]).toBe(0)
  const { chunkRefsAt, chunkBitmapAt, chunkCount } = arena.plan
  expect([...words.subarray(chunkRefsAt, chunkRefsAt + chunkCount)].every((n) => n === 0)).toBe(
    true,
  )
  expect(words[chunkBitmapAt]).toBe(2 ** chunkCount - 1)
  // Released once each, and never revived.
  expect(counts.subarray(2, 2 + COUNTS).every((count) => count === IO_RELEASED)).toBe(true)
  expect(counts.subarray(2 + COUNTS).every((times) => times === 1)).toBe(true)
})
