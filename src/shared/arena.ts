// What: the two memories of a runtime as one thread sees them: control words, arena bytes, and where everything is.
// Flow: memory_plan -> this -> every room that touches shared memory.
// Thread: any; one instance per thread.

import type { Binding } from '../binding.ts'
import {
  CONTROL_ACCEPTOR_THREAD,
  CONTROL_ARENA_BYTES,
  CONTROL_CHUNK_BITMAP_AT,
  CONTROL_CHUNK_BYTE_AT,
  CONTROL_CHUNK_BYTES,
  CONTROL_CHUNK_COUNT,
  CONTROL_CHUNK_REFS_AT,
  CONTROL_COMPLETION_CAPACITY,
  CONTROL_COMPLETIONS_AT,
  CONTROL_COUNTERS_AT,
  CONTROL_DRIVER_COUNT,
  CONTROL_GROUP_CAPACITY,
  CONTROL_GROUP_MAX,
  CONTROL_GROUPS_AT,
  CONTROL_HEAP_BYTE_AT,
  CONTROL_HEAP_BYTES_PER_WORKER,
  CONTROL_JOB_BYTE_AT,
  CONTROL_JOB_BYTES_PER_RING,
  CONTROL_JOB_COUNT,
  CONTROL_JOB_FIRST,
  CONTROL_JOB_RING_CAPACITY,
  CONTROL_JOB_RINGS_AT,
  CONTROL_LIVE_SLOTS_AT,
  CONTROL_NODES_AT,
  CONTROL_NODES_PER_THREAD,
  CONTROL_POISON,
  CONTROL_PROTOCOLS_AT,
  CONTROL_RECV_BUFFER_STRIDE,
  CONTROL_RECV_BUFFERS_PER_WORKER,
  CONTROL_RECV_BYTE_AT,
  CONTROL_SESSION_CAPACITY,
  CONTROL_SESSIONS_AT,
  CONTROL_SESSIONS_PER_WORKER,
  CONTROL_SUBMISSION_WORDS,
  CONTROL_SUBMISSIONS_AT,
  CONTROL_THREAD_COUNT,
  CONTROL_THREADS_AT,
  CONTROL_UPDATE_COUNT,
  CONTROL_UPDATE_FIRST,
  CONTROL_WORKER_COUNT,
  CONTROL_ZERO_COPY_BYTES,
  CONTROL_ZERO_COPY_IS_AUTO,
  COUNTER_COUNT,
  SESSION_WORDS,
  THREAD_WORDS,
} from '../layout/layout.ts'

/** Counters of one thread, rounded up to whole cache lines of eight float64. */
export const COUNTERS_STRIDE = Math.ceil(COUNTER_COUNT / 8) * 8

/** What memory that was given back is overwritten with, where the option `poison` says so. */
export const POISON = 0xdb

/** What crosses to a worker by message. */
export interface SharedMemories {
  readonly runtime: number
  readonly control: SharedArrayBuffer
  readonly arena: SharedArrayBuffer
}

/** Sizes and places, read once from the head of the control memory. */
export interface Plan {
  readonly threadCount: number
  readonly workerCount: number
  readonly driverCount: number
  readonly acceptorThread: number
  readonly updateFirst: number
  readonly updateCount: number
  readonly jobFirst: number
  readonly jobCount: number
  readonly sessionCapacity: number
  readonly sessionsPerWorker: number
  readonly nodesPerThread: number
  readonly chunkCount: number
  readonly chunkBytes: number
  readonly recvBuffersPerWorker: number
  readonly recvBufferStride: number
  readonly heapBytesPerWorker: number
  readonly completionCapacity: number
  readonly submissionWords: number
  readonly threadsAt: number
  readonly sessionsAt: number
  readonly nodesAt: number
  readonly chunkBitmapAt: number
  readonly chunkRefsAt: number
  readonly completionsAt: number
  readonly submissionsAt: number
  readonly jobRingsAt: number
  readonly jobRingCapacity: number
  readonly groupsAt: number
  readonly groupMax: number
  readonly groupCapacity: number
  readonly liveSlotsAt: number
  readonly countersAt: number
  readonly protocolsAt: number
  readonly recvByteAt: number
  readonly heapByteAt: number
  readonly chunkByteAt: number
  readonly jobByteAt: number
  readonly jobBytesPerRing: number
  readonly arenaBytes: number
  /** Gathers of so many bytes are sent without a copy; 0: none. */
  readonly zeroCopyBytes: number
  readonly zeroCopyIsAuto: boolean
  /** Memory that is given back is overwritten at once. */
  readonly poison: boolean
}

