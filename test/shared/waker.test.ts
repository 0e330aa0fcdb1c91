// What: tests of the waker: a signal for a thread that said it sleeps, once per batch.
// Flow: waker -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { Counter, THREAD_DOORBELL, THREAD_PARKED } from '../../src/layout/layout.ts'
import { Waker } from '../../src/shared/waker.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

function setup() {
  const memory = unitMemory()
  const arena = memory.arena(0)
  const waker = new Waker(arena, memory.binding)
  const park = (thread: number) => {
    arena.words[arena.threadAt(thread) + THREAD_PARKED] = 1
  }
  const parked = (thread: number) => arena.words[arena.threadAt(thread) + THREAD_PARKED]
  const answering = new Waker(memory.arena(1), memory.binding)
  return { arena, waker, park, parked, answering, signals: memory.signals }
}

describe('Waker', () => {
  it('signals a parked thread and takes its word [WAKE-1]', () => {
    const { arena, waker, park, parked, signals } = setup()
    park(1)
    waker.mark(1)
    expect(signals).toEqual([])
    waker.flush()
    expect(signals).toEqual([1])
    expect(parked(1)).toBe(0)
    expect(arena.counters[Counter.WAKES_SENT]).toBe(1)
  })

  it('does not signal a thread that is awake', () => {
    const { arena, waker, signals } = setup()
    waker.mark(1)
    waker.flush()
    expect(signals).toEqual([])
    expect(arena.counters[Counter.WAKES_SENT]).toBe(0)
  })

  it('does not signal who is not marked', () => {
    const { waker, park, parked, signals } = setup()
    park(1)
    park(2)
    waker.mark(2)
    waker.flush()
    expect(signals).toEqual([2])
    expect(parked(1)).toBe(1)
  })

  it('signals once per batch, and again in the next', () => {
    const { waker, park, signals } = setup()
    park(2)
    for (let i = 0; i < 5; i++) waker.mark(2)
    waker.flush()
    waker.flush()
    expect(signals).toEqual([2])
    waker.mark(2)
    waker.flush()
    expect(signals).toEqual([2])
    park(2)
    waker.mark(2)
    waker.flush()
    expect(signals).toEqual([2, 2])
  })

  it('signals every marked thread that sleeps, itself and main included', () => {
    const { waker, park, signals } = setup()
    for (const thread of [0, 1, 2, 3]) {
      if (thread !== 3) park(thread)
      waker.mark(thread)
    }
    waker.flush()
    expect(signals.toSorted()).toEqual([0, 1, 2])
  })

  it('rings a doorbell, which is answered once for all that rang before [BELL-1]', () => {
    const { arena, waker, park, signals, answering } = setup()
    expect(answering.answerBell()).toBe(false)
    park(1)
    waker.ringBell(1)
    waker.ringBell(1)
    expect(arena.words[arena.threadAt(1) + THREAD_DOORBELL]).toBe(1)
    waker.flush()
    expect(signals).toEqual([1])
    expect(answering.answerBell()).toBe(true)
    expect(answering.answerBell()).toBe(false)
    waker.ringBell(1)
    expect(answering.answerBell()).toBe(true)
  })
})
