// What: thread ids of a runtime and their names: main, workers, send threads, acceptor, update threads, job threads.
// Flow: memory_plan counts them -> head of the control memory -> this -> post(), monitor, errors.
// Thread: any.

import type { Plan } from './arena.ts'

/** How many of each a runtime has; main and the acceptor are there once. */
export interface ThreadCounts {
  readonly workers: number
  readonly senders: number
  readonly updates: number
  readonly jobs: number
}

export type ThreadIds = Pick<
  Plan,
  | 'threadCount'
  | 'workerCount'
  | 'driverCount'
  | 'acceptorThread'
  | 'updateFirst'
  | 'updateCount'
  | 'jobFirst'
  | 'jobCount'
>

/** Main is 0; who has a driver comes next, since rings, areas and heaps are found by `thread - 1`. */
export function threadIds({ workers, senders, updates, jobs }: ThreadCounts): ThreadIds {
  const acceptorThread = 1 + workers + senders
  const updateFirst = acceptorThread + 1
  const jobFirst = updateFirst + updates
  return {
    threadCount: jobFirst + jobs,
    workerCount: workers,
    driverCount: workers + senders,
    acceptorThread,
    updateFirst,
    updateCount: updates,
    jobFirst,
    jobCount: jobs,
  }
}

/** Those that run no handlers: nobody there hears what is posted. */
const DEAF = new Set(['send', 'job'])

/** The groups of threads, with the id of the first one and how many there are. */
function groups(
  ids: ThreadIds,
): readonly (readonly [name: string, first: number, count: number])[] {
  return [
    ['worker', 1, ids.workerCount],
    ['send', 1 + ids.workerCount, ids.driverCount - ids.workerCount],
    ['update', ids.updateFirst, ids.updateCount],
    ['job', ids.jobFirst, ids.jobCount],
  ]
}

/** `main`, `worker1`, `send1`, `acceptor`, `update1`, `job1`. */
export function threadName(ids: ThreadIds, thread: number): string {
  if (thread === 0) return 'main'
  if (thread === ids.acceptorThread) return 'acceptor'
  for (const [name, first, count] of groups(ids))
    if (thread >= first && thread < first + count) return `${name}${thread - first + 1}`
  return `thread${thread}`
}

/** The id of a thread by its name; -1 when there is none, or nobody can post to it. */
export function threadByName(ids: ThreadIds, name: string): number {
  if (name === 'main') return 0
  const [, kind, digits] = /^([a-z]+)([1-9]\d{0,8})$/.exec(name) ?? []
  for (const [known, first, count] of groups(ids))
    if (known === kind && !DEAF.has(known) && Number(digits) <= count)
      return first + Number(digits) - 1
  return -1
}

/** The names that threadByName knows, for people. */
export function threadNames(ids: ThreadIds): string {
  const known = groups(ids).filter(([name, , count]) => count > 0 && !DEAF.has(name))
  const ranges = known.map(([name, , count]) =>
    count === 1 ? `'${name}1'` : `'${name}1' to '${name}${count}'`,
  )
  return ["'main'", ...ranges].join(', ')
}
