// What: tests of a session's groups: results of join and leave, the end of all memberships, arguments.
// Flow: memberships -> this.
// Thread: main, as the content thread of several sessions.

import { describe, expect, it } from 'vitest'
import { Counter } from '../../src/layout/layout.ts'
import type { JoinOptions } from '../../src/session/handler.ts'
import { Memberships } from '../../src/session/memberships.ts'
import { GroupTable } from '../../src/shared/group_table.ts'
import { errorOf } from '../helpers/error_of.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

function sessions(groups: { max?: number; capacity?: number } = {}) {
  const arena = unitMemory({ groups }).arena(1)
  const table = new GroupTable(arena)
  const of = (slot: number) => new Memberships(table, arena, slot)
  return { table, arena, of }
}

describe('Memberships', () => {
  it('joins once, leaves once', () => {
    const { table, of } = sessions()
    const mine = of(3)
    expect(mine.names).toEqual([])
    expect(mine.join('room', undefined)).toBe('joined')
    expect(mine.join('room', undefined)).toBe('joined')
    expect(mine.join('hall', undefined)).toBe('joined')
    expect(mine.names).toEqual(['room', 'hall'])
    expect(table.info('room')).toEqual({ members: 1, capacity: 0 })
    expect(mine.leave('room')).toBe(true)
    expect(mine.leave('room')).toBe(false)
    expect(mine.leave('nowhere')).toBe(false)
    expect(mine.names).toEqual(['hall'])
    expect(table.info('room')).toBe(undefined)
  })

  it('says why not, and counts it', () => {
    const { arena, of } = sessions({ max: 2, capacity: 1 })
    const [first, second] = [of(0), of(1)]
    expect(first.join('one', undefined)).toBe('joined')
    expect(second.join('one', undefined)).toBe('full')
    expect(second.join('two', { capacity: 2 })).toBe('joined')
    expect(first.join('two', {})).toBe('joined')
    expect(second.join('three', undefined)).toBe('exhausted')
    // A member of a full group stays one.
    expect(first.join('one', undefined)).toBe('joined')
    expect(arena.counters[Counter.GROUP_FULL]).toBe(1)
    expect(arena.counters[Counter.GROUPS_EXHAUSTED]).toBe(1)
  })

  it('ends all, and keeps the names', () => {
    const { table, of } = sessions()
    const [mine, other] = [of(0), of(1)]
    for (const name of ['a', 'b']) for (const each of [mine, other]) each.join(name, undefined)
    mine.endAll()
    mine.endAll()
    expect(mine.names).toEqual(['a', 'b'])
    expect(table.info('a')).toEqual({ members: 1, capacity: 0 })
    expect(mine.join('c', undefined)).toBe('closed')
    expect(mine.join('a', undefined)).toBe('closed')
    expect(mine.leave('a')).toBe(false)
    other.endAll()
    expect(table.info('a')).toBe(undefined)
  })

  it('goes on in another thread, and is over here', () => {
    const { table, arena, of } = sessions({ capacity: 1 })
    const mine = of(3)
    mine.join('a', undefined)
    mine.join('b', undefined)
    const groups = structuredClone(mine.handOver())
    for (const name of ['a', 'c']) expect(mine.join(name, undefined)).toBe('closed')
    expect(mine.leave('a')).toBe(false)
    mine.endAll()
    expect(table.info('a')).toEqual({ members: 1, capacity: 1 })
    const there = new Memberships(table, arena, 3, groups)
    expect(there.names).toEqual(['a', 'b'])
    expect(there.join('a', undefined)).toBe('joined')
    expect(there.leave('a')).toBe(true)
    expect(table.info('a')).toBe(undefined)
    there.endAll()
    expect(table.info('b')).toBe(undefined)
  })

  it.each<[unknown, string]>([
    [{ capacity: -1 }, 'capacity is -1; it must be a whole number from 0 (no limit) to 1048575'],
    [{ capacity: 1.5 }, 'capacity is 1.5'],
    [{ capacity: '8' }, 'capacity is 8'],
    [{ capacity: 1_048_576 }, 'capacity is 1048576'],
    [8, 'join() was given 8 as options'],
    [null, 'join() was given null as options'],
  ])('refuses %j', (options, said) => {
    const { table, of } = sessions()
    const { code, message } = errorOf(() => of(0).join('room', options as JoinOptions))
    expect(code).toBe('ERR_ARGUMENT')
    expect(message).toContain(said)
    expect(table.info('room')).toBe(undefined)
  })

  it('refuses a name that is none, also after the end', () => {
    const mine = sessions().of(0)
    expect(errorOf(() => mine.join('', undefined)).code).toBe('ERR_ARGUMENT')
    expect(mine.names).toEqual([])
  })
})
