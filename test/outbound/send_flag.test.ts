// What: tests of the send flag: one winner, cleared.
// Flow: send_flag -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { clear, tryWin } from '../../src/outbound/send_flag.ts'

const FLAG = 1

describe('send_flag', () => {
  it('has one winner until it is cleared', () => {
    const words = new Int32Array(new SharedArrayBuffer(12))
    expect(tryWin(words, FLAG, 0)).toBe(true)
    expect([...words]).toEqual([0, 1, 0])
    for (const thread of [0, 1, 2]) expect(tryWin(words, FLAG, thread)).toBe(false)
    expect(words[FLAG]).toBe(1)
    expect(clear(words, FLAG)).toBe(true)
    expect([...words]).toEqual([0, 0, 0])
    expect(clear(words, FLAG)).toBe(false)
    expect(tryWin(words, FLAG, 2)).toBe(true)
    expect(words[FLAG]).toBe(3)
  })
})
