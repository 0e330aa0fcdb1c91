// What: delays of a reconnecting client: growth, limit, jitter, attempts, and when they begin anew.
// Flow: this -> Backoff.
// Thread: the test's.

import { describe, expect, it } from 'vitest'
import type { ReconnectOptions } from '../../src/session/handler.ts'
import { Backoff } from '../../src/session/reconnect.ts'

const options = {
  minDelay: 100,
  maxDelay: 1_000,
  factor: 3,
  jitter: 0,
  attempts: Number.POSITIVE_INFINITY,
}

function backoff(changes: ReconnectOptions = {}, random = () => 0): Backoff {
  return new Backoff({ ...options, ...changes }, random)
}

const failures = (one: Backoff, count: number) =>
  Array.from({ length: count }, () => one.afterFailure())

describe('Backoff', () => {
  it('grows from minDelay by the factor to maxDelay', () => {
    const one = backoff()
    expect(failures(one, 5)).toEqual([100, 300, 900, 1_000, 1_000])
    expect(one.failed).toBe(5)
    expect(failures(backoff({ factor: 1 }), 3)).toEqual([100, 100, 100])
  })

  it('stays at maxDelay however long it goes on', () => {
    const one = backoff({ factor: 10, maxDelay: 2_147_483_647 })
    expect(failures(one, 10_000).at(-1)).toBe(2_147_483_647)
  })

  it('leaves as much of a delay to chance as jitter says', () => {
    const drawn = [0, 0.5, 0.999]
    let at = 0
    const random = () => drawn[at++]
    const delays = failures(backoff({ jitter: 0.5, factor: 1 }, random), 3)
    expect(delays).toEqual([100, 75, expect.closeTo(50.05)])
  })

  it('ends after so many attempts in a row', () => {
    expect(failures(backoff({ attempts: 3 }), 3)).toEqual([100, 300, null])
    expect(failures(backoff({ attempts: 1 }), 1)).toEqual([null])
  })

  it('begins anew after a session in which the peer spoke, or that lived for maxDelay', () => {
    for (const [heard, livedMs] of [
      [true, 0],
      [false, 1_000],
    ] as const) {
      const one = backoff({ attempts: 3 })
      failures(one, 2)
      expect(one.afterSession(heard, livedMs)).toBe(100)
      expect(one.failed).toBe(0)
      expect(failures(one, 3)).toEqual([300, 900, null])
    }
  })

  it('counts a session that was of no use as a failure', () => {
    const one = backoff({ attempts: 3 })
    expect(one.afterSession(false, 999)).toBe(100)
    expect(one.afterSession(false, 0)).toBe(300)
    expect(one.failed).toBe(2)
    expect(one.afterSession(false, 0)).toBe(null)
  })
})
