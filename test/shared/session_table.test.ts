// What: tests of pins: refused for a stale generation, and the last one hands the slot to its owner.
// Flow: session_table -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  GENERATION_MAX,
  IO_RELEASED,
  SESSION_GENERATION,
  SESSION_IO_COUNT,
  SESSION_RELEASE_LINK,
  THREAD_PARKED,
  THREAD_RELEASE_HEAD,
} from '../../src/layout/layout.ts'
import { open, release } from '../../src/shared/io_count.ts'
import { takeAll } from '../../src/shared/link_stack.ts'
import { makeSessionId } from '../../src/shared/session_id.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

/** Slots 0 to 7 belong to worker 1, 8 to 15 to worker 2. */
function setup() {
  const memory = unitMemory()
  const { arena, waker, table } = memory.thread(0)
  const { words } = arena
  const countAt = (slot: number) => arena.sessionAt(slot) + SESSION_IO_COUNT
  const begin = (slot: number, generation: number) => {
    words[arena.sessionAt(slot) + SESSION_GENERATION] = generation
    open(words, countAt(slot))
    return makeSessionId(slot, generation)
  }
  const released = (thread: number) => {
    const slots: number[] = []
    let entry = takeAll(words, arena.threadAt(thread) + THREAD_RELEASE_HEAD)
    for (; entry !== 0; entry = words[arena.sessionAt(entry - 1) + SESSION_RELEASE_LINK])
      slots.push(entry - 1)
    return slots
  }
  const park = (thread: number) => {
    words[arena.threadAt(thread) + THREAD_PARKED] = 1
  }
  return { ...memory, arena, waker, table, begin, countAt, released, park }
}

describe('pin', () => {
  it('counts, and unpin counts back', () => {
    const { table, begin, words, countAt, released } = setup()
    const id = begin(3, 5)
    expect(table.pin(id)).toBe(3)
    expect(words[countAt(3)]).toBe(2)
    table.unpin(3)
    expect(words[countAt(3)]).toBe(1)
    expect(released(1)).toEqual([])
  })

  it.each([1, 2 ** 31 - 1, 2 ** 31, GENERATION_MAX])('finds generation %i', (generation) => {
    const { table, begin } = setup()
    expect(table.pin(begin(0, generation))).toBe(0)
  })

  it('refuses a stale or a future generation, and leaves the count as it was', () => {
    const { table, begin, words, countAt } = setup()
    begin(3, 5)
    for (const generation of [1, 4, 6, GENERATION_MAX]) {
      expect(table.pin(makeSessionId(3, generation))).toBe(-1)
      expect(table.pinSlot(3, generation)).toBe(false)
    }
    expect(words[countAt(3)]).toBe(1)
  })

  it('refuses a slot that never had a session, a released one, and one outside the table', () => {
    const { table, begin, words, countAt } = setup()
    expect(table.pin(makeSessionId(4, 1))).toBe(-1)
    const id = begin(3, 5)
    expect(release(words, countAt(3))).toBe(true)
    expect(table.pin(id)).toBe(-1)
    expect(table.pinOpen(3)).toBe(false)
    expect(words[countAt(3)]).toBe(IO_RELEASED)
    expect(table.pin(makeSessionId(16, 1))).toBe(-1)
    expect(table.pin(makeSessionId(1_048_575, 1))).toBe(-1)
  })

  it('pins whatever a slot holds, when asked so', () => {
    const { table, begin, words, countAt } = setup()
    begin(9, 77)
    expect(table.pinOpen(9)).toBe(true)
    expect(words[countAt(9)]).toBe(2)
  })
})

describe('the last unpin', () => {
  it('pushes the slot to its owner and marks it [IOCOUNT-3]', () => {
    const { table, begin, words, countAt, released, waker, park, signals } = setup()
    const ids = [begin(3, 5), begin(8, 1), begin(15, 2)]
    for (const id of ids) table.pin(id)
    for (const slot of [3, 8, 15]) expect(release(words, countAt(slot))).toBe(false)
    park(1)
    park(2)
    for (const slot of [3, 8, 15]) table.unpin(slot)
    for (const slot of [3, 8, 15]) expect(words[countAt(slot)]).toBe(IO_RELEASED)
    expect(released(1)).toEqual([3])
    expect(released(2)).toEqual([15, 8])
    expect(signals).toEqual([])
    waker.flush()
    expect(signals.toSorted()).toEqual([1, 2])
  })

  it('is not one while the base or another pin is held', () => {
    const { table, begin, words, countAt, released, waker, park, signals } = setup()
    const id = begin(3, 5)
    table.pin(id)
    table.pin(id)
    park(1)
    table.unpin(3)
    expect(release(words, countAt(3))).toBe(false)
    expect(released(1)).toEqual([])
    waker.flush()
    expect(signals).toEqual([])
    table.unpin(3)
    expect(released(1)).toEqual([3])
  })

  it('may be that of a stale pin, for the session that the slot holds now', () => {
    const { table, begin, words, countAt, released } = setup()
    begin(3, 5)
    // Between the stale pin's exchange and its comparison the base goes.
    table.pinOpen(3)
    expect(release(words, countAt(3))).toBe(false)
    table.unpin(3)
    expect(released(1)).toEqual([3])
    expect(table.pin(makeSessionId(3, 5))).toBe(-1)
  })
})
