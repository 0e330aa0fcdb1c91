// What: looks into the thread that imports it: its arena, and what its pools have given out.
// Flow: a handler module or a test imports this before a server starts -> methods of src/shared/ are watched -> snapshots.
// Thread: any; main and each worker have their own.

import { BroadcastChannel, isMainThread } from 'node:worker_threads'
import { ReceiveBuffers } from '../../dist/src/session/receive_buffers.js'
import { ThreadRuntime } from '../../dist/src/session/runtime.js'
import { Arena } from '../../dist/src/shared/arena.js'
import { NodePool } from '../../dist/src/shared/node_pool.js'
import { WorkerHeap } from '../../dist/src/shared/worker_heap.js'

/** Of the newest server of this thread. */
export const inside = {
  /** @type {Arena | null} */
  arena: null,
  /** @type {WorkerHeap | null} */
  heap: null,
  heapBytesMax: 0,
  /** @type {ReceiveBuffers | null} */
  buffers: null,
  /** Send nodes that this thread has taken minus those it has given back, of whichever thread. */
  nodesOut: 0,
  /** Called at the end of each turn of a worker. */
  onTurnEnd: () => {},
}

/** Runs `after(self, result)` after each call of a method. */
function watch(type, method, after) {
  const original = type.prototype[method]
  if (typeof original !== 'function') throw new Error(`${type.name} has no ${method}()`)
  type.prototype[method] = function (...args) {
    const result = original.apply(this, args)
    after(this, result)
    return result
  }
}

watch(Arena, 'aliasRange', (arena) => {
  if (inside.arena === arena) return
  inside.arena = arena
  inside.heap = inside.buffers = null
  inside.heapBytesMax = inside.nodesOut = 0
})
watch(WorkerHeap, 'allocate', (heap) => {
  inside.heap = heap
  inside.heapBytesMax = Math.max(inside.heapBytesMax, heap.usedBytes)
})
watch(ReceiveBuffers, 'retain', (buffers) => {
  inside.buffers = buffers
})
watch(NodePool, 'allocate', (_, node) => {
  if (node !== 0) inside.nodesOut++
})
watch(NodePool, 'free', () => {
  inside.nodesOut--
})
watch(ThreadRuntime, 'endTurn', () => inside.onTurnEnd())

/** What this thread's pools have given out. */
export function threadState() {
  return {
    nodesOut: inside.nodesOut,
    heapBytes: inside.heap?.usedBytes ?? 0,
    heapBytesMax: inside.heapBytesMax,
    heapCapacityBytes: inside.heap?.capacityBytes ?? 0,
    buffersHeld: inside.buffers?.heldCount() ?? 0,
  }
}

/** Where threads are asked what they have given out, also those whose handlers hear no messages. */
export const INSPECTIONS = 'inside.inspect'
if (!isMainThread) {
  const channel = new BroadcastChannel(INSPECTIONS)
  channel.unref()
  channel.onmessage = ({ data }) => {
    // Answers of other threads are heard, too.
    if (data !== null || inside.arena === null) return
    channel.postMessage({ thread: inside.arena.thread, ...threadState() })
  }
}
