// What: explores all interleavings of a model's threads, each class of equal ones once, and says how many it ran.
// Flow: scenario -> execution.ts, thread by thread -> this chooses -> check at the end of every schedule.
// Thread: the test's.

import { execution, MODEL_THREADS_MAX, type Mutation, mortal } from './execution.ts'
import { Violation } from './ops.ts'
import type { Site } from './transform.ts'

/** A model as its module exports it; its functions are written as if nobody could interrupt them. */
export interface Scenario {
  readonly name: string
  /** Ids of the invariants that it checks. */
  readonly invariants: readonly string[]
  /** Memory that threads share. */
  readonly words: Int32Array
  /** Makes everything anew and says what the threads do. */
  build(): Model
}

export interface Model {
  /** At most MODEL_THREADS_MAX together. */
  readonly threads: Readonly<Record<string, () => void>>
  /** Threads that sleep for ever once the others are done. */
  readonly daemons?: Readonly<Record<string, () => void>>
  /** A thread that ends in the middle: after so many operations. The word is 1 from then on. */
  readonly death?: {
    readonly thread: string
    readonly operations: number
    readonly isDead: number
  }
  /** At the end of every schedule, alone. */
  check(): void
  /** What the end looks like; for comparing explorations. */
  outcome?(): string
}

export interface ExploreOptions {
  readonly mutation?: Mutation
  /** Every interleaving, also those that differ only in the order of operations that commute. */
  readonly isFull?: boolean
  /** More schedules than this are an error: an exploration is complete or it failed. */
  readonly schedulesMax?: number
  /** Ends after this many schedules as if there were no more: for mutants, of which one schedule says enough. */
  readonly stopAfter?: number
  /** The last thread goes first: other schedules are the first ones. */
  readonly isReversed?: boolean
  readonly sites?: readonly Site[]
  /** Collects the sites that were reached. */
  readonly reached?: Set<number>
  /** Collects outcomes. */
  readonly outcomes?: Set<string>
}

export interface Exploration {
  /** Schedules that were run to the end and checked. */
  readonly schedules: number
  /** Schedules that were cut as soon as they could only repeat another one. */
  readonly repeats: number
  readonly steps: number
  /** Null: no schedule violates anything. */
  readonly violation: FoundViolation | null
}

export interface FoundViolation {
  readonly message: string
  /** The last operations before it. */
  readonly trace: string
}

const SCHEDULES_MAX = 2_000_000
const TRACE_OPERATIONS = 30
const N = MODEL_THREADS_MAX

/** A place where a thread was chosen. */
interface Choice {
  enabled: number
  chosen: number
  /** Threads that must be tried here. */
  wanted: number
  done: number
  /** Threads whose next operation was tried before, and nothing since depends on it. */
  sleeping: number
}

export function explore(scenario: Scenario, options: ExploreOptions = {}): Exploration {
  return new Explorer(scenario, options).run()
}

class Explorer {
  readonly #scenario: Scenario
  readonly #options: ExploreOptions
  readonly #stack: Choice[] = []
  #depth = 0
  /** Per operation of this run: its thread, its word, whether it wrote. */
  readonly #thread: number[] = []
  readonly #word: number[] = []
  readonly #wrote: boolean[] = []
  readonly #site: number[] = []
  /** Per word: number + 1 of its last operation in this run; per operation: that of the one before on its word. */
  readonly #last: Int32Array
  readonly #before: number[] = []
  /** Clocks in the order of dependent operations: number + 1 of the last one seen of each thread. */
  readonly #clock = new Int32Array(N * N)
  /** Per word and thread: the clock after its last write, and after all of its operations. */
  readonly #afterWrite: Int32Array
  readonly #afterAll: Int32Array
  #schedules = 0
  #repeats = 0
  #steps = 0

  constructor(scenario: Scenario, options: ExploreOptions) {
    this.#scenario = scenario
    this.#options = options
    this.#last = new Int32Array(scenario.words.length)
    this.#afterWrite = new Int32Array(scenario.words.length * N)
    this.#afterAll = new Int32Array(scenario.words.length * N)
  }