export function readPlan(words: Int32Array): Plan {
  return {
    threadCount: words[CONTROL_THREAD_COUNT],
    workerCount: words[CONTROL_WORKER_COUNT],
    driverCount: words[CONTROL_DRIVER_COUNT],
    acceptorThread: words[CONTROL_ACCEPTOR_THREAD],
    updateFirst: words[CONTROL_UPDATE_FIRST],
    updateCount: words[CONTROL_UPDATE_COUNT],
    jobFirst: words[CONTROL_JOB_FIRST],
    jobCount: words[CONTROL_JOB_COUNT],
    sessionCapacity: words[CONTROL_SESSION_CAPACITY],
    sessionsPerWorker: words[CONTROL_SESSIONS_PER_WORKER],
    nodesPerThread: words[CONTROL_NODES_PER_THREAD],
    chunkCount: words[CONTROL_CHUNK_COUNT],
    chunkBytes: words[CONTROL_CHUNK_BYTES],
    recvBuffersPerWorker: words[CONTROL_RECV_BUFFERS_PER_WORKER],
    recvBufferStride: words[CONTROL_RECV_BUFFER_STRIDE],
    heapBytesPerWorker: words[CONTROL_HEAP_BYTES_PER_WORKER],
    completionCapacity: words[CONTROL_COMPLETION_CAPACITY],
    submissionWords: words[CONTROL_SUBMISSION_WORDS],
    threadsAt: words[CONTROL_THREADS_AT],
    sessionsAt: words[CONTROL_SESSIONS_AT],
    nodesAt: words[CONTROL_NODES_AT],
    chunkBitmapAt: words[CONTROL_CHUNK_BITMAP_AT],
    chunkRefsAt: words[CONTROL_CHUNK_REFS_AT],
    completionsAt: words[CONTROL_COMPLETIONS_AT],
    submissionsAt: words[CONTROL_SUBMISSIONS_AT],
    jobRingsAt: words[CONTROL_JOB_RINGS_AT],
    jobRingCapacity: words[CONTROL_JOB_RING_CAPACITY],
    groupsAt: words[CONTROL_GROUPS_AT],
    groupMax: words[CONTROL_GROUP_MAX],
    groupCapacity: words[CONTROL_GROUP_CAPACITY],
    liveSlotsAt: words[CONTROL_LIVE_SLOTS_AT],
    countersAt: words[CONTROL_COUNTERS_AT],
    protocolsAt: words[CONTROL_PROTOCOLS_AT],
    recvByteAt: words[CONTROL_RECV_BYTE_AT],
    heapByteAt: words[CONTROL_HEAP_BYTE_AT],
    chunkByteAt: words[CONTROL_CHUNK_BYTE_AT],
    jobByteAt: words[CONTROL_JOB_BYTE_AT],
    jobBytesPerRing: words[CONTROL_JOB_BYTES_PER_RING],
    arenaBytes: words[CONTROL_ARENA_BYTES],
    zeroCopyBytes: words[CONTROL_ZERO_COPY_BYTES],
    zeroCopyIsAuto: words[CONTROL_ZERO_COPY_IS_AUTO] !== 0,
    poison: words[CONTROL_POISON] !== 0,
  }
}

