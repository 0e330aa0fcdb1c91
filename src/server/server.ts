// What: a server: options in, listening sockets and worker threads out, stopped again without loss.
// Flow: user, CLI -> this -> memory plan, driver choice, threads, acceptor.
// Thread: main.

import { EventEmitter } from 'node:events'
import { type Binding, IOCP_FEATURES, loadBinding } from '../binding.ts'
import { OverlappedError } from '../errors.ts'
import { Encoder } from '../framing/encode.ts'
import { JobClient } from '../jobs/job_client.ts'
import {
  CloseReason,
  Counter,
  PORT_THREADS_MAX,
  THREAD_ASSIGNED_SESSIONS,
  THREAD_THREAD_STATE,
  ThreadState,
} from '../layout/layout.ts'
import { Monitor } from '../monitor/monitor.ts'
import { Sender } from '../outbound/sender.ts'
import type {
  BroadcastOptions,
  BroadcastResult,
  ConnectOptions,
  GroupInfo,
  Jobs,
  Pin,
  Reservation,
  Runtime,
  Sendable,
  SendBuffer,
  SendResult,
  Session,
  SessionId,
} from '../session/handler.ts'
import { ThreadRuntime } from '../session/runtime.ts'
import { Arena } from '../shared/arena.ts'
import { load, store } from '../shared/atomics.ts'
import { CompletionPort } from '../shared/completion_port.ts'
import { GroupTable } from '../shared/group_table.ts'
import { ProtocolTable } from '../shared/protocol_table.ts'
import { SessionTable } from '../shared/session_table.ts'
import { threadByName, threadNames } from '../shared/thread_ids.ts'
import { Waker } from '../shared/waker.ts'
import { chooseDriver, DRIVER_NUMBERS } from './choose_driver.ts'
import { listenOn } from './listen.ts'
import { planMemory } from './memory_plan.ts'
import type { DriverName, ResolvedOptions, ServerOptions, ZeroCopy } from './options.ts'
import { resolveOptions } from './resolve_options.ts'
import { Threads } from './threads.ts'

/** What stop() gives workers beyond drainTimeout to close handles and run onStop. */
const STOP_GRACE_MS = 5_000

export interface ServerInfo {
  readonly driver: DriverName
  /** Why it is this driver. */
  readonly driverReason: string
  /** As it is in force: `off` where the driver always copies, which driverReason tells whoever asked for it. */
  readonly zeroCopy: ZeroCopy
  readonly workers: number
  readonly listeners: readonly {
    readonly name: string
    readonly host: string
    readonly port: number
  }[]
  /** Where the memory goes, in one line. */
  readonly plan: string
}

/** Main's half of the job threads: what it asks for, and the port of all. */
interface ServerJobs {
  readonly client: JobClient
  readonly port: CompletionPort
}

/** Bytes of a job or a result that take one entry of the port. */
const JOB_ENTRY_BYTES = 1024

/** Everything that exists between listen() and stop(). */
interface Running {
  readonly binding: Binding
  readonly runtimeId: number
  readonly arena: Arena
  readonly waker: Waker
  readonly runtime: ThreadRuntime
  readonly groups: GroupTable
  readonly threads: Threads
  readonly monitor: Monitor
  /** Null: there are no job threads. */
  readonly jobs: ServerJobs | null
  readonly info: ServerInfo
}

