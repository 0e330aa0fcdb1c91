// What: models of a completion port: its queue, its entries, and its threads; also of threads that die in the middle.
// Flow: port_queue, port_entries, port_threads, completion_port -> this -> protocols.test.ts.
// Thread: a model's threads.

import {
  PORT_GRANTING,
  PORT_LIMIT,
  PORT_PLACES_AT,
  PORT_THREAD_HOLDING,
  PORT_THREAD_RETURN_HEAD,
  PORT_THREAD_STATE,
  PORT_THREAD_WORDS,
  PORT_THREADS,
  PORT_THREADS_AT,
  PortThreadState,
} from '../../../src/layout/layout.ts'
import { add, compareExchange, load, or, store } from '../../../src/shared/atomics.ts'
import { CompletionPort } from '../../../src/shared/completion_port.ts'
import { PortEntries } from '../../../src/shared/port_entries.ts'
import { createPort } from '../../../src/shared/port_memory.ts'
import { NOTHING, PortQueue, SEALED } from '../../../src/shared/port_queue.ts'
import { CLOSED, PortThreads } from '../../../src/shared/port_threads.ts'
import type { Scenario } from '../explore.ts'
import { check, SOME_MS, waitWhile } from '../ops.ts'

const FOREVER = Number.POSITIVE_INFINITY
/** In the word of a twin's queue. */
const TWIN_SEALED = 0x100

interface Shape {
  /** Threads that have the port open. */
  readonly threads: number
  readonly limit: number
  readonly capacity?: number
}

/** The memory of a port that begins anew for each schedule. */
export class PortWorld {
  readonly words: Int32Array
  readonly handle: { readonly memory: SharedArrayBuffer }
  readonly #start: Int32Array
  readonly bytes: Uint8Array
  readonly threads: number
  /** Threads that have something in hand and do not block. */
  running = 0
  /** Of them, those that came back from blocking: that many more may run. */
  over = 0
  readonly taken: number[] = []

  constructor({ threads, limit, capacity = 2 }: Shape) {
    // A block that no thread has is room for what a scenario has around the port.
    this.handle = createPort({ threads: threads + 1, concurrency: limit, capacity })
    this.threads = threads
    this.words = new Int32Array(this.handle.memory)
    this.bytes = new Uint8Array(this.handle.memory)
    this.#start = this.words.slice()
  }

  /** The ports of the first threads, or of all. */
  open(count = this.threads): CompletionPort[] {
    this.reset()
    const ports: CompletionPort[] = []
    for (let thread = 0; thread < count; thread++)
      ports.push(CompletionPort.open(this.handle, thread))
    return ports
  }

  reset(): void {
    this.words.set(this.#start)
    this.taken.length = 0
    this.running = this.over = 0
  }

  stateAt(thread: number): number {
    return this.words[PORT_THREADS_AT] + thread * PORT_THREAD_WORDS + PORT_THREAD_STATE
  }

  /** A word that the port does not have. */
  outside(number: number): number {
    return this.stateAt(this.words[PORT_THREADS] - 1) + 1 + number
  }

  /** Has something in hand, seen at the moment when it was taken. */
  takes(value: number): void {
    this.running++
    const most = this.words[PORT_LIMIT] + this.over
    check(this.running <= most, `PORT-4: ${this.running} threads run at once`)
    check(!this.taken.includes(value), 'PORT-1: an entry is taken once')
    this.taken.push(value)
  }

  /** At the end: nobody runs or waits. */
  checkEnd(count: number): void {
    const { words } = this
    check(this.taken.length === count, `PORT-2: ${count} were appended, ${this.taken.join()} taken`)
    for (let place = 0; place < words[PORT_LIMIT]; place++)
      check(words[words[PORT_PLACES_AT] + place] === 0, 'PORT-4: every place is free')
    for (let thread = 0; thread < this.threads; thread++) {
      const state = words[this.stateAt(thread)]
      check(
        state === PortThreadState.OUTSIDE || state === PortThreadState.ABSENT,
        'PORT-7: nobody waits at the end',
      )
    }
  }
}

/** What PortThreads needs of a queue, in one word: its own models show that the real one is no different. */
export class QueueTwin {
  readonly #words: Int32Array
  readonly #word: number

