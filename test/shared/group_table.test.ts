// What: tests of groups in shared memory: directory, members, capacity, entries that are used again, names.
// Flow: group_table -> this.
// Thread: main, as several threads of a runtime.

import { describe, expect, it } from 'vitest'
import {
  GROUP_DIRECTORY_ALIVE,
  GROUP_DIRECTORY_LOCK,
  GROUP_GENERATION,
  GROUP_MEMBERS,
  SESSION_GENERATION,
  SESSION_IO_COUNT,
} from '../../src/layout/layout.ts'
import { type Group, GroupTable } from '../../src/shared/group_table.ts'
import { open } from '../../src/shared/io_count.ts'
import { errorOf } from '../helpers/error_of.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'

function tables(max: number, capacity = 0, maxSessions = 100) {
  const memory = unitMemory({ maxSessions, groups: { max, capacity } })
  const table = (thread: number) => new GroupTable(memory.arena(thread))
  const { groupsAt } = memory.arena(0).plan
  const alive = () => memory.words[groupsAt + GROUP_DIRECTORY_ALIVE]
  return { memory, words: memory.words, groupsAt, alive, first: table(1), second: table(2), table }
}

/** Joins; fails when that is refused. */
function joined(table: GroupTable, name: string, slot: number, capacity?: number): Group {
  const group = table.addMember(name, slot, capacity)
  if (typeof group === 'string') throw new Error(group)
  return group
}

function slotsOf(table: GroupTable, group: Group): number[] {
  const slots: number[] = []
  for (let word = 0; word < table.slotWords; word++) {
    for (let slot = 32 * word; slot < 32 * word + 32; slot++)
      if ((table.bits(group, word) >>> (slot & 31)) & 1) slots.push(slot)
  }
  return slots
}

describe('groups', () => {
  it('are made by the first member and end with the last one [GROUP-2]', () => {
    const { first, second, alive } = tables(4)
    expect(second.lookUp('room')).toBe(undefined)
    const group = joined(first, 'room', 3)
    expect(alive()).toBe(1)
    expect(second.info('room')).toEqual({ members: 1, capacity: 0 })
    const same = joined(second, 'room', 99)
    expect(same).toMatchObject({ at: group.at, generation: group.generation })
    expect(slotsOf(first, group)).toEqual([3, 99])
    first.removeMember(group, 3)
    expect(slotsOf(first, group)).toEqual([99])
    expect(second.info('room')).toEqual({ members: 1, capacity: 0 })
    second.removeMember(same, 99)
    expect(alive()).toBe(0)
    expect(first.lookUp('room')).toBe(undefined)
    expect(first.info('room')).toBe(undefined)
  })

  it('have a generation that is odd while there is a group [GROUP-1]', () => {
    const { first, words } = tables(1)
    for (let round = 0; round < 3; round++) {
      const group = joined(first, 'room', 0)
      expect(words[group.at + GROUP_GENERATION]).toBe(2 * round + 1)
      expect(first.isAlive(group)).toBe(true)
      first.removeMember(group, 0)
      expect(words[group.at + GROUP_GENERATION]).toBe(2 * round + 2)
      expect(first.isAlive(group)).toBe(false)
      expect(words[group.at + GROUP_MEMBERS]).toBe(0)
    }
  })

  it('go on over the end of the generations', () => {
    const { first, second, words } = tables(1)
    const group = joined(first, 'room', 0)
    first.removeMember(group, 0)
    words[group.at + GROUP_GENERATION] = 2 ** 31 - 2
    for (const generation of [2 ** 31 - 1, -(2 ** 31) + 1]) {
      const next = joined(first, 'room', 0)
      expect(next.generation).toBe(generation)
      expect(second.lookUp('room')?.generation).toBe(generation)
      first.removeMember(next, 0)
    }
  })

  it('have as many members as their capacity says [GROUP-6]', () => {
    const { first, second } = tables(4, 2)
    const room = joined(first, 'room', 0)
    joined(second, 'room', 1)
    expect(first.addMember('room', 2)).toBe('full')
    // The first join says the capacity.
    expect(second.addMember('room', 2, 100)).toBe('full')
    first.removeMember(room, 0)
    joined(second, 'room', 2)
    expect(second.info('room')).toEqual({ members: 2, capacity: 2 })
    joined(first, 'hall', 0, 0)
    for (let slot = 1; slot < 100; slot++) joined(second, 'hall', slot, 1)
    expect(first.info('hall')).toEqual({ members: 100, capacity: 0 })
  })

  it('are as many as there may be', () => {
    const { first, second } = tables(2)
    const a = joined(first, 'a', 0)
    joined(first, 'b', 0)
    expect(second.addMember('c', 1)).toBe('exhausted')
    joined(second, 'b', 1)
    first.removeMember(a, 0)
    joined(second, 'c', 1)
    expect(first.addMember('a', 0)).toBe('exhausted')
  })

  it('use entries again with no bit set, the one that was free for longest [GROUP-3]', () => {
    const { first } = tables(3)
    const groups = ['a', 'b', 'c'].map((name, slot) => joined(first, name, slot))
    for (const index of [1, 0, 2]) first.removeMember(groups[index], index)
    const again = ['d', 'e', 'f'].map((name) => joined(first, name, 50))
    expect(again.map(({ at }) => at)).toEqual([1, 0, 2].map((index) => groups[index].at))
    for (const group of again) expect(slotsOf(first, group)).toEqual([50])
  })

  it('are found by who has met another group in the entry', () => {
    const { first, second } = tables(1)
    const old = joined(first, 'old', 0)
    expect(second.lookUp('old')).toEqual(old)
    first.removeMember(old, 0)
    joined(first, 'new', 1)
    expect(second.lookUp('old')).toBe(undefined)
    expect(second.info('new')).toEqual({ members: 1, capacity: 0 })
    expect(second.addMember('old', 2)).toBe('exhausted')
    expect(second.isMember(old, 1)).toBe(false)
  })

  it('release the lock, and give back that of a thread that was lost [LOCK-3]', () => {
    const { words, groupsAt, table, first } = tables(2)
    joined(first, 'a', 0)
    expect(words[groupsAt + GROUP_DIRECTORY_LOCK]).toBe(0)
    words[groupsAt + GROUP_DIRECTORY_LOCK] = 3
    table(0).lost(1)
    expect(words[groupsAt + GROUP_DIRECTORY_LOCK]).toBe(3)
    table(0).lost(2)
    expect(words[groupsAt + GROUP_DIRECTORY_LOCK]).toBe(0)
  })

  it('pin members, and nobody else [GROUP-5]', () => {
    const { memory, words, first } = tables(1)
    const { arena, table } = memory.thread(0)
    const groups = new GroupTable(arena)
    const count = (slot: number) => arena.sessionAt(slot) + SESSION_IO_COUNT
    for (const slot of [0, 1]) {
      words[arena.sessionAt(slot) + SESSION_GENERATION] = 1
      open(words, count(slot))
    }
    const group = joined(first, 'room', 0)
    expect(groups.pinMember(group, 0, table)).toBe(true)
    expect(words[count(0)]).toBe(2)
    table.unpin(0)
    // Not in it; not there at all.
    for (const slot of [1, 2]) expect(groups.pinMember(group, slot, table)).toBe(false)
    // Another group has the entry.
    first.removeMember(group, 0)
    joined(first, 'other', 0)
    expect(groups.pinMember(group, 0, table)).toBe(false)
    expect([words[count(0)], words[count(1)], words[count(2)]]).toEqual([1, 1, 0])
  })
})

