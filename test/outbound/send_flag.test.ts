// What: tests of the send flag: one winner, taken over, cleared.
// Flow: send_flag -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { clear, takeOver, tryWin } from '../../src/outbound/send_flag.ts'

const FLAG = 1

describe('send_flag', () => {
  it('has one winner until it is cleared', () => {
    const words = new Int32Array(new SharedArrayBuffer(12))
    expect(tryWin(words, FLAG, 0)).toBe(true)
    expect([...words]).toEqual([0, 1, 0])
    for (const thread of [0, 1, 2]) expect(tryWin(words, FLAG, thread)).toBe(false)
    expect(words[FLAG]).toBe(1)
    clear(words, FLAG)
    expect([...words]).toEqual([0, 0, 0])
    expect(tryWin(words, FLAG, 2)).toBe(true)
    expect(words[FLAG]).toBe(3)
  })

  it('names the thread that took it over, also thread 0 as somebody', () => {
    const words = new Int32Array(new SharedArrayBuffer(12))
    tryWin(words, FLAG, 0)
    takeOver(words, FLAG, 5)
    expect([...words]).toEqual([0, 6, 0])
    expect(tryWin(words, FLAG, 5)).toBe(false)
    clear(words, FLAG)
    expect(words[FLAG]).toBe(0)
  })
})