/** Into the head of a control memory. */
export function writePlan(words: Int32Array, plan: Plan): void {
  words[CONTROL_THREAD_COUNT] = plan.threadCount
  words[CONTROL_WORKER_COUNT] = plan.workerCount
  words[CONTROL_DRIVER_COUNT] = plan.driverCount
  words[CONTROL_ACCEPTOR_THREAD] = plan.acceptorThread
  words[CONTROL_UPDATE_FIRST] = plan.updateFirst
  words[CONTROL_UPDATE_COUNT] = plan.updateCount
  words[CONTROL_JOB_FIRST] = plan.jobFirst
  words[CONTROL_JOB_COUNT] = plan.jobCount
  words[CONTROL_SESSION_CAPACITY] = plan.sessionCapacity
  words[CONTROL_SESSIONS_PER_WORKER] = plan.sessionsPerWorker
  words[CONTROL_NODES_PER_THREAD] = plan.nodesPerThread
  words[CONTROL_CHUNK_COUNT] = plan.chunkCount
  words[CONTROL_CHUNK_BYTES] = plan.chunkBytes
  words[CONTROL_RECV_BUFFERS_PER_WORKER] = plan.recvBuffersPerWorker
  words[CONTROL_RECV_BUFFER_STRIDE] = plan.recvBufferStride
  words[CONTROL_HEAP_BYTES_PER_WORKER] = plan.heapBytesPerWorker
  words[CONTROL_COMPLETION_CAPACITY] = plan.completionCapacity
  words[CONTROL_SUBMISSION_WORDS] = plan.submissionWords
  words[CONTROL_THREADS_AT] = plan.threadsAt
  words[CONTROL_SESSIONS_AT] = plan.sessionsAt
  words[CONTROL_NODES_AT] = plan.nodesAt
  words[CONTROL_CHUNK_BITMAP_AT] = plan.chunkBitmapAt
  words[CONTROL_CHUNK_REFS_AT] = plan.chunkRefsAt
  words[CONTROL_COMPLETIONS_AT] = plan.completionsAt
  words[CONTROL_SUBMISSIONS_AT] = plan.submissionsAt
  words[CONTROL_JOB_RINGS_AT] = plan.jobRingsAt
  words[CONTROL_JOB_RING_CAPACITY] = plan.jobRingCapacity
  words[CONTROL_GROUPS_AT] = plan.groupsAt
  words[CONTROL_GROUP_MAX] = plan.groupMax
  words[CONTROL_GROUP_CAPACITY] = plan.groupCapacity
  words[CONTROL_LIVE_SLOTS_AT] = plan.liveSlotsAt
  words[CONTROL_COUNTERS_AT] = plan.countersAt
  words[CONTROL_PROTOCOLS_AT] = plan.protocolsAt
  words[CONTROL_RECV_BYTE_AT] = plan.recvByteAt
  words[CONTROL_HEAP_BYTE_AT] = plan.heapByteAt
  words[CONTROL_CHUNK_BYTE_AT] = plan.chunkByteAt
  words[CONTROL_JOB_BYTE_AT] = plan.jobByteAt
  words[CONTROL_JOB_BYTES_PER_RING] = plan.jobBytesPerRing
  words[CONTROL_ARENA_BYTES] = plan.arenaBytes
  words[CONTROL_ZERO_COPY_BYTES] = plan.zeroCopyBytes
  words[CONTROL_ZERO_COPY_IS_AUTO] = plan.zeroCopyIsAuto ? 1 : 0
  words[CONTROL_POISON] = plan.poison ? 1 : 0
}

/** A view for users over a part of the arena; plain memory as far as V8 knows. */
export type AliasRange = (offset: number, length: number) => Uint8Array

export class Arena {
  /** Control words: those of other threads through atomics.ts only. */
  readonly words: Int32Array
  /**
   * Arena bytes by this thread's own alias (a shared view is 20 x slower for 4 KiB copies). Touched only
   * after an atomic load of the same turn saw the bytes published. Never handed to users: a structured
   * clone of a view would copy the whole arena, a transfer would detach it.
   */
  readonly bytes: Uint8Array
  /** The same bytes as a Buffer, for text. */
  readonly buffer: Buffer
  readonly plan: Plan
  readonly thread: number
  /** This thread's counters; it is their only writer. */
  readonly counters: Float64Array
  readonly memories: SharedMemories
  readonly #binding: Pick<Binding, 'aliasArena'>

  constructor(binding: Pick<Binding, 'aliasArena'>, memories: SharedMemories, thread: number) {
    this.#binding = binding
    this.memories = memories
    this.thread = thread
    this.words = new Int32Array(memories.control)
    this.plan = readPlan(this.words)
    this.bytes = this.aliasRange(0, this.plan.arenaBytes)
    this.buffer = Buffer.from(
      this.bytes.buffer as ArrayBuffer,
      this.bytes.byteOffset,
      this.plan.arenaBytes,
    )
    this.counters = new Float64Array(
      memories.control,
      4 * this.plan.countersAt + 8 * thread * COUNTERS_STRIDE,
      COUNTER_COUNT,
    )
  }

  /** A view of its own over part of the arena: external memory, or the shared memory where Node refuses that. */
  aliasRange(offset: number, length: number): Uint8Array {
    const whole = new Uint8Array(this.memories.arena)
    const alias = this.#binding.aliasArena(this.memories.runtime, offset, length, whole)
    if (alias === null) return new Uint8Array(this.memories.arena, offset, length)
    return new Uint8Array(alias)
  }

  /** First word of a thread's block. */
  threadAt(thread: number): number {
    return this.plan.threadsAt + thread * THREAD_WORDS
  }

  /** First word of a session slot. */
  sessionAt(slot: number): number {
    return this.plan.sessionsAt + slot * SESSION_WORDS
  }
}
