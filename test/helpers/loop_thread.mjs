// What: a thread without sockets in its nested loop: says what its turns found, does what it is told.
// Flow: none_loop.test.ts -> this, on the built modules and the built addon -> messages -> none_loop.test.ts.
// Thread: a worker thread.

import { readFile } from 'node:fs/promises'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'

const { thread, memories, built } = workerData
const from = (name) => import(new URL(`${name}.js`, built).href)
const { loadBinding, DRIVER_NONE } = await from('binding')
const { Arena } = await from('shared/arena')
const { Waker } = await from('shared/waker')
const layout = await from('layout/layout')

const binding = loadBinding()
const arena = new Arena(binding, memories, thread)
const waker = new Waker(arena, binding)
const block = arena.threadAt(thread)
const { words } = arena

let turns = 0
let bells = 0
let promises = 0
let pending = 0

function turn() {
  turns++
  const isPending = words[block + layout.THREAD_LOCAL_PENDING] !== 0
  words[block + layout.THREAD_LOCAL_PENDING] = 0
  if (isPending) parentPort.postMessage({ type: 'pending', turn: turns, pending: ++pending })
  if (!waker.answerBell()) return
  bells++
  Promise.resolve().then(() =>
    parentPort.postMessage({ type: 'bell', bells, promises: ++promises }),
  )
}

async function useNode() {
  await setTimeout(2)
  await setImmediate()
  const bytes = await readFile(new URL(import.meta.url))
  queueMicrotask(() => parentPort.postMessage({ type: 'used', bytes: bytes.length }))
}

parentPort.on('message', (order) => {
  switch (order) {
    case 'deaf':
    case 'hear':
      words[block + layout.THREAD_DEAF] = order === 'deaf' ? 1 : 0
      break
    case 'pend':
      words[block + layout.THREAD_LOCAL_PENDING] = 1
      break
    case 'use':
      useNode()
      break
    case 'close':
      binding.closeLoop()
      parentPort.close()
      break
  }
  parentPort.postMessage({ type: 'did', order, turns, bells })
})

const why = binding.openLoop(
  memories.runtime,
  thread,
  DRIVER_NONE,
  1,
  0,
  new Uint8Array(memories.control),
  new Uint8Array(memories.arena),
  turn,
)
parentPort.postMessage({ type: 'opened', why })
