// What: memory of simulated servers: planned by the production code, cut down by the seed, used again for each world.
// Flow: planMemory -> this -> simulation.ts.
// Thread: the test's.

import {
  CONTROL_CHUNK_BITMAP_AT,
  CONTROL_CHUNK_COUNT,
  CONTROL_CHUNK_REFS_AT,
  CONTROL_COMPLETION_CAPACITY,
  CONTROL_COUNTERS_AT,
  CONTROL_DRIVER_COUNT,
  CONTROL_HEAP_BYTES_PER_WORKER,
  CONTROL_JOB_BYTES_PER_RING,
  CONTROL_JOB_RING_CAPACITY,
  CONTROL_JOB_RINGS_AT,
  CONTROL_NODES_AT,
  CONTROL_NODES_PER_THREAD,
  CONTROL_POISON,
  CONTROL_RECV_BUFFERS_PER_WORKER,
  CONTROL_SESSION_CAPACITY,
  CONTROL_SESSIONS_AT,
  CONTROL_SESSIONS_PER_WORKER,
  CONTROL_SUBMISSION_WORDS,
  CONTROL_THREAD_COUNT,
  CONTROL_THREADS_AT,
  CONTROL_UPDATE_COUNT,
  CONTROL_ZERO_COPY_BYTES,
  CONTROL_ZERO_COPY_IS_AUTO,
  JOB_RING_WORDS,
  JOB_WORDS,
  SESSION_GENERATION,
  SESSION_OWNER,
  SESSION_SENDER,
  SESSION_WORDS,
} from '../../src/layout/layout.ts'
import { planMemory } from '../../src/server/memory_plan.ts'
import { resolveOptions } from '../../src/server/resolve_options.ts'
import { COUNTERS_STRIDE } from '../../src/shared/arena.ts'
import type { SimAddon } from './addon.ts'

/** Most sessions of a simulated worker. */
export const SESSIONS_PER_WORKER_MAX = 6

/** Threads of a simulated server. Content runs in update threads where there are any; so do send threads send. */
export interface Shape {
  readonly workers: number
  readonly updates: number
  readonly senders: number
}

/** Sizes of one world: small, so that everything runs out soon. */
export interface Sizes {
  readonly sessionsPerWorker: number
  readonly nodesPerThread: number
  readonly chunkCount: number
  readonly recvBuffersPerWorker: number
  readonly heapBytesPerWorker: number
  readonly completionCapacity: number
  readonly submissionWords: number
  readonly jobRingCapacity: number
  readonly jobBytesPerRing: number
  /** Gathers of so many bytes are sent without a copy; 0: none. Then memory that is given back is overwritten. */
  readonly zeroCopyBytes: number
  readonly zeroCopyIsAuto: boolean
  /** Generations that every slot has left; 0: more than a world can use. */
  readonly generationsLeft: number
}

export class SimMemory {
  readonly control: SharedArrayBuffer
  readonly arena: SharedArrayBuffer
  readonly words: Int32Array
  readonly alias: ArrayBuffer | null
  readonly #workers: number
  /** The control memory's head as it was planned. */
  readonly #planned: Int32Array

  constructor(addon: SimAddon, { workers, updates, senders }: Shape) {
    const plan = planMemory(
      resolveOptions({
        workers,
        ...(updates > 0 && {
          mode: senders > 0 ? 'send' : 'update',
          update: { threads: updates },
          ...(senders > 0 && { send: { lanes: senders - 1 } }),
        }),
        maxSessions: workers * SESSIONS_PER_WORKER_MAX,
        arenaBytes: 4_194_304,
        chunkBytes: 4096,
        receiveBuffers: 16,
        // Where content runs elsewhere, long messages are handed over where they were received.
        receiveBufferSize: updates > 0 ? 8192 : 512,
      }),
    )
    this.control = plan.control
    this.arena = plan.arena
    this.words = new Int32Array(plan.control)
    this.alias = addon.alias(new Uint8Array(plan.arena))
    this.#workers = workers
    this.#planned = this.words.slice(0, this.words[CONTROL_THREADS_AT])
  }

  /** As a server finds it that has just been planned, with these sizes. */
  prepare(sizes: Sizes): void {
    const { words } = this
    words.set(this.#planned)
    const cut = (index: number, value: number) => {
      if (value > words[index]) throw new Error(`a cut to ${value} is no cut: ${words[index]}`)
      words[index] = value
    }
    const capacity = sizes.sessionsPerWorker * this.#workers
    cut(CONTROL_SESSIONS_PER_WORKER, sizes.sessionsPerWorker)
    cut(CONTROL_SESSION_CAPACITY, capacity)
    cut(CONTROL_NODES_PER_THREAD, sizes.nodesPerThread)
    cut(CONTROL_CHUNK_COUNT, sizes.chunkCount)
    cut(CONTROL_RECV_BUFFERS_PER_WORKER, sizes.recvBuffersPerWorker)
    cut(CONTROL_HEAP_BYTES_PER_WORKER, sizes.heapBytesPerWorker)
    cut(CONTROL_COMPLETION_CAPACITY, sizes.completionCapacity)
    cut(CONTROL_SUBMISSION_WORDS, sizes.submissionWords)
    const rings = words[CONTROL_DRIVER_COUNT] * words[CONTROL_UPDATE_COUNT]
    if (rings > 0) {
      cut(CONTROL_JOB_RING_CAPACITY, sizes.jobRingCapacity)
      cut(CONTROL_JOB_BYTES_PER_RING, sizes.jobBytesPerRing)
      const ringWords = JOB_RING_WORDS + sizes.jobRingCapacity * JOB_WORDS
      words.fill(0, words[CONTROL_JOB_RINGS_AT], words[CONTROL_JOB_RINGS_AT] + rings * ringWords)
    }
    words[CONTROL_ZERO_COPY_BYTES] = sizes.zeroCopyBytes
    words[CONTROL_ZERO_COPY_IS_AUTO] = sizes.zeroCopyIsAuto ? 1 : 0
    words[CONTROL_POISON] = sizes.zeroCopyBytes > 0 ? 1 : 0
    // Thread blocks and sessions lie before the nodes, which need no start value.
    words.fill(0, words[CONTROL_THREADS_AT], words[CONTROL_NODES_AT])
    const bitmapAt = words[CONTROL_CHUNK_BITMAP_AT]
    const refsAt = words[CONTROL_CHUNK_REFS_AT]
    words.fill(0, bitmapAt, refsAt + sizes.chunkCount)
    for (let chunk = 0; chunk < sizes.chunkCount; chunk++)
      words[bitmapAt + (chunk >>> 5)] |= 1 << (chunk & 31)
    const countersAt = words[CONTROL_COUNTERS_AT]
    words.fill(0, countersAt, countersAt + 2 * words[CONTROL_THREAD_COUNT] * COUNTERS_STRIDE)
    for (let slot = 0; slot < capacity; slot++) {
      const at = words[CONTROL_SESSIONS_AT] + slot * SESSION_WORDS
      words[at + SESSION_OWNER] = 1 + Math.floor(slot / sizes.sessionsPerWorker)
      words[at + SESSION_SENDER] = words[at + SESSION_OWNER]
      if (sizes.generationsLeft > 0) words[at + SESSION_GENERATION] = -sizes.generationsLeft
    }
  }
}
