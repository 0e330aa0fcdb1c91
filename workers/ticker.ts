// What: calls onTick at a fixed rate, and onMessage, of the handlers of a thread.
// Flow: io.ts, update.ts -> this -> handlers.
// Thread: the one that runs content.

import { performance } from 'node:perf_hooks'
import { Counter } from '../src/layout/layout.ts'
import type { Handler, Session } from '../src/session/handler.ts'
import type { HandlerCalls } from '../src/session/handler_calls.ts'
import { type OverrunPolicy, TickSchedule } from '../src/update/tick.ts'

/** Events of no session. */
export type ThreadCalls = Pick<HandlerCalls<Session>, 'counters' | 'guard'>

export interface Ticker {
  /** A handler that was loaded later than the others. */
  add(handler: Handler): void
  start(): void
  stop(): void
}

export function deliver(
  handler: Handler,
  message: unknown,
  from: string,
  calls: ThreadCalls,
): void {
  calls.guard(handler, () => handler.onMessage?.(message, from))
}

/**
 * @param before Called before the ticks that are due, also where no handler has onTick; absent: nothing is due then.
 */
export function createTicker(
  handlers: readonly Handler[],
  ticksPerSecond: number,
  overrun: OverrunPolicy,
  mostAtOnce: number,
  calls: ThreadCalls,
  before?: () => void,
): Ticker {
  const ticking = handlers.filter((handler) => handler.onTick !== undefined)
  let isStarted = false
  const { counters } = calls
  let schedule: TickSchedule | null = null
  let timer: NodeJS.Timeout | null = null
  let lastMs = 0

  const call = (dtMs: number) => {
    counters[Counter.TICKS]++
    for (const handler of ticking) calls.guard(handler, () => handler.onTick?.(dtMs))
  }
  const again = (of: TickSchedule) => {
    // Rounded up: a timer that fires early would find nothing due.
    // A tick that took longer than its period is due already; Node 24 warns of a delay below 0.
    timer = setTimeout(tick, Math.max(0, Math.ceil(of.dueMs - performance.now())))
  }
  const tick = () => {
    if (schedule === null) return
    const now = performance.now()
    const { count, skipped } = schedule.take(now)
    if (count > 0) {
      before?.()
      // In a row each stands for one period; alone it stands for the time that has passed.
      if (overrun === 'catchUp') for (let i = 0; i < count; i++) call(schedule.periodMs)
      else call(now - lastMs)
      lastMs = now
      if (count + skipped > 1) counters[Counter.TICKS_LATE] += count + skipped - 1
      counters[Counter.TICKS_SKIPPED] += skipped
    }
    again(schedule)
  }
  const begin = () => {
    if (!isStarted || schedule !== null || (ticking.length === 0 && before === undefined)) return
    lastMs = performance.now()
    schedule = new TickSchedule(ticksPerSecond, lastMs, overrun, mostAtOnce)
    again(schedule)
  }
  return {
    add(handler: Handler): void {
      if (handler.onTick === undefined) return
      ticking.push(handler)
      begin()
    },
    start(): void {
      isStarted = true
      begin()
    },
    stop(): void {
      isStarted = false
      if (timer !== null) clearTimeout(timer)
      schedule = timer = null
    },
  }
}
