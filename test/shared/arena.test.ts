// What: tests of a thread's view of the two memories.
// Flow: arena -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  CONTROL_ARENA_BYTES,
  CONTROL_COUNTERS_AT,
  CONTROL_SESSIONS_AT,
  CONTROL_THREADS_AT,
  COUNTER_COUNT,
  Counter,
  SESSION_WORDS,
  THREAD_WORDS,
} from '../../src/layout/layout.ts'
import { Arena, COUNTERS_STRIDE, type Plan, readPlan, writePlan } from '../../src/shared/arena.ts'
import { RUNTIME, SMALL, unitMemory } from '../helpers/unit_memory.ts'

describe('Arena', () => {
  it('reads the plan from the head of the control memory', () => {
    const { words, arena } = unitMemory()
    const { plan } = arena(1)
    expect(plan).toEqual(readPlan(words))
    expect(plan.workerCount).toBe(SMALL.workers)
    expect(plan.threadCount).toBe(SMALL.workers + 2)
    expect(plan.sessionCapacity).toBe(SMALL.maxSessions)
    expect(plan.chunkBytes).toBe(SMALL.chunkBytes)
    expect(plan.recvBuffersPerWorker).toBe(SMALL.receiveBuffers)
    expect(plan.arenaBytes).toBe(words[CONTROL_ARENA_BYTES])
    for (const [name, value] of Object.entries(plan))
      expect(typeof value === 'boolean' || (Number.isInteger(value) && value >= 0), name).toBe(true)
  })

  it('reads what was written, every word of it', () => {
    const { words, arena } = unitMemory()
    const fields = Object.entries(arena(1).plan)
    const flags = fields.filter(([, value]) => typeof value === 'boolean').map(([name]) => name)
    expect(flags).not.toEqual([])
    for (const flag of flags) {
      const plan = Object.fromEntries(
        fields.map(([name], at) => [name, flags.includes(name) ? name === flag : 100 + at]),
      ) as unknown as Plan
      writePlan(words, plan)
      expect(readPlan(words)).toEqual(plan)
    }
  })

  it('finds thread blocks and session slots', () => {
    const { words, arena } = unitMemory()
    const view = arena(0)
    expect(view.threadAt(0)).toBe(words[CONTROL_THREADS_AT])
    expect(view.threadAt(3) - view.threadAt(2)).toBe(THREAD_WORDS)
    expect(view.sessionAt(0)).toBe(words[CONTROL_SESSIONS_AT])
    expect(view.sessionAt(15) - view.sessionAt(14)).toBe(SESSION_WORDS)
  })

  it('gives every thread counters of its own', () => {
    const { words, memories, arena } = unitMemory()
    const all = new Float64Array(
      memories.control,
      4 * words[CONTROL_COUNTERS_AT],
      4 * COUNTERS_STRIDE,
    )
    for (let thread = 0; thread < 4; thread++) arena(thread).counters[Counter.TURNS] = thread + 1
    expect([0, 1, 2, 3].map((thread) => all[thread * COUNTERS_STRIDE])).toEqual([1, 2, 3, 4])
    expect(arena(1).counters).toHaveLength(COUNTER_COUNT)
    expect(COUNTERS_STRIDE % 8).toBe(0)
  })

  it('sees the same bytes by every view, also of another thread', () => {
    const { arena, memories } = unitMemory()
    const [one, two] = [arena(1), arena(2)]
    one.bytes[100] = 77
    two.buffer.write('hello', 200)
    expect(two.bytes[100]).toBe(77)
    expect(one.buffer.toString('utf8', 200, 205)).toBe('hello')
    expect(new Uint8Array(memories.arena)[100]).toBe(77)
    expect(one.aliasRange(99, 3)).toEqual(new Uint8Array([0, 77, 0]))
    expect(one.bytes).toHaveLength(one.plan.arenaBytes)
    expect(one.buffer).toHaveLength(one.plan.arenaBytes)
  })

  it('asks for the alias of its runtime, by offset and length', () => {
    const { arena, aliased } = unitMemory()
    const view = arena(1)
    view.aliasRange(4096, 10)
    expect(aliased).toEqual([
      [0, SMALL.arenaBytes],
      [4096, 10],
    ])
  })

  it('takes the external memory where there is one', () => {
    const { memories } = unitMemory()
    const external = new ArrayBuffer(SMALL.arenaBytes)
    const asked: unknown[][] = []
    const binding = {
      aliasArena: (...args: unknown[]) => {
        asked.push(args.slice(0, 3))
        return external
      },
    }
    const arena = new Arena(binding, memories, 1)
    expect(asked).toEqual([[RUNTIME, 0, SMALL.arenaBytes]])
    expect(arena.bytes.buffer).toBe(external)
    expect(arena.buffer.buffer).toBe(external)
    arena.bytes[3] = 9
    expect(arena.buffer[3]).toBe(9)
  })
})
