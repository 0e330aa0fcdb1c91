// What: ticks of update threads: never early, without drift, overdue ones skipped or caught up; messages only at ticks.
// Flow: timers of an update thread -> update_tick.mjs -> one report of all ticks; node:net clients.
// Thread: the test's; the servers' workers and update threads.

import { lengthPrefix, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { Client, disconnectAfterEach } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach } from '../helpers/e2e_server.ts'

const RATE = 100
const PERIOD_MS = 1000 / RATE
const COUNT = 40
/** Of sums of floating point numbers. */
const ROUNDING_MS = 1e-6
/** Ticks after which the handler blocks, and for how many milliseconds: several periods. */
const BLOCKS = { 10: 5.5 * PERIOD_MS, 20: 3.5 * PERIOD_MS }

interface Tick {
  readonly atMs: number
  readonly dtMs: number
  readonly dtSumMs: number
  readonly row: number
  /** Left out before this one was called. */
  readonly skipped: number
}

disconnectAfterEach()
stopAfterEach()

describe.each(drivers)('%s', (driver) => {
  const start = (options: Partial<ServerOptions> = {}) =>
    startServer({
      driver,
      mode: 'update',
      handler: handler('update_tick'),
      listeners: [{ port: 0, framing: lengthPrefix({ bytes: 4 }) }],
      ...options,
    })

  async function ticksOf(update: NonNullable<ServerOptions['update']>) {
    const test = await start({ update, data: { count: COUNT, blocks: BLOCKS } })
    const { ticks, counted } = (await test.next('ticks')) as unknown as {
      ticks: Tick[]
      counted: { ticks: number; late: number; skipped: number; rows: number }
    }
    expect(counted.ticks).toBeGreaterThanOrEqual(COUNT)
    // Every row begins with a tick that is the newest one due; what else is due is late.
    expect(counted.late).toBe(counted.ticks + counted.skipped - counted.rows)
    ticks.forEach(({ atMs, skipped }, at) => {
      // The schedule began after the clock of the handler did.
      const number = at + 1 + skipped
      expect(atMs + ROUNDING_MS).toBeGreaterThanOrEqual(number * PERIOD_MS)
    })
    return { ticks, counted }
  }

  it.each([true, false])('skips what is overdue, without drift, eager %s', async (eager) => {
    const { ticks, counted } = await ticksOf({ tickRate: RATE, overrun: 'skip', eager })
    ticks.forEach(({ atMs, dtSumMs }, at) => {
      expect(atMs + ROUNDING_MS).toBeGreaterThanOrEqual(dtSumMs)
      const next = ticks[at + 1] as Tick | undefined
      if (next === undefined) return
      // By then every period that had passed was run or left out: none of them moved the ones behind it.
      const passed = Math.floor((dtSumMs + ROUNDING_MS) / PERIOD_MS)
      expect(at + 1 + next.skipped).toBe(passed)
    })
    for (const [number, blockedMs] of Object.entries(BLOCKS)) {
      const next = ticks[Number(number)]
      expect(next.dtMs).toBeGreaterThanOrEqual(blockedMs)
      const missed = ticks[Number(number) + 1].skipped - next.skipped
      expect(missed).toBeGreaterThanOrEqual(Math.floor(blockedMs / PERIOD_MS) - 1)
    }
    expect(counted.rows).toBe(counted.ticks)
  })

  it('catches up with a bound, and leaves out the rest', async () => {
    const update = { tickRate: RATE, overrun: 'catchUp', catchUpMax: 3, eager: true } as const
    const { ticks } = await ticksOf(update)
    const rows = new Map<number, Tick[]>()
    for (const tick of ticks) {
      expect(tick.dtMs).toBe(PERIOD_MS)
      rows.set(tick.row, [...(rows.get(tick.row) ?? []), tick])
    }
    const sizes = [...rows.values()].map((row) => row.length)
    expect(Math.max(...sizes)).toBe(3)
    const [blocked] = Object.keys(BLOCKS).map(Number)
    const next = ticks.find(({ row }) => row > ticks[blocked - 1].row) as Tick
    expect(rows.get(next.row)).toHaveLength(3)
    // Five periods and a half: three were run, and two or more of them left out.
    expect(ticks[ticks.indexOf(next) + 3].skipped - next.skipped).toBeGreaterThanOrEqual(2)
  })

  it('handles joins, messages and leaves right before onTick, and at no other time', async () => {
    const update = { tickRate: 20, eager: false }
    const test = await start({ update, workers: 2, data: { count: 0 } })
    const lane = async (at: number) => {
      const client = await Client.connect(test.port())
      expect((await client.hear()).toString()).toBe('welcome')
      for (let round = 0; round < 3; round++) {
        client.say(...Array.from({ length: 1 + at * 10 }, (_, number) => `${round} ${number}`))
        for (let number = 0; number <= at * 10; number++)
          expect((await client.hear()).toString()).toBe(`${round} ${number}`)
      }
      client.end()
      await client.untilClosed()
    }
    await Promise.all(Array.from({ length: 8 }, (_, at) => lane(at)))
    await test.until('every leave', () => test.seen('leave').length === 8)
    test.tell('strays')
    expect((await test.next('strays')).strays).toEqual([])
    const events = test.seen('tick').flatMap((tick) => tick.events as string[])
    const count = (name: string) => events.filter((event) => event === name).length
    expect([count('join'), count('leave')]).toEqual([8, 8])
    expect(count('recv')).toBe(3 * (8 + 280))
  })
})
