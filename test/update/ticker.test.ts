// What: tests of what calls onTick: late ticks are counted, skip and catchUp, what comes before, handlers that fail.
// Flow: workers/ticker.ts on a clock of the test -> this.
// Thread: main.

import { performance } from 'node:perf_hooks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Counter } from '../../src/layout/layout.ts'
import type { Handler, Session } from '../../src/session/handler.ts'
import { HandlerCalls } from '../../src/session/handler_calls.ts'
import type { OverrunPolicy } from '../../src/update/tick.ts'
import { createTicker } from '../../workers/ticker.ts'

const RATE = 20
const PERIOD_MS = 1000 / RATE
/** A multiple of the period: nothing is rounded. */
const START_MS = 1_000_000

let now = START_MS

beforeEach(() => {
  now = START_MS
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  vi.spyOn(performance, 'now').mockImplementation(() => now)
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

interface SetupOptions {
  readonly overrun?: OverrunPolicy
  readonly mostAtOnce?: number
  readonly handlers?: readonly Handler[]
  readonly hasBefore?: boolean
}

function setup(options: SetupOptions = {}) {
  const { overrun = 'skip', mostAtOnce = 5, hasBefore = false } = options
  const log: string[] = []
  const counters = new Float64Array(64)
  const one: Handler = { onTick: (dtMs) => void log.push(`tick ${dtMs}`) }
  const handlers = options.handlers ?? [one]
  const calls = new HandlerCalls<Session>(counters, { endFailed: () => {} })
  const before = hasBefore ? () => void log.push('before') : undefined
  const ticker = createTicker(handlers, RATE, overrun, mostAtOnce, calls, before)
  /** The thread was busy: timers that are due fire when it is done. */
  const pass = (ms: number) => {
    now += ms
    vi.advanceTimersByTime(ms)
    return log.splice(0)
  }
  const counted = () => [
    counters[Counter.TICKS],
    counters[Counter.TICKS_LATE],
    counters[Counter.TICKS_SKIPPED],
  ]
  return { ticker, one, log, pass, counted }
}

describe('onTick', () => {
  it('comes once per period, with the time that has passed', () => {
    const { ticker, pass, counted } = setup()
    ticker.start()
    expect(pass(PERIOD_MS - 1)).toEqual([])
    expect(pass(1)).toEqual([`tick ${PERIOD_MS}`])
    expect(pass(PERIOD_MS)).toEqual([`tick ${PERIOD_MS}`])
    expect(counted()).toEqual([2, 0, 0])
  })

  it('is late: one comes for several, the next is due where it always was; all are counted: skip', () => {
    const { ticker, pass, counted } = setup()
    ticker.start()
    const late = 3 * PERIOD_MS + 10
    expect(pass(late)).toEqual([`tick ${late}`])
    expect(counted()).toEqual([1, 2, 2])
    expect(pass(PERIOD_MS - 10)).toEqual([`tick ${PERIOD_MS - 10}`])
    expect(counted()).toEqual([2, 2, 2])
  })

  it('is late: each one comes, with the time of one period: catchUp', () => {
    const { ticker, pass, counted } = setup({ overrun: 'catchUp' })
    ticker.start()
    const each = `tick ${PERIOD_MS}`
    expect(pass(3 * PERIOD_MS + 10)).toEqual([each, each, each])
    expect(counted()).toEqual([3, 2, 0])
    expect(pass(PERIOD_MS - 10)).toEqual([each])
    expect(counted()).toEqual([4, 2, 0])
  })

  it('is later than what is caught up at once: the others are left out', () => {
    const { ticker, pass, counted } = setup({ overrun: 'catchUp', mostAtOnce: 2 })
    ticker.start()
    expect(pass(5 * PERIOD_MS)).toHaveLength(2)
    expect(counted()).toEqual([2, 4, 3])
    expect(pass(PERIOD_MS)).toHaveLength(1)
    expect(counted()).toEqual([3, 4, 3])
  })

  it('comes to every handler, also behind one that fails, and with the next tick', () => {
    const heard: string[] = []
    const log: string[] = []
    const fails: Handler = {
      onTick() {
        throw new Error('of a handler')
      },
      onError: (error) => void log.push(String(error)),
    }
    const hears: Handler = { onTick: () => void heard.push('heard') }
    const { ticker, pass } = setup({ handlers: [fails, {}, hears] })
    ticker.start()
    pass(PERIOD_MS)
    expect(log).toEqual(['Error: of a handler'])
    pass(PERIOD_MS)
    expect(log).toEqual(['Error: of a handler', 'Error: of a handler'])
    expect(heard).toEqual(['heard', 'heard'])
  })

  it('comes to a handler that is loaded later', () => {
    const { ticker, one, pass } = setup({ handlers: [{}] })
    ticker.start()
    expect(vi.getTimerCount()).toBe(0)
    expect(pass(10 * PERIOD_MS)).toEqual([])
    ticker.add(one)
    // It counts from then on.
    expect(pass(PERIOD_MS)).toEqual([`tick ${PERIOD_MS}`])
  })

  it('comes no more after stop, and anew after start', () => {
    const { ticker, pass } = setup()
    ticker.start()
    pass(PERIOD_MS)
    ticker.stop()
    expect(vi.getTimerCount()).toBe(0)
    expect(pass(10 * PERIOD_MS)).toEqual([])
    ticker.start()
    expect(pass(PERIOD_MS)).toEqual([`tick ${PERIOD_MS}`])
  })
})

describe('what comes before ticks', () => {
  it('comes once before those that are due together', () => {
    const { ticker, pass } = setup({ overrun: 'catchUp', hasBefore: true })
    ticker.start()
    const each = `tick ${PERIOD_MS}`
    expect(pass(PERIOD_MS)).toEqual(['before', each])
    expect(pass(2 * PERIOD_MS)).toEqual(['before', each, each])
  })

  it('comes where no handler has onTick', () => {
    const { ticker, pass, counted } = setup({ handlers: [{}], hasBefore: true })
    ticker.start()
    expect(pass(PERIOD_MS)).toEqual(['before'])
    expect(counted()).toEqual([1, 0, 0])
  })
})
