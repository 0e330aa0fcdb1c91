// What: a thread that takes what a completion port has until it is closed: by Piscina, or as a worker.
// Flow: completion_port.test.ts -> Piscina or Worker -> this.
// Thread: a worker.

import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { CompletionPort } from '../../dist/src/index.js'

/** What this thread does with an entry: bits of its key. */
const SPIN = 1
const BLOCK = 2

const sleeper = new Int32Array(new SharedArrayBuffer(4))
const load = (index) => Atomics.load(sleeper, index)

function work(port, key, value) {
  if ((key & SPIN) !== 0) for (let i = 0; i < value; i++) load(0)
  if ((key & BLOCK) === 0) return
  port.block()
  Atomics.wait(sleeper, 0, 0, value)
  port.unblock()
}

/** How many entries it had, and its number on the port. */
export default function take({ handle, batch = 1 }) {
  const port = CompletionPort.open(handle, 1)
  let taken = 0
  let bytes = 0
  for (;;) {
    const entries = batch === 1 ? [port.get()].flat() : port.getMany(batch)
    if (entries === 'closed' || entries[0] === 'closed') break
    for (const entry of entries) {
      work(port, entry.key, entry.value)
      bytes += entry.bytes.length
      taken++
    }
  }
  const { thread } = port
  port.leave()
  return { taken, thread, bytes }
}

if (!isMainThread && workerData?.handle !== undefined) parentPort.postMessage(take(workerData))
