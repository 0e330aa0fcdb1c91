// What: tests of a worker's slots: oldest first, generations that never come again, retirement.
// Flow: registry -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  Counter,
  GENERATION_MAX,
  SESSION_GENERATION,
  SESSION_STATE,
  SessionState,
} from '../../src/layout/layout.ts'
import { Registry } from '../../src/session/registry.ts'
import type { LiveSession } from '../../src/session/session.ts'
import { LiveSlots } from '../../src/shared/live_slots.ts'
import { makeSessionId } from '../../src/shared/session_id.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'

function setup(thread = 1, maxSessions = 16) {
  const arena = unitMemory({ maxSessions }).arena(thread)
  const registry = new Registry(arena)
  const word = (slot: number, field: number) => arena.words[arena.sessionAt(slot) + field]
  const begin = (): LiveSession | null => {
    const slot = registry.allocate()
    if (slot === -1) return null
    const session = {
      slot,
      generation: registry.generationOf(slot),
      liveIndex: -1,
    } as unknown as LiveSession
    registry.put(session)
    return session
  }
  return { arena, registry, word, begin }
}

describe('slots', () => {
  it.each([
    [1, 16, [0, 1, 2, 3, 4, 5, 6, 7]],
    [2, 16, [8, 9, 10, 11, 12, 13, 14, 15]],
    [2, 5, [3, 4]],
    [2, 1, []],
  ])('of worker %i of 2, with %i sessions', (thread, maxSessions, slots) => {
    const { registry, begin } = setup(thread, maxSessions)
    expect(registry.capacity).toBe(slots.length)
    expect(slots.map(() => begin()?.slot)).toEqual(slots)
    expect(begin()).toBe(null)
    expect(registry.allocate()).toBe(-1)
  })

  it('are used oldest first', () => {
    const { registry, begin } = setup()
    const [a, b] = [begin(), begin()] as LiveSession[]
    registry.free(b)
    registry.free(a)
    const next = Array.from({ length: 8 }, () => begin()?.slot)
    expect(next).toEqual([2, 3, 4, 5, 6, 7, b.slot, a.slot])
  })

  it('know their sessions', () => {
    const { registry, begin } = setup(2)
    const session = begin() as LiveSession
    expect(registry.at(session.slot)).toBe(session)
    expect(registry.at(session.slot + 1)).toBeUndefined()
    expect(registry.at(0)).toBeUndefined()
    registry.free(session)
    expect(registry.at(session.slot)).toBeUndefined()
  })
})

describe('live', () => {
  it('holds every session from put to free, whatever the order', () => {
    const random = new Random(3)
    const { arena, registry, begin } = setup()
    const slots = new LiveSlots(arena)
    const expected: LiveSession[] = []
    for (let step = 0; step < 500; step++) {
      if (random.chance(50)) {
        const session = begin()
        if (session !== null) expected.push(session)
        else expect(expected).toHaveLength(8)
      } else if (expected.length > 0) {
        const [session] = expected.splice(random.below(expected.length), 1)
        registry.free(session)
      }
      expect(new Set(registry.live)).toEqual(new Set(expected))
      // The same for other threads.
      expect(slots.bits(1, 0)).toBe(expected.reduce((bits, { slot }) => bits | (1 << slot), 0))
      registry.live.forEach((session, i) => {
        expect(session.liveIndex).toBe(i)
      })
    }
  })
})

describe('generations', () => {
  it('start at 1 and go up by one', () => {
    const { registry, begin, word } = setup(2, 2)
    for (let generation = 1; generation <= 5; generation++) {
      const session = begin() as LiveSession
      expect(session.generation).toBe(generation)
      expect(registry.free(session)).toBe(true)
      expect(word(1, SESSION_GENERATION)).toBe(generation + 1)
      expect(word(1, SESSION_STATE)).toBe(SessionState.FREE)
    }
  })

  it('never make an id twice', () => {
    const { registry, begin } = setup()
    const ids = new Set<number>()
    for (let i = 0; i < 200; i++) {
      const session = begin() as LiveSession
      ids.add(makeSessionId(session.slot, session.generation))
      registry.free(session)
    }
    expect(ids.size).toBe(200)
  })

  it('go past 2^31', () => {
    const { arena, registry, begin } = setup(2, 2)
    arena.words[arena.sessionAt(1) + SESSION_GENERATION] = 2 ** 31 - 1
    for (const generation of [2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1]) {
      const session = begin() as LiveSession
      expect(session.generation).toBe(generation)
      registry.free(session)
    }
  })

  it('end: the slot is retired and counted, not used again [SESSION-2]', () => {
    const { arena, registry, begin, word } = setup(1, 4)
    arena.words[arena.sessionAt(0) + SESSION_GENERATION] = (GENERATION_MAX - 1) | 0
    const seen: number[][] = []
    for (let i = 0; i < 6; i++) {
      const session = begin() as LiveSession
      seen.push([session.slot, session.generation])
      const last = session.slot === 0 && session.generation === GENERATION_MAX
      expect(registry.free(session)).toBe(!last)
    }
    expect(seen).toEqual([
      [0, GENERATION_MAX - 1],
      [1, 1],
      [0, GENERATION_MAX],
      [1, 2],
      [1, 3],
      [1, 4],
    ])
    expect(word(0, SESSION_STATE)).toBe(SessionState.RETIRED)
    expect(word(0, SESSION_GENERATION) >>> 0).toBe(GENERATION_MAX)
    expect(arena.counters[Counter.SLOTS_RETIRED]).toBe(1)
    expect(registry.live).toEqual([])
  })
})