/** One process's server. Emits `message` for what workers post to `main`. */
export class Server
  extends EventEmitter<{ message: [message: unknown, from: string] }>
  implements Runtime
{
  readonly thread = 'main'
  /** Resolves when stop() is done; rejects when a worker was lost. */
  readonly closed: Promise<void>
  readonly #options: ResolvedOptions
  #state: 'new' | 'starting' | 'listening' | 'stopping' | 'stopped' = 'new'
  #running: Running | null = null
  /** Resolves when listen() is over, however it ended. */
  #starting: Promise<void> | null = null
  /** Rejects when it is no use, or takes too long, to wait for threads that start. */
  readonly #startEnded: Promise<never>
  #endStart!: (error: OverlappedError) => void
  #stopping: Promise<void> | null = null
  #settleClosed!: { resolve: () => void; reject: (error: Error) => void }

  constructor(options: ServerOptions) {
    super()
    this.#options = resolveOptions(options)
    this.closed = new Promise((resolve, reject) => {
      this.#settleClosed = { resolve, reject }
    })
    // Who does not look at `closed` is told by listen() and stop().
    this.closed.catch(() => {})
    this.#startEnded = new Promise((_, reject) => {
      this.#endStart = reject
    })
    this.#startEnded.catch(() => {})
  }

  get data(): unknown {
    return this.#options.data
  }

  /**
   * Starts workers, then accepts. Resolves when every listener accepts. A stop() meanwhile is done when this is over.
   * @throws {OverlappedError} ERR_LISTEN, ERR_ADDRESS_IN_USE, ERR_ADDRESS_UNAVAILABLE, ERR_PERMISSION,
   * ERR_DRIVER_UNAVAILABLE, ERR_MEMORY_PLAN, ERR_HANDLER_LOAD, ERR_HANDLER_SHAPE, ERR_WORKER_LOST, ERR_SERVER_STATE
   */
  async listen(): Promise<void> {
    if (this.#state !== 'new') {
      throw new OverlappedError(
        'ERR_SERVER_STATE',
        `listen() was called while the server is ${this.#state}; a server listens once`,
      )
    }
    this.#state = 'starting'
    const listening = this.#listen()
    this.#starting = listening.catch(() => {})
    return listening
  }

  async #listen(): Promise<void> {
    try {
      await this.#start()
    } catch (error) {
      await this.#release(0)
      this.#state = 'stopped'
      throw error
    }
    this.#state = 'listening'
  }

  async #start(): Promise<void> {
    const options = this.#options
    const binding = loadBinding()
    const decision = chooseDriver(binding, options)
    const { driver, zeroCopy, featuresForbidden } = decision
    const kind = DRIVER_NUMBERS[driver]
    // On iocp a send without a copy is one that pends; there is no notification to wait for.
    const plan = planMemory({ ...options, zeroCopy: driver === 'iocp' ? 'off' : zeroCopy })
    const runtimeId = binding.createRuntime(
      new Uint8Array(plan.control),
      new Uint8Array(plan.arena),
    )
    const memories = { runtime: runtimeId, control: plan.control, arena: plan.arena }
    const arena = new Arena(binding, memories, 0)
    const groups = new GroupTable(arena)
    const listeners: ServerInfo['listeners'][number][] = []
    const info: ServerInfo = {
      driver,
      driverReason: decision.reason,
      zeroCopy,
      workers: options.workers,
      listeners,
      plan: plan.text,
    }
    const threads = new Threads(arena.plan, {
      post: (from, to, message) => this.#route(from, to, message),
      lost: (thread, error) => this.#lost(thread, error),
      bell: () => this.#answerBell(),
      closeJobs: () => this.#running?.jobs?.port.close(),
    })
    const waker = new Waker(arena, binding)
    const jobs = this.#makeJobs(arena)
    this.#running = {
      binding,
      runtimeId,
      arena,
      waker,
      runtime: this.#makeRuntime(arena, waker, groups, jobs),
      groups,
      threads,
      monitor: new Monitor(arena, jobs?.port),
      jobs,
      info,
    }
    for (const listener of options.listeners) {
      const port = await listenOn(binding, runtimeId, listener)
      listeners.push({ name: listener.name, host: listener.host, port })
    }
    const boot = {
      memories,
      driver: kind,
      featuresForbidden,
      sendsPend: driver === 'iocp' && (featuresForbidden & IOCP_FEATURES.trySend) !== 0,
      protocols: [...options.listeners, ...options.outbound],
      handler: options.handler,
      jobs:
        jobs === null || options.jobs === undefined
          ? null
          : { module: options.jobs.module, port: jobs.port.handle },
      options: {
        data: options.data,
        maxBackpressure: options.maxBackpressure,
        maxGather: options.maxGather,
        completionBatch: options.completionBatch,
        idleTimeout: options.idleTimeout,
        firstMessageTimeout: options.firstMessageTimeout,
        closeTimeout: options.closeTimeout,
        tickRate: options.tickRate,
        update: options.update,
        send: options.send,
      },
    }
    const { plan: ids } = arena
    const starts: Promise<void>[] = []
    for (let i = 0; i < ids.updateCount; i++)
      starts.push(threads.start({ ...boot, role: 'update', thread: ids.updateFirst + i }))
    for (let i = 0; i < ids.jobCount; i++)
      starts.push(threads.start({ ...boot, role: 'job', thread: ids.jobFirst + i }))
    for (let thread = 1; thread <= ids.driverCount; thread++)
      starts.push(
        threads.start({ ...boot, role: thread <= ids.workerCount ? 'worker' : 'send', thread }),
      )
    await Promise.race([Promise.all(starts), this.#startEnded])
    if (options.listeners.length > 0)
      binding.startAccepting(runtimeId, arena.plan.acceptorThread, kind, featuresForbidden)
  }

  /** The port that jobs go through; each thread of the runtime may have it open, main twice. */
  #makeJobs(arena: Arena): ServerJobs | null {
    const { jobs } = this.#options
    if (jobs === undefined) return null
    const port = CompletionPort.create({
      threads: Math.min(arena.plan.threadCount + 1, PORT_THREADS_MAX),
      concurrency: jobs.concurrency,
      capacity: jobs.queue,
      payloadBytes: JOB_ENTRY_BYTES,
    })
    return { client: new JobClient(arena, port.handle), port }
  }

  #answerBell(): void {
    const running = this.#running
    if (running?.waker.answerBell()) running.jobs?.client.takeReplies()
  }

  #makeRuntime(
    arena: Arena,
    waker: Waker,
    groups: GroupTable,
    jobs: ServerJobs | null,
  ): ThreadRuntime {
    const options = this.#options
    const table = new SessionTable(arena, waker)
    const protocols = [...options.listeners, ...options.outbound]
    return new ThreadRuntime({
      arena,
      sender: new Sender(arena, waker, table, false),
      table,
      groups,
      waker,
      protocols: new ProtocolTable(
        arena,
        protocols.map((protocol) => new Encoder(protocol.framing)),
      ),
      names: protocols.map((protocol) => protocol.name),
      maxBackpressure: options.maxBackpressure,
      thread: 'main',
      data: options.data,
      post: (to, message) => this.#route('main', to, message),
      core: null,
      content: null,
      connect: null,
      ...(jobs !== null && { jobs: jobs.client }),
    })
  }

  #route(from: string, to: string, message: unknown): void {
    if (to === 'main') {
      this.emit('message', message, from)
      return
    }
    const { plan } = this.#get('post()').arena
    const thread = threadByName(plan, to)
    if (thread === -1) {
      const error = new OverlappedError(
        'ERR_ARGUMENT',
        `post() to '${to}'; there are ${threadNames(plan)}`,
      )
      if (from === 'main') throw error
      console.error(`overlapped: ${from}: ${error.message}`)
      return
    }
    this.#running?.threads.tell(thread, { type: 'message', message, from })
  }

  #lost(thread: number, error: OverlappedError): void {
    const running = this.#running
    if (running !== null) {
      const { arena, groups, jobs } = running
      groups.lost(thread)
      // Its place goes to another job thread.
      for (const device of jobs?.port.snapshot().devices ?? [])
        if (device.key === thread) jobs?.port.abandon(device.thread)
      const block = arena.threadAt(thread)
      store(arena.words, block + THREAD_THREAD_STATE, ThreadState.GONE)
      // Its sessions ended with it; nobody is left who could call their onLeave.
      arena.counters[Counter.ENDED_NONE + CloseReason.WORKER_LOST] += load(
        arena.words,
        block + THREAD_ASSIGNED_SESSIONS,
      )
    }
    this.#settleClosed.reject(error)
    this.#endStart(error)
    void this.stop()
  }

  /** Driver, ports, workers, memory. */
  info(): ServerInfo {
    return this.#get('info()').info
  }

  get monitor(): Monitor {
    return this.#get('monitor').monitor
  }

  /**
   * Stops accepting, flushes and closes every session, ends the threads, frees the memory. While listen() is under way it
   * waits for that first; a start that takes longer than `drainTimeout` is given up, and listen() rejects.
   * @param options.drainTimeout Milliseconds until what is left is reset; the server's where absent.
   */
  stop(options: { drainTimeout?: number } = {}): Promise<void> {
    this.#stopping ??= this.#stop(options.drainTimeout ?? this.#options.drainTimeout)
    return this.#stopping
  }

  async #stop(drainTimeout: number): Promise<void> {
    if (this.#state === 'starting') await this.#untilStarted(drainTimeout)
    this.#state = 'stopping'
    await this.#release(drainTimeout)
    this.#state = 'stopped'
    this.#settleClosed.resolve()
  }

  async #untilStarted(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => {
      this.#endStart(
        new OverlappedError(
          'ERR_SERVER_STATE',
          `listen() was given up: stop() was called, and onStart of some thread had not ended ${timeoutMs} ms later`,
        ),
      )
    }, timeoutMs)
    await this.#starting
    clearTimeout(timer)
  }

  async #release(drainTimeout: number): Promise<void> {
    const running = this.#running
    if (running === null) return
    running.binding.stopAccepting(running.runtimeId)
    await running.threads.stop(drainTimeout, drainTimeout + STOP_GRACE_MS)
    running.jobs?.client.leave()
    this.#running = null
    running.binding.destroyRuntime(running.runtimeId)
  }

  #get(what: string): Running {
    if (this.#running !== null) return this.#running
    throw new OverlappedError(
      'ERR_SERVER_STATE',
      `${what} was used while the server is ${this.#state}; it needs a listening server`,
    )
  }

  // --- Runtime, on main ------------------------------------------------------------------------

  get jobs(): Jobs {
    return this.#get('jobs').runtime.jobs
  }

  sessions(): Iterable<Session> {
    return this.#get('sessions()').runtime.sessions()
  }

  send(id: SessionId, data: Sendable): SendResult {
    return this.#get('send()').runtime.send(id, data)
  }

  close(id: SessionId): boolean {
    return this.#get('close()').runtime.close(id)
  }

  pin(id: SessionId): Pin | undefined {
    return this.#get('pin()').runtime.pin(id)
  }

  broadcast(data: Sendable, options?: BroadcastOptions): BroadcastResult {
    return this.#get('broadcast()').runtime.broadcast(data, options)
  }

  group(name: string): GroupInfo | undefined {
    return this.#get('group()').runtime.group(name)
  }

  prepare(data: Sendable): SendBuffer {
    return this.#get('prepare()').runtime.prepare(data)
  }

  open(maxBytes: number): Reservation {
    return this.#get('open()').runtime.open(maxBytes)
  }

  connect(options: ConnectOptions): Promise<Session> {
    return this.#get('connect()').runtime.connect(options)
  }

  post(thread: string, message: unknown): void {
    this.#get('post()').runtime.post(thread, message)
  }
}

/** @throws {OverlappedError} ERR_OPTION_UNKNOWN, ERR_OPTION_TYPE, ERR_OPTION_RANGE */
export function createServer(options: ServerOptions): Server {
  return new Server(options)
}
