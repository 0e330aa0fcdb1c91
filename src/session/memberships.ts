// What: the groups of one session: what join() and leave() do, and the end of every membership before onLeave.
// Flow: session.join(), session.leave(), lifecycle -> this -> group_table.
// Thread: the one that runs the session's content.

import { OverlappedError } from '../errors.ts'
import { Counter, SESSIONS_MAX } from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'
import type { Group, GroupTable } from '../shared/group_table.ts'
import type { JoinOptions, JoinResult } from './handler.ts'

/** Made by the session's first join(): a session that joins nothing has none. */
export class Memberships {
  readonly #table: GroupTable
  readonly #counters: Float64Array
  readonly #slot: number
  readonly #groups = new Map<string, Group>()
  #isOver = false

  /** `groups`: those that the session brings from another thread. */
  constructor(table: GroupTable, arena: Arena, slot: number, groups: readonly Group[] = []) {
    this.#table = table
    this.#counters = arena.counters
    this.#slot = slot
    for (const group of groups) this.#groups.set(group.name, group)
  }

  /** Names, in the order of joining; they stay when the memberships are over. */
  get names(): string[] {
    return [...this.#groups.keys()]
  }

  /**
   * The caller has seen that the session is open.
   * @throws {OverlappedError} ERR_ARGUMENT
   */
  join(name: string, options: JoinOptions | undefined): JoinResult {
    const capacity = capacityOf(options)
    if (this.#isOver) return 'closed'
    if (this.#groups.has(name)) return 'joined'
    const joined = this.#table.addMember(name, this.#slot, capacity)
    if (typeof joined === 'object') {
      this.#groups.set(name, joined)
      return 'joined'
    }
    this.#counters[joined === 'full' ? Counter.GROUP_FULL : Counter.GROUPS_EXHAUSTED]++
    return joined
  }

  /** False: it was not a member. */
  leave(name: string): boolean {
    const group = this.#groups.get(name)
    if (group === undefined || this.#isOver) return false
    this.#groups.delete(name)
    this.#table.removeMember(group, this.#slot)
    return true
  }

  /** The session goes on in another thread, which brings its groups to the constructor there; here they are over. */
  handOver(): readonly Group[] {
    this.#isOver = true
    return [...this.#groups.values()]
  }

  /** Ends every membership, before onLeave and before the slot can be another session's [GROUP-5]. */
  endAll(): void {
    if (this.#isOver) return
    this.#isOver = true
    for (const group of this.#groups.values()) this.#table.removeMember(group, this.#slot)
  }
}

function capacityOf(options: JoinOptions | undefined): number | undefined {
  if (options === undefined) return undefined
  if (typeof options !== 'object' || options === null)
    throw new OverlappedError(
      'ERR_ARGUMENT',
      `join() was given ${String(options)} as options; they are an object: { capacity }`,
    )
  const { capacity } = options
  if (capacity === undefined) return undefined
  if (Number.isInteger(capacity) && capacity >= 0 && capacity <= SESSIONS_MAX) return capacity
  throw new OverlappedError(
    'ERR_ARGUMENT',
    `join(): capacity is ${String(capacity)}; it must be a whole number from 0 (no limit) to ${SESSIONS_MAX}`,
  )
}
