// What: tests of the monitor: counters of every thread, their sums, sessions.
// Flow: monitor -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  COUNTER_COUNT,
  COUNTER_NAMES,
  Counter,
  THREAD_ASSIGNED_SESSIONS,
} from '../../src/layout/layout.ts'
import { Monitor } from '../../src/monitor/monitor.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

describe('Monitor', () => {
  it('starts with zeros, for every thread and counter', () => {
    const { threads, totals, sessions } = new Monitor(unitMemory().arena(0)).snapshot()
    expect(threads.map(({ name }) => name)).toEqual(['main', 'worker1', 'worker2', 'acceptor'])
    expect(sessions).toBe(0)
    for (const { counters } of threads) {
      expect(Object.keys(counters)).toEqual(COUNTER_NAMES)
      expect(Object.values(counters).every((value) => value === 0)).toBe(true)
    }
    expect(Object.keys(totals)).toEqual(COUNTER_NAMES)
  })

  it('reads what each thread counted, and adds it up', () => {
    const memory = unitMemory()
    const monitor = new Monitor(memory.arena(0))
    for (let thread = 0; thread < 4; thread++) {
      const { counters } = memory.arena(thread)
      for (let i = 0; i < COUNTER_COUNT; i++) counters[i] = 100 * i + thread
    }
    const { threads, totals } = monitor.snapshot()
    threads.forEach(({ counters }, thread) => {
      COUNTER_NAMES.forEach((name, i) => {
        expect(counters[name]).toBe(100 * i + thread)
      })
    })
    COUNTER_NAMES.forEach((name, i) => {
      expect(totals[name]).toBe(400 * i + 6)
    })
  })

  it('is exact beyond 32 bits', () => {
    const memory = unitMemory()
    memory.arena(1).counters[Counter.BYTES_OUT] = 2 ** 52
    memory.arena(2).counters[Counter.BYTES_OUT] = 1
    expect(new Monitor(memory.arena(0)).snapshot().totals.bytesOut).toBe(2 ** 52 + 1)
  })

  it('counts the sessions of workers', () => {
    const memory = unitMemory()
    const arena = memory.arena(0)
    for (const [thread, sessions] of [9, 3, 4, 9].entries())
      memory.words[arena.threadAt(thread) + THREAD_ASSIGNED_SESSIONS] = sessions
    const { threads, sessions } = new Monitor(arena).snapshot()
    expect(threads.map((thread) => thread.sessions)).toEqual([0, 3, 4, 0])
    expect(sessions).toBe(7)
  })

  it('gives a picture that does not change afterwards', () => {
    const memory = unitMemory()
    const monitor = new Monitor(memory.arena(0))
    const { counters } = memory.arena(1)
    const before = monitor.snapshot()
    counters[Counter.TURNS] = 5
    expect(before.totals.turns).toBe(0)
    expect(monitor.snapshot().totals.turns).toBe(5)
  })
})
