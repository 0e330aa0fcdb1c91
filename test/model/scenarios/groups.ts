// What: models of groups: made and ended by several threads, joined to the brim, looked for, sent to.
// Flow: group_table, session_table -> this -> protocols.test.ts.
// Thread: a model's threads.

import {
  GROUP_DIRECTORY_ALIVE,
  GROUP_DIRECTORY_WORDS,
  SESSION_IO_COUNT,
  THREAD_RELEASE_HEAD,
} from '../../../src/layout/layout.ts'
import { load, store } from '../../../src/shared/atomics.ts'
import { type Group, GroupTable } from '../../../src/shared/group_table.ts'
import { open, release } from '../../../src/shared/io_count.ts'
import { takeAll } from '../../../src/shared/link_stack.ts'
import type { Model, Scenario } from '../explore.ts'
import { awaitEdge, check, waitWhile } from '../ops.ts'
import { World } from '../world.ts'

/** Names that meet in one bucket of 16. */
const A = 'a'
const B = 'e'
const C = 'z'
/** Of another bucket. */
const ELSEWHERE = 'b'

/** A lock of one operation each way; the real one has models of its own. */
class ModelLock {
  readonly #words: Int32Array
  readonly #index: number

  constructor(world: World) {
    this.#words = world.words
    this.#index = world.outside(1)
  }

