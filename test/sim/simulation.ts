// What: one simulated server with its clients: one seed is one world, from the first connection to the last release.
// Flow: seed -> memory, threads, clients -> steps in a seeded order -> invariants.ts -> what happened, by kind.
// Thread: the test's: main and all other threads are stepped by it, and interrupt one another at their atomic operations.

import type { Framing } from '../../src/framing/framing.ts'
import {
  CloseReason,
  Counter,
  SESSION_IO_COUNT,
  SESSION_SEND_FLAG,
  SESSION_SEND_HEAD,
  SessionState,
  THREAD_ASSIGNED_SESSIONS,
  THREAD_DEAF,
  THREAD_DOORBELL,
  THREAD_LOCAL_PENDING,
  THREAD_THREAD_STATE,
  ThreadState,
} from '../../src/layout/layout.ts'
import type { Outbox } from '../../src/outbound/outbox.ts'
import type { Sender } from '../../src/outbound/sender.ts'
import type { ResolvedProtocol } from '../../src/server/options.ts'
import { resolveOptions } from '../../src/server/resolve_options.ts'
import type {
  CloseReasonName,
  Handler,
  Packet,
  Runtime,
  Sendable,
  SendBuffer,
  SendResult,
  Session,
} from '../../src/session/handler.ts'
import type { ThreadRuntime } from '../../src/session/runtime.ts'
import type { Arena } from '../../src/shared/arena.ts'
import { makeSessionId, slotOf } from '../../src/shared/session_id.ts'
import { threadIds, threadName } from '../../src/shared/thread_ids.ts'
import type { MovedSession } from '../../src/update/content.ts'
import { Random } from '../helpers/unit_memory.ts'
import {
  bindingOf,
  DRIVER_BUGS,
  type DriverBug,
  FAULTS,
  type Fault,
  FIRST_PORT,
  type SimAddon,
} from './addon.ts'
import { Client } from './client.ts'
import { checkEnd } from './invariants.ts'
import { SESSIONS_PER_WORKER_MAX, type Shape, SimMemory } from './memory.ts'
import {
  type ContentThread,
  HANDLER_URL,
  makeSender,
  makeUpdate,
  makeWorker,
  Phase,
  type SimSender,
  type SimThread,
  type SimUpdate,
  type SimWorker,
  type ThreadParts,
} from './sim_threads.ts'
import { type ThreadModules, WORKERS_MAX } from './threads.ts'
import {
  DIRECT,
  FROM_CLIENT,
  frame,
  MESSAGE_BYTES_MIN,
  OWN,
  rawByte,
  readMessage,
  SHARED,
  writeMessage,
} from './traffic.ts'

const NS_PER_MS = 1e6
/** Steps of a world before it settles. */
const STEPS_MIN = 60
const STEPS_MAX = 240
/** Worlds with update threads. */
const OTHERS_PERCENT = 40
/** What a world may take to settle or to end; one that needs more hangs. */
const ROUNDS_MAX = 6_000
/** Virtual time in which every timeout has come that will come; sessions whose client does nothing may stay. */
const END_NS = 2_500 * NS_PER_MS
const CONNECTIONS_MAX = 14
/** Interruptions inside interruptions. */
const DEPTH_MAX = 2
const RAW = 'raw'
/** Virtual time that passes with a step, at most. */
const STEP_NS_MAX = 30_000
const PLANNED_ERROR = 'planned'
/** Virtual time that a session is on its way from one update thread to another, at most. */
const MAIL_NS_MAX = 300_000
/** Servers whose content runs in update threads; the last ones have send threads. */
const OTHER_SHAPES: readonly Shape[] = [
  { workers: 1, updates: 1, senders: 0 },
  { workers: 2, updates: 2, senders: 0 },
  { workers: 1, updates: 2, senders: 1 },
  { workers: 2, updates: 2, senders: 1 },
  { workers: 1, updates: 2, senders: 2 },
]
const SENDING_SHAPES = OTHER_SHAPES.filter(({ senders }) => senders > 0)
/** Some end before the driver answers. */
const CONNECT_TIMEOUTS_MS = [0.1, 1_000]
const CONNECT_CODES: readonly string[] = [
  'ERR_CONNECT',
  'ERR_CONNECT_REFUSED',
  'ERR_CONNECT_TIMED_OUT',
  'ERR_SERVER_STATE',
]

/** What the harness knows of a session, from its handler's events. */
export interface Log {
  readonly id: number
  /** The thread that runs its content. */
  home: number
  readonly protocol: number
  readonly connection: number
  /** As its content has it; another one after each move. */
  session: Session
  left: boolean
  reason: CloseReasonName | ''
  /** Messages of the client that onRecv has seen; bytes, of a raw one. */
  received: number
  /** What its content has queued in order: kind × 2^30 + sequence. */
  readonly own: number[]
  /** Its content's messages that were queued, beside those that it sent back. */
  ownQueued: number
  /** Messages queued by each other thread. */
  readonly queued: number[]
  /** Raw bytes that were queued to be sent back. */
  echoed: number
  /** It was reset from this side: terminate(), closeTimeout, memory, closeMode. */
  terminated: boolean
  /** Another thread has closed it, which did not wait for content that runs elsewhere. */
  isCut: boolean
  /** send() said 'full', and onDrain has not come. */
  owedDrain: boolean
}

/** What a session may do besides sending and receiving. */
const FEATURES = ['moves', 'lane changes', 'zero copy', 'drains', 'overflow'] as const
type Feature = (typeof FEATURES)[number]

/** What must meet in a world, and in a session: any two, and the three that wait for the kernel to be done with memory. */
const MEETINGS: readonly (readonly Feature[])[] = [
  ...FEATURES.flatMap((one, at) => FEATURES.slice(at + 1).map((other) => [one, other] as const)),
  ['moves', 'lane changes', 'zero copy'],
]

const meets = (where: string, features: readonly Feature[]) =>
  `a ${where} with ${features.join(', ')}`

/** Names of all meetings among what happened. */
export const MEETING_KINDS: readonly string[] = ['world', 'session'].flatMap((where) =>
  MEETINGS.map((features) => meets(where, features)),
)

