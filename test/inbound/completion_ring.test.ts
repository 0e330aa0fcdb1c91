// What: tests of the consumer half of a completion ring, with a producer as the driver's.
// Flow: completion_ring -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { CompletionRing } from '../../src/inbound/completion_ring.ts'
import {
  COMPLETION_RESULT,
  COMPLETION_WORDS,
  THREAD_COMPLETION_HEAD,
  THREAD_COMPLETION_TAIL,
} from '../../src/layout/layout.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'

const CAPACITY = 8

function setup(thread = 2) {
  const arena = unitMemory({}, { completionCapacity: CAPACITY }).arena(thread)
  const { words } = arena
  const ring = new CompletionRing(arena)
  const start = arena.plan.completionsAt + (thread - 1) * CAPACITY * COMPLETION_WORDS
  const [headAt, tailAt] = [THREAD_COMPLETION_HEAD, THREAD_COMPLETION_TAIL].map(
    (word) => arena.threadAt(thread) + word,
  )
  let next = 0
  return {
    ring,
    space: () => CAPACITY - (next - words[headAt]),
    claim: (result: number) => {
      words[start + (next % CAPACITY) * COMPLETION_WORDS + COMPLETION_RESULT] = result
      next++
    },
    commit: () => {
      words[tailAt] = next
    },
    read: () => {
      const at = ring.next()
      if (at === -1) return -1
      const entry = (at - start) / COMPLETION_WORDS
      if (![0, 1, 2, 3, 4, 5, 6, 7].includes(entry)) throw new Error(`entry ${entry}`)
      return words[at + COMPLETION_RESULT]
    },
  }
}

describe('CompletionRing', () => {
  it('has nothing at first', () => {
    const { read } = setup()
    expect(read()).toBe(-1)
    expect(read()).toBe(-1)
  })

  it('gives what was committed, in order, and nothing that was only claimed [COMPLETION-1]', () => {
    const { read, claim, commit } = setup()
    claim(10)
    claim(11)
    expect(read()).toBe(-1)
    commit()
    claim(12)
    expect([read(), read(), read()]).toEqual([10, 11, -1])
    commit()
    expect([read(), read()]).toEqual([12, -1])
  })

  it('gives room back once a batch is handled [COMPLETION-2]', () => {
    const { read, claim, commit, space } = setup()
    for (let i = 0; i < CAPACITY; i++) claim(i)
    commit()
    expect(space()).toBe(0)
    for (let i = 0; i < CAPACITY; i++) expect(read()).toBe(i)
    // The last one may still be looked at.
    expect(space()).toBe(0)
    expect(read()).toBe(-1)
    expect(space()).toBe(CAPACITY)
  })

  it('goes round and round', () => {
    const random = new Random(1)
    const { read, claim, commit, space } = setup(1)
    let written = 0
    let seen = 0
    for (let step = 0; step < 1000; step++) {
      for (let i = random.below(space() + 1); i > 0; i--) claim(written++)
      commit()
      for (let value = read(); value !== -1; value = read())
        if (value !== seen++) throw new Error(`${value} came as completion ${seen - 1}`)
      expect(seen).toBe(written)
    }
    expect(written).toBeGreaterThan(100 * CAPACITY)
  })
})
