// What: rounds of a completion port whose entries are taken one by one, or many at a time, by several threads.
// Flow: port.mjs, scenario/batch.mjs -> this: posts -> threads of this file take -> nanoseconds per entry.
// Thread: the caller's posts; the takers run this file, too.

import process from 'node:process'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { CompletionPort } from '../../dist/src/index.js'

export const THREADS = [1, 2, 8]
export const MANY = 64
const CAPACITY = 4096

if (!isMainThread && workerData?.isPortTaker) take(workerData)

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
  const data = { isPortTaker: true, handle: port.handle, most, taken, count }
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

/** For each of THREADS the figures of all rounds: `one` by one, and up to MANY at a time. */
export async function measurePort({ entries, rounds }) {
  const one = THREADS.map(() => [])
  const many = THREADS.map(() => [])
  for (let round = 0; round < rounds; round++) {
    for (const [i, threads] of THREADS.entries()) {
      one[i].push(await run(threads, 1, entries))
      many[i].push(await run(threads, MANY, entries))
    }
  }
  return { one, many }
}
