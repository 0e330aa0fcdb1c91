// What: one simulated server with its clients: one seed is one world, from the first connection to the last release.
// Flow: seed -> memory, threads, clients -> steps in a seeded order -> invariants.ts -> what happened, by kind.
// Thread: the test's: main and every worker are stepped by it, and interrupt one another at their atomic operations.

import type { Binding } from '../../src/binding.ts'
import type { Framing } from '../../src/framing/framing.ts'
import {
  CloseReason,
  Counter,
  SESSION_IO_COUNT,
  SESSION_SEND_FLAG,
  SESSION_SEND_HEAD,
  SessionState,
  THREAD_ASSIGNED_SESSIONS,
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
import type { LiveSession } from '../../src/session/session.ts'
import type { Arena } from '../../src/shared/arena.ts'
import { slotOf } from '../../src/shared/session_id.ts'
import type { AssembledWorker } from '../../workers/assemble.ts'
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
import { SESSIONS_PER_WORKER_MAX, SimMemory } from './memory.ts'
import { type ThreadModules, WORKERS_MAX } from './threads.ts'
import {
  DIRECT,
  FROM_CLIENT,
  frame,
  MESSAGE_BYTES_MIN,
  rawByte,
  readMessage,
  SHARED,
  writeMessage,
} from './traffic.ts'

const NS_PER_MS = 1e6
/** Steps of a world before it settles. */
const STEPS_MIN = 60
const STEPS_MAX = 240
/** What a world may take to settle or to end; one that needs more hangs. */
const ROUNDS_MAX = 6_000
/** Virtual time in which every timeout has come that will come; sessions whose client does nothing may stay. */
const END_NS = 2_500 * NS_PER_MS
const CONNECTIONS_MAX = 14
/** Interruptions inside interruptions. */
const DEPTH_MAX = 2
const HANDLER_URL = 'file:///handler.js'
const RAW = 'raw'
/** Virtual time that passes with a step, at most. */
const STEP_NS_MAX = 30_000
const PLANNED_ERROR = 'planned'
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
  readonly owner: number
  readonly protocol: number
  readonly connection: number
  readonly session: Session
  left: boolean
  reason: CloseReasonName | ''
  /** Messages of the client that onRecv has seen; bytes, of a raw one. */
  received: number
  /** What the owner has queued in order: kind × 2^30 + sequence. */
  readonly own: number[]
  /** Messages queued by each thread. */
  readonly queued: number[]
  /** Raw bytes that were queued to be sent back. */
  echoed: number
  /** It was reset from this side: terminate(), closeTimeout, memory, closeMode. */
  terminated: boolean
  /** send() said 'full', and onDrain has not come. */
  owedDrain: boolean
}

interface Timer {
  readonly everyNs: number
  readonly run: () => void
  dueNs: number
}

/** Where a worker stands in its round. */
const Phase = { HAND_OVER: 0, PARK: 1, WAIT: 2 } as const
type Phase = (typeof Phase)[keyof typeof Phase]

export interface SimWorker {
  readonly thread: number
  readonly rooms: AssembledWorker
  readonly binding: Binding
  readonly timers: Set<Timer>
  readonly buffers: SendBuffer[]
  phase: Phase
  timeoutMs: number
  deadlineNs: number
  /** It is in the middle of a step: nobody may step it. */
  running: boolean
  /** libuv has something for it. */
  visitDue: boolean
  /** Promises were settled whose continuations have not run. */
  promisesDue: boolean
  /** Outbound connections on their way. */
  connecting: number
  stopped: boolean
}

export interface SimEnvironment {
  readonly addon: SimAddon
  readonly threads: readonly ThreadModules[]
  readonly driverBug: DriverBug
  readonly memories: Map<number, SimMemory>
  /** How often what happened, over all worlds. */
  readonly seen: Map<string, number>
  readonly trace: ((line: string) => void) | null
}

export function makeEnvironment(
  addon: SimAddon,
  threads: readonly ThreadModules[],
  driverBug: DriverBug = 'none',
  trace: SimEnvironment['trace'] = null,
): SimEnvironment {
  return { addon, threads, driverBug, memories: new Map(), seen: new Map(), trace }
}

