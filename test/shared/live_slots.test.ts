// What: tests of live slots: a bit for each slot, words of one worker each.
// Flow: live_slots -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { CACHE_LINE_WORDS } from '../../src/layout/layout.ts'
import { LiveSlots, liveSlotWords } from '../../src/shared/live_slots.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'

/** As a broadcast goes through them. */
function seen(slots: LiveSlots, worker: number, first: number): number[] {
  const found: number[] = []
  for (let word = 0; word < slots.slotWords; word++)
    for (let bits = slots.bits(worker, word); bits !== 0; bits &= bits - 1)
      found.push(first + 32 * word + 31 - Math.clz32(bits & -bits))
  return found
}

describe('live slots', () => {
  it.each([1, 2, 31, 32, 33, 64, 65, 1000])('are what was put there: %d of a worker', (each) => {
    const memory = unitMemory({ workers: 3, maxSessions: 3 * each })
    const random = new Random(each)
    const here = [new Set<number>(), new Set<number>(), new Set<number>()]
    const writers = here.map((_, index) => new LiveSlots(memory.arena(index + 1)))
    const reader = new LiveSlots(memory.arena(0))
    const check = () => {
      for (const [index, live] of here.entries())
        expect(seen(reader, index + 1, index * each)).toEqual([...live].sort((a, b) => a - b))
    }
    for (let slot = 0; slot < 3 * each; slot++) {
      here[Math.floor(slot / each)].add(slot)
      writers[Math.floor(slot / each)].occupy(slot)
    }
    check()
    for (let step = 0; step < 200; step++) {
      const slot = random.below(3 * each)
      const index = Math.floor(slot / each)
      if (here[index].delete(slot)) writers[index].vacate(slot)
      else {
        here[index].add(slot)
        writers[index].occupy(slot)
      }
      if (step % 20 === 0) check()
    }
    for (const [index, live] of here.entries()) for (const slot of live) writers[index].vacate(slot)
    for (const live of here) live.clear()
    check()
  })

  it('have words of one writer, on cache lines of their own', () => {
    for (const sessions of [1, 32, 511, 512, 513, 5000]) {
      const words = liveSlotWords(sessions)
      expect(words * 32).toBeGreaterThanOrEqual(sessions)
      expect(words % CACHE_LINE_WORDS).toBe(0)
    }
  })
})