  constructor(world: PortWorld) {
    this.#words = world.words
    this.#word = world.outside(0)
  }

  append(): void {
    add(this.#words, this.#word, 1)
  }

  seal(): void {
    or(this.#words, this.#word, TWIN_SEALED)
  }

  count(): number {
    const value = load(this.#words, this.#word)
    return value === TWIN_SEALED ? SEALED : value & ~TWIN_SEALED
  }

  /** How many there were. */
  take(): number {
    for (;;) {
      const value = load(this.#words, this.#word)
      if (value === TWIN_SEALED) return SEALED
      if (value === 0) return NOTHING
      if (compareExchange(this.#words, this.#word, value, value - 1) === value)
        return value & ~TWIN_SEALED
    }
  }

  wasLast(): boolean {
    return load(this.#words, this.#word) === TWIN_SEALED
  }

  settle(): void {}
}

/** A thread of a port over a twin's queue. */
export class Taker {
  readonly threads: PortThreads
  readonly #world: PortWorld

  constructor(world: PortWorld, thread: number) {
    this.#world = world
    this.threads = new PortThreads(world.words, thread, new QueueTwin(world))
  }

  /** False: the end. */
  takeOne(): boolean {
    const entry = this.threads.obtain(FOREVER, false)
    if (entry === CLOSED) return false
    check(entry >= 0, 'PORT-3: a wait without a time has none')
    this.#world.takes(100 + this.#world.taken.length)
    return true
  }

  /** Takes what comes until the end. */
  takeAll(): void {
    while (this.takeOne()) this.#world.running--
  }
}

/** Threads of a port: as many takers, and thread 0, which appends. */
export function world(takers: number, limit: number) {
  const made = new PortWorld({ threads: takers + 1, limit })
  const build = () => {
    made.open()
    const all: Taker[] = []
    for (let thread = 0; thread <= takers; thread++) all.push(new Taker(made, thread))
    return { all, queue: new QueueTwin(made) }
  }
  return { made, build }
}

/** `waiting` takers wait already, `running` ones have an entry in hand; then each takes `takes` more and goes. */
interface Start {
  readonly takers: number
  readonly limit: number
  readonly waiting?: readonly number[]
  readonly running?: readonly number[]
}

function started({ takers, limit, waiting = [], running = [] }: Start) {
  const { made, build } = world(takers, limit)
  return {
    made,
    build() {
      const built = build()
      for (const thread of running) {
        built.queue.append()
        built.all[thread].takeOne()
      }
      for (const thread of waiting) built.all[thread].threads.obtain(0, true)
      return built
    },
  }
}

/** What each poster appends; what each taker takes until it goes. */
function wakes(
  name: string,
  start: Start,
  appends: readonly number[],
  takes: readonly number[],
): Scenario {
  const { made, build } = started(start)
  const running = start.running ?? []
  const total = appends.reduce((sum, count) => sum + count, running.length)
  return {
    name,
    invariants: ['PORT-2', 'PORT-4', 'PORT-7'],
    words: made.words,
    build() {
      const { all, queue } = build()
      const threads: Record<string, () => void> = {}
      appends.forEach((count, index) => {
        threads[`poster${index}`] = () => {
          for (let i = 0; i < count; i++) {
            queue.append()
            all[0].threads.dispatch()
          }
        }
      })
      takes.forEach((count, index) => {
        const taker = all[index + 1]
        threads[`taker${index + 1}`] = () => {
          if (running.includes(index + 1)) made.running--
          for (let i = 0; i < count; i++) {
            check(taker.takeOne(), 'PORT-7: it was not closed')
            made.running--
          }
          taker.threads.leave()
        }
      })
      return {
        threads,
        check() {
          made.checkEnd(total)
          for (let thread = 1; thread <= takes.length; thread++)
            check(made.words[made.stateAt(thread)] === PortThreadState.ABSENT, 'it has left')
        },
      }
    },
  }
}

/** Who was woken says that it runs: an entry behind the one that it has wakes another one. */
function behind(): Scenario {
  const { made, build } = world(2, 2)
  return {
    name: 'port: an entry that comes while another one is handled wakes a thread of its own',
    invariants: ['PORT-2'],
    words: made.words,
    build() {
      const { all, queue } = build()
      const [poster, first, second] = all
      for (const taker of [first, second]) taker.threads.obtain(0, true)
      const isTaken = made.outside(1)
      const isDone = made.outside(2)
      return {
        threads: {
          poster() {
            queue.append()
            poster.threads.dispatch()
            waitWhile(made.words, isTaken, 0)
            queue.append()
            poster.threads.dispatch()
          },
          second() {
            second.takeOne()
            store(made.words, isTaken, 1)
            waitWhile(made.words, isDone, 0)
            second.threads.leave()
          },
          first() {
            first.takeOne()
            store(made.words, isDone, 1)
            first.threads.leave()
          },
        },
        check: () => made.checkEnd(2),
      }
    },
  }
}

/** Everybody takes until the end. */
function ends(name: string, start: Start, appends: number): Scenario {
  const { made, build } = started(start)
  const running = start.running ?? []
  return {
    name,
    invariants: ['PORT-2', 'PORT-7'],
    words: made.words,
    build() {
      const { all, queue } = build()
      for (let i = 0; i < appends; i++) queue.append()
      const threads: Record<string, () => void> = {
        closer() {
          queue.seal()
          all[0].threads.dispatch()
        },
      }
      for (let thread = 1; thread <= start.takers; thread++) {
        threads[`taker${thread}`] = () => {
          if (running.includes(thread)) made.running--
          all[thread].takeAll()
        }
      }
      return { threads, check: () => made.checkEnd(appends + running.length) }
    },
  }
}

/** Waits begin one behind the other; the last one is the first to be woken. */
function lifo(): Scenario {
  const { made, build } = world(2, 1)
  return {
    name: 'port: the latest wait is woken first',
    invariants: ['PORT-3'],
    words: made.words,
    build() {
      const { all, queue } = build()
      const order: string[] = []
      const [poster, early, late] = all
      return {
        threads: {
          late() {
            waitWhile(made.words, made.stateAt(1), PortThreadState.OUTSIDE)
            late.takeOne()
            order.push('late')
          },
          poster() {
            waitWhile(made.words, made.stateAt(2), PortThreadState.OUTSIDE)
            queue.append()
            poster.threads.dispatch()
          },
        },
        daemons: {
          early() {
            early.takeOne()
            order.push('early')
          },
        },
        outcome: () => order.join(),
        check: () => check(order.join() === 'late', `PORT-3: woken ${order.join()}`),
      }
    },
  }
}

/** A wait that ends by time while it is being chosen takes the entry, or another thread does. */
function timeout(name: string, keepsPlace: boolean): Scenario {
  const { made, build } = world(2, 1)
  return {
    name,
    invariants: ['PORT-2', 'PORT-3'],
    words: made.words,
    build() {
      const { all, queue } = build()
      const [poster, hasty, patient] = all
      patient.threads.obtain(0, true)
      let timeouts = 0
      return {
        threads: {
          poster() {
            queue.append()
            poster.threads.dispatch()
          },
          hasty() {
            const entry = hasty.threads.obtain(SOME_MS, keepsPlace)
            if (entry >= 0) made.takes(0)
            else timeouts++
            // Only who kept its place can have been chosen since.
            if (entry >= 0 || keepsPlace) hasty.threads.leave()
          },
        },
        daemons: {
          patient() {
            if (patient.threads.obtain(FOREVER, false) >= 0) made.takes(1)
          },
        },
        outcome: () => `${timeouts} ${made.taken.join()}`,
        check: () => check(made.taken.length === 1, `PORT-2: taken ${made.taken.length} times`),
      }
    },
  }
}

/** Who blocks is replaced: the other one could not go on else. */
function blocking(): Scenario {
  const { made, build } = started({ takers: 2, limit: 1, running: [1], waiting: [2] })
  return {
    name: 'port: who blocks is replaced',
    invariants: ['PORT-2', 'PORT-4', 'PORT-5'],
    words: made.words,
    build() {
      const { all, queue } = build()
      const [, first, second] = all
      const isDone = made.outside(1)
      queue.append()
      return {
        threads: {
          first() {
            made.running--
            first.threads.pause()
            waitWhile(made.words, isDone, 0)
            made.over++
            made.running++
            first.threads.resume()
            made.over--
            made.running--
            first.threads.leave()
          },
          second() {
            second.takeOne()
            store(made.words, isDone, 1)
            made.running--
            second.threads.leave()
          },
        },
        check: () => made.checkEnd(2),
      }
    },
  }
}

/** One comes back from blocking while the other one, who has the only place, goes: a third one waits for an entry. */
function back(): Scenario {
  const { made, build } = world(3, 1)
  const { words } = made
  return {
    name: 'port: who is back stands in the place of who goes',
    invariants: ['PORT-4', 'PORT-5'],
    words,
    build() {
      const { all, queue } = build()
      const [, first, second, third] = all
      for (const taker of [first, second]) {
        queue.append()
        taker.threads.obtain(0, false)
        if (taker === first) first.threads.pause()
      }
      third.threads.obtain(0, true)
      queue.append()
      return {
        threads: {
          first() {
            first.threads.resume()
          },
          second() {
            second.threads.leave()
          },
        },
        outcome: () => `${words[made.stateAt(1)]} ${words[made.stateAt(3)]}`,
        check() {
          // The only place is the third one's when it was free before the first one was back.
          const [back, waits] = [1, 3].map((thread) => words[made.stateAt(thread)] & 7)
          check(
            waits === PortThreadState.CHOSEN
              ? back === PortThreadState.OVER
              : back === PortThreadState.RUNNING,
            `PORT-5: ${back} and ${waits}`,
          )
          const place = words[words[PORT_PLACES_AT]]
          const stands = waits === PortThreadState.CHOSEN ? PORT_GRANTING | 2 | 1 : 2
          check(place === stands, `PORT-4: ${place} stands in the place`)
        },
      }
    },
  }
}

/** Posts race for one place: the takers are not there to go on, so what was given can be counted. */
function race(name: string, posters: number, takers: number, limit: number): Scenario {
  const { made, build } = world(takers, limit)
  return {
    name,
    invariants: ['PORT-2', 'PORT-3', 'PORT-4'],
    words: made.words,
    build() {
      const { all, queue } = build()
      for (let thread = 1; thread <= takers; thread++) all[thread].threads.obtain(0, true)
      const threads: Record<string, () => void> = {}
      for (let poster = 0; poster < posters; poster++) {
        const own = new PortThreads(made.words, poster === 0 ? 0 : takers + poster, queue)
        threads[`poster${poster}`] = () => {
          queue.append()
          own.dispatch()
        }
      }
      return {
        threads,
        check() {
          const chosen: number[] = []
          for (let thread = 1; thread <= takers; thread++)
            if ((made.words[made.stateAt(thread)] & 7) === PortThreadState.CHOSEN)
              chosen.push(thread)
          const latest = [1, 2, 3].slice(takers - Math.min(limit, posters), takers)
          check(chosen.join() === latest.join(), `PORT-3: chosen ${chosen.join()}`)
        },
      }
    },
  }
}

/** What a thread does that ends in the middle, and what it has at the start. */
interface Dying {
  readonly name: string
  /** Operations until its own end. */
  readonly operations: number
  /** Whether something is appended when it was given up. */
  readonly isFed: boolean
  prepare(victim: Taker, queue: QueueTwin): void
  run(victim: Taker, queue: QueueTwin): void
}

/** After each number of operations: who waits goes on once the thread was given up. */
function deaths(dying: Dying): Scenario[] {
  return Array.from({ length: dying.operations + 1 }, (_, operations) => {
    const { made, build } = world(2, 1)
    const isDead = made.outside(2)
    return {
      name: `port: ${dying.name} ends after ${operations}`,
      invariants: ['PORT-8'],
      words: made.words,
      build() {
        const { all, queue } = build()
        const [keeper, victim, other] = all
        dying.prepare(victim, queue)
        other.threads.obtain(0, true)
        let taken = 0
        return {
          threads: {
            victim() {
              dying.run(victim, queue)
            },
            keeper() {
              waitWhile(made.words, isDead, 0)
              if (dying.isFed) queue.append()
              keeper.threads.abandon(1)
            },
          },
          daemons: {
            other() {
              if (other.threads.obtain(FOREVER, false) >= 0) taken++
              other.threads.leave()
            },
          },
          death: { thread: 'victim', operations, isDead },
          outcome: () => String(taken),
          check() {
            const left = made.words[made.outside(0)]
            check(taken === 1 || (left === 0 && !dying.isFed), 'PORT-8: who waits goes on')
            check(made.words[made.words[PORT_PLACES_AT]] === 0, 'PORT-8: the place is free')
            check(made.words[made.stateAt(1)] === PortThreadState.ABSENT, 'PORT-8: it is gone')
          },
        }
      },
    }
  })
}

/** The queue itself: how many each poster appends; the takers, if any, take all, or until the end. */
function queue(
  name: string,
  before: number,
  appends: readonly number[],
  takers: number,
  isSealed: boolean,
): Scenario {
  // Three entries in four cells, so that cells come round.
  const made = new PortWorld({ threads: 2, limit: 1, capacity: 1 })
  const { words } = made
  const total = appends.reduce((sum, count) => sum + count, 0)
  return {
    name,
    invariants: ['PORT-1', 'PORT-2', 'PORT-7'],
    words,
    build() {
      made.reset()
      const appended = made.outside(0)
      const posted: number[] = []
      const taken: number[] = []
      const queues = [0, 1, 2, 1].map((thread) => new PortQueue(words, thread))
      for (let i = 0; i < before; i++) {
        queues[0].append(2)
        check(queues[0].take() === 2, 'PORT-1: what was appended is taken')
      }
      const threads: Record<string, () => void> = {}
      appends.forEach((count, index) => {
        threads[`poster${index}`] = () => {
          for (let i = 0; i < count; i++) {
            if (queues[index].append(index + i)) posted.push(index + i)
            else check(isSealed, 'PORT-7: nobody has sealed it')
            add(words, appended, 1)
          }
        }
      })
      if (isSealed) {
        threads.closer = () => {
          queues[2].seal()
          add(words, appended, 1)
        }
      }
      for (let taker = 0; taker < takers; taker++) {
        threads[`taker${taker}`] = () => {
          const own = queues[3 - taker]
          while (isSealed || taken.length < total) {
            const before = load(words, appended)
            const entry = own.take()
            if (entry === SEALED) return
            if (entry >= 0) {
              taken.push(entry)
              if (takers > 1) return
            } else {
              // What was counted before was there; with two who take, the other one may have it.
              check(
                entry === NOTHING && (takers > 1 || taken.length >= before),
                'PORT-1: what is there is found',
              )
              waitWhile(words, appended, before)
            }
          }
        }
      }
      return {
        threads,
        outcome: () => taken.join(),
        check() {
          const left = posted.length - taken.length
          check(
            queues[0].count() === (isSealed && left === 0 ? SEALED : left),
            'PORT-2: when every call has ended, what is there is counted',
          )
          for (let entry = queues[0].take(); entry >= 0; entry = queues[0].take()) taken.push(entry)
          check(
            taken.toSorted().join() === posted.toSorted().join(),
            `PORT-1: posted ${posted.join()}, taken ${taken.join()}`,
          )
          if (appends.length === 1 && takers === 1)
            check(taken.join() === posted.join(), 'PORT-1: first in, first out')
        },
      }
    },
  }
}

/** Two threads take what is there: who finds nothing counts nothing, as nobody appends. */
function emptied(): Scenario {
  const made = new PortWorld({ threads: 2, limit: 1, capacity: 1 })
  const { words } = made
  return {
    name: 'port queue: two take until nothing is there',
    invariants: ['PORT-1', 'PORT-2'],
    words,
    build() {
      made.reset()
      const [first, second] = [0, 1].map((thread) => new PortQueue(words, thread))
      for (const entry of [0, 1]) first.append(entry)
      const taken: number[] = []
      const takeAll = (own: PortQueue) => {
        for (let entry = own.take(); entry >= 0; entry = own.take()) taken.push(entry)
        check(own.count() === 0, 'PORT-2: what was taken is not counted')
      }
      return {
        threads: {
          first() {
            takeAll(first)
          },
          second() {
            takeAll(second)
          },
        },
        outcome: () => taken.join(),
        check: () => check(taken.toSorted().join() === '0,1', `PORT-1: taken ${taken.join()}`),
      }
    },
  }
}

/** A thread ends while it appends or takes: head and tail are moved on for it, and the others go on. */
function queueDeaths(name: string, isTaking: boolean, operations: number): Scenario[] {
  return Array.from({ length: operations + 1 }, (_, after) => {
    const made = new PortWorld({ threads: 3, limit: 1, capacity: 1 })
    const { words } = made
    const isDead = made.outside(0)
    return {
      name: `port queue: ${name} ends after ${after}`,
      invariants: ['PORT-1', 'PORT-8'],
      words,
      build() {
        made.reset()
        const [victim, keeper, other] = [0, 1, 2].map((thread) => new PortQueue(words, thread))
        // So that no number is 0.
        keeper.append(0)
        keeper.take()
        if (isTaking) victim.append(0)
        let isAppended = false
        return {
          threads: {
            victim() {
              if (isTaking) victim.take()
              else victim.append(0)
            },
            keeper() {
              waitWhile(words, isDead, 0)
              keeper.settle()
              const holding = words[words[PORT_THREADS_AT] + PORT_THREAD_HOLDING]
              const left = keeper.count()
              check(left === 0 || left === 1, `PORT-8: ${left} are left`)
              check(!isTaking || left === (holding === 1 ? 0 : 1), 'PORT-8: taken or left')
              if (left === 1) check(keeper.take() === 0, 'PORT-1: what is left can be taken')
              check(keeper.take() === NOTHING, 'PORT-1: nothing else is there')
              check(keeper.count() === 0, 'PORT-8: nothing is counted that is not there')
              isAppended = keeper.append(1)
              check(other.count() === 1 && other.take() === 1, 'PORT-1: the queue goes on')
              other.seal()
              check(other.count() === SEALED && other.isSealed(), 'PORT-7: it is sealed')
            },
          },
          death: { thread: 'victim', operations: after, isDead },
          check: () => check(isAppended, 'PORT-8: the queue goes on'),
        }
      },
    }
  })
}

/** Entries: a thread has one, and writes again when it was given back. */
function entries(): Scenario {
  const made = new PortWorld({ threads: 2, limit: 1, capacity: 1 })
  const { words } = made
  return {
    name: 'port: an entry is written again when it was given back',
    invariants: ['PORT-6'],
    words,
    build() {
      made.reset()
      const box = made.outside(0)
      const returned = made.stateAt(0) - PORT_THREAD_STATE + PORT_THREAD_RETURN_HEAD
      const [writer, reader] = [0, 1].map((thread) => new PortEntries(words, made.bytes, thread))
      const nothing = made.bytes.subarray(0, 0)
      const read: number[] = []
      return {
        threads: {
          writer() {
            for (const value of [5, 6]) {
              let entry = writer.write(1, value, nothing)
              if (entry === -1) {
                waitWhile(words, returned, 0)
                entry = writer.write(1, value, nothing)
              }
              check(entry === 0, 'PORT-6: a thread has its own entries')
              waitWhile(words, box, 1)
              store(words, box, 1)
            }
          },
          reader() {
            for (let i = 0; i < 2; i++) {
              waitWhile(words, box, 0)
              store(words, box, 0)
              read.push(reader.read(0).value)
            }
          },
        },
        check: () => check(read.join() === '5,6', `PORT-6: read ${read.join()}`),
      }
    },
  }
}

/** All of it together. */
function whole(): Scenario {
  const made = new PortWorld({ threads: 2, limit: 1, capacity: 1 })
  return {
    name: 'port: one post, one get',
    invariants: ['PORT-1', 'PORT-2', 'PORT-6'],
    words: made.words,
    build() {
      const [poster, taker] = made.open()
      taker.get(0, true)
      let got = 0
      return {
        threads: {
          poster() {
            check(poster.post(3, 4) === 'posted', 'PORT-6: there is room')
          },
          taker() {
            const entry = taker.get()
            if (typeof entry !== 'string' && entry.key === 3) got = entry.value
            taker.leave()
          },
        },
        check() {
          check(got === 4, 'PORT-1: what was posted was got')
          made.checkEnd(0)
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  queue('port queue: two threads append, one takes', 0, [1, 1], 1, false),
  queue('port queue: a cell comes round', 3, [1, 1], 1, false),
  queue('port queue: one thread appends two, one takes', 0, [2], 1, false),
  queue('port queue: two take', 0, [2], 2, false),
  queue('port queue: two threads append, nobody takes', 0, [1, 1], 0, false),
  emptied(),
  queue('port queue: sealed while a thread appends', 0, [1], 1, true),
  ...queueDeaths('who appends', false, 3),
  ...queueDeaths('who takes', true, 4),
  entries(),
  wakes('port: one entry, one taker', { takers: 1, limit: 1 }, [1], [1]),
  wakes('port: two entries, one waits', { takers: 1, limit: 1, waiting: [1] }, [2], [2]),
  wakes(
    'port: one comes back, one waits',
    { takers: 2, limit: 1, running: [1], waiting: [2] },
    [1],
    [0, 1],
  ),
  race('port: two posts, two wait, one may run', 2, 2, 1),
  race('port: two posts, two wait, both may run', 2, 2, 2),
  ends('port: the end, one begins to wait', { takers: 1, limit: 1 }, 0),
  behind(),
  lifo(),
  timeout('port: a wait ends by time', false),
  timeout('port: a wait ends by time and keeps its place', true),
  blocking(),
  back(),
  whole(),
  ...deaths({
    name: 'who posts',
    operations: 9,
    isFed: false,
    prepare() {},
    run(victim, queue) {
      queue.append()
      victim.threads.dispatch()
    },
  }),
  ...deaths({
    name: 'who comes back',
    operations: 17,
    isFed: true,
    prepare(victim, queue) {
      queue.append()
      victim.takeOne()
    },
    run(victim) {
      victim.threads.obtain(FOREVER, false)
    },
  }),
  ...deaths({
    name: 'who was chosen',
    operations: 16,
    isFed: true,
    prepare(victim, queue) {
      victim.threads.obtain(0, true)
      queue.append()
      victim.threads.dispatch()
    },
    run(victim) {
      victim.threads.obtain(FOREVER, false)
      victim.threads.leave()
    },
  }),
  ...deaths({
    name: 'who blocks',
    operations: 24,
    isFed: true,
    prepare(victim, queue) {
      queue.append()
      victim.takeOne()
    },
    run(victim) {
      victim.threads.pause()
      victim.threads.resume()
      victim.threads.leave()
    },
  }),
]