export interface SimEnvironment {
  readonly addon: SimAddon
  readonly threads: readonly ThreadModules[]
  readonly driverBug: DriverBug
  readonly memories: Map<string, SimMemory>
  /** How often what happened, over all worlds. */
  readonly seen: Map<string, number>
  readonly trace: ((line: string) => void) | null
  /** Only worlds whose content, or whose sends, are in other threads; null: all. */
  readonly aim: 'content elsewhere' | 'sends elsewhere' | null
}

export function makeEnvironment(
  addon: SimAddon,
  threads: readonly ThreadModules[],
  driverBug: DriverBug = 'none',
  trace: SimEnvironment['trace'] = null,
  aim: SimEnvironment['aim'] = null,
): SimEnvironment {
  return { addon, threads, driverBug, memories: new Map(), seen: new Map(), trace, aim }
}

/** Runs the world of a seed to its end. @throws what is wrong, without the seed */
export async function simulate(environment: SimEnvironment, seed: number): Promise<void> {
  await new Simulation(environment, seed).run()
}

const idOf = ({ slot, generation }: Outbox) => makeSessionId(slot, generation)

const framings: readonly Framing[] = [
  { kind: 'length-prefix', bytes: 2, endian: 'big', offset: 0, includesHeader: false },
  { kind: 'length-prefix', bytes: 4, endian: 'little', offset: 0, includesHeader: true },
  { kind: 'length-prefix', bytes: 2, endian: 'little', offset: 3, includesHeader: false },
  { kind: 'delimiter', bytes: [13, 10], strip: true },
  { kind: 'delimiter', bytes: [10], strip: true },
]

export class Simulation {
  readonly addon: SimAddon
  readonly random: Random
  readonly memory: SimMemory
  readonly world: number
  readonly workers: SimWorker[] = []
  readonly updates: SimUpdate[] = []
  readonly senders: SimSender[] = []
  /** All of them. */
  readonly threads: readonly SimThread[]
  /** Those that run content: the update threads, or the workers. */
  readonly content: readonly ContentThread[]
  /** Ids of threads, main's among them. */
  readonly threadCount: number
  readonly protocols: readonly ResolvedProtocol[]
  readonly clients: Client[] = []
  readonly logs: Log[] = []
  readonly main: ThreadRuntime
  readonly mainSender: Sender<Outbox>
  readonly mainArena: Arena
  stage: 'busy' | 'settle' | 'end' | 'stop' = 'busy'
  nowNs = 0
  readonly #environment: SimEnvironment
  readonly #byConnection = new Map<number, Log>()
  readonly #terminated = new Set<number>()
  readonly #live = new Map<Session, Log>()
  readonly #listenerCount: number
  readonly #stamps: number[]
  readonly #mainBuffers: SendBuffer[] = []
  /** Sessions, by id, that each feature has done something to. */
  readonly #did = new Map<Feature, Set<number>>(FEATURES.map((feature) => [feature, new Set()]))
  readonly #interruptEvery: number
  readonly #calm: boolean
  #mainRunning = false
  #countdown = 0
  #depth = 0
  /** Somebody acted, or time passed, in the middle of another thread's step. */
  #interrupted = false
  #promisesDue = false
  #failure: unknown = null
  #stopsDue = 0

