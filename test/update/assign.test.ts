// What: tests of the choice of an update thread by a key.
// Flow: assign -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { hashOf, threadOfKey } from '../../src/update/assign.ts'
import { errorOf } from '../helpers/error_of.ts'

describe('threadOfKey', () => {
  it('takes whole numbers modulo the count, also negative ones', () => {
    expect([0, 1, 2, 3, 7, -1, -3, -4].map((key) => threadOfKey(key, 3))).toEqual([
      0, 1, 2, 0, 1, 2, 0, 2,
    ])
    expect(threadOfKey(Number.MAX_SAFE_INTEGER, 64)).toBe(63)
    expect(threadOfKey(5, 1)).toBe(0)
  })

  it('gives equal texts the same thread, and spreads others', () => {
    const counts = new Array<number>(8).fill(0)
    for (let i = 0; i < 8000; i++) {
      const thread = threadOfKey(`room${i}`, 8)
      expect(threadOfKey(`room${i}`, 8)).toBe(thread)
      counts[thread]++
    }
    for (const count of counts) expect(count).toBeGreaterThan(800)
  })

  it.each([[undefined], [null], [1.5], [Number.NaN], [2 ** 53], [true], [{}], [1n]])(
    'refuses %s',
    (key) => {
      const error = errorOf(() => threadOfKey(key, 2))
      expect(error.code).toBe('ERR_ARGUMENT')
      expect(error.message).toContain(`assign() returned ${String(key)}`)
    },
  )
})

describe('hashOf', () => {
  it('is FNV-1a of 32 bits', () => {
    expect(hashOf('')).toBe(0x811c9dc5)
    expect(hashOf('a')).toBe(0xe40c292c)
    expect(hashOf('foobar')).toBe(0xbf9cf968)
  })
})
