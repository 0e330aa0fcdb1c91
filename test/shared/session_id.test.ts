// What: tests of session ids: slot and generation, there and back.
// Flow: session_id -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { GENERATION_MAX, SESSIONS_MAX } from '../../src/layout/layout.ts'
import { generationOf, isSessionId, makeSessionId, slotOf } from '../../src/shared/session_id.ts'

const SLOTS = [0, 1, 12_345, SESSIONS_MAX - 1, SESSIONS_MAX]
const GENERATIONS = [1, 2, 2 ** 31 - 1, 2 ** 31, GENERATION_MAX - 1, GENERATION_MAX]

describe('session_id', () => {
  it('comes apart into what it was made of, and is different for each', () => {
    const ids = new Set<number>()
    for (const slot of SLOTS) {
      for (const generation of GENERATIONS) {
        const id = makeSessionId(slot, generation)
        expect(slotOf(id)).toBe(slot)
        expect(generationOf(id)).toBe(generation)
        expect(isSessionId(id)).toBe(true)
        expect(Number.isSafeInteger(id)).toBe(true)
        ids.add(id)
      }
    }
    expect(ids.size).toBe(SLOTS.length * GENERATIONS.length)
  })

  it.each([
    0,
    -1,
    SESSIONS_MAX,
    makeSessionId(SESSIONS_MAX, 0),
    makeSessionId(0, GENERATION_MAX + 1),
    -makeSessionId(1, 1),
    makeSessionId(1, 1) + 0.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 53,
    '1048577',
    1_048_577n,
    null,
    undefined,
    {},
  ])('%s is none', (id) => {
    expect(isSessionId(id)).toBe(false)
  })

  it('takes the smallest and the largest', () => {
    expect(isSessionId(makeSessionId(0, 1))).toBe(true)
    expect(isSessionId(makeSessionId(0, 1) - 1)).toBe(false)
    expect(isSessionId(makeSessionId(SESSIONS_MAX, GENERATION_MAX))).toBe(true)
    expect(isSessionId(makeSessionId(SESSIONS_MAX, GENERATION_MAX) + 1)).toBe(false)
  })
})