  constructor(environment: SimEnvironment, seed: number) {
    this.#environment = environment
    this.addon = environment.addon
    const random = new Random(seed)
    this.random = random
    const { threads, driverBug, aim } = environment
    const shape = random.chance(aim === null ? OTHERS_PERCENT : 100)
      ? random.pick(aim === 'sends elsewhere' ? SENDING_SHAPES : OTHER_SHAPES)
      : { workers: random.between(1, WORKERS_MAX), updates: 0, senders: 0 }
    const { workers, updates, senders } = shape
    const ids = threadIds({ ...shape, jobs: 0 })
    this.threadCount = ids.threadCount
    this.#stamps = new Array<number>(ids.threadCount).fill(0)
    const key = Object.values(shape).join()
    let memory = environment.memories.get(key)
    if (memory === undefined) {
      memory = new SimMemory(this.addon, shape)
      environment.memories.set(key, memory)
    }
    this.memory = memory
    const completionBatch = random.pick([4, 8, 64])
    const submissionWords = random.pick([24, 48, 400])
    memory.prepare({
      sessionsPerWorker: random.between(2, SESSIONS_PER_WORKER_MAX),
      nodesPerThread: random.pick([8, 24, 200]),
      chunkCount: random.pick([2, 6, 60]) + workers + updates,
      recvBuffersPerWorker: random.pick([2, 4, 16]),
      heapBytesPerWorker: random.pick([6, 20, 64]) * 1024,
      completionCapacity: Math.max(completionBatch, random.pick([4, 16, 128])),
      submissionWords,
      jobRingCapacity: random.pick([2, 8, 1024]),
      jobBytesPerRing: random.pick([4, 16, 64]) * 1024,
      // Every other world sends without copies: everything, or what is longer than a message.
      zeroCopyBytes: [0, 1, 0, 60][seed % 4],
      zeroCopyIsAuto: seed % 8 === 1,
      generationsLeft: random.chance(15) ? random.between(1, 3) : 0,
    })
    const raw = { kind: RAW } as const
    const first = random.pick(framings)
    const second = random.pick(framings)
    const options = resolveOptions({
      workers,
      ...(updates > 0 && {
        mode: senders > 0 ? 'send' : 'update',
        update: {
          threads: updates,
          eager: random.chance(50),
          tickRate: random.pick([20, 50, 200]),
        },
        ...(senders > 0 && {
          send: { lanes: senders - 1, flushInterval: random.pick([0, 0, 2]) },
        }),
      }),
      handler: HANDLER_URL,
      listeners: [
        { name: 'first', port: 0, framing: first },
        {
          name: 'second',
          port: 0,
          framing: second,
          closeMode: random.pick(['graceful', 'reset'] as const),
        },
        { name: RAW, port: 0, framing: raw },
      ],
      outbound: [{ name: 'out', framing: first }],
      maxBackpressure: random.pick([300, 2000, 20_000]),
      maxGather: Math.min(random.pick([1, 3, 16]), (submissionWords - 4) / 2),
      completionBatch,
      idleTimeout: random.pick([0, 0, 1000]),
      firstMessageTimeout: random.pick([0, 0, 200]),
      closeTimeout: 500,
    })
    this.#listenerCount = options.listeners.length
    this.protocols = [...options.listeners, ...options.outbound]
    this.#calm = random.chance(10)
    const permille = Int32Array.from(FAULTS, (fault) => this.#permille(fault))
    this.world = this.addon.create(
      new Uint8Array(memory.control),
      new Uint8Array(memory.arena),
      seed,
      permille,
      random.pick([150, 1000, 8000]),
      DRIVER_BUGS.indexOf(driverBug),
    )
    this.#interruptEvery = random.pick([20, 100, 400, 1e9])
    this.#countdown = random.between(1, this.#interruptEvery)

    const memories = { runtime: this.world, control: memory.control, arena: memory.arena }
    const wantsSent = random.chance(20)
    const parts = (thread: number, index: number): ThreadParts => {
      const why = this.addon.openWorker(this.world, thread, completionBatch)
      if (why !== '') throw new Error(why)
      return {
        thread,
        modules: threads[index],
        memories,
        binding: bindingOf(this.addon, this.world, thread, memory),
        protocols: this.protocols,
        options,
        nowNs: () => this.nowNs,
      }
    }
    for (let thread = 1; thread <= workers; thread++) {
      const worker = makeWorker(parts(thread, thread), this.#handler(thread, wantsSent))
      const { lifecycle } = worker.rooms
      const terminate = lifecycle.terminate.bind(lifecycle)
      lifecycle.terminate = (session, reason) => {
        this.#terminated.add(session.id)
        for (const log of this.#live.values()) if (log.id === session.id) log.terminated = true
        terminate(session, reason)
      }
      this.#watch(worker.rooms.core.sender)
      this.workers.push(worker)
    }
    for (let at = 0; at < senders; at++) {
      const sender = makeSender(parts(workers + 1 + at, workers + 1 + at))
      const { side } = sender.rooms
      const left = side.left.bind(side)
      side.left = (outbox) => {
        this.#does('lane changes', idOf(outbox))
        left(outbox)
      }
      this.#watch(sender.rooms.sender)
      this.senders.push(sender)
    }
    for (let at = 0; at < updates; at++) {
      const thread = ids.updateFirst + at
      this.updates.push(
        makeUpdate(
          parts(thread, workers + senders + 1 + at),
          this.#handler(thread, wantsSent),
          (to, session) => this.#pass(to, session),
          () => this.#tick(thread),
        ),
      )
    }
    this.content = updates > 0 ? this.updates : this.workers
    this.threads = [...this.workers, ...this.senders, ...this.updates]
    // As a server does: a single worker accepts by itself, several have an accept thread that chooses.
    if (workers === 1) this.addon.listen(this.world, 1, this.#listenerCount)
    const {
      Arena,
      Waker,
      SessionTable,
      GroupTable,
      ProtocolTable,
      Sender,
      ThreadRuntime,
      Encoder,
    } = threads[0]
    const binding = bindingOf(this.addon, this.world, 0, memory)
    const arena = new Arena(binding, memories, 0)
    const waker = new Waker(arena, binding)
    const table = new SessionTable(arena, waker)
    this.mainArena = arena
    this.mainSender = new Sender<Outbox>(arena, waker, table, false)
    this.main = new ThreadRuntime({
      arena,
      sender: this.mainSender,
      table,
      groups: new GroupTable(arena),
      waker,
      protocols: new ProtocolTable(
        arena,
        this.protocols.map((protocol) => new Encoder(protocol.framing)),
      ),
      names: this.protocols.map((protocol) => protocol.name),
      maxBackpressure: options.maxBackpressure,
      thread: 'main',
      data: undefined,
      post: () => {},
      core: null,
      content: null,
      connect: null,
    })
  }

  /** What a thread that submits does with the sends of its sessions. */
  #watch<T extends Outbox>(sender: Sender<T>): void {
    const completed = sender.completed.bind(sender)
    const notified = sender.notified.bind(sender)
    sender.completed = (outbox, status, taken, flags) => {
      if (outbox.waiting) this.#does('overflow', idOf(outbox))
      completed(outbox, status, taken, flags)
    }
    sender.notified = (outbox, number, isCopied) => {
      this.#does('zero copy', idOf(outbox))
      notified(outbox, number, isCopied)
    }
  }

  #does(feature: Feature, id: number): void {
    this.#did.get(feature)?.add(id)
  }

  #permille(fault: Fault): number {
    if (this.#calm) return 0
    const { random } = this
    switch (fault) {
      case 'zeroCopyRefused':
        return random.pick([0, 100])
      case 'reorder':
        return random.pick([0, 300, 700])
      case 'spuriousWake':
        return random.pick([0, 5])
      case 'connectRefused':
      case 'connectTimedOut':
        return 250
      case 'unreadDropped':
        return 500
      default:
        return random.pick([0, 50, 300])
    }
  }

  // --- the run ---------------------------------------------------------------------------------

  async run(): Promise<void> {
    const { random, addon, world } = this
    const { threads } = this.#environment
    const used = threads.slice(0, 1 + this.threads.length)
    for (const modules of used) modules.setHook(() => this.#interrupt())
    try {
      const steps = random.between(STEPS_MIN, STEPS_MAX)
      for (let step = 0; step < steps; step++) {
        this.#someone()
        this.#elapse(random.below(STEP_NS_MAX))
        if (this.#promisesDue) await this.#promises()
        this.#check()
        if (random.chance(3)) await this.#untilQuiet(false)
      }
      this.#enter('settle')
      await this.#untilQuiet(false)
      this.#checkSettled()
      if (random.chance(60)) {
        this.#enter('end')
        await this.#untilQuiet(random.chance(50))
      }
      this.#enter('stop')
      this.#mainDo(() => {
        for (const buffer of this.#mainBuffers.splice(0)) buffer.release()
        this.mainSender.publish()
      })
      this.#stopsDue = this.workers.length
      await this.#untilQuiet(true)
      this.#check()
      // Update threads stop last: they hear what workers said when those stopped.
      for (const { rooms } of this.updates) {
        rooms.take()
        rooms.turn()
      }
      for (const modules of used) modules.setHook(null)
      checkEnd(this)
      this.#summarize()
    } finally {
      for (const modules of used) modules.setHook(null)
      addon.destroy(world)
    }
  }

  #enter(stage: Simulation['stage']): void {
    this.stage = stage
    this.trace(() => stage)
    for (const thread of this.threads) thread.visitDue = true
  }

  note(kind: string, count = 1): void {
    const { seen } = this.#environment
    seen.set(kind, (seen.get(kind) ?? 0) + count)
  }

  trace(text: () => string): void {
    this.#environment.trace?.(`${(this.nowNs / 1000).toFixed(1)} µs ${text()}`)
  }

  #summarize(): void {
    const counts = new Float64Array(FAULTS.length)
    this.addon.faults(this.world, counts)
    for (const [index, fault] of FAULTS.entries()) this.note(fault, counts[index])
    for (const log of this.logs) this.note(`left: ${log.reason}`)
    for (const { arena } of [...this.workers, ...this.senders]) {
      this.note('zero copy', arena.counters[Counter.ZERO_COPY_SENDS])
      this.note('zero copy limited', arena.counters[Counter.ZERO_COPY_LIMITED])
      this.note('table full', arena.counters[Counter.ENDED_NONE + CloseReason.TABLE_FULL])
    }
    this.#noteMeetings()
  }

  #noteMeetings(): void {
    for (const features of MEETINGS) {
      const [first, ...others] = features.map((feature) => this.#did.get(feature) as Set<number>)
      if ([first, ...others].some((ids) => ids.size === 0)) continue
      this.note(meets('world', features))
      const isOne = [...first].some((id) => others.every((ids) => ids.has(id)))
      if (isOne) this.note(meets('session', features))
    }
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure
    const violation = this.addon.violation(this.world)
    if (violation !== '') throw new Error(`DRIVER: ${violation}`)
    this.#checkSleepers()
  }

  /** Nobody sleeps over work, unless who made it has not come to its wake-ups yet [WAKE-1]. */
  #checkSleepers(): void {
    const { words } = this.memory
    for (const { thread, arena, promisesDue } of this.threads) {
      const pending = arena.threadAt(thread) + THREAD_LOCAL_PENDING
      if (promisesDue || words[pending] !== 0) return
    }
    for (const { thread, name, phase, timeoutMs, visitDue } of this.threads) {
      const sleeps = phase === Phase.WAIT && timeoutMs !== 0 && !visitDue
      if (sleeps && this.addon.oversleeps(this.world, thread))
        throw new Error(`WAKE: ${name} sleeps, has work, and was not signalled`)
    }
  }

