// What: divides the control memory and the arena, and says in one line what goes where.
// Flow: options -> this -> head of the control memory -> every thread.
// Thread: main.

import { OverlappedError } from '../errors.ts'
import {
  CACHE_LINE_WORDS,
  COMPLETION_WORDS,
  CONTROL_CONTROL_WORDS,
  CONTROL_LAYOUT_HASH,
  CONTROL_MAGIC,
  CONTROL_PROTOCOL_COUNT,
  CONTROL_RECV_BUFFER_BYTES,
  CONTROL_WORDS,
  JOB_RING_WORDS,
  JOB_WORDS,
  LAYOUT_HASH,
  LISTENERS_MAX,
  MAGIC,
  NODE_WORDS,
  PROTOCOL_WORDS,
  SESSION_OWNER,
  SESSION_SENDER,
  SESSION_WORDS,
  THREAD_WORDS,
} from '../layout/layout.ts'
import { AUTO_MIN_BYTES } from '../outbound/zero_copy.ts'
import { COUNTERS_STRIDE, type Plan, writePlan } from '../shared/arena.ts'
import { groupWords } from '../shared/group_table.ts'
import { liveSlotWords } from '../shared/live_slots.ts'
import { type ThreadCounts, type ThreadIds, threadIds } from '../shared/thread_ids.ts'
import type { ResolvedOptions, ZeroCopy } from './options.ts'

/** Words of a submission area: 5,461 sends of one slice; what does not fit goes in the next round of a turn. */
const SUBMISSION_WORDS = 32_768
/** Completions that one submission can add at most while it is handed over (a pause and a peer's leaving, a cancelled receive and send). */
const COMPLETIONS_PER_THREE_WORDS = 2
/** Slices that may wait per thread, at least; and per session, for broadcasts. */
const NODES_MIN = 65_536
const NODES_PER_SESSION = 8
/** Bytes beside each receive buffer, so that buffers do not all start in the same cache set. */
const STAGGER_BYTES = 64
/** Of what receive buffers leave, chunks get this part, worker heaps the rest. */
const CHUNK_PART = 1 / 2
const HEAP_UNIT = 65_536
/** Records of a job ring: one tick of 65,536 messages at most. */
const JOB_RING_CAPACITY = 65_536
/** Bytes for payloads of one worker to one update thread: 64 for each record, where the arena allows it. */
const JOB_BYTES_MAX = 4_194_304
const JOB_BYTES_MIN = 65_536
/** Of what receive buffers leave, payloads on their way to update threads get at most this part. */
const JOB_PART = 1 / 8
/** Parts of the control memory behind its head. */
const REGIONS = 12
/** Places in the control memory are signed 32-bit word indices, and it has fewer words than they can say. */
const CONTROL_WORDS_MAX = 2 ** 31 - 1

