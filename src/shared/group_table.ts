// What: groups of sessions in shared memory: a directory of names, a member count and a bitmap of slots for each group.
// Flow: join, leave of content threads -> this -> broadcasts of any thread.
// Thread: one instance per thread; makes and ends groups: threads that run content; looks: any.

import { assert } from '../assert.ts'
import { OverlappedError } from '../errors.ts'
import {
  CACHE_LINE_WORDS,
  GROUP_BUCKET,
  GROUP_CAPACITY,
  GROUP_DIRECTORY_ALIVE,
  GROUP_DIRECTORY_FREE_FIRST,
  GROUP_DIRECTORY_FREE_LAST,
  GROUP_DIRECTORY_LOCK,
  GROUP_DIRECTORY_USED,
  GROUP_DIRECTORY_VERSION,
  GROUP_DIRECTORY_WORDS,
  GROUP_FREE_LINK,
  GROUP_GENERATION,
  GROUP_MEMBERS,
  GROUP_NAME,
  GROUP_NAME_BYTES_MAX,
  GROUP_NAME_LENGTH,
  GROUP_NEXT,
  GROUP_WORDS,
} from '../layout/layout.ts'
import type { Arena } from './arena.ts'
import { and, compareExchange, load, or, store, sub } from './atomics.ts'
import { Lock } from './lock.ts'
import type { SessionTable } from './session_table.ts'

/** A group as a thread has met it: good for as long as the entry has this generation. */
export interface Group {
  readonly name: string
  /** First word of its entry. */
  readonly at: number
  /** First word of its bitmap. */
  readonly bitsAt: number
  readonly generation: number
}

/** Words of a bitmap with a bit for each session slot, on cache lines of its own. */
function bitmapWords(sessionCapacity: number): number {
  const words = Math.ceil(sessionCapacity / 32)
  return Math.ceil(words / CACHE_LINE_WORDS) * CACHE_LINE_WORDS
}

/** Buckets of names: at least one per group; a power of two. */
function bucketCount(groupMax: number): number {
  const least = Math.max(groupMax, CACHE_LINE_WORDS)
  return 2 ** Math.ceil(Math.log2(least))
}

/** Words of the control memory that the groups take. */
export function groupWords(groupMax: number, sessionCapacity: number): number {
  return (
    GROUP_DIRECTORY_WORDS +
    bucketCount(groupMax) +
    groupMax * (GROUP_WORDS + bitmapWords(sessionCapacity))
  )
}

const SHOWN_CHARACTERS_MAX = 80

/** Refuses what is no text of 1 to 64 bytes of UTF-8. */
function checkName(name: unknown): asserts name is string {
  if (typeof name === 'string' && name !== '' && name.length <= GROUP_NAME_BYTES_MAX) {
    const bytes = Buffer.from(name, 'utf8')
    // Half of a surrogate pair has no UTF-8: it would be the name of another group, too.
    if (bytes.length <= GROUP_NAME_BYTES_MAX && bytes.toString('utf8') === name) return
  }
  const shown = typeof name === 'string' ? JSON.stringify(name) : String(name)
  throw new OverlappedError(
    'ERR_ARGUMENT',
    `the group is ${shown.slice(0, SHOWN_CHARACTERS_MAX)}; it must be text of 1 to ${GROUP_NAME_BYTES_MAX} bytes of UTF-8`,
  )
}

export class GroupTable {
  /** Bitmap words that have slots. */
  readonly slotWords: number
  readonly #words: Int32Array
  readonly #lock: Pick<Lock, 'acquire' | 'release' | 'releaseLost'>
  readonly #max: number
  readonly #defaultCapacity: number
  readonly #directoryAt: number
  readonly #bucketsAt: number
  readonly #bucketMask: number
  readonly #entriesAt: number
  readonly #bitsAt: number
  readonly #bitmapWords: number
  /** Groups that this thread has met, by name; some may be gone. */
  readonly #met = new Map<string, Group>()
  /** What an entry would have with the name that is looked for. */
  readonly #image = new Int32Array(GROUP_WORDS)
  readonly #nameBytes = Buffer.from(this.#image.buffer, 4 * GROUP_NAME, GROUP_NAME_BYTES_MAX)
  /** Words that tell the name from others: its length, and those of its text. */
  #nameWords = 0
  #bucketAt = 0
  /** Of the entry that #walk found. */
  #generation = 0

