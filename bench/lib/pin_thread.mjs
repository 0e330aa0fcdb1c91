// What: a thread of pin.mjs: pins or locks a session again and again, and says how long that took.
// Flow: { kind, slot, work, threads, ms } -> all threads of the run are there -> { operations, ns }.
// Thread: a worker thread; one or two at a time.

import process from 'node:process'
import { parentPort, workerData } from 'node:worker_threads'
import { SESSION_GENERATION, SESSION_WORDS } from '../../dist/src/layout/layout.js'
import { Arena } from '../../dist/src/shared/arena.js'
import { generationOf, makeSessionId, slotOf } from '../../dist/src/shared/session_id.js'
import { SessionTable } from '../../dist/src/shared/session_table.js'
import { give, take } from './session_lock.mjs'

/** Operations between two looks at the clock. */
const BATCH = 1000

const { memories, generation, locks, meeting, guarded } = workerData
// No count reaches 0 here, so that nobody is woken.
const noWaker = { mark: () => {} }
const arena = new Arena({ aliasArena: () => null }, memories, 0)
const table = new SessionTable(arena, noWaker)

/** As SessionTable.pin, with a lock in the place of the count: slot, or -1 when the session is gone. */
function lockSession(id) {
  const slot = slotOf(id)
  if (slot >= arena.plan.sessionCapacity) return -1
  take(locks, slot * SESSION_WORDS)
  const generation = Atomics.load(arena.words, arena.sessionAt(slot) + SESSION_GENERATION) >>> 0
  if (generation === generationOf(id)) return slot
  give(locks, slot * SESSION_WORDS)
  return -1
}

function loop(turns) {
  let value = turns
  for (let i = 0; i < turns; i++) value = Math.imul(value ^ (value >>> 13), 0x5bd1e995)
  return value
}

/** What all loops came to: it is told, so that the compiler cannot leave them out. */
let worked = 0

/** By kind: one batch on a session. Each is a loop of its own, so that it is compiled for itself. */
const batches = {
  pin(id, work) {
    for (let i = 0; i < BATCH; i++) {
      const slot = table.pin(id)
      if (slot === -1) throw new Error('a session that is open was not pinned')
      if (work > 0) worked ^= loop(work)
      table.unpin(slot)
    }
  },
  lock(id, work) {
    for (let i = 0; i < BATCH; i++) {
      const slot = lockSession(id)
      if (slot === -1) throw new Error('a session that is open was not locked')
      if (work > 0) worked ^= loop(work)
      give(locks, slot * SESSION_WORDS)
    }
  },
  /** Counts in a plain word, which only a lock keeps right. */
  guard(id) {
    for (let i = 0; i < BATCH; i++) {
      const slot = lockSession(id)
      guarded[0]++
      give(locks, slot * SESSION_WORDS)
    }
  },
}

parentPort.on('message', ({ kind, slot, work, threads, ms }) => {
  const batch = batches[kind]
  const id = makeSessionId(slot, generation)
  // All begin together: the last to come lets the others go.
  Atomics.add(meeting, 0, 1)
  while (Atomics.load(meeting, 0) < threads);
  const begin = process.hrtime.bigint()
  const end = begin + BigInt(Math.round(ms * 1e6))
  let operations = 0
  let now = begin
  for (; now < end; now = process.hrtime.bigint()) {
    batch(id, work)
    operations += BATCH
  }
  parentPort.postMessage({ operations, ns: Number(now - begin), worked })
})