/** Runs the world of a seed to its end. @throws what is wrong, without the seed */
export async function simulate(environment: SimEnvironment, seed: number): Promise<void> {
  await new Simulation(environment, seed).run()
}

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
  readonly #live = new Map<Session, Log>()
  readonly #listenerCount: number
  readonly #stamps = new Array<number>(WORKERS_MAX + 1).fill(0)
  readonly #mainBuffers: SendBuffer[] = []
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
    const { threads, driverBug } = environment
    const workers = random.between(1, WORKERS_MAX)
    let memory = environment.memories.get(workers)
    if (memory === undefined) {
      memory = new SimMemory(this.addon, workers)
      environment.memories.set(workers, memory)
    }
    this.memory = memory
    const completionBatch = random.pick([4, 8, 64])
    const submissionWords = random.pick([24, 48, 400])
    memory.prepare({
      sessionsPerWorker: random.between(2, SESSIONS_PER_WORKER_MAX),
      nodesPerThread: random.pick([8, 24, 200]),
      chunkCount: random.pick([workers + 2, workers + 6, 60]),
      recvBuffersPerWorker: random.pick([2, 4, 16]),
      heapBytesPerWorker: random.pick([6, 20, 64]) * 1024,
      completionCapacity: Math.max(completionBatch, random.pick([4, 16, 128])),
      submissionWords,
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
    for (let thread = 1; thread <= workers; thread++) {
      const why = this.addon.openWorker(this.world, thread, completionBatch)
      if (why !== '') throw new Error(why)
      const timers = new Set<Timer>()
      const binding = bindingOf(this.addon, this.world, thread, memory.alias)
      const rooms = threads[thread].assembleWorker(
        { thread, memories, protocols: this.protocols, options },
        binding,
        new Map([[HANDLER_URL, this.#handler(thread, wantsSent)]]),
        () => ({
          now: () => this.nowNs / NS_PER_MS,
          turn: () => this.nowNs / NS_PER_MS,
          every: (ms, run) => {
            const timer = { everyNs: ms * NS_PER_MS, run, dueNs: this.nowNs + ms * NS_PER_MS }
            timers.add(timer)
            return () => timers.delete(timer)
          },
          after: (ms, run) => {
            const once = () => {
              timers.delete(timer)
              run()
            }
            const timer = { everyNs: 0, run: once, dueNs: this.nowNs + ms * NS_PER_MS }
            timers.add(timer)
            return () => timers.delete(timer)
          },
        }),
        () => {},
        () => Promise.reject(new Error('the simulation dials by itself')),
      )
      const { lifecycle } = rooms
      const terminate = lifecycle.terminate.bind(lifecycle)
      lifecycle.terminate = (session, reason) => {
        const log = this.#live.get(session)
        if (log !== undefined) log.terminated = true
        terminate(session, reason)
      }
      rooms.core.now = 0
      memory.words[rooms.core.arena.threadAt(thread) + THREAD_THREAD_STATE] = ThreadState.RUNNING
      this.workers.push({
        thread,
        rooms,
        binding,
        timers,
        buffers: [],
        phase: Phase.HAND_OVER,
        timeoutMs: 0,
        deadlineNs: 0,
        running: false,
        visitDue: false,
        promisesDue: false,
        connecting: 0,
        stopped: false,
      })
    }
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
    const binding = bindingOf(this.addon, this.world, 0, memory.alias)
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
    for (let thread = 0; thread <= this.workers.length; thread++)
      threads[thread].setHook(() => this.#interrupt())
    try {
      const steps = random.between(STEPS_MIN, STEPS_MAX)
      for (let step = 0; step < steps; step++) {
        this.#someone()
        this.#pass(random.below(STEP_NS_MAX))
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
      for (let thread = 0; thread <= this.workers.length; thread++) threads[thread].setHook(null)
      checkEnd(this)
      this.#summarize()
    } finally {
      for (let thread = 0; thread <= this.workers.length; thread++) threads[thread].setHook(null)
      addon.destroy(world)
    }
  }

  #enter(stage: Simulation['stage']): void {
    this.stage = stage
    this.trace(() => stage)
    for (const worker of this.workers) worker.visitDue = true
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
    for (const { rooms } of this.workers) {
      const { counters } = rooms.core
      this.note('zero copy', counters[Counter.ZERO_COPY_SENDS])
      this.note('zero copy limited', counters[Counter.ZERO_COPY_LIMITED])
      this.note('table full', counters[Counter.ENDED_NONE + CloseReason.TABLE_FULL])
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
    for (const { thread, rooms, promisesDue } of this.workers) {
      const pending = rooms.core.arena.threadAt(thread) + THREAD_LOCAL_PENDING
      if (promisesDue || words[pending] !== 0) return
    }
    for (const { thread, phase, timeoutMs, visitDue } of this.workers) {
      const sleeps = phase === Phase.WAIT && timeoutMs !== 0 && !visitDue
      if (sleeps && this.addon.oversleeps(this.world, thread))
        throw new Error(`WAKE: worker${thread} sleeps, has work, and was not signalled`)
    }
  }

  fail(error: unknown): void {
    this.#failure ??= error
  }

  #pass(ns: number): void {
    this.nowNs += ns
    this.addon.advance(this.world, ns)
  }

  /** Promises run when no thread is in the middle of a step, as they do after a turn. */
  async #promises(): Promise<void> {
    // A connection's promise, its continuation, and what watches that one.
    for (let i = 0; i < 6; i++) await null
    this.#promisesDue = false
    for (const worker of this.workers) worker.promisesDue = false
  }

  /** Lets everybody step until nobody can; `timersToo`: virtual time then jumps to the next timer. */
  async #untilQuiet(timersToo: boolean): Promise<void> {
    const untilNs = this.nowNs + END_NS
    for (let round = 0; ; round++) {
      if (round > ROUNDS_MAX) throw new Error(`HANG: ${this.stage} does not end`)
      let progress = false
      const turns = this.random.shuffle([...this.workers.keys(), -1])
      for (const index of turns) {
        if (index >= 0) progress = this.#step(this.workers[index]) || progress
        else progress = this.#clientsStep() || progress
        if (this.#promisesDue) await this.#promises()
        this.#check()
      }
      // Who had its turn before may have something to do again.
      if (progress || this.#interrupted) {
        this.#interrupted = false
        this.#pass(this.random.below(STEP_NS_MAX))
        continue
      }
      const due = this.addon.nextDue(this.world)
      if (due >= 0) {
        this.#pass(due)
        continue
      }
      this.#checkQuiet()
      if (this.stage === 'stop' && this.workers.every(({ stopped }) => stopped)) return
      let next = Number.POSITIVE_INFINITY
      for (const worker of this.workers)
        if (worker.timers.size > 0) next = Math.min(next, worker.deadlineNs)
      const isOver = !timersToo || next > (this.stage === 'stop' ? Number.MAX_VALUE : untilNs)
      if (isOver) {
        if (this.stage === 'stop') throw new Error('HANG: sessions are left, and nothing is due')
        return
      }
      this.#pass(Math.max(1, next - this.nowNs))
    }
  }

  /** When nobody can do anything, nobody may have anything to do [WAKE-1, SENDFLAG-2]. */
  #checkQuiet(): void {
    for (const worker of this.workers) {
      if (this.addon.hasWork(this.world, worker.thread))
        throw new Error(`WAKE: worker${worker.thread} sleeps although it has work`)
    }
    for (const { session, id } of this.#live.values()) {
      const { state, flightFirst, held, paused } = session as LiveSession
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
    if (kind < 55) this.#step(random.pick(this.workers))
    else if (kind < 80) this.#clientDo()
    else if (kind < 90) this.#mainAct()
    else if (kind < 97) this.#connect()
    else this.#pass(random.below(10 * STEP_NS_MAX))
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
        const worker = random.pick(this.workers)
        // Long enough to fall asleep, as often as not.
        for (let steps = random.between(1, 8); steps > 0 && this.#step(worker); steps--);
      } else if (kind < 85) {
        if (this.stage === 'busy') this.#mainAct()
      } else if (this.stage === 'busy') this.#clientDo()
      else this.#pass(random.below(STEP_NS_MAX))
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

  // --- workers ---------------------------------------------------------------------------------

  /** Runs JavaScript as a thread: whoever interrupts it cannot step it. */
  #as(worker: SimWorker, act: () => void): void {
    worker.running = true
    // A connection that was made, or the last session of a server that stops, resolves a promise.
    if (worker.connecting > 0 || this.stage === 'stop') this.#owePromises(worker)
    try {
      act()
    } catch (error) {
      this.fail(error)
    }
    worker.running = false
  }

  /** Its promises have to run before it goes on. */
  #owePromises(worker: SimWorker): void {
    worker.promisesDue = this.#promisesDue = true
  }

  /** The next parts of a round. False: it sleeps. */
  #step(worker: SimWorker): boolean {
    if (worker.running || worker.promisesDue) return false
    const { addon, world } = this
    const { thread } = worker
    if (worker.phase === Phase.HAND_OVER) {
      this.#betweenTurns(worker)
      addon.handOver(world, thread)
      worker.timeoutMs = addon.look(world, thread, this.#timeoutMs(worker))
      worker.phase = Phase.PARK
      if (worker.promisesDue || this.random.chance(25)) return true
    }
    if (worker.phase === Phase.PARK) {
      worker.timeoutMs = addon.park(world, thread, worker.timeoutMs)
      worker.deadlineNs = this.nowNs + worker.timeoutMs * NS_PER_MS
      worker.phase = Phase.WAIT
      if (this.random.chance(25)) return true
    }
    // libuv's own descriptor is in the wait, too: a callback of user code is due.
    if (this.stage === 'busy' && this.random.chance(5)) worker.visitDue = true
    const sleeps = worker.timeoutMs !== 0 && this.nowNs < worker.deadlineNs && !worker.visitDue
    if (sleeps && !addon.ready(world, thread)) return false
    worker.visitDue = false
    worker.phase = Phase.HAND_OVER
    if (addon.wait(world, thread, worker.timeoutMs)) this.#as(worker, worker.rooms.turn)
    return true
  }

  /** As libuv says: until the next timer. */
  #timeoutMs(worker: SimWorker): number {
    let due = Number.POSITIVE_INFINITY
    for (const timer of worker.timers) due = Math.min(due, timer.dueNs)
    if (due === Number.POSITIVE_INFINITY) return -1
    return Math.max(0, Math.ceil((due - this.nowNs) / NS_PER_MS))
  }

  /** libuv's visit: timers, and what user code does in its callbacks. */
  #betweenTurns(worker: SimWorker): void {
    for (const timer of [...worker.timers]) {
      if (timer.dueNs > this.nowNs) continue
      timer.dueNs = this.nowNs + timer.everyNs
      this.#as(worker, timer.run)
    }
    if (this.stage === 'stop' && this.#stopsDue > 0 && !worker.rooms.lifecycle.stopping) {
      this.#as(worker, () => this.#stop(worker))
    } else if (this.stage !== 'busy') {
      const paused = [...this.#live.values()].filter((log) => log.owner === worker.thread)
      if (paused.length > 0 || worker.buffers.length > 0) {
        this.#as(worker, () => {
          for (const { session } of paused) session.resume()
          for (const buffer of worker.buffers.splice(0)) buffer.release()
        })
      }
    } else if (this.random.chance(15)) {
      this.#as(worker, () => this.#callback(worker))
    }
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
  #callback(worker: SimWorker): void {
    const { random } = this
    const mine = [...this.#live.values()].filter((log) => log.owner === worker.thread)
    const kind = random.below(100)
    if (kind < 10) this.#connectOut(worker)
    else if (mine.length === 0) return
    else if (kind < 40) random.pick(mine).session.resume()
    else if (kind < 60) this.#sendOwn(worker, random.pick(mine))
    else if (kind < 70) this.#sendTo(worker.rooms.runtime, worker.thread)
    else if (kind < 80) this.#broadcast(worker.rooms.runtime, worker.thread)
    else if (kind < 88) for (const buffer of worker.buffers.splice(0)) buffer.release()
    else if (kind < 93) random.pick(mine).session.pause()
    else if (kind < 96) random.pick(mine).session.close()
    else if (kind < 98) random.pick(mine).session.terminate()
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
      else if (kind < 94 && this.logs.length > 0) main.close(random.pick(this.logs).id)
      else for (const buffer of this.#mainBuffers.splice(0)) buffer.release()
    })
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
    else this.workers[thread - 1].buffers.push(buffer)
    return buffer
  }

  #direct(thread: number, log: Log): Uint8Array {
    const stamp = ++this.#stamps[thread]
    const sequence = log.queued[thread]
    return writeMessage({ kind: DIRECT, producer: thread, sequence, stamp }, this.#length())
  }

  /** The owner sends to its session. */
  #sendOwn(worker: SimWorker, log: Log): void {
    if (this.#isRaw(log)) return
    const bytes = this.#direct(worker.thread, log)
    const data = this.#sendable(worker.rooms.runtime, worker.thread, bytes)
    if (data === null) return
    const result = log.session.send(data)
    this.#sentOwn(log, result, DIRECT, log.queued[worker.thread])
    if (result === 'queued') log.queued[worker.thread]++
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
    const owner = this.workers[log.owner - 1]
    if (thread === log.owner) {
      this.#sendOwn(owner, log)
      return
    }
    const data = this.#sendable(runtime, thread, this.#direct(thread, log))
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
    const stamp = ++this.#stamps[thread]
    const bytes = writeMessage(
      { kind: SHARED, producer: thread, sequence: 0, stamp },
      this.#length(),
    )
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
      onDrain: (session) => {
        const log = this.#logOf(session)
        log.owedDrain = false
        this.trace(() => `session ${log.id} has drained to ${session.bufferedAmount}`)
        this.note('drained')
        if (this.stage === 'busy' && this.random.chance(50))
          this.#sendOwn(this.workers[thread - 1], log)
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
      owner: thread,
      protocol: this.protocols.findIndex(({ name }) => name === session.listener),
      connection,
      session,
      left: false,
      reason: '',
      received: 0,
      own: [],
      queued: new Array(WORKERS_MAX + 1).fill(0),
      echoed: 0,
      terminated: false,
      owedDrain: false,
    }
    this.trace(() => `connection ${connection} is session ${log.id} in slot ${slotOf(log.id)}`)
    if (this.#byConnection.has(connection))
      throw new Error(`EVENTS: connection ${connection} has two sessions`)
    this.logs.push(log)
    this.#live.set(session, log)
    this.#byConnection.set(connection, log)
    this.clients[connection].log = log
    if (this.stage === 'busy' && this.random.chance(30))
      this.#sendOwn(this.workers[thread - 1], log)
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
    const worker = this.workers[thread - 1]
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
    else if (kind < 50) this.#echoRetained(worker, packet, echo)
    else if (kind < 65) for (let i = random.between(1, 4); i > 0; i--) this.#sendOwn(worker, log)
    else if (kind < 75) this.#sendTo(worker.rooms.runtime, thread)
    else if (kind < 80) this.#broadcast(worker.rooms.runtime, thread)
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
      this.#owePromises(worker)
      return Promise.reject(new Error(PLANNED_ERROR))
    } else if (kind < 95) return this.#later(worker, log)
    else if (kind < 96 && this.logs.length > 0)
      worker.rooms.runtime.close(random.pick(this.logs).id)
    else if (kind < 97) this.#leaveOpen(worker)
    else for (const other of worker.rooms.runtime.sessions()) other.resume()
    return undefined
  }

  #echoRetained(worker: SimWorker, packet: Packet, echo: (data: Sendable) => void): void {
    try {
      const retained = packet.retain()
      worker.buffers.push(retained)
      echo(retained)
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR_MEMORY_PLAN') throw error
      this.note('no chunk')
    }
  }

  /** A handler that awaits, and sends then. */
  async #later(worker: SimWorker, log: Log): Promise<void> {
    this.#owePromises(worker)
    await null
    if (this.#failure !== null || log.left) return
    this.#as(worker, () => this.#sendOwn(worker, log))
    this.note('sent later')
  }

  /** A reservation that the handler forgets. */
  #leaveOpen(worker: SimWorker): void {
    try {
      worker.rooms.runtime.open(20)
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
