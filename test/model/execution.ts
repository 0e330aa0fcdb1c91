// What: one run of a model's threads: performs their operations one by one, finds races between plain accesses.
// Flow: rewritten code yields an operation -> explore.ts chooses a thread -> this performs it and goes on.
// Thread: the test's; a model's threads are generators.

import { SOME_MS, Violation } from './ops.ts'
import { Kind } from './transform.ts'

/** Threads of a model. */
export const MODEL_THREADS_MAX = 4
/** Operations of one schedule; more is a model that does not come to rest. */
const STEPS_MAX = 5_000
/** Rounds of plain operations in one step, which only a mutant has. */
const LOCAL_MAX = 5_000

/** How a mutant changes one call of an operation. */
export const How = {
  /** The operation has no effect; of a load: its value is 0. */
  drop: 1,
  /** A plain access in place of an atomic one. */
  plain: 2,
  /** A load and a store with a gap between in place of one operation. */
  split: 3,
} as const
export type How = (typeof How)[keyof typeof How]

export interface Mutation {
  readonly site: number
  readonly how: How
}

/** An operation that a thread is about to perform. */
export interface Operation {
  site: number
  kind: number
  words: Int32Array
  index: number
  a: number
  b: number
}

interface ModelThread {
  readonly name: string
  readonly body: Generator<unknown, void, number>
  /** May wait for ever once the others have ended. */
  readonly isDaemon: boolean
  isDone: boolean
  readonly next: Operation
  /** It sleeps in wait(), and notify() has not come yet. */
  isAsleep: boolean
  /** A split operation's store is next; what the operation will have returned. */
  isSecondHalf: boolean
  firstValue: number
}

// Kinds of access in the shadow of a word.
const PLAIN_READ = 0
const PLAIN_WRITE = 1
const ATOMIC_READ = 2
const ATOMIC_WRITE = 3
const SHADOW = 4 * MODEL_THREADS_MAX

const nothing = new Int32Array(0)

export class Execution {
  threads: ModelThread[] = []
  steps = 0
  mutation: Mutation | null = null
  /** Sites that were reached, if asked for. */
  reached: Set<number> | null = null
  /** Names of operations, for messages. */
  siteName: (site: number) => string = String
  /** The shared memory; each thread may have views of its own. */
  #memory: ArrayBufferLike = nothing.buffer
  #current = -1
  readonly #offered: Operation = { site: -1, kind: 0, words: nothing, index: 0, a: 0, b: 0 }
  /** Per word, kind of access and thread: the thread's clock at its last such access. */
  #shadow = new Int32Array(0)
  #touched: number[] = []
  /** Threads in wait(), in the order in which they fell asleep. */
  #sleepers: number[] = []
  /** Per thread: what it has seen of each thread, by values read from atomics. */
  readonly #clocks = new Int32Array(MODEL_THREADS_MAX * MODEL_THREADS_MAX)
  /** Per word: the clock that its value carries. */
  #carried = new Int32Array(0)

  /** Starts anew on this memory; `set up` code runs before begin(). */
  reset(words: Int32Array): void {
    this.#memory = words.buffer
    this.threads = []
    this.#sleepers = []
    this.steps = 0
    this.#current = -1
    if (this.#shadow.length < words.length * SHADOW) {
      this.#shadow = new Int32Array(words.length * SHADOW)
      this.#carried = new Int32Array(words.length * MODEL_THREADS_MAX)
    } else {
      for (const word of this.#touched) {
        this.#shadow.fill(0, word * SHADOW, (word + 1) * SHADOW)
        this.#carried.fill(0, word * MODEL_THREADS_MAX, (word + 1) * MODEL_THREADS_MAX)
      }
    }
    this.#touched.length = 0
    this.#clocks.fill(0)
    for (let t = 0; t < MODEL_THREADS_MAX; t++) this.#clocks[t * MODEL_THREADS_MAX + t] = 1
  }

  /** Adds a thread and runs it to its first operation. */
  start(name: string, body: unknown, isDaemon: boolean): void {
    const next = { site: -1, kind: 0, words: nothing, index: 0, a: 0, b: 0 }
    this.threads.push({
      name,
      body: body as Generator<unknown, void, number>,
      isDaemon,
      isDone: false,
      next,
      isAsleep: false,
      isSecondHalf: false,
      firstValue: 0,
    })
    this.#go(this.threads.length - 1, 0)
  }

