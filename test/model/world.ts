// What: a memory for models: the plan of a real one with a few of everything, and words for what lies outside of it.
// Flow: this -> scenarios -> production classes, one set per thread.
// Thread: a model's threads.

import type { Binding } from '../../src/binding.ts'
import {
  COMPLETION_WORDS,
  CONTROL_WORDS,
  JOB_RING_WORDS,
  JOB_WORDS,
  LISTENERS_MAX,
  NODE_WORDS,
  PROTOCOL_WORDS,
  SESSION_OWNER,
  SESSION_SENDER,
  SESSION_WORDS,
  THREAD_WORDS,
} from '../../src/layout/layout.ts'
import {
  Arena,
  COUNTERS_STRIDE,
  type Plan,
  type SharedMemories,
  writePlan,
} from '../../src/shared/arena.ts'
import { store } from '../../src/shared/atomics.ts'
import { groupWords } from '../../src/shared/group_table.ts'
import { liveSlotWords } from '../../src/shared/live_slots.ts'
import { SessionTable } from '../../src/shared/session_table.ts'
import { threadIds } from '../../src/shared/thread_ids.ts'
import { Waker } from '../../src/shared/waker.ts'
import { awaitEdge } from './ops.ts'

/** Sizes of a model's memory; few of everything, so that it runs out. */
export interface Sizes {
  readonly workers?: number
  /** Send threads; the first one sends for every session. */
  readonly senders?: number
  readonly updates?: number
  readonly sessionsPerWorker?: number
  readonly nodesPerThread?: number
  readonly chunkCount?: number
  readonly chunkBytes?: number
  readonly completionCapacity?: number
  readonly groupMax?: number
  readonly groupCapacity?: number
  readonly jobRingCapacity?: number
  readonly jobBytesPerRing?: number
  readonly submissionWords?: number
  /** Gathers of so many bytes are sent without a copy; memory that is given back is overwritten. 0: none are. */
  readonly zeroCopyBytes?: number
}

const RECV_BUFFERS = 2
const RECV_BUFFER_BYTES = 64
const HEAP_BYTES = 8192
/** Words outside of the plan: one edge per thread, and some for scenarios. */
const OUTSIDE_WORDS = 16
const EDGES = 8

export class World {
  readonly words: Int32Array
  readonly bytes: Uint8Array
  readonly memories: SharedMemories
  /** Signals that were sent. */
  signals = 0
  readonly #start: Int32Array
  readonly #arenas: Arena[] = []
  readonly #outside: number
  readonly binding: Pick<Binding, 'aliasArena' | 'signal'>

