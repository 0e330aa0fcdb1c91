// What: tests of thread ids: ranges that do not overlap, names there and back, and the names for people.
// Flow: thread_ids -> this.
// Thread: the test's.

import { describe, expect, it } from 'vitest'
import { threadByName, threadIds, threadName, threadNames } from '../../src/shared/thread_ids.ts'

const counts = [
  { workers: 1, senders: 0, updates: 0, jobs: 0 },
  { workers: 2, senders: 3, updates: 2, jobs: 4 },
  { workers: 60, senders: 0, updates: 1, jobs: 64 },
]

describe.each(counts)('%j', (count) => {
  const ids = threadIds(count)
  const { workers, senders, updates, jobs } = count

  it('has one id for each thread', () => {
    expect(ids.threadCount).toBe(2 + workers + senders + updates + jobs)
    const names = Array.from({ length: ids.threadCount }, (_, thread) => threadName(ids, thread))
    expect(new Set(names).size).toBe(ids.threadCount)
    const of = (kind: string) => names.filter((name) => name.startsWith(kind)).length
    expect([of('worker'), of('send'), of('update'), of('job')]).toEqual([
      workers,
      senders,
      updates,
      jobs,
    ])
    expect([names[0], names[ids.acceptorThread]]).toEqual(['main', 'acceptor'])
  })

  it('puts those with a driver first, workers before send threads', () => {
    for (let thread = 1; thread <= ids.driverCount; thread++)
      expect(threadName(ids, thread)).toMatch(thread <= workers ? /^worker/ : /^send/)
  })

  it('finds each by its name, but for those that hear nobody', () => {
    for (let thread = 0; thread < ids.threadCount; thread++) {
      const name = threadName(ids, thread)
      expect(threadByName(ids, name)).toBe(/^(acceptor|send|job)/.test(name) ? -1 : thread)
    }
  })
})

it.each([
  '',
  'worker',
  'worker0',
  'worker3',
  'worker01',
  'Worker1',
  'update1',
  'acceptor',
  'main1',
])('%j is no thread of two workers', (name) => {
  expect(threadByName(threadIds({ workers: 2, senders: 0, updates: 0, jobs: 0 }), name)).toBe(-1)
})

it('lists who can be posted to', () => {
  expect(threadNames(threadIds({ workers: 2, senders: 1, updates: 1, jobs: 3 }))).toBe(
    "'main', 'worker1' to 'worker2', 'update1'",
  )
})