  /** Runs code that no other thread disturbs: before the threads start, or after their end. */
  alone<T>(body: T): T extends Generator<unknown, infer R, unknown> ? R : T {
    this.#current = -1
    const generator = body as unknown as Generator<unknown, unknown, number>
    if (typeof generator?.next !== 'function') return body as never
    let result = generator.next()
    for (let steps = 0; result.done !== true; steps++) {
      if (steps > STEPS_MAX) throw new Violation('it does not come to rest')
      const { kind, words, index, a } = this.#offered
      if (
        ((kind === Kind.waitWhile || kind === Kind.wait) && words[index] === a) ||
        (kind === Kind.awaitEdge && words[index] === 0)
      )
        throw new Violation('it waits for something that no thread can bring')
      result = generator.next(perform(this.#offered))
    }
    return result.value as never
  }

  isEnabled(thread: number): boolean {
    const { isDone, isAsleep, next } = this.threads[thread]
    if (isDone || (isAsleep && !hasSomeTime(next.b))) return false
    if (next.kind === Kind.waitWhile) return next.words[next.index] !== next.a
    return next.kind !== Kind.awaitEdge || next.words[next.index] !== 0
  }

  /** Whether the thread's next operation may change its word. */
  isWrite(thread: number): boolean {
    const { kind } = this.threads[thread].next
    return kind !== Kind.load && kind !== Kind.waitWhile
  }

  /** Performs the thread's operation and goes on to its next. Returns whether the word was written. */
  step(thread: number): boolean {
    if (++this.steps > STEPS_MAX) throw new Violation('it does not come to rest')
    const t = this.threads[thread]
    const { next } = t
    const { words, index, kind } = next
    const mutation = this.mutation
    if (mutation !== null && mutation.how === How.split && mutation.site === next.site) {
      if (!t.isSecondHalf) return this.#firstHalf(thread, t)
      t.isSecondHalf = false
      this.#atomic(thread, index, false, true)
      words[index] = next.a
      const value = t.firstValue
      this.#go(thread, value)
      return true
    }
    if (mutation !== null && mutation.how === How.plain && mutation.site === next.site) {
      // It stays a step, so that every order with what others do is tried.
      const isStored = kind === Kind.compareExchange ? words[index] === next.a : kind !== Kind.load
      this.#access(thread, index, isStored ? PLAIN_WRITE : PLAIN_READ)
      const value = perform(next)
      this.#go(thread, value)
      return isStored
    }
    if (kind === Kind.wait) return this.#wait(thread, t)
    if (kind === Kind.notify) this.#notify(index, next.a)
    if (kind === Kind.awake && t.isAsleep) return this.#timeOut(thread, t)
    const before = words[index]
    const value = perform(next)
    const isRead = kind !== Kind.store
    const isWritten =
      kind === Kind.compareExchange
        ? before === next.a
        : kind !== Kind.load && kind !== Kind.waitWhile
    this.#atomic(thread, index, isRead, isWritten)
    this.#go(thread, value)
    return isWritten
  }

  /**
   * Compares and falls asleep in one step. Models have no time: a sleep that nobody ends lasts for ever, so that no
   * protocol passes by its timeout. Only those of SOME_MS may end at any moment, or never.
   */
  #wait(thread: number, t: ModelThread): boolean {
    const { next } = t
    const sleeps = next.words[next.index] === next.a
    this.#atomic(thread, next.index, true, sleeps)
    if (sleeps) {
      t.isAsleep = true
      this.#sleepers.push(thread)
      next.kind = Kind.awake
    } else {
      this.#go(thread, 1)
    }
    return sleeps
  }

  /** The time of a sleep is over before anybody has ended it. */
  #timeOut(thread: number, t: ModelThread): boolean {
    this.#sleepers = this.#sleepers.filter((other) => other !== thread)
    t.isAsleep = false
    this.#atomic(thread, t.next.index, true, true)
    this.#go(thread, 0)
    return true
  }