  /** A model may bring a lock of fewer operations. */
  constructor(arena: Arena, lock?: Pick<Lock, 'acquire' | 'release' | 'releaseLost'>) {
    const { groupsAt, groupMax, groupCapacity, sessionCapacity } = arena.plan
    this.#words = arena.words
    this.#lock = lock ?? new Lock(arena.words, groupsAt + GROUP_DIRECTORY_LOCK, arena.thread)
    this.#max = groupMax
    this.#defaultCapacity = groupCapacity
    this.#directoryAt = groupsAt
    this.#bucketsAt = groupsAt + GROUP_DIRECTORY_WORDS
    this.#bucketMask = bucketCount(groupMax) - 1
    this.#entriesAt = this.#bucketsAt + bucketCount(groupMax)
    this.#bitsAt = this.#entriesAt + groupMax * GROUP_WORDS
    this.#bitmapWords = bitmapWords(sessionCapacity)
    this.slotWords = Math.ceil(sessionCapacity / 32)
  }

  // --- looking ---------------------------------------------------------------------------------

  /**
   * The group of this name, if there is one; takes no lock. It may end at any time.
   * @throws {OverlappedError} ERR_ARGUMENT
   */
  lookUp(name: string): Group | undefined {
    const met = this.#met.get(name)
    if (met !== undefined) {
      if (this.isAlive(met)) return met
      this.#met.delete(name)
    }
    this.#setName(name)
    for (;;) {
      const version = load(this.#words, this.#directoryAt + GROUP_DIRECTORY_VERSION)
      const at = this.#walk()
      if (at !== 0) return this.#meet(name, at)
      // order: after the walk; where no entry was used again, the walk has passed every group [GROUP-4]
      if (load(this.#words, this.#directoryAt + GROUP_DIRECTORY_VERSION) === version)
        return undefined
    }
  }

  /** Whether the entry still holds this group. */
  isAlive(group: Group): boolean {
    return load(this.#words, group.at + GROUP_GENERATION) === group.generation
  }

  /** Members and capacity (0: no limit) of the group of this name; undefined where nobody is in it. */
  info(name: string): { members: number; capacity: number } | undefined {
    for (;;) {
      const group = this.lookUp(name)
      if (group === undefined) return undefined
      const info = {
        members: load(this.#words, group.at + GROUP_MEMBERS),
        capacity: load(this.#words, group.at + GROUP_CAPACITY),
      }
      // order: behind both, which are this group's if the entry has not changed hands [GROUP-1]
      if (this.isAlive(group)) return info.members === 0 ? undefined : info
    }
  }

  /** Slots of members, 32 to a word; 0 to slotWords - 1. */
  bits(group: Group, word: number): number {
    return load(this.#words, group.bitsAt + word)
  }

  /** Whether the session that a slot holds is a member; asked by the thread that runs its content, or under a pin. */
  isMember(group: Group, slot: number): boolean {
    const isSet = (load(this.#words, group.bitsAt + (slot >>> 5)) & (1 << (slot & 31))) !== 0
    // order: after the bit, which is this group's if the entry has not changed hands [GROUP-5]
    return isSet && this.isAlive(group)
  }

  /**
   * Pins the session in a slot if it is a member now. Pair with unpin.
   * A set bit under the pin is this session's: bits are cleared before a slot is used again [GROUP-5].
   */
  pinMember(group: Group, slot: number, sessions: SessionTable): boolean {
    if (!sessions.pinOpen(slot)) return false
    if (this.isMember(group, slot)) return true
    sessions.unpin(slot)
    return false
  }

  // --- joining and leaving: the thread that runs the session's content -------------------------

  /**
   * Makes a session a member; it is not one yet. The first member makes the group, with this capacity (0: no
   * limit; absent: the server's).
   * @throws {OverlappedError} ERR_ARGUMENT
   */
  addMember(name: string, slot: number, capacity?: number): Group | 'full' | 'exhausted' {
    const group = this.lookUp(name)
    const entered = group === undefined ? undefined : this.#enter(group)
    const joined = entered ?? this.#make(name, capacity ?? this.#defaultCapacity)
    if (typeof joined === 'string') return joined
    or(this.#words, joined.bitsAt + (slot >>> 5), 1 << (slot & 31))
    return joined
  }

  /** Ends a membership. The last one to leave ends the group. */
  removeMember(group: Group, slot: number): void {
    // order: before the count; at 0 no bit is set [GROUP-3]
    and(this.#words, group.bitsAt + (slot >>> 5), ~(1 << (slot & 31)))
    this.#drop(group.at)
  }

  /** Adds one to the members; undefined: the group is gone. */
  #enter(group: Group): Group | 'full' | undefined {
    const words = this.#words
    const { at } = group
    const capacity = load(words, at + GROUP_CAPACITY)
    for (let members = load(words, at + GROUP_MEMBERS); ; ) {
      // From 0 to 1 under the lock only: at 0 the group is about to end [GROUP-2].
      if (members === 0) return undefined
      // The capacity is this group's if the generation is [GROUP-6].
      if (capacity !== 0 && members >= capacity) return this.isAlive(group) ? 'full' : undefined
      const seen = compareExchange(words, at + GROUP_MEMBERS, members, members + 1)
      if (seen === members) break
      members = seen
    }
    // order: after the count, which keeps the group from here on [GROUP-1]
    if (this.isAlive(group)) return group
    this.#drop(at)
    return undefined
  }

  /** Joins a group that was not found, or was about to end: under the lock there is one of a name, or none. */
  #make(name: string, capacity: number): Group | 'full' | 'exhausted' {
    this.#setName(name)
    this.#lock.acquire()
    try {
      const found = this.#walk()
      if (found !== 0) {
        const joined = this.#enter(this.#meet(name, found))
        if (joined !== undefined) return joined
        this.#free(found)
      }
      const entry = this.#takeEntry()
      if (entry === 0) return 'exhausted'
      return this.#fill(name, entry, capacity)
    } finally {
      this.#lock.release()
    }
  }

  /** Takes one off the members; without members the group ends. */
  #drop(at: number): void {
    const words = this.#words
    if (sub(words, at + GROUP_MEMBERS, 1) !== 1) return
    this.#lock.acquire()
    // Meanwhile others may have ended it, and another group may be there.
    const isAlive = (words[at + GROUP_GENERATION] & 1) === 1
    if (isAlive && load(words, at + GROUP_MEMBERS) === 0) this.#free(at)
    this.#lock.release()
  }

  // --- entries, under the lock -----------------------------------------------------------------

  /** Entry + 1 that no group has: the one that has been free for longest; 0: there is none. */
  #takeEntry(): number {
    const words = this.#words
    const at = this.#directoryAt
    const used = words[at + GROUP_DIRECTORY_USED]
    if (used < this.#max) {
      words[at + GROUP_DIRECTORY_USED] = used + 1
      return used + 1
    }
    const entry = words[at + GROUP_DIRECTORY_FREE_FIRST]
    if (entry !== 0)
      words[at + GROUP_DIRECTORY_FREE_FIRST] = words[this.#entryAt(entry) + GROUP_FREE_LINK]
    return entry
  }

  /** To the end of the free ones; a thread that ends here loses an entry at worst [LOCK-3]. */
  #giveEntry(at: number): void {
    const words = this.#words
    const directory = this.#directoryAt
    const entry = (at - this.#entriesAt) / GROUP_WORDS + 1
    const isOnly = words[directory + GROUP_DIRECTORY_FREE_FIRST] === 0
    words[at + GROUP_FREE_LINK] = 0
    if (!isOnly) {
      const last = this.#entryAt(words[directory + GROUP_DIRECTORY_FREE_LAST])
      words[last + GROUP_FREE_LINK] = entry
    }
    words[directory + GROUP_DIRECTORY_FREE_LAST] = entry
    if (isOnly) words[directory + GROUP_DIRECTORY_FREE_FIRST] = entry
  }

  /** For words that only the holder changes, and others load. */
  #raise(index: number, by: number): void {
    store(this.#words, index, this.#words[index] + by)
  }

  /** A group with one member. */
  #fill(name: string, entry: number, capacity: number): Group {
    const words = this.#words
    const at = this.#entryAt(entry)
    const image = this.#image
    assert(words[at + GROUP_MEMBERS] === 0, 'GROUP-3: a free entry has no members')
    image[GROUP_NEXT] = words[this.#bucketAt]
    image[GROUP_CAPACITY] = capacity
    image[GROUP_BUCKET] = this.#bucketAt
    image[GROUP_MEMBERS] = 1
    this.#generation = (words[at + GROUP_GENERATION] + 1) | 0
    // order: before any word of the entry changes: whoever walks through it looks again [GROUP-4]
    this.#raise(this.#directoryAt + GROUP_DIRECTORY_VERSION, 1)
    for (let i = GROUP_GENERATION + 1; i < GROUP_WORDS; i++) store(words, at + i, image[i])
    // order: publishes the words above, to those who come by the bucket or by an older group [GROUP-1]
    store(words, at + GROUP_GENERATION, this.#generation)
    store(words, this.#bucketAt, entry)
    this.#raise(this.#directoryAt + GROUP_DIRECTORY_ALIVE, 1)
    return this.#meet(name, at)
  }

  /** Ends a group that has no members. */
  #free(at: number): void {
    const words = this.#words
    const entry = (at - this.#entriesAt) / GROUP_WORDS + 1
    // order: first; from here on whoever knows the group finds it gone [GROUP-1]
    this.#raise(at + GROUP_GENERATION, 1)
    let link = words[at + GROUP_BUCKET]
    for (let other = words[link]; other !== entry; other = words[link])
      link = this.#entryAt(other) + GROUP_NEXT
    // Its own link stays, for whoever stands on it [GROUP-4].
    store(words, link, words[at + GROUP_NEXT])
    this.#giveEntry(at)
    this.#raise(this.#directoryAt + GROUP_DIRECTORY_ALIVE, -1)
  }

  // --- names -----------------------------------------------------------------------------------

  #entryAt(entry: number): number {
    return this.#entriesAt + (entry - 1) * GROUP_WORDS
  }

  #meet(name: string, at: number): Group {
    // What is gone stays until its name is looked for again, or there is too much of it.
    if (this.#met.size >= 2 * this.#max) this.#met.clear()
    const entry = (at - this.#entriesAt) / GROUP_WORDS
    const bitsAt = this.#bitsAt + entry * this.#bitmapWords
    const group = { name, at, bitsAt, generation: this.#generation }
    this.#met.set(name, group)
    return group
  }

  #setName(name: string): void {
    checkName(name)
    const image = this.#image
    this.#nameBytes.fill(0)
    const length = this.#nameBytes.write(name, 'utf8')
    image[GROUP_NAME_LENGTH] = length
    this.#nameWords = 1 + Math.ceil(length / 4)
    let hash = 0
    for (let i = 0; i < this.#nameWords; i++) {
      // As MurmurHash3 ends: each bit of a word changes half of the bits.
      hash = Math.imul(hash ^ image[GROUP_NAME_LENGTH + i], 0x85ebca6b)
      hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
      hash ^= hash >>> 16
    }
    this.#bucketAt = this.#bucketsAt + (hash & this.#bucketMask)
  }

  /** Goes through the bucket of the name: its entry's first word, and #generation; 0: it was not met. */
  #walk(): number {
    const words = this.#words
    let at = 0
    for (
      let entry = load(words, this.#bucketAt);
      entry !== 0;
      entry = load(words, at + GROUP_NEXT)
    ) {
      at = this.#entryAt(entry)
      const generation = load(words, at + GROUP_GENERATION)
      // order: the generation before and after the name; it is raised before the name changes [GROUP-1]
      if ((generation & 1) === 1 && this.#isNamed(at)) {
        this.#generation = generation
        if (load(words, at + GROUP_GENERATION) === generation) return at
      }
    }
    return 0
  }

  #isNamed(at: number): boolean {
    for (let i = 0; i < this.#nameWords; i++) {
      const index = GROUP_NAME_LENGTH + i
      if (load(this.#words, at + index) !== this.#image[index]) return false
    }
    return true
  }

  /** For a thread that has ended: whoever waits for it can go on. */
  lost(thread: number): void {
    this.#lock.releaseLost(thread)
  }
}