export interface MemoryPlan {
  readonly control: SharedArrayBuffer
  readonly arena: SharedArrayBuffer
  /** One line for people. */
  readonly text: string
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`

function powerOfTwo(least: number): number {
  return 2 ** Math.ceil(Math.log2(least))
}

/** Sessions that the control memory has room for: everything else, and one line of padding for each region, is taken off. */
function mostSessions(
  { threadCount: threads, workerCount, driverCount, updateCount }: ThreadIds,
  completionCapacity: number,
  chunkCount: number,
  groupMax: number,
): number {
  const others =
    CONTROL_WORDS +
    threads * (THREAD_WORDS + COUNTERS_STRIDE * 2) +
    driverCount * (completionCapacity * COMPLETION_WORDS + SUBMISSION_WORDS) +
    driverCount * updateCount * (JOB_RING_WORDS + JOB_RING_CAPACITY * JOB_WORDS) +
    chunkCount * 2 +
    LISTENERS_MAX * PROTOCOL_WORDS +
    // Each group's bits end on a cache line.
    groupWords(groupMax, 0) +
    groupMax * CACHE_LINE_WORDS +
    // So do the live slots of each worker, whose share of the sessions is rounded up.
    workerCount * CACHE_LINE_WORDS +
    REGIONS * CACHE_LINE_WORDS
  const perSession = SESSION_WORDS + threads * NODES_PER_SESSION * NODE_WORDS + (groupMax + 1) / 32
  return Math.floor((CONTROL_WORDS_MAX - others) / perSession)
}

/** Bytes for the payloads of one ring; 0 where there is none. */
function jobBytes(rest: number, rings: number): number {
  if (rings === 0) return 0
  const share = (rest * JOB_PART) / rings
  // A power of two: positions are masked.
  return Math.max(JOB_BYTES_MIN, Math.min(JOB_BYTES_MAX, 2 ** Math.floor(Math.log2(share))))
}

/** An arena of this size has two chunks and more for each thread, and a unit of heap. */
function leastArena(
  recvBytes: number,
  threads: number,
  drivers: number,
  rings: number,
  chunkBytes: number,
): number {
  const behind = 4 * (threads + 1) * chunkBytes + 2 * drivers * HEAP_UNIT
  const share = Math.ceil(behind / (1 - JOB_PART))
  return recvBytes + (rings === 0 ? behind : Math.max(behind + rings * JOB_BYTES_MIN, share))
}

/** Least bytes of a gather that is sent without a copy; 0: none is. */
function zeroCopyBytes(zeroCopy: ZeroCopy): number {
  if (zeroCopy === 'off') return 0
  return zeroCopy === 'auto' ? AUTO_MIN_BYTES : zeroCopy.minBytes
}

/** Threads of a runtime with these options. */
export function countThreads({ workers, mode, update, send, jobs }: ResolvedOptions): ThreadCounts {
  return {
    workers,
    senders: mode === 'send' ? 1 + send.lanes : 0,
    updates: mode === 'worker' ? 0 : update.threads,
    jobs: jobs?.threads ?? 0,
  }
}

/**
 * Allocates and plans the memory of a runtime.
 * @throws {OverlappedError} ERR_MEMORY_PLAN
 */
export function planMemory(options: ResolvedOptions): MemoryPlan {
  const { workers, maxSessions, chunkBytes, receiveBuffers, receiveBufferSize, arenaBytes } =
    options
  const ids = threadIds(countThreads(options))
  const { threadCount: threads, driverCount: drivers, updateCount: updates } = ids
  const sessionsPerWorker = Math.ceil(maxSessions / workers)
  const nodesPerThread = Math.max(NODES_MIN, NODES_PER_SESSION * maxSessions)
  const completionCapacity = powerOfTwo(
    options.completionBatch + Math.ceil(SUBMISSION_WORDS / 3) * COMPLETIONS_PER_THREE_WORDS,
  )

  const stride = receiveBufferSize + STAGGER_BYTES
  const recvBytes = workers * receiveBuffers * stride
  const jobBytesPerRing = jobBytes(arenaBytes - recvBytes, workers * updates)
  const jobByteAt = recvBytes
  const beforeChunks = jobByteAt + workers * updates * jobBytesPerRing
  const rest = arenaBytes - beforeChunks
  const chunkCount = Math.floor((rest * CHUNK_PART) / chunkBytes)
  const chunkByteAt = Math.ceil(beforeChunks / chunkBytes) * chunkBytes
  const heapByteAt = chunkByteAt + chunkCount * chunkBytes
  const heapBytes = Math.floor((arenaBytes - heapByteAt) / drivers / HEAP_UNIT) * HEAP_UNIT
  if (chunkCount < 2 * threads || heapBytes < HEAP_UNIT) {
    throw new OverlappedError(
      'ERR_MEMORY_PLAN',
      `arenaBytes is ${arenaBytes}; ${workers} workers with ${receiveBuffers} receive buffers of ${receiveBufferSize} bytes ` +
        `and chunks of ${chunkBytes} bytes need at least ${leastArena(recvBytes, threads, drivers, workers * updates, chunkBytes)}`,
    )
  }

  const { max: groupMax, capacity: groupCapacity } = options.groups
  const sessionsFit = mostSessions(ids, completionCapacity, chunkCount, groupMax)
  if (maxSessions > sessionsFit) {
    throw new OverlappedError(
      'ERR_MEMORY_PLAN',
      `maxSessions is ${maxSessions}; with ${workers} workers and ${groupMax} groups it must be at most ${sessionsFit}, ` +
        'as the control memory has fewer than 2^31 words',
    )
  }

  let at = CONTROL_WORDS
  const region = (words: number): number => {
    at = Math.ceil(at / CACHE_LINE_WORDS) * CACHE_LINE_WORDS
    const start = at
    at += words
    return start
  }
  const threadsAt = region(threads * THREAD_WORDS)
  const sessionsAt = region(maxSessions * SESSION_WORDS)
  const nodesAt = region(threads * nodesPerThread * NODE_WORDS)
  const chunkBitmapAt = region(Math.ceil(chunkCount / 32))
  const chunkRefsAt = region(chunkCount)
  const completionsAt = region(drivers * completionCapacity * COMPLETION_WORDS)
  const submissionsAt = region(drivers * SUBMISSION_WORDS)
  const jobRingsAt = region(drivers * updates * (JOB_RING_WORDS + JOB_RING_CAPACITY * JOB_WORDS))
  const groupsAt = region(groupWords(groupMax, maxSessions))
  const liveSlotsAt = region(workers * liveSlotWords(sessionsPerWorker))
  const countersAt = region(threads * COUNTERS_STRIDE * 2)
  const protocolsAt = region(LISTENERS_MAX * PROTOCOL_WORDS)
  const controlWords = region(0)

  let control: SharedArrayBuffer
  let arena: SharedArrayBuffer
  try {
    control = new SharedArrayBuffer(4 * controlWords)
    arena = new SharedArrayBuffer(arenaBytes)
  } catch (cause) {
    throw new OverlappedError(
      'ERR_MEMORY_PLAN',
      `${mib(4 * controlWords)} of control memory and ${mib(arenaBytes)} of arena cannot be allocated`,
      { cause },
    )
  }
  const words = new Int32Array(control)
  const plan: Plan = {
    ...ids,
    sessionCapacity: maxSessions,
    sessionsPerWorker,
    nodesPerThread,
    chunkCount,
    chunkBytes,
    recvBuffersPerWorker: receiveBuffers,
    recvBufferStride: stride,
    heapBytesPerWorker: heapBytes,
    completionCapacity,
    submissionWords: SUBMISSION_WORDS,
    threadsAt,
    sessionsAt,
    nodesAt,
    chunkBitmapAt,
    chunkRefsAt,
    completionsAt,
    submissionsAt,
    jobRingsAt,
    jobRingCapacity: JOB_RING_CAPACITY,
    groupsAt,
    groupMax,
    groupCapacity,
    liveSlotsAt,
    countersAt,
    protocolsAt,
    recvByteAt: 0,
    heapByteAt,
    chunkByteAt,
    jobByteAt,
    jobBytesPerRing,
    arenaBytes,
    zeroCopyBytes: zeroCopyBytes(options.zeroCopy),
    zeroCopyIsAuto: options.zeroCopy === 'auto',
    poison: options.poison,
  }
  writePlan(words, plan)
  words[CONTROL_MAGIC] = MAGIC
  words[CONTROL_LAYOUT_HASH] = LAYOUT_HASH
  words[CONTROL_RECV_BUFFER_BYTES] = receiveBufferSize
  words[CONTROL_CONTROL_WORDS] = controlWords
  words[CONTROL_PROTOCOL_COUNT] = options.listeners.length + options.outbound.length
  for (let chunk = 0; chunk < chunkCount; chunk++)
    words[chunkBitmapAt + (chunk >>> 5)] |= 1 << (chunk & 31)
  for (let slot = 0; slot < maxSessions; slot++) {
    const owner = 1 + Math.floor(slot / sessionsPerWorker)
    words[sessionsAt + slot * SESSION_WORDS + SESSION_OWNER] = owner
    words[sessionsAt + slot * SESSION_WORDS + SESSION_SENDER] = owner
  }
  const text =
    `${maxSessions} sessions, control ${mib(4 * controlWords)} (${groupMax} groups ` +
    `${mib(4 * groupWords(groupMax, maxSessions))}), arena ${mib(arenaBytes)} = ` +
    `receive ${mib(recvBytes)} + ${updates > 0 ? `jobs ${mib(beforeChunks - jobByteAt)} + ` : ''}` +
    `chunks ${mib(chunkCount * chunkBytes)} + overflow ${mib(drivers * heapBytes)}`
  return { control, arena, text }
}