  constructor({
    workers = 1,
    senders = 0,
    updates = 0,
    sessionsPerWorker = 2,
    nodesPerThread = 4,
    chunkCount = 3,
    chunkBytes = 64,
    completionCapacity = 16,
    groupMax = 1,
    groupCapacity = 0,
    jobRingCapacity = 8,
    jobBytesPerRing = 4096,
    submissionWords = 96,
    zeroCopyBytes = 0,
  }: Sizes = {}) {
    const ids = threadIds({ workers, senders, updates, jobs: 0 })
    const drivers = ids.driverCount
    // The acceptor is behind those with a driver; in mode worker nobody looks at it.
    const threads = updates + senders === 0 ? drivers + 1 : ids.threadCount
    const rings = drivers * updates
    let at = CONTROL_WORDS
    const region = (words: number) => {
      const from = at
      // Float64 counters want an even index.
      at += words + (words & 1)
      return from
    }
    const heapByteAt = workers * RECV_BUFFERS * RECV_BUFFER_BYTES
    const chunkByteAt = heapByteAt + drivers * HEAP_BYTES
    const plan: Plan = {
      ...ids,
      threadCount: threads,
      sessionCapacity: workers * sessionsPerWorker,
      sessionsPerWorker,
      nodesPerThread,
      chunkCount,
      chunkBytes,
      recvBuffersPerWorker: RECV_BUFFERS,
      recvBufferStride: RECV_BUFFER_BYTES,
      heapBytesPerWorker: HEAP_BYTES,
      completionCapacity,
      submissionWords,
      threadsAt: region(threads * THREAD_WORDS),
      sessionsAt: region(workers * sessionsPerWorker * SESSION_WORDS),
      nodesAt: region(threads * nodesPerThread * NODE_WORDS),
      chunkBitmapAt: region(Math.ceil(chunkCount / 32)),
      chunkRefsAt: region(chunkCount),
      completionsAt: region(drivers * completionCapacity * COMPLETION_WORDS),
      submissionsAt: region(drivers * submissionWords),
      jobRingsAt: region(rings * (JOB_RING_WORDS + jobRingCapacity * JOB_WORDS)),
      jobRingCapacity,
      groupsAt: region(groupWords(groupMax, workers * sessionsPerWorker)),
      groupMax,
      groupCapacity,
      liveSlotsAt: region(workers * liveSlotWords(sessionsPerWorker)),
      countersAt: region(threads * COUNTERS_STRIDE * 2),
      protocolsAt: region(LISTENERS_MAX * PROTOCOL_WORDS),
      recvByteAt: 0,
      heapByteAt,
      chunkByteAt,
      jobByteAt: chunkByteAt + chunkCount * chunkBytes,
      jobBytesPerRing,
      arenaBytes: chunkByteAt + chunkCount * chunkBytes + rings * jobBytesPerRing,
      zeroCopyBytes,
      zeroCopyIsAuto: false,
      poison: zeroCopyBytes > 0,
    }
    this.#outside = region(OUTSIDE_WORDS)
    const control = new SharedArrayBuffer(4 * at)
    const arena = new SharedArrayBuffer(plan.arenaBytes)
    this.memories = { runtime: 0, control, arena }
    this.words = new Int32Array(control)
    this.bytes = new Uint8Array(arena)
    writePlan(this.words, plan)
    this.binding = {
      aliasArena: () => null,
      signal: (_, thread) => this.signal(thread),
    }
    for (let thread = 0; thread < threads; thread++) {
      this.#arenas.push(new Arena(this.binding, this.memories, thread))
    }
    const { sessionCapacity, chunkBitmapAt } = plan
    for (let slot = 0; slot < sessionCapacity; slot++) {
      const owner = 1 + Math.floor(slot / sessionsPerWorker)
      this.words[this.#arenas[0].sessionAt(slot) + SESSION_OWNER] = owner
      this.words[this.#arenas[0].sessionAt(slot) + SESSION_SENDER] =
        senders > 0 ? workers + 1 : owner
    }
    for (let chunk = 0; chunk < chunkCount; chunk++)
      this.words[chunkBitmapAt + (chunk >>> 5)] =
        this.words[chunkBitmapAt + (chunk >>> 5)] | (1 << (chunk & 31))
    this.#start = this.words.slice()
  }

  /** Everything as it was made. */
  reset(): void {
    this.words.set(this.#start)
    this.bytes.fill(0)
    this.signals = 0
  }

  /** Memory as a thread of the runtime sees it. */
  arena(thread: number): Arena {
    return this.#arenas[thread]
  }

  /** What a thread needs to reach the sessions of others. */
  thread(thread: number): { arena: Arena; waker: Waker; table: SessionTable } {
    const arena = this.arena(thread)
    const waker = new Waker(arena, this.binding)
    return { arena, waker, table: new SessionTable(arena, waker) }
  }

  /** A word that is in no plan, for what a scenario has around the runtime. */
  outside(number: number): number {
    return this.#outside + EDGES + number
  }

  /** What the wake descriptor does: every write is an edge for whoever waits, also before it waits. */
  signal(thread: number): void {
    this.signals++
    store(this.words, this.#outside + thread, 1)
  }

  awaitSignal(thread: number): void {
    awaitEdge(this.words, this.#outside + thread)
  }

  /** A look at the descriptor takes the edge, too. */
  lookAtSignal(thread: number): void {
    store(this.words, this.#outside + thread, 0)
  }
}