  fail(error: unknown): void {
    this.#failure ??= error
  }

  #elapse(ns: number): void {
    this.nowNs += ns
    this.addon.advance(this.world, ns)
  }

  /** Promises run when no thread is in the middle of a step, as they do after a turn. */
  async #promises(): Promise<void> {
    // A connection's promise, its continuation, and what watches that one.
    for (let i = 0; i < 6; i++) await null
    this.#promisesDue = false
    for (const thread of this.threads) thread.promisesDue = false
  }

  /** Lets everybody step until nobody can; `timersToo`: virtual time then jumps to the next timer. */
  async #untilQuiet(timersToo: boolean): Promise<void> {
    const untilNs = this.nowNs + END_NS
    for (let round = 0; ; round++) {
      if (round > ROUNDS_MAX) throw new Error(`HANG: ${this.stage} does not end`)
      let progress = false
      const turns = this.random.shuffle([...this.threads.keys(), -1])
      for (const index of turns) {
        if (index >= 0) progress = this.#step(this.threads[index]) || progress
        else progress = this.#clientsStep() || progress
        if (this.#promisesDue) await this.#promises()
        this.#check()
      }
      // Who had its turn before may have something to do again.
      if (progress || this.#interrupted) {
        this.#interrupted = false
        this.#elapse(this.random.below(STEP_NS_MAX))
        continue
      }
      const due = this.#nextDueNs()
      if (due >= 0) {
        this.#elapse(due)
        continue
      }
      this.#checkQuiet()
      if (this.stage === 'stop' && this.workers.every(({ stopped }) => stopped)) return
      let next = Number.POSITIVE_INFINITY
      for (const thread of this.threads)
        if (thread.timers.size > 0) next = Math.min(next, thread.deadlineNs)
      const isOver = !timersToo || next > (this.stage === 'stop' ? Number.MAX_VALUE : untilNs)
      if (isOver) {
        if (this.stage === 'stop') throw new Error('HANG: sessions are left, and nothing is due')
        return
      }
      this.#elapse(Math.max(1, next - this.nowNs))
    }
  }

  /** Nanoseconds until something happens by itself that somebody waits for; -1: nothing does. */
  #nextDueNs(): number {
    let next = this.addon.nextDue(this.world)
    const take = (ns: number) => {
      const left = Math.max(1, ns - this.nowNs)
      if (next < 0 || left < next) next = left
    }
    for (const { arena, thread, mail, deadlineNs } of this.updates) {
      const block = arena.threadAt(thread)
      if (mail.length > 0) take(mail[0].dueNs)
      // Its tick brings what it does not listen to before.
      const isDeaf = arena.words[block + THREAD_DEAF] !== 0
      if (isDeaf && arena.words[block + THREAD_DOORBELL] !== 0) take(deadlineNs)
    }
    // What was handed over waits for the end of an interval.
    for (const { timers, deadlineNs } of this.senders) if (timers.size > 0) take(deadlineNs)
    return next
  }

  /** When nobody can do anything, nobody may have anything to do [WAKE-1, SENDFLAG-2]. */
  #checkQuiet(): void {
    for (const { thread, name } of this.threads) {
      if (this.addon.hasWork(this.world, thread))
        throw new Error(`WAKE: ${name} sleeps although it has work`)
    }
    for (const { state, flightFirst, held, paused, id } of this.workers.flatMap(
      ({ rooms }) => rooms.lifecycle.registry.live,
    )) {
      if (state !== SessionState.OPEN && flightFirst !== 0)
        throw new Error(`LATE: session ${id} ends, and its last send's completion is kept back`)
      if (state === SessionState.OPEN && held !== null && !paused)
        throw new Error(`LATE: session ${id} was resumed, and what it holds is not read`)
    }
    const { arena } = this.workers[0].rooms.core
    for (let slot = 0; slot < arena.plan.sessionCapacity; slot++) {
      const at = arena.sessionAt(slot)
      if (arena.words[at + SESSION_SEND_HEAD] !== 0)
        throw new Error(
          `STRANDED: slot ${slot} has a message that nobody will send; flag ${arena.words[at + SESSION_SEND_FLAG]}, count ${arena.words[at + SESSION_IO_COUNT]}`,
        )
    }
  }

  /** Everything has arrived that was sent, wherever both sides still listen. */
  #checkSettled(): void {
    for (const log of this.#live.values()) {
      const client = this.clients[log.connection]
      if (!log.session.isOpen || !client.isWell || client.isStubborn) continue
      client.checkAllArrived(log)
      if (log.owedDrain)
        throw new Error(`DRAIN: session ${log.id} was told 'full' and never onDrain`)
      if (!client.hasEnded) this.note('settled open')
    }
  }

  // --- who does something ----------------------------------------------------------------------

  #someone(): void {
    const { random } = this
    const kind = random.below(100)
    if (kind < 55) this.#step(random.pick(this.threads))
    else if (kind < 80) this.#clientDo()
    else if (kind < 90) this.#mainAct()
    else if (kind < 97) this.#connect()
    else this.#elapse(random.below(10 * STEP_NS_MAX))
  }

  /** Another thread, or a client, does something before an atomic operation of this one. */
  #interrupt(): void {
    if (--this.#countdown > 0) return
    this.#countdown = this.random.between(1, this.#interruptEvery)
    if (this.#depth >= DEPTH_MAX || this.#failure !== null || this.stage === 'stop') return
    this.#depth++
    this.#interrupted = true
    this.note('interrupted')
    try {
      const { random } = this
      const kind = random.below(100)
      if (kind < 60) {
        const thread = random.pick(this.threads)
        // Long enough to fall asleep, as often as not.
        for (let steps = random.between(1, 8); steps > 0 && this.#step(thread); steps--);
      } else if (kind < 85) {
        if (this.stage === 'busy') this.#mainAct()
      } else if (this.stage === 'busy') this.#clientDo()
      else this.#elapse(random.below(STEP_NS_MAX))
    } catch (error) {
      this.fail(error)
    }
    this.#depth--
  }

  #connect(): void {
    const { random } = this
    // Numbers are given in order: those that workers have made come first.
    this.#meetOutbound()
    if (this.clients.length >= CONNECTIONS_MAX) return
    const protocol = random.below(this.#listenerCount)
    if (this.workers.length === 1) {
      const connection = this.addon.knock(this.world, protocol)
      this.trace(() => `connection ${connection} of ${this.protocols[protocol].name} knocks`)
      this.#meet(connection, protocol)
      return
    }
    const free = this.workers.filter(({ rooms: { core, lifecycle } }) => {
      const assigned = core.arena.threadAt(core.arena.thread) + THREAD_ASSIGNED_SESSIONS
      return this.memory.words[assigned] < lifecycle.registry.capacity
    })
    if (free.length === 0) return
    const { thread } = random.pick(free)
    const connection = this.addon.connect(this.world, protocol, thread)
    this.trace(
      () => `connection ${connection} of ${this.protocols[protocol].name} to worker${thread}`,
    )
    this.#meet(connection, protocol)
  }

  #meet(connection: number, protocol: number): Client {
    const client = new Client(this, connection, this.protocols[protocol].framing)
    this.clients[connection] = client
    return client
  }

  /** Connections that workers have made. */
  #meetOutbound(): void {
    const count = this.addon.connections(this.world)
    for (let i = this.clients.length; i < count; i++) this.#meet(i, this.#listenerCount)
  }

  #clientDo(): void {
    this.#meetOutbound()
    if (this.clients.length > 0) this.random.pick(this.clients).act()
  }

  #clientsStep(): boolean {
    this.#meetOutbound()
    let progress = false
    for (const client of this.clients) progress = client.finish() || progress
    return progress
  }

  // --- threads ---------------------------------------------------------------------------------

  /** Runs JavaScript as a thread: whoever interrupts it cannot step it. */
  #as(thread: SimThread, act: () => void): void {
    thread.running = true
    // A connection that was made, or the last session of a server that stops, resolves a promise.
    const { connecting = 0 } = thread as Partial<SimWorker>
    if (this.stage === 'stop' || connecting > 0) this.#owePromises(thread)
    try {
      act()
    } catch (error) {
      this.fail(error)
    }
    thread.running = false
  }

  /** Its promises have to run before it goes on. */
  #owePromises(thread: SimThread): void {
    thread.promisesDue = this.#promisesDue = true
  }

  /** The next parts of a round. False: it sleeps. */
  #step(stepped: SimThread): boolean {
    if (stepped.running || stepped.promisesDue) return false
    const { addon, world } = this
    const { thread } = stepped
    let acted = false
    if (stepped.phase === Phase.HAND_OVER) {
      acted = this.#betweenTurns(stepped)
      addon.handOver(world, thread)
      stepped.timeoutMs = addon.look(world, thread, this.#timeoutMs(stepped))
      stepped.phase = Phase.PARK
      if (stepped.promisesDue || this.random.chance(25)) return true
    }
    if (stepped.phase === Phase.PARK) {
      stepped.timeoutMs = addon.park(world, thread, stepped.timeoutMs)
      stepped.deadlineNs = this.nowNs + stepped.timeoutMs * NS_PER_MS
      stepped.phase = Phase.WAIT
      if (this.random.chance(25)) return true
    }
    // libuv's own descriptor is in the wait, too: a callback of user code is due, or a message has come.
    if (this.stage === 'busy' && this.random.chance(5)) stepped.visitDue = true
    if (this.#hasMail(stepped)) stepped.visitDue = true
    const sleeps = stepped.timeoutMs !== 0 && this.nowNs < stepped.deadlineNs && !stepped.visitDue
    if (sleeps && !addon.ready(world, thread)) return acted
    stepped.visitDue = false
    stepped.phase = Phase.HAND_OVER
    if (addon.wait(world, thread, stepped.timeoutMs)) this.#as(stepped, stepped.turn)
    return true
  }

  /** As libuv says: until the next timer. */
  #timeoutMs({ timers }: SimThread): number {
    let due = Number.POSITIVE_INFINITY
    for (const timer of timers) due = Math.min(due, timer.dueNs)
    if (due === Number.POSITIVE_INFINITY) return -1
    return Math.max(0, Math.ceil((due - this.nowNs) / NS_PER_MS))
  }

  /**
   * libuv's visit: timers, messages of main, and what user code does in its callbacks. True: others may have something to
   * do now, although this thread has not.
   */
  #betweenTurns(stepped: SimThread): boolean {
    let acted = false
    for (const timer of [...stepped.timers]) {
      if (timer.dueNs > this.nowNs) continue
      timer.dueNs = this.nowNs + timer.everyNs
      this.#as(stepped, timer.run)
      acted = true
    }
    while (this.#hasMail(stepped)) {
      this.#receiveMail(stepped)
      acted = true
    }
    const worker = this.workers.find((other) => other === stepped)
    if (worker !== undefined && this.#stopsDue > 0 && !worker.rooms.lifecycle.stopping) {
      this.#as(worker, () => this.#stop(worker))
      return true
    }
    const content = this.content.find((other) => other === stepped)
    if (content === undefined) return acted
    if (this.stage !== 'busy') {
      const paused = this.#homeOf(content)
      if (paused.length > 0 || content.buffers.length > 0) {
        this.#as(content, () => {
          for (const { session } of paused) session.resume()
          for (const buffer of content.buffers.splice(0)) buffer.release()
        })
      }
    } else if (this.random.chance(15)) {
      this.#as(content, () => this.#callback(content))
    }
    return acted
  }

  /** The sessions whose content a thread has. */
  #homeOf({ thread }: ContentThread): Log[] {
    return [...this.#live.values()].filter((log) => log.home === thread)
  }

  #hasMail(stepped: SimThread): stepped is SimUpdate {
    const update = this.updates.find((other) => other === stepped)
    return update !== undefined && update.mail.length > 0 && update.mail[0].dueNs <= this.nowNs
  }

  #receiveMail(update: SimUpdate): void {
    const [{ session }] = update.mail.splice(0, 1)
    this.#as(update, () => update.rooms.content.moveIn(session))
  }

  /** A session goes to another update thread, through main: what was passed on before comes before. */
  #pass(to: number, session: MovedSession): void {
    const { mail } = this.updates.find(({ thread }) => thread === to) as SimUpdate
    const dueNs = this.nowNs + this.random.below(MAIL_NS_MAX)
    mail.push({ session, dueNs: Math.max(dueNs, mail.at(-1)?.dueNs ?? 0) })
  }

  #tick(thread: number): void {
    const update = this.updates.find((other) => other.thread === thread) as SimUpdate
    this.note('tick')
    const mine = this.#homeOf(update)
    if (this.stage === 'busy' && mine.length > 0) this.#sendOwn(update, this.random.pick(mine))
  }

  #stop(worker: SimWorker): void {
    this.#stopsDue--
    const { core, lifecycle } = worker.rooms
    const stateAt = core.arena.threadAt(worker.thread) + THREAD_THREAD_STATE
    worker.binding.closeListeners()
    this.memory.words[stateAt] = ThreadState.STOPPING
    for (const buffer of worker.buffers.splice(0)) buffer.release()
    // What is left after closeTimeout is reset by the sweep; the timeout of stop() itself is libuv's.
    void lifecycle.stop(2 ** 31 - 1).then(() => {
      worker.stopped = true
    })
  }

  /** What user code may do outside of a turn. */
  #callback(content: ContentThread): void {
    const { random } = this
    const mine = this.#homeOf(content)
    const kind = random.below(100)
    const worker = this.workers.find((other) => other === content)
    if (kind < 10 && worker !== undefined) this.#connectOut(worker)
    else if (mine.length === 0) return
    else if (kind < 10) this.#changePlace(random.pick(mine))
    else if (kind < 40) random.pick(mine).session.resume()
    else if (kind < 60) this.#sendOwn(content, random.pick(mine))
    else if (kind < 70) this.#sendTo(content.runtime, content.thread)
    else if (kind < 80) this.#broadcast(content.runtime, content.thread)
    else if (kind < 88) for (const buffer of content.buffers.splice(0)) buffer.release()
    else if (kind < 93) random.pick(mine).session.pause()
    else if (kind < 96) random.pick(mine).session.close()
    else if (kind < 98) random.pick(mine).session.terminate()
  }

  /** It goes to another update thread, or its sends through another send thread. */
  #changePlace({ session }: Log): void {
    const { random, updates, senders } = this
    if (senders.length > 1 && random.chance(50)) {
      session.useLane(random.below(senders.length))
      this.note('lane chosen')
    } else if (updates.length > 1) {
      session.moveTo(random.pick(updates).name)
    }
  }

  #connectOut(worker: SimWorker): void {
    if (this.clients.length >= CONNECTIONS_MAX) return
    try {
      const { session } = worker.rooms.lifecycle.connecting.dial({
        address: '127.0.0.1',
        port: 9,
        protocol: this.protocols.findIndex(({ name }) => name === 'out'),
        timeoutMs: this.random.pick(CONNECT_TIMEOUTS_MS),
        data: undefined,
        onLeft: null,
      })
      worker.connecting++
      session.then(
        () => {
          worker.connecting--
          this.note('connected')
        },
        (error: { code?: string }) => {
          worker.connecting--
          if (!CONNECT_CODES.includes(error.code ?? '')) this.fail(error)
          this.note('connect failed')
        },
      )
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR_SESSION_TABLE_FULL') throw error
      this.note('no slot to connect')
    }
  }

  // --- main ------------------------------------------------------------------------------------

  #mainDo(act: () => void): void {
    if (this.#mainRunning) return
    this.#mainRunning = true
    try {
      act()
    } finally {
      this.#mainRunning = false
    }
  }

  #mainAct(): void {
    this.#mainDo(() => {
      const { random, main } = this
      const kind = random.below(100)
      if (kind < 70) this.#sendTo(main, 0)
      else if (kind < 90) this.#broadcast(main, 0)
      else if (kind < 94 && this.logs.length > 0) this.#closeOther(main, random.pick(this.logs))
      else for (const buffer of this.#mainBuffers.splice(0)) buffer.release()
    })
  }

  /** A thread closes a session by its id; content that runs in another one may say something meanwhile. */
  #closeOther(runtime: Runtime, log: Log): void {
    const home = this.updates.find(({ thread }) => thread === log.home)
    const isCut = home !== undefined && home.runtime !== runtime
    if (runtime.close(log.id) && isCut) log.isCut = true
  }

  // --- sending ---------------------------------------------------------------------------------

  #length(): number {
    const { random } = this
    const kind = random.below(100)
    if (kind < 70) return MESSAGE_BYTES_MIN + random.below(50)
    if (kind < 97) return MESSAGE_BYTES_MIN + random.below(700)
    return random.between(3900, 5000)
  }

  /** What send() is given for these bytes: bytes, text, a prepared buffer, a reservation. Null: no memory. */
  #sendable(runtime: Runtime, thread: number, bytes: Uint8Array): Sendable | null {
    const kind = this.random.below(100)
    if (kind < 50) return bytes
    if (kind < 70) return Buffer.from(bytes).toString('latin1')
    let buffer: SendBuffer
    try {
      if (kind < 90 || bytes.length > 3000) {
        buffer = runtime.prepare(bytes)
      } else {
        const room = runtime.open(bytes.length + this.random.below(40))
        room.bytes.set(bytes)
        buffer = room.close(bytes.length)
      }
    } catch (error) {
      // A handler may have left its reservation open in this turn.
      const { code } = error as { code?: string }
      if (code !== 'ERR_MEMORY_PLAN' && code !== 'ERR_OPEN_NESTED') throw error
      this.note(code === 'ERR_MEMORY_PLAN' ? 'no chunk' : 'open nested')
      return null
    }
    if (thread === 0) this.#mainBuffers.push(buffer)
    else this.#contentAt(thread).buffers.push(buffer)
    return buffer
  }

  #contentAt(thread: number): ContentThread {
    return this.content.find((other) => other.thread === thread) as ContentThread
  }

  #message(kind: number, thread: number, sequence: number): Uint8Array {
    const stamp = ++this.#stamps[thread]
    return writeMessage({ kind, producer: thread, sequence, stamp }, this.#length())
  }

  /** Content sends to its session. */
  #sendOwn(content: ContentThread, log: Log): void {
    if (this.#isRaw(log)) return
    const bytes = this.#message(OWN, content.thread, log.ownQueued)
    const data = this.#sendable(content.runtime, content.thread, bytes)
    if (data === null) return
    const result = log.session.send(data)
    this.#sentOwn(log, result, OWN, log.ownQueued)
    if (result === 'queued') log.ownQueued++
  }

  #sentOwn(log: Log, result: SendResult, kind: number, sequence: number): void {
    this.note(result)
    if (result === 'queued') log.own.push(kind * 2 ** 30 + sequence)
    if (result === 'full') {
      log.owedDrain = true
      this.trace(() => `session ${log.id} is full with ${log.session.bufferedAmount}`)
    }
  }

  /** Any thread sends to any session by id, one that is gone among them. */
  #sendTo(runtime: Runtime, thread: number): void {
    if (this.logs.length === 0) return
    const log = this.random.pick(this.logs)
    if (this.#isRaw(log)) return
    if (thread === log.home) {
      this.#sendOwn(this.#contentAt(thread), log)
      return
    }
    const data = this.#sendable(runtime, thread, this.#message(DIRECT, thread, log.queued[thread]))
    if (data === null) return
    const result = runtime.send(log.id, data)
    this.note(`foreign ${result}`)
    if (result === 'queued') log.queued[thread]++
    if (result === 'queued' && log.left && !this.#interruptible) {
      throw new Error(`GENERATION: a send to session ${log.id}, which has left, was queued`)
    }
  }

  /** Whether others may have done something during the last call. */
  get #interruptible(): boolean {
    return this.#interruptEvery < 1e9
  }

  #broadcast(runtime: Runtime, thread: number): void {
    const { random } = this
    const bytes = this.#message(SHARED, thread, 0)
    const framed = this.protocols.filter((protocol) => protocol.name !== RAW)
    const data = this.#sendable(runtime, thread, bytes)
    if (data === null) return
    const options = {
      listener: random.pick(framed).name,
      ...(random.chance(30) && this.logs.length > 0
        ? { to: this.logs.filter(() => random.chance(50)).map(({ id }) => id) }
        : {}),
      ...(random.chance(20) && this.logs.length > 0 ? { except: random.pick(this.logs).id } : {}),
      ...(random.chance(10) ? { where: () => random.chance(50) } : {}),
    }
    const result = runtime.broadcast(data, options)
    for (const [status, count] of Object.entries(result)) this.note(`broadcast ${status}`, count)
  }

  #isRaw(log: Log): boolean {
    return this.protocols[log.protocol].name === RAW
  }

  // --- the handler -----------------------------------------------------------------------------

  #handler(thread: number, wantsSent: boolean): Handler {
    const sent = { onSend: (session: Session) => void this.#logOf(session) }
    return {
      onConnectionRequest: () => !this.random.chance(4),
      onJoin: (session) => this.#joined(thread, session),
      onRecv: (session, packet) => this.#received(thread, session, packet),
      onMove: (session, from) => this.#moved(thread, session, from),
      onDrain: (session) => {
        const log = this.#logOf(session)
        log.owedDrain = false
        this.trace(() => `session ${log.id} has drained to ${session.bufferedAmount}`)
        this.note('drained')
        this.#does('drains', log.id)
        if (this.stage === 'busy' && this.random.chance(50))
          this.#sendOwn(this.#contentAt(thread), log)
      },
      onLeave: (session, reason) => this.#left(session, reason),
      onError: (error) => {
        if ((error as Error).message !== PLANNED_ERROR) this.fail(error)
        this.note('handler threw')
      },
      ...(wantsSent ? sent : {}),
    }
  }

  #logOf(session: Session): Log {
    const log = this.#live.get(session)
    if (log === undefined)
      throw new Error(`EVENTS: session ${session.id} had one after onLeave, or before onJoin`)
    return log
  }

  #joined(thread: number, session: Session): void {
    if (this.#live.has(session)) throw new Error(`EVENTS: session ${session.id} joined twice`)
    this.#meetOutbound()
    const connection = session.remoteAddress.port - FIRST_PORT
    const log: Log = {
      id: session.id,
      home: thread,
      protocol: this.protocols.findIndex(({ name }) => name === session.listener),
      connection,
      session,
      left: false,
      reason: '',
      received: 0,
      own: [],
      ownQueued: 0,
      queued: new Array(this.threadCount).fill(0),
      echoed: 0,
      terminated: this.#terminated.has(session.id),
      isCut: false,
      owedDrain: false,
    }
    this.trace(() => `connection ${connection} is session ${log.id} in slot ${slotOf(log.id)}`)
    if (this.#byConnection.has(connection))
      throw new Error(`EVENTS: connection ${connection} has two sessions`)
    this.logs.push(log)
    this.#live.set(session, log)
    this.#byConnection.set(connection, log)
    this.clients[connection].log = log
    if (this.stage === 'busy' && this.random.chance(30)) this.#sendOwn(this.#contentAt(thread), log)
  }

  /** It has come from another update thread, where it is another object. */
  #moved(thread: number, session: Session, from: string): void {
    const [before, log] = [...this.#live].find(([, { id }]) => id === session.id) ?? []
    if (before === undefined || log === undefined)
      throw new Error(`EVENTS: session ${session.id} moved after onLeave, or before onJoin`)
    if (from !== threadName(this.mainArena.plan, log.home))
      throw new Error(`EVENTS: session ${log.id} came from ${from}, where it was not`)
    this.trace(() => `session ${log.id} has moved from ${from}`)
    this.note('moved')
    this.#does('moves', log.id)
    this.#live.delete(before)
    this.#live.set(session, log)
    log.session = session
    log.home = thread
    const { random } = this
    if (this.stage === 'busy' && random.chance(30)) this.#sendOwn(this.#contentAt(thread), log)
    if (random.chance(10)) this.#changePlace(log)
  }

  #left(session: Session, reason: CloseReasonName): void {
    const log = this.#logOf(session)
    this.trace(() => `session ${log.id} has left: ${reason}`)
    log.left = true
    log.reason = reason
    this.#live.delete(session)
    if (session.send(Uint8Array.of(1)) !== 'closed')
      throw new Error(`EVENTS: session ${log.id} took a send in onLeave`)
  }

  #received(thread: number, session: Session, packet: Packet): void | Promise<void> {
    const log = this.#logOf(session)
    if (this.#isRaw(log)) {
      this.#receivedRaw(log, packet)
      return undefined
    }
    const { random } = this
    const content = this.#contentAt(thread)
    const looks = random.chance(10)
    const bytes = looks ? packet.bytes : packet.copy()
    const message = readMessage(bytes, 0, bytes.length)
    if (message.kind !== FROM_CLIENT || message.producer !== (log.connection & 0x3f))
      throw new Error(`BYTES: session ${log.id} received a message of another client`)
    if (message.sequence !== log.received)
      throw new Error(
        `ORDER: session ${log.id} received message ${message.sequence} instead of ${log.received}`,
      )
    log.received++
    const echo = (data: Sendable) =>
      this.#sentOwn(log, session.send(data), FROM_CLIENT, message.sequence)
    const kind = random.below(100)
    if (this.stage !== 'busy' || kind < 35) echo(packet)
    else if (kind < 40) echo(packet.text())
    else if (kind < 45) echo(bytes)
    else if (kind < 50) this.#echoRetained(content, packet, echo)
    else if (kind < 65) for (let i = random.between(1, 4); i > 0; i--) this.#sendOwn(content, log)
    else if (kind < 75) this.#sendTo(content.runtime, thread)
    else if (kind < 80) this.#broadcast(content.runtime, thread)
    else if (kind < 86) session.pause()
    else if (kind < 88) {
      session.pause()
      session.resume()
    } else if (kind < 90) session.close()
    else if (kind < 91) {
      if (random.chance(50)) session.pause()
      session.terminate()
    } else if (kind < 92) throw new Error(PLANNED_ERROR)
    else if (kind < 93) {
      this.#owePromises(content)
      return Promise.reject(new Error(PLANNED_ERROR))
    } else if (kind < 95) return this.#later(content, log)
    else if (kind < 96 && this.logs.length > 0)
      this.#closeOther(content.runtime, random.pick(this.logs))
    else if (kind < 97) this.#leaveOpen(content)
    else if (kind < 98 && this.updates.length > 0) this.#changePlace(log)
    else for (const other of content.runtime.sessions()) other.resume()
    return undefined
  }

  #echoRetained(content: ContentThread, packet: Packet, echo: (data: Sendable) => void): void {
    try {
      const retained = packet.retain()
      content.buffers.push(retained)
      echo(retained)
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR_MEMORY_PLAN') throw error
      this.note('no chunk')
    }
  }

  /** A handler that awaits, and sends then. */
  async #later(content: ContentThread, log: Log): Promise<void> {
    this.#owePromises(content)
    await null
    if (this.#failure !== null || log.left) return
    this.#as(content, () => this.#sendOwn(content, log))
    this.note('sent later')
  }

  /** A reservation that the handler forgets. */
  #leaveOpen(content: ContentThread): void {
    try {
      content.runtime.open(20)
      this.note('left open')
    } catch (error) {
      if (!['ERR_MEMORY_PLAN', 'ERR_OPEN_NESTED'].includes((error as { code: string }).code))
        throw error
    }
  }

  #receivedRaw(log: Log, packet: Packet): void {
    const bytes = packet.copy()
    for (let i = 0; i < bytes.length; i++) {
      if (bytes[i] !== rawByte(log.connection, log.received + i))
        throw new Error(`BYTES: session ${log.id} received another byte at ${log.received + i}`)
    }
    log.received += bytes.length
    const isFull = log.session.send(packet) !== 'queued'
    // A gap in a stream could not be told from a loss.
    if (isFull) log.session.close()
    else log.echoed += bytes.length
    if (this.stage === 'busy' && this.random.chance(5)) log.session.pause()
  }

  /** A client's message as it goes over the wire. */
  encode(client: Client, sequence: number): Uint8Array {
    const producer = client.connection & 0x3f
    const message = { kind: FROM_CLIENT, producer, sequence, stamp: 0 }
    return frame(client.framing, writeMessage(message, this.#length()))
  }
}