  /** As the world begins. */
  prepare(): void {
    store(this.#words, this.#index, 1)
  }

  acquire(): void {
    awaitEdge(this.#words, this.#index)
  }

  release(): void {
    store(this.#words, this.#index, 1)
  }

  releaseLost(): void {}
}

/** What a content thread has: its table, and what it knows of its memberships. */
class Content {
  readonly table: GroupTable
  readonly #slot: number
  entered: Group | null = null

  constructor(world: World, thread: number, slot: number) {
    this.table = new GroupTable(world.arena(thread), new ModelLock(world))
    this.#slot = slot
  }

  enters(name: string, capacity?: number): string {
    const joined = this.table.addMember(name, this.#slot, capacity)
    if (typeof joined === 'string') return joined
    check(this.table.isMember(joined, this.#slot), 'GROUP-2: a group that has a member stays')
    this.entered = joined
    return 'joined'
  }

  isIn(): boolean {
    return this.table.isMember(this.entered as Group, this.#slot)
  }

  exits(): void {
    this.table.removeMember(this.entered as Group, this.#slot)
    this.entered = null
  }
}

/** Nobody is in any group, nothing is locked, every entry is free. */
function checkEmpty(world: World, groupMax: number): void {
  const { words } = world
  const { groupsAt } = world.arena(0).plan
  check(words[groupsAt + GROUP_DIRECTORY_ALIVE] === 0, 'GROUP-2: the last one out ends the group')
  for (let bucket = 0; bucket < 16; bucket++)
    check(words[groupsAt + GROUP_DIRECTORY_WORDS + bucket] === 0, 'GROUP-2: no group is left')
  const table = new GroupTable(world.arena(1), new ModelLock(world))
  for (let i = 0; i < groupMax; i++) {
    const group = table.addMember(`${i}`, 0)
    check(typeof group === 'object', 'GROUP-3: every entry can be used')
    for (let word = 0; word < table.slotWords; word++)
      check(table.bits(group, word) === 1 << 0, 'GROUP-3: of a new group only its member is set')
  }
  check(table.addMember('more', 0) === 'exhausted', 'GROUP-3: an entry is free once')
}

/** Each thread enters and exits groups of these names; a resident is in A and exits first. */
function comings(
  name: string,
  groupMax: number,
  plans: readonly (readonly string[])[],
  mustJoin: boolean,
  hasResident = false,
): Scenario {
  const world = new World({ workers: 2, sessionsPerWorker: 2, groupMax })
  return {
    name,
    invariants: ['GROUP-1', 'GROUP-2', 'GROUP-3'],
    words: world.words,
    build() {
      world.reset()
      new ModelLock(world).prepare()
      const said: string[] = []
      const resident = new Content(world, 0, 0)
      if (hasResident) resident.enters(A)
      const come = (thread: number) => {
        const content = thread === 0 ? resident : new Content(world, thread, thread)
        if (content.entered !== null) content.exits()
        for (const wanted of plans[thread]) {
          const result = content.enters(wanted)
          said.push(`${thread}${result[0]}`)
          check(result === 'joined' || !mustJoin, 'GROUP-2: there is room for everybody')
          if (result !== 'joined') continue
          check(
            content.table.lookUp(wanted)?.at === content.entered?.at,
            'GROUP-2: there is one group of a name',
          )
          content.exits()
        }
      }
      const threads: Record<string, () => void> = {
        first() {
          come(0)
        },
        second() {
          come(1)
        },
      }
      return {
        threads,
        outcome: () => said.join(),
        check() {
          checkEmpty(world, groupMax)
        },
      }
    },
  }
}

/** Two sessions, and residents, of a group with room for one less. */
function brim(name: string, capacity: number, residents: number): Scenario {
  const world = new World({ workers: 2, sessionsPerWorker: 2, groupCapacity: capacity })
  return {
    name,
    invariants: ['GROUP-2', 'GROUP-6'],
    words: world.words,
    build() {
      world.reset()
      new ModelLock(world).prepare()
      let inside = residents
      let refused = 0
      const resident = new Content(world, 0, 3)
      if (residents > 0) resident.enters(A)
      const come = (thread: number) => {
        const content = new Content(world, thread, thread)
        const result = content.enters(A)
        if (result !== 'joined') {
          check(result === 'full', 'GROUP-6: there is a group, and it is full')
          refused++
          return
        }
        inside++
        check(inside <= capacity, 'GROUP-6: no more members than the capacity')
        check(content.isIn(), 'GROUP-2: a member stays one')
        inside--
        content.exits()
      }
      return {
        threads: {
          first() {
            come(1)
          },
          second() {
            come(2)
          },
        },
        outcome: () => `${refused}`,
        check() {
          if (residents > 0) resident.exits()
          checkEmpty(world, 1)
        },
      }
    },
  }
}

/** One looks for a group that is there all the time, while others come and go. */
function looks(name: string, first: string, plan: readonly string[], wanted: string): Scenario {
  const world = new World({ workers: 2, sessionsPerWorker: 2, groupMax: 2 })
  return {
    name,
    invariants: ['GROUP-1', 'GROUP-4'],
    words: world.words,
    build() {
      world.reset()
      new ModelLock(world).prepare()
      const { groupsAt } = world.arena(0).plan
      const resident = new Content(world, 1, 1)
      resident.enters(A, 5)
      const changer = new Content(world, 2, 2)
      if (first !== '') changer.enters(first)
      const found: string[] = []
      return {
        threads: {
          changer() {
            if (first !== '') changer.exits()
            for (const other of plan) {
              changer.enters(other)
              changer.exits()
            }
          },
          looker() {
            const { table } = new Content(world, 0, 0)
            const { entered: group } = resident
            const info = table.info(wanted)
            if (wanted === A) {
              check(info?.members === 1, 'GROUP-4: a group that is there is found')
              check(info?.capacity === 5, 'GROUP-1: with what it has')
              check(table.lookUp(A)?.at === group?.at, 'GROUP-4: and is one')
            } else {
              check(info === undefined || info.members === 1, 'GROUP-1: one is in it, or none')
              check(info === undefined || info.capacity === 0, 'GROUP-1: with what it has')
            }
            const alive = load(world.words, groupsAt + GROUP_DIRECTORY_ALIVE)
            check(alive === 1 || alive === 2, 'GROUP-2: groups that there are')
            found.push(info === undefined ? 'none' : 'one')
          },
        },
        outcome: () => found.join(),
        check() {
          resident.exits()
          checkEmpty(world, 2)
        },
      }
    },
  }
}

/** One sends to group A; sessions leave, their slot gets another session, the entry another group. */
function sends(name: string, changes: readonly Change[], mustReach: readonly string[]): Scenario {
  const world = new World({ workers: 1, sessionsPerWorker: 2 })
  return {
    name,
    invariants: ['GROUP-5', 'SESSION-1'],
    words: world.words,
    build(): Model {
      world.reset()
      new ModelLock(world).prepare()
      const owner = new Owner(world)
      owner.accept(0)
      owner.accept(1)
      owner.enter(0, A)
      owner.enter(1, A)
      const reached: string[] = []
      return {
        threads: {
          owner() {
            for (const change of changes) owner.does(change)
          },
          broadcaster() {
            const { table, waker } = world.thread(0)
            const groups = new GroupTable(world.arena(0), new ModelLock(world))
            const group = groups.lookUp(A)
            const before = [...owner.left]
            if (group === undefined) return
            for (let word = 0; word < groups.slotWords; word++) {
              for (let bits = groups.bits(group, word); bits !== 0; bits &= bits - 1) {
                const slot = 32 * word + 31 - Math.clz32(bits & -bits)
                if (!groups.pinMember(group, slot, table)) continue
                const session = owner.at[slot]
                check(owner.ever.has(session), 'GROUP-5: only who was in the group is reached')
                check(!before.includes(session), 'GROUP-5: nobody who has left before')
                reached.push(session)
                table.unpin(slot)
                waker.flush()
              }
            }
          },
        },
        outcome: () => reached.join(),
        check() {
          check(new Set(reached).size === reached.length, 'GROUP-5: nobody is reached twice')
          for (const session of mustReach)
            check(reached.includes(session), 'GROUP-5: who stays is reached')
        },
      }
    },
  }
}

/** What becomes of a slot: its session joins or leaves, ends, or there is a new one. */
type Change = readonly [what: 'exit' | 'finish' | 'accept' | 'enter', slot: number, name?: string]

/** The owner of two slots: sessions have names, so that one can be told from the next one in its slot. */
class Owner {
  /** Session of each slot. */
  readonly at: string[] = []
  /** Sessions that were in group A. */
  readonly ever = new Set<string>()
  /** Those that have left it. */
  readonly left = new Set<string>()
  readonly #world: World
  readonly #table: GroupTable
  readonly #groups: (Group | null)[] = [null, null]
  #made = 0

  constructor(world: World) {
    this.#world = world
    this.#table = new GroupTable(world.arena(1), new ModelLock(world))
  }

  #countAt(slot: number): number {
    return this.#world.arena(1).sessionAt(slot) + SESSION_IO_COUNT
  }

  does(change: Change): void {
    const [what, slot, name] = change
    if (what === 'exit') this.exit(slot)
    else if (what === 'finish') this.finish(slot)
    else if (what === 'accept') this.accept(slot)
    else this.enter(slot, name)
  }

  accept(slot: number): void {
    this.at[slot] = `s${this.#made++}`
    open(this.#world.words, this.#countAt(slot))
  }

  enter(slot: number, name = A): void {
    if (name === A) this.ever.add(this.at[slot])
    if (name === A) this.left.delete(this.at[slot])
    const joined = this.#table.addMember(name, slot)
    if (typeof joined === 'object') this.#groups[slot] = joined
  }

  exit(slot: number): void {
    const group = this.#groups[slot]
    if (group === null) return
    this.#groups[slot] = null
    this.#table.removeMember(group, slot)
    this.left.add(this.at[slot])
  }

  /** The session ends: the last one out hands over the slot, onLeave comes behind its memberships. */
  finish(slot: number): void {
    const { words } = this.#world
    const arena = this.#world.arena(1)
    const head = arena.threadAt(1) + THREAD_RELEASE_HEAD
    if (!release(words, this.#countAt(slot))) {
      waitWhile(words, head, 0)
      takeAll(words, head)
    }
    this.exit(slot)
  }
}

export const scenarios: readonly Scenario[] = [
  comings('groups: two threads make one', 1, [[A], [A]], true),
  comings('groups: one ends while another one joins', 1, [[], [A]], true, true),
  comings('groups: the entry is used again under who joins', 1, [[B], [A]], false, true),
  comings('groups: two names, one bucket', 2, [[C], [B]], true, true),
  brim('groups: room for one, two come', 1, 0),
  brim('groups: room for two, one is in, two come', 2, 1),
  looks('groups: looked for while one comes and goes', '', [B], A),
  looks('groups: looked for while the entry before it is used again', B, [ELSEWHERE], A),
  looks('groups: looked for while it ends and its entry is used again', B, [C], B),
  sends('groups: sent to while one leaves', [['exit', 0]], ['s1']),
  sends(
    'groups: sent to while the slot is used again',
    [
      ['finish', 0],
      ['accept', 0],
    ],
    ['s1'],
  ),
  sends(
    'groups: sent to while slot and entry are used again',
    [
      ['exit', 1],
      ['finish', 0],
      ['accept', 0],
      ['enter', 0, B],
    ],
    [],
  ),
  sends(
    'groups: sent to while one leaves and comes again',
    [
      ['exit', 0],
      ['enter', 0],
    ],
    ['s1'],
  ),
]
