// What: tests of the intrusive stack: what is pushed comes out once, newest first.
// Flow: link_stack -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { push, takeAll } from '../../src/shared/link_stack.ts'

const HEAD = 0

/** Entry n has its link at word n. */
function walk(words: Int32Array, first: number): number[] {
  const found: number[] = []
  for (let entry = first; entry !== 0; entry = words[entry]) found.push(entry)
  return found
}

describe('link_stack', () => {
  it('has nothing to take when it is empty, and is left as it was', () => {
    const words = new Int32Array(new SharedArrayBuffer(64))
    expect(takeAll(words, HEAD)).toBe(0)
    expect([...words]).toEqual(new Array(16).fill(0))
  })

  it('gives every entry once, newest first [STACK-2]', () => {
    const words = new Int32Array(new SharedArrayBuffer(64))
    for (const entry of [3, 1, 7]) expect(push(words, HEAD, entry, entry)).toBe(0)
    expect(walk(words, takeAll(words, HEAD))).toEqual([7, 1, 3])
    expect(takeAll(words, HEAD)).toBe(0)
  })

  it('ends the list of a reused entry, whatever its link word held [STACK-1]', () => {
    const words = new Int32Array(new SharedArrayBuffer(64))
    words[5] = 99
    push(words, HEAD, 5, 5)
    expect(walk(words, takeAll(words, HEAD))).toEqual([5])
    push(words, HEAD, 5, 5)
    push(words, HEAD, 6, 6)
    expect(walk(words, takeAll(words, HEAD))).toEqual([6, 5])
  })

  it('touches the head and the link of what is pushed, nothing else', () => {
    const words = new Int32Array(new SharedArrayBuffer(64)).fill(-1)
    words[HEAD] = 0
    push(words, HEAD, 4, 9)
    expect(words[HEAD]).toBe(9)
    expect(words[4]).toBe(0)
    words[4] = words[HEAD] = -1
    expect([...words]).toEqual(new Array(16).fill(-1))
  })
})
