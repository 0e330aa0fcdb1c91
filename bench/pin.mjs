// What: what pinning a session costs, beside taking and giving a lock of the session.
// Flow: a session table in shared memory -> rounds of {pin, lock} per situation -> ns, and ratios.
// Thread: main, which starts two worker threads and otherwise sleeps.

import { once } from 'node:events'
import process from 'node:process'
import { Worker } from 'node:worker_threads'
import { SESSION_GENERATION, SESSION_IO_COUNT, SESSION_WORDS } from '../dist/src/layout/layout.js'
import { planMemory } from '../dist/src/server/memory_plan.js'
import { resolveOptions } from '../dist/src/server/resolve_options.js'
import { Arena } from '../dist/src/shared/arena.js'
import { open } from '../dist/src/shared/io_count.js'
import { numberIn, scriptOptions } from './lib/options.mjs'
import { number, spread, summarize, summarizeRatio } from './lib/statistics.mjs'

const GENERATION = 1
/** The session of each thread, by slot, and turns of a short loop before it is let go. */
const situations = [
  { name: 'one thread', slots: [0], work: 0 },
  { name: 'two threads, the same session', slots: [0, 0], work: 0 },
  { name: 'two threads, different sessions', slots: [0, 1], work: 0 },
  { name: 'one thread, which works meanwhile', slots: [0], work: 1000 },
  { name: 'two threads, the same session, both work meanwhile', slots: [0, 0], work: 1000 },
]
const kinds = ['pin', 'lock']
const WARM_UP_MS = 300

const usage = `usage: node bench/pin.mjs [options]
  --ms N      300  measured milliseconds of each run
  --rounds N  10   rounds; in each, pin and lock once in each situation, in turn`

const options = scriptOptions(usage, { ms: '300', rounds: '10' }, ({ ms, rounds }) => ({
  ms: numberIn('--ms', ms, 10, 60_000),
  rounds: Math.floor(numberIn('--rounds', rounds, 1, 1000)),
}))
if (options.help) console.log(usage)
else process.exitCode = await measureAll()

/** Sessions 0 and 1 are open; their locks stand as far apart as they do. */
function makeSessions() {
  const { control, arena: bytes } = planMemory(resolveOptions({ workers: 1 }))
  const memories = { runtime: 0, control, arena: bytes }
  const arena = new Arena({ aliasArena: () => null }, memories, 0)
  for (const slot of [0, 1]) {
    open(arena.words, arena.sessionAt(slot) + SESSION_IO_COUNT)
    arena.words[arena.sessionAt(slot) + SESSION_GENERATION] = GENERATION
  }
  const words = (count) => new Int32Array(new SharedArrayBuffer(count * 4))
  const counts = () => [0, 1].map((slot) => arena.words[arena.sessionAt(slot) + SESSION_IO_COUNT])
  return {
    counts,
    shared: {
      ...{ memories, generation: GENERATION },
      ...{ locks: words(2 * SESSION_WORDS), meeting: words(1), guarded: words(1) },
    },
  }
}

/** Returns the exit code: 1 when pins were left over, or the lock does not lock. */
async function measureAll() {
  const { counts, shared } = makeSessions()
  const file = new URL('./lib/pin_thread.mjs', import.meta.url)
  const threads = [0, 1].map(() => new Worker(file, { workerData: shared }))
  const run = (kind, { slots, work }, ms) => {
    shared.meeting[0] = 0
    return Promise.all(
      slots.map(async (slot, i) => {
        threads[i].postMessage({ kind, slot, work, threads: slots.length, ms })
        const [result] = await once(threads[i], 'message')
        return result
      }),
    )
  }

  const faults = []
  const guards = await run('guard', situations[1], WARM_UP_MS)
  const expected = guards.reduce((sum, { operations }) => sum + operations, 0)
  if (shared.guarded[0] !== expected) faults.push('the lock let two threads in')

  const rows = situations.map((situation) => ({ situation, pin: [], lock: [] }))
  for (const kind of kinds) {
    for (const situation of situations) await run(kind, situation, WARM_UP_MS)
  }
  for (let round = 0; round < options.rounds; round++) {
    for (const row of rows) {
      for (const kind of kinds) row[kind].push(cost(await run(kind, row.situation, options.ms)))
    }
  }
  await Promise.all(threads.map((thread) => thread.terminate()))
  if (counts().some((count) => count !== 1)) faults.push(`counts are ${counts()}, not 1`)

  console.log(`median (least..greatest) of ${options.rounds} rounds of ${options.ms} ms\n`)
  for (const { situation, pin, lock } of rows) {
    const ns = (values) => spread(summarize(values), number)
    console.log(`${situation.name}:`)
    console.log(`  pin and unpin   ${ns(pin)} ns of each thread`)
    console.log(`  lock and give   ${ns(lock)} ns of each thread`)
    console.log(`  lock / pin      ${spread(summarizeRatio(lock, pin), number)}`)
  }
  for (const fault of faults) console.log(fault)
  return faults.length > 0 ? 1 : 0
}

/** Nanoseconds of a thread for one operation. */
function cost(results) {
  const total = (field) => results.reduce((sum, result) => sum + result[field], 0)
  return total('ns') / total('operations')
}