  run(): Exploration {
    const { mutation, schedulesMax = SCHEDULES_MAX, stopAfter, sites, reached } = this.#options
    execution.mutation = mutation ?? null
    execution.reached = reached ?? null
    let violation: FoundViolation | null = null
    try {
      do {
        if (this.#schedules > schedulesMax)
          throw new Error(`${this.#scenario.name} has more than ${schedulesMax} schedules`)
        violation = this.#schedule(sites)
        if (this.#schedules === stopAfter) break
      } while (violation === null && this.#next())
    } finally {
      execution.mutation = execution.reached = null
    }
    return {
      schedules: this.#schedules,
      repeats: this.#repeats,
      steps: this.#steps,
      violation,
    }
  }

  /** Moves to the next choice that is left. */
  #next(): boolean {
    for (let top = this.#stack.at(-1); top !== undefined; top = this.#stack.at(-1)) {
      top.done |= 1 << top.chosen
      const left = top.wanted & top.enabled & ~top.done & ~top.sleeping
      if (left !== 0) {
        top.chosen = 31 - Math.clz32(left & -left)
        return true
      }
      this.#stack.pop()
    }
    return false
  }

  #schedule(sites: readonly Site[] | undefined): FoundViolation | null {
    try {
      this.#begin()
      const isWhole = this.#steer()
      if (!isWhole) {
        this.#repeats++
        return null
      }
      this.#end()
      this.#schedules++
      return null
    } catch (error) {
      this.#schedules++
      return { message: String((error as Error).message), trace: this.#trace(sites) }
    } finally {
      this.#steps += this.#depth
    }
  }

  #model: Model | null = null

  #begin(): void {
    this.#depth = 0
    for (const word of this.#word) {
      this.#last[word] = 0
      this.#afterWrite.fill(0, word * N, (word + 1) * N)
      this.#afterAll.fill(0, word * N, (word + 1) * N)
    }
    this.#thread.length = this.#word.length = this.#wrote.length = this.#site.length = 0
    this.#before.length = 0
    this.#clock.fill(0)
    execution.reset(this.#scenario.words)
    const model = execution.alone(this.#scenario.build()) as Model
    this.#model = model
    const { death } = model
    for (const [name, body] of Object.entries(model.threads)) {
      const thread = body() as unknown as Generator<unknown, void, number>
      const isMortal = name === death?.thread
      execution.start(
        name,
        isMortal ? mortal(thread, death.operations, this.#scenario.words, death.isDead) : thread,
        false,
      )
    }
    for (const [name, body] of Object.entries(model.daemons ?? {}))
      execution.start(name, body(), true)
    if (execution.threads.length > N) throw new Error(`a model has at most ${N} threads`)
    for (let p = 0; p < execution.threads.length; p++) this.#meet(p, true)
  }

  /** Runs one schedule. False: it was cut because it repeats another one. */
  #steer(): boolean {
    const count = execution.threads.length
    let last = -1
    for (;;) {
      let enabled = 0
      for (let p = 0; p < count; p++) if (execution.isEnabled(p)) enabled |= 1 << p
      if (enabled === 0) return true
      const depth = this.#depth
      let choice = this.#stack[depth]
      if (choice === undefined) {
        const before = this.#stack[depth - 1]
        const sleeping = before === undefined ? 0 : this.#stillSleeping(before)
        const awake = enabled & ~sleeping
        if (awake === 0) return false
        // Going on with the same thread first: the first schedules have few switches.
        const next = this.#options.isReversed === true ? awake : awake & -awake
        const goesOn = last !== -1 && (awake & (1 << last)) !== 0
        const chosen = goesOn ? last : 31 - Math.clz32(next)
        const wanted = this.#options.isFull === true ? enabled : 1 << chosen
        choice = { enabled, chosen, wanted, done: 0, sleeping }
        this.#stack.push(choice)
      }
      last = choice.chosen
      this.#step(choice.chosen)
    }
  }

  /** Who slept or was tried at the choice before, and does not depend on the operation that was performed. */
  #stillSleeping(before: Choice): number {
    if (this.#options.isFull === true) return 0
    const number = this.#depth - 1
    const [word, wrote] = [this.#word[number], this.#wrote[number]]
    let sleeping = (before.sleeping | before.done) & ~(1 << before.chosen)
    for (let p = 0; p < execution.threads.length; p++) {
      if ((sleeping & (1 << p)) === 0) continue
      const isDependent =
        execution.threads[p].next.index === word && (wrote || execution.isWrite(p))
      if (isDependent) sleeping &= ~(1 << p)
    }
    return sleeping
  }

  #step(p: number): void {
    const number = this.#depth++
    const { next } = execution.threads[p]
    const word = next.index
    this.#thread.push(p)
    this.#word.push(word)
    this.#site.push(next.site)
    // Until it was performed, as far as messages are concerned.
    this.#wrote.push(true)
    const wrote = execution.step(p)
    this.#wrote[number] = wrote
    if (this.#options.isFull === true) return
    this.#before.push(this.#last[word])
    this.#last[word] = number + 1
    this.#order(p, number, word, wrote)
    // Choices that were made in an earlier run have been thought about then.
    if (this.#depth < this.#stack.length) return
    for (let q = 0; q < execution.threads.length; q++) this.#meet(q, q === p)
  }

  /** The operation is after those that it depends on. */
  #order(p: number, number: number, word: number, wrote: boolean): void {
    const clock = this.#clock
    const mine = p * N
    const at = word * N
    const seen = wrote ? this.#afterAll : this.#afterWrite
    for (let u = 0; u < N; u++) if (seen[at + u] > clock[mine + u]) clock[mine + u] = seen[at + u]
    clock[mine + p] = number + 1
    for (let u = 0; u < N; u++) {
      if (wrote) this.#afterWrite[at + u] = clock[mine + u]
      if (clock[mine + u] > this.#afterAll[at + u]) this.#afterAll[at + u] = clock[mine + u]
    }
  }

  /**
   * The last operation that p's next one depends on and is not already behind: there the other order must be
   * tried, too (dynamic partial-order reduction, Flanagan and Godefroid 2005).
   */
  #meet(p: number, isNew: boolean): void {
    const thread = execution.threads[p]
    if (thread.isDone || this.#options.isFull === true) return
    const { index } = thread.next
    const isWrite = execution.isWrite(p)
    for (let entry = this.#last[index]; entry !== 0; entry = this.#before[entry - 1]) {
      const number = entry - 1
      // Older ones were met when the thread came to this operation.
      if (!isNew && number !== this.#depth - 1) return
      const other = this.#thread[number]
      if (other === p || (!isWrite && !this.#wrote[number])) continue
      if (entry <= this.#clock[p * N + other]) continue
      this.#want(p, number)
      return
    }
  }

  #want(p: number, number: number): void {
    const choice = this.#stack[number]
    let initials = choice.enabled & (1 << p)
    for (let q = 0; q < execution.threads.length; q++) {
      if (q === p || (choice.enabled & (1 << q)) === 0) continue
      // q has an operation after `number` that p's next one is behind.
      for (let j = number + 1; j < this.#depth; j++) {
        if (this.#thread[j] !== q) continue
        if (j + 1 <= this.#clock[p * N + q]) initials |= 1 << q
        break
      }
    }
    if ((initials & choice.wanted) !== 0) return
    if (initials === 0) choice.wanted |= choice.enabled
    else choice.wanted |= (initials & (1 << p)) !== 0 ? 1 << p : initials & -initials
  }

  #end(): void {
    const stuck = execution.threads.filter((thread) => !thread.isDone && !thread.isDaemon)
    if (stuck.length > 0)
      throw new Violation(`deadlock: ${stuck.map(({ name }) => name).join(', ')} wait for ever`)
    const { outcomes } = this.#options
    const model = this.#model as Model
    if (outcomes !== undefined && model.outcome !== undefined)
      outcomes.add(execution.alone(model.outcome()) as string)
    execution.alone(model.check())
  }

  #trace(sites: readonly Site[] | undefined): string {
    const lines: string[] = []
    for (let i = Math.max(0, this.#depth - TRACE_OPERATIONS); i < this.#depth; i++) {
      const name = execution.threads[this.#thread[i]]?.name ?? this.#thread[i]
      const site = sites?.[this.#site[i]]?.name ?? `site ${this.#site[i]}`
      lines.push(`${name}: ${site} @${this.#word[i]}`)
    }
    return lines.join('\n')
  }
}
