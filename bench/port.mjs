// What: what an entry of a completion port costs: taken one by one or 64 at a time, by 1, 2 and 8 threads.
// Flow: main posts to a port of the built package -> threads of this file take -> rounds in turn -> ns per entry, ratios.
// Thread: main; the takers run this file, too.

import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { CompletionPort } from '../dist/src/index.js'
import { numberIn, scriptOptions } from './lib/options.mjs'
import { spread, summarize, summarizeRatio } from './lib/statistics.mjs'

const THREADS = [1, 2, 8]
const MANY = 64
const CAPACITY = 4096

const usage = `usage: node bench/port.mjs [options]
  --entries N  200000  entries in each run
  --rounds N   10      rounds; in each, every number of threads takes one by one and ${MANY} at a time`

if (isMainThread) await measureAll()
else take(workerData)

function take({ handle, most, taken, count }) {
  const port = CompletionPort.open(handle)
  for (;;) {
    const entries = port.getMany(most)
    if (typeof entries === 'string') break
    const before = Atomics.add(taken, 0, entries.length)
    if (before + entries.length === count) Atomics.notify(taken, 0)
  }
  port.leave()
}

/** Nanoseconds from post to taken, per entry, with a queue that is kept full. */
async function run(threads, most, count) {
  const port = CompletionPort.create({
    threads: threads + 1,
    concurrency: threads,
    capacity: CAPACITY,
  })
  const taken = new Int32Array(new SharedArrayBuffer(4))
  const data = { handle: port.handle, most, taken, count }
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL(import.meta.url), { workerData: data }),
  )
  const ended = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)))
  while (port.snapshot().waiting.length < threads)
    await new Promise((resolve) => setTimeout(resolve, 1))
  const start = process.hrtime.bigint()
  for (let posted = 0; posted < count; ) if (port.post(0, posted) === 'posted') posted++
  for (let seen = 0; seen < count; seen = Atomics.load(taken, 0)) Atomics.wait(taken, 0, seen, 1)
  const elapsedNs = Number(process.hrtime.bigint() - start)
  port.close()
  await Promise.all(ended)
  if (taken[0] !== count) throw new Error(`${count} were posted, ${taken[0]} taken`)
  return elapsedNs / count
}

async function measureAll() {
  const options = scriptOptions(
    usage,
    { entries: '200000', rounds: '10' },
    ({ entries, rounds }) => ({
      entries: Math.floor(numberIn('--entries', entries, 1, 100_000_000)),
      rounds: Math.floor(numberIn('--rounds', rounds, 1, 1000)),
    }),
  )
  if (options.help) {
    console.log(usage)
    return
  }
  const one = THREADS.map(() => [])
  const many = THREADS.map(() => [])
  for (let round = 0; round < options.rounds; round++) {
    for (const [i, threads] of THREADS.entries()) {
      one[i].push(await run(threads, 1, options.entries))
      many[i].push(await run(threads, MANY, options.entries))
    }
  }
  const figure = (value) => value.toPrecision(3)
  console.log(`threads  one by one ns           ${MANY} at a time ns        ratio`)
  for (const [i, threads] of THREADS.entries()) {
    const cells = [summarize(one[i]), summarize(many[i])].map((of) => spread(of, figure).padEnd(24))
    console.log(
      `${String(threads).padEnd(9)}${cells.join('')}${spread(summarizeRatio(many[i], one[i]), figure)}`,
    )
  }
}