describe('names', () => {
  it.each([
    'a',
    'abcd',
    'x'.repeat(64),
    'é'.repeat(32),
    '😀'.repeat(16),
    'all',
    '__proto__',
    ' ',
    '\0',
  ])('%j', (name) => {
    const { first, second } = tables(2)
    const group = joined(first, name, 5)
    expect(second.lookUp(name)?.at).toBe(group.at)
    expect(joined(second, `${[...name].slice(1).join('')}.`, 6).at).not.toBe(group.at)
  })

  it.each<[unknown, string]>([
    ['', '""'],
    ['x'.repeat(65), `"${'x'.repeat(65)}"`],
    ['é'.repeat(33), 'é'],
    ['\ud800', '"\\ud800"'],
    ['x'.repeat(10_000), 'xxx'],
    [5, '5'],
    [undefined, 'undefined'],
    [null, 'null'],
  ])('%j is none', (name, shown) => {
    const { first } = tables(1)
    for (const use of [
      () => first.addMember(name as string, 0),
      () => first.lookUp(name as string),
      () => first.info(name as string),
    ]) {
      const { code, message } = errorOf(use)
      expect(code).toBe('ERR_ARGUMENT')
      expect(message).toContain(`the group is `)
      expect(message).toContain(shown)
      expect(message).toContain('it must be text of 1 to 64 bytes of UTF-8')
      expect(message.length).toBeLessThan(200)
    }
    // The lock is free.
    joined(first, 'a', 0)
  })
})

describe('a campaign', () => {
  it.each([1, 2, 3, 4, 5])('is as a simple one would have it, seed %i', (seed) => {
    const random = new Random(seed)
    const capacity = random.below(3)
    const max = random.between(1, 6)
    const { table, alive } = tables(max, capacity, 64)
    const threads = [1, 2].map((thread) => table(thread))
    const main = table(0)
    const wanted = new Map<string, Set<number>>()
    const held = new Map<string, Group>()
    const names = Array.from({ length: 8 }, (_, i) => `group ${i}`)
    for (let step = 0; step < 3000; step++) {
      const name = random.pick(names)
      const slot = random.below(64)
      const thread = threads[slot & 1]
      const members = wanted.get(name)
      const group = held.get(`${name} ${slot}`)
      if (group !== undefined) {
        thread.removeMember(group, slot)
        held.delete(`${name} ${slot}`)
        members?.delete(slot)
        if (members?.size === 0) wanted.delete(name)
      } else {
        const result = thread.addMember(name, slot)
        if (members === undefined && wanted.size === max) expect(result).toBe('exhausted')
        else if (members !== undefined && capacity > 0 && members.size >= capacity)
          expect(result).toBe('full')
        else {
          held.set(`${name} ${slot}`, result as Group)
          wanted.set(name, (members ?? new Set()).add(slot))
        }
      }
      expect(alive()).toBe(wanted.size)
      const looked = random.pick(names)
      const expected = wanted.get(looked)
      expect(main.info(looked)).toEqual(
        expected === undefined ? undefined : { members: expected.size, capacity },
      )
      const found = main.lookUp(looked)
      if (found !== undefined)
        expect(slotsOf(main, found)).toEqual([...(expected ?? [])].sort((a, b) => a - b))
    }
  })
})
