// What: tests of the tick schedule: no drift, what is skipped and caught up.
// Flow: tick -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { TickSchedule } from '../../src/update/tick.ts'
import { Random } from '../helpers/unit_memory.ts'

const HOUR_MS = 3_600_000

describe('TickSchedule', () => {
  it.each([1, 3, 7, 20, 29.97, 60, 144, 1000])(
    'does not drift in an hour at %d per second',
    (rate) => {
      const random = new Random(rate)
      const startMs = 12_345.678
      const schedule = new TickSchedule(rate, startMs, 'skip', 1)
      let ticks = 0
      let now = startMs
      for (; now < startMs + HOUR_MS; ) {
        // A timer comes late by up to most of a period; each tick is on time all the same.
        const { dueMs, periodMs } = schedule
        now = dueMs + (random.below(90) / 100) * periodMs
        const early = schedule.take(dueMs - 0.001).count
        const { count, skipped } = schedule.take(now)
        if (
          dueMs !== startMs + (ticks + 1) * periodMs ||
          early !== 0 ||
          count !== 1 ||
          skipped !== 0
        )
          throw new Error(
            `tick ${ticks}: due ${dueMs}, ${early} early, ${count}, ${skipped} skipped`,
          )
        ticks++
      }
      expect(Math.abs(ticks - rate * 3600)).toBeLessThanOrEqual(1)
    },
  )

  it('is due exactly at dueMs, whatever rounding says', () => {
    for (let rate = 1; rate <= 1000; rate++) {
      const schedule = new TickSchedule(rate, 0.1 * rate, 'skip', 1)
      for (let i = 0; i < 50; i++) {
        const { count, skipped } = schedule.take(schedule.dueMs)
        if (count !== 1 || skipped !== 0) throw new Error(`tick ${i} at ${rate}: ${count}`)
      }
    }
  })

  it('runs one of several that are due and leaves out the others: skip', () => {
    const schedule = new TickSchedule(10, 1000, 'skip', 5)
    expect(schedule.take(1099.9)).toEqual({ count: 0, skipped: 0 })
    expect(schedule.take(1100)).toEqual({ count: 1, skipped: 0 })
    expect(schedule.take(1100)).toEqual({ count: 0, skipped: 0 })
    expect(schedule.take(1555)).toEqual({ count: 1, skipped: 3 })
    // The one behind is where it always was.
    expect(schedule.dueMs).toBe(1600)
    expect(schedule.take(1600)).toEqual({ count: 1, skipped: 0 })
  })

  it('runs overdue ones in a row up to its bound, and leaves out the rest: catchUp', () => {
    const schedule = new TickSchedule(10, 0, 'catchUp', 3)
    expect(schedule.take(100)).toEqual({ count: 1, skipped: 0 })
    expect(schedule.take(399)).toEqual({ count: 2, skipped: 0 })
    expect(schedule.take(650)).toEqual({ count: 3, skipped: 0 })
    expect(schedule.take(1701)).toEqual({ count: 3, skipped: 8 })
    expect(schedule.dueMs).toBe(1800)
  })

  it('runs every tick of an hour once where it may catch up', () => {
    const random = new Random(9)
    const schedule = new TickSchedule(59, 0, 'catchUp', 1000)
    let run = 0
    let now = 0
    while (now < HOUR_MS) {
      now += random.below(random.chance(1) ? 3000 : 40)
      const { count, skipped } = schedule.take(now)
      run += count
      if (skipped !== 0 || schedule.dueMs <= now) throw new Error(`at ${now}: ${skipped} skipped`)
    }
    expect(run).toBe(Math.floor(now / schedule.periodMs))
  })
})
