// What: control memory and arena for unit tests: planned by the production code, then cut down, with a fake addon.
// Flow: planMemory -> this -> unit tests of every room.
// Thread: the test's.

import type { Binding } from '../../src/binding.ts'
import {
  CONTROL_CHUNK_BITMAP_AT,
  CONTROL_CHUNK_COUNT,
  CONTROL_COMPLETION_CAPACITY,
  CONTROL_HEAP_BYTES_PER_WORKER,
  CONTROL_JOB_BYTES_PER_RING,
  CONTROL_JOB_RING_CAPACITY,
  CONTROL_NODES_PER_THREAD,
  CONTROL_SUBMISSION_WORDS,
} from '../../src/layout/layout.ts'
import { planMemory } from '../../src/server/memory_plan.ts'
import type { ServerOptions } from '../../src/server/options.ts'
import { resolveOptions } from '../../src/server/resolve_options.ts'
import { Arena, type SharedMemories } from '../../src/shared/arena.ts'
import { SessionTable } from '../../src/shared/session_table.ts'
import { Waker } from '../../src/shared/waker.ts'

/** Number of the runtime that the fake addon is asked for. */
export const RUNTIME = 7

export const SMALL = {
  workers: 2,
  maxSessions: 16,
  arenaBytes: 4_194_304,
  chunkBytes: 4096,
  receiveBuffers: 16,
  receiveBufferSize: 512,
} satisfies ServerOptions

/** Sizes that no option makes small: a part of what was planned is used, so that it runs out soon. */
export interface Cuts {
  readonly nodesPerThread?: number
  readonly submissionWords?: number
  readonly chunkCount?: number
  readonly heapBytesPerWorker?: number
  readonly completionCapacity?: number
  readonly jobRingCapacity?: number
  readonly jobBytesPerRing?: number
}

export interface UnitMemory {
  readonly memories: SharedMemories
  readonly words: Int32Array
  /** Threads that were signalled, in order. */
  readonly signals: number[]
  /** Ranges that an alias was asked for. */
  readonly aliased: [offset: number, length: number][]
  readonly binding: Pick<Binding, 'aliasArena' | 'signal'>
  /** An arena as this thread sees it. */
  arena(thread: number): Arena
  /** What a thread needs to reach the sessions of others. */
  thread(thread: number): { arena: Arena; waker: Waker; table: SessionTable }
}

export function unitMemory(options: ServerOptions = {}, cuts: Cuts = {}): UnitMemory {
  const { control, arena } = planMemory(resolveOptions({ ...SMALL, ...options }))
  const words = new Int32Array(control)
  const cut = (index: number, value: number | undefined) => {
    if (value === undefined) return
    if (value > words[index]) throw new Error(`a cut to ${value} is no cut: ${words[index]}`)
    words[index] = value
  }
  cut(CONTROL_NODES_PER_THREAD, cuts.nodesPerThread)
  cut(CONTROL_SUBMISSION_WORDS, cuts.submissionWords)
  cut(CONTROL_HEAP_BYTES_PER_WORKER, cuts.heapBytesPerWorker)
  cut(CONTROL_COMPLETION_CAPACITY, cuts.completionCapacity)
  cut(CONTROL_JOB_RING_CAPACITY, cuts.jobRingCapacity)
  cut(CONTROL_JOB_BYTES_PER_RING, cuts.jobBytesPerRing)
  const { chunkCount } = cuts
  if (chunkCount !== undefined) {
    const bitmapAt = words[CONTROL_CHUNK_BITMAP_AT]
    for (let chunk = chunkCount; chunk < words[CONTROL_CHUNK_COUNT]; chunk++) {
      words[bitmapAt + (chunk >>> 5)] &= ~(1 << (chunk & 31))
    }
    cut(CONTROL_CHUNK_COUNT, chunkCount)
  }
  const signals: number[] = []
  const aliased: [number, number][] = []
  const binding: UnitMemory['binding'] = {
    aliasArena: (runtime, offset, length) => {
      if (runtime !== RUNTIME) throw new Error(`an alias of runtime ${runtime} was asked for`)
      aliased.push([offset, length])
      return null
    },
    signal: (runtime, thread) => {
      if (runtime !== RUNTIME) throw new Error(`a thread of runtime ${runtime} was signalled`)
      signals.push(thread)
    },
  }
  const memories = { runtime: RUNTIME, control, arena }
  const arenaOf = (thread: number) => new Arena(binding, memories, thread)
  return {
    memories,
    words,
    signals,
    aliased,
    binding,
    arena: arenaOf,
    thread: (thread) => {
      const arena = arenaOf(thread)
      const waker = new Waker(arena, binding)
      return { arena, waker, table: new SessionTable(arena, waker) }
    },
  }
}

/** A seeded generator: the same numbers on every machine. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761 + 1) >>> 0
  }

  /** 0 to 2^32 - 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  /** 0 to bound - 1. */
  below(bound: number): number {
    return Math.floor((this.next() / 2 ** 32) * bound)
  }

  /** min to max. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1)
  }

  /** True in `percent` of cases. */
  chance(percent: number): boolean {
    return this.below(100) < percent
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]
  }

  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      ;[items[i], items[j]] = [items[j], items[i]]
    }
    return items
  }
}
