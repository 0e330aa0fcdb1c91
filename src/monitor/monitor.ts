// What: reads the counters of every thread.
// Flow: counters in shared memory -> this -> the user, who decides where they go.
// Thread: any; usually main.

import {
  COUNTER_COUNT,
  COUNTER_NAMES,
  GROUP_DIRECTORY_ALIVE,
  THREAD_ASSIGNED_SESSIONS,
} from '../layout/layout.ts'
import { type Arena, COUNTERS_STRIDE } from '../shared/arena.ts'
import { load } from '../shared/atomics.ts'
import type { CompletionPort, CompletionPortSnapshot } from '../shared/completion_port.ts'
import { threadName } from '../shared/thread_ids.ts'

export interface ThreadSnapshot {
  /** `main`, `worker1`, `send1`, `acceptor`, `update1`, `job1`, … */
  readonly name: string
  /** Sessions assigned to this worker; 0 for other threads. */
  readonly sessions: number
  /** By counter name; docs/reference/counters.md. */
  readonly counters: Readonly<Record<string, number>>
}

export interface Snapshot {
  readonly threads: readonly ThreadSnapshot[]
  /** Sums over all threads. */
  readonly totals: Readonly<Record<string, number>>
  readonly sessions: number
  /** Groups that somebody is in; runtime.group() tells more of one. */
  readonly groups: number
  /** The port of the job threads; absent where there are none. Threads by their numbers on it; keys are thread ids. */
  readonly jobs?: CompletionPortSnapshot
}

export class Monitor {
  readonly #arena: Arena
  readonly #all: Float64Array
  readonly #jobs: CompletionPort | undefined

  constructor(arena: Arena, jobs?: CompletionPort) {
    this.#jobs = jobs
    this.#arena = arena
    const { threadCount, countersAt } = arena.plan
    this.#all = new Float64Array(
      arena.memories.control,
      4 * countersAt,
      threadCount * COUNTERS_STRIDE,
    )
  }

  snapshot(): Snapshot {
    const { plan, words } = this.#arena
    const totals: Record<string, number> = {}
    const threads: ThreadSnapshot[] = []
    let sessions = 0
    for (const name of COUNTER_NAMES) totals[name] = 0
    for (let thread = 0; thread < plan.threadCount; thread++) {
      const counters: Record<string, number> = {}
      for (let i = 0; i < COUNTER_COUNT; i++) {
        const value = this.#all[thread * COUNTERS_STRIDE + i]
        counters[COUNTER_NAMES[i]] = value
        totals[COUNTER_NAMES[i]] += value
      }
      const worker = thread >= 1 && thread <= plan.workerCount
      const assigned = worker
        ? load(words, this.#arena.threadAt(thread) + THREAD_ASSIGNED_SESSIONS)
        : 0
      sessions += assigned
      threads.push({ name: threadName(plan, thread), sessions: assigned, counters })
    }
    const groups = load(words, plan.groupsAt + GROUP_DIRECTORY_ALIVE)
    const jobs = this.#jobs?.snapshot()
    return { threads, totals, sessions, groups, ...(jobs !== undefined && { jobs }) }
  }
}