  /** Wakes those that sleep on the word for longest. */
  #notify(index: number, count: number): void {
    let left = count
    this.#sleepers = this.#sleepers.filter((thread) => {
      const t = this.threads[thread]
      if (left === 0 || t.next.index !== index) return true
      left--
      t.isAsleep = false
      return false
    })
  }

  #firstHalf(thread: number, t: ModelThread): boolean {
    const { next } = t
    const { words, index, kind } = next
    t.firstValue = words[index]
    this.#atomic(thread, index, true, false)
    if (kind === Kind.compareExchange && t.firstValue !== next.a) {
      this.#go(thread, t.firstValue)
      return false
    }
    perform(next)
    const after = words[index]
    words[index] = t.firstValue
    next.kind = Kind.store
    next.a = after
    t.isSecondHalf = true
    return false
  }

  /** Runs a thread up to its next operation. */
  #go(thread: number, value: number): void {
    const t = this.threads[thread]
    this.#current = thread
    const offered = this.#offered
    let give = value
    for (let rounds = 0; ; rounds++) {
      const result =
        typeof t.body?.next === 'function' ? t.body.next(give) : { done: true, value: undefined }
      if (result.done === true) {
        t.isDone = true
        break
      }
      this.reached?.add(offered.site)
      const mutation = this.mutation
      if (mutation === null || mutation.site !== offered.site || mutation.how !== How.drop) {
        Object.assign(t.next, offered)
        break
      }
      if (rounds > LOCAL_MAX) throw new Violation('it does not come to rest')
      const { kind } = offered
      if (kind === Kind.load || kind === Kind.store) {
        give = 0
      } else {
        Object.assign(t.next, offered)
        t.next.kind = Kind.load
        break
      }
    }
    this.#current = -1
  }

  /** Orders what the thread did by what it reads, and checks the word against plain accesses. */
  #atomic(thread: number, index: number, isRead: boolean, isWritten: boolean): void {
    const mine = thread * MODEL_THREADS_MAX
    const at = index * MODEL_THREADS_MAX
    const clocks = this.#clocks
    const carried = this.#carried
    if (isRead) {
      for (let u = 0; u < MODEL_THREADS_MAX; u++)
        if (carried[at + u] > clocks[mine + u]) clocks[mine + u] = carried[at + u]
    }
    this.#access(thread, index, isWritten ? ATOMIC_WRITE : ATOMIC_READ)
    if (isWritten) for (let u = 0; u < MODEL_THREADS_MAX; u++) carried[at + u] = clocks[mine + u]
    clocks[mine + thread]++
  }

  #access(thread: number, index: number, kind: number): void {
    const shadow = this.#shadow
    const clocks = this.#clocks
    const at = index * SHADOW
    const mine = thread * MODEL_THREADS_MAX
    for (let other = 0; other < this.threads.length; other++) {
      if (other === thread) continue
      const seen = clocks[mine + other]
      const races =
        shadow[at + PLAIN_WRITE * MODEL_THREADS_MAX + other] > seen ||
        ((kind === PLAIN_WRITE || kind === ATOMIC_WRITE) &&
          shadow[at + PLAIN_READ * MODEL_THREADS_MAX + other] > seen) ||
        ((kind === PLAIN_READ || kind === PLAIN_WRITE) &&
          shadow[at + ATOMIC_WRITE * MODEL_THREADS_MAX + other] > seen) ||
        (kind === PLAIN_WRITE && shadow[at + ATOMIC_READ * MODEL_THREADS_MAX + other] > seen)
      if (races) {
        throw new Violation(
          `race: ${this.threads[thread].name} and ${this.threads[other].name} on word ${index}, not ordered by any atomic`,
        )
      }
    }
    this.#touched.push(index)
    shadow[at + kind * MODEL_THREADS_MAX + thread] = clocks[mine + thread]
  }

  isAboutToWait(): boolean {
    return this.#offered.kind === Kind.wait
  }

  // What rewritten code calls; plain functions, as it has no `this`.

  readonly operation = (
    site: number,
    kind: number,
    words: Int32Array,
    index: number,
    a = 0,
    b = 0,
  ): void => {
    const offered = this.#offered
    offered.site = site
    offered.kind = kind
    offered.words = words
    offered.index = index
    offered.a = a
    offered.b = b
  }

  readonly read = (words: Int32Array, index: number): number => {
    if (this.#current !== -1 && words.buffer === this.#memory) {
      this.#access(this.#current, index, PLAIN_READ)
    }
    return words[index]
  }

  readonly write = (words: Int32Array, index: number, value: number): number => {
    if (this.#current !== -1 && words.buffer === this.#memory) {
      this.#access(this.#current, index, PLAIN_WRITE)
    }
    words[index] = value
    return value
  }
}

function hasSomeTime(ms: number): boolean {
  return ms > SOME_MS / 2 && ms <= SOME_MS
}

function perform({ kind, words, index, a, b }: Operation): number {
  const before = words[index]
  switch (kind) {
    case Kind.store:
      words[index] = a
      break
    case Kind.add:
      words[index] = before + a
      break
    case Kind.sub:
      words[index] = before - a
      break
    case Kind.or:
      words[index] = before | a
      break
    case Kind.and:
      words[index] = before & a
      break
    case Kind.exchange:
      words[index] = a
      break
    case Kind.compareExchange:
      if (before === a) words[index] = b
      break
    case Kind.awaitEdge:
      words[index] = 0
      break
    case Kind.awake:
      return 1
  }
  return before
}

/**
 * A thread that ends after so many operations, wherever it is by then; the word says so. Instead of sleeping it ends,
 * too: nobody may have to wake it.
 */
export function mortal(
  body: Generator<unknown, void, number>,
  operations: number,
  words: Int32Array,
  isDead: number,
): { next(value: number): { done: boolean; value: unknown } } {
  let left = operations
  let isOver = false
  const die = () => {
    isOver = true
    execution.operation(-1, Kind.store, words, isDead, 1)
    return { done: false, value: undefined }
  }
  return {
    next(value) {
      if (isOver) return { done: true, value: undefined }
      // With the plain code behind its last operation: a thread ends where it calls a function.
      const result = body.next(value)
      if (result.done === true || left === 0 || execution.isAboutToWait()) return die()
      left--
      return { done: false, value: undefined }
    },
  }
}

/** One run at a time. */
export const execution = new Execution()
