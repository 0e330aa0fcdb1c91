// What: the rooms of a worker wired together, and its turn.
// Flow: io.ts, or the simulation -> this; turn: completions -> handlers -> sends -> submissions.
// Thread: one I/O worker.

import type { Binding } from '../src/binding.ts'
import { Encoder } from '../src/framing/encode.ts'
import { Dispatcher } from '../src/inbound/dispatcher.ts'
import type { Outbox } from '../src/outbound/outbox.ts'
import { Sender } from '../src/outbound/sender.ts'
import { SubmissionRing } from '../src/outbound/submission_ring.ts'
import type { WorkerBoot } from '../src/server/boot.ts'
import { type After, Core, type Protocol, type SessionLimits } from '../src/session/core.ts'
import type { AssignFunction, ConnectOptions, Handler, Session } from '../src/session/handler.ts'
import type { ThreadJobs } from '../src/session/jobs.ts'
import { Lifecycle } from '../src/session/lifecycle.ts'

import { PacketCursor } from '../src/session/packet.ts'
import { ReceiveBuffers } from '../src/session/receive_buffers.ts'
import { ThreadRuntime } from '../src/session/runtime.ts'
import type { LiveSession } from '../src/session/session.ts'
import { Arena } from '../src/shared/arena.ts'
import { GroupTable } from '../src/shared/group_table.ts'
import { ProtocolTable } from '../src/shared/protocol_table.ts'
import { SessionTable } from '../src/shared/session_table.ts'
import { Waker } from '../src/shared/waker.ts'
import { WorkerHeap } from '../src/shared/worker_heap.ts'
import { threadOfKey } from '../src/update/assign.ts'
import { Forwarder } from '../src/update/forwarder.ts'

/** Submissions of one turn: after it libuv and promises get their visit, also when the sockets never rest. */
const ROUNDS_PER_TURN = 4
/** How often deadlines are looked at: a part of the shortest timeout, within these milliseconds. */
const SWEEPS_PER_TIMEOUT = 8
const SWEEP_MIN_MS = 10
const SWEEP_MAX_MS = 1000

/** The time that a worker goes by; in milliseconds. */
export interface Clock {
  now(): number
  /** The time of the turn that begins, read at no cost; `before` is that of any earlier moment. */
  turn(before: number): number
  /** Calls `run` every `ms` until the returned function is called. */
  every(ms: number, run: () => void): () => void
  readonly after: After
}

export interface AssembledWorker {
  readonly core: Core
  readonly runtime: ThreadRuntime
  readonly lifecycle: Lifecycle
  /** What the sessions of a handler call here, where content runs in update threads. */
  forward(handler: Handler): Handler
  /** The protocols that connect() was given. */
  readonly protocols: ProtocolTable
  /** Null: there are no job threads. */
  readonly jobs: ThreadJobs | null
  /** Called by the native loop whenever there is something to do. */
  turn(): void
  stopSweeping(): void
}

/** What of its boot data the rooms of a worker need. */
export type AssemblyBoot = Pick<WorkerBoot, 'thread' | 'memories' | 'protocols' | 'sendsPend'> & {
  readonly options: Omit<WorkerBoot['options'], 'update' | 'send'>
}

/** `handlers` and `assigns` by the URL that a protocol names. */
export function assembleWorker(
  boot: AssemblyBoot,
  binding: Binding,
  handlers: ReadonlyMap<string, Handler>,
  makeClock: (arena: Arena) => Clock,
  post: (to: string, message: unknown) => void,
  connect: (options: ConnectOptions) => Promise<Session>,
  assigns: ReadonlyMap<string, AssignFunction> = new Map(),
  makeJobs: ((arena: Arena) => ThreadJobs) | null = null,
): AssembledWorker {
  const arena = new Arena(binding, boot.memories, boot.thread)
  const clock = makeClock(arena)
  const waker = new Waker(arena, binding)
  const table = new SessionTable(arena, waker)
  const groups = new GroupTable(arena)
  const sender = new Sender<LiveSession>(arena, waker, table, true)
  const submissions = new SubmissionRing(arena)
  const { heapByteAt, heapBytesPerWorker } = arena.plan
  const heap = new WorkerHeap(
    heapByteAt + (boot.thread - 1) * heapBytesPerWorker,
    heapBytesPerWorker,
    arena.plan.poison ? arena.bytes : null,
  )
  const buffers = new ReceiveBuffers(arena, submissions)
  const isContentElsewhere = arena.plan.updateCount > 0
  const protocols: Protocol[] = boot.protocols.map((protocol, index) => ({
    index,
    name: protocol.name,
    framing: protocol.framing,
    encoder: new Encoder(protocol.framing),
    maxPayloadLength: protocol.maxPayloadLength,
    handler: handlers.get(protocol.handler) as Handler,
    resetOnClose: protocol.closeMode === 'reset',
    noDelay: protocol.noDelay,
    sendBufferBytes: protocol.sendBufferBytes,
    receiveBufferBytes: protocol.receiveBufferBytes,
  }))
  const core = new Core({
    arena,
    binding,
    waker,
    table,
    groups,
    sender,
    submissions,
    heap,
    buffers,
    protocols,
    limits: boot.options,
    after: clock.after,
  })
  const { workerCount, driverCount } = arena.plan
  if (driverCount > workerCount) core.senderThread = workerCount + 1
  const jobs = makeJobs?.(arena) ?? null
  const forwarder = isContentElsewhere ? createForwarder(core, boot, binding, assigns) : null
  if (forwarder !== null) {
    core.link = forwarder
    for (const protocol of protocols) protocol.handler = forwarder.handlerFor(protocol.handler)
  }
  const protocolTable = new ProtocolTable(
    arena,
    protocols.map((protocol) => protocol.encoder),
  )
  const runtime = new ThreadRuntime({
    arena,
    sender: sender as unknown as Sender<Outbox>,
    table,
    groups,
    waker,
    protocols: protocolTable,
    names: protocols.map((protocol) => protocol.name),
    maxBackpressure: boot.options.maxBackpressure,
    thread: `worker${boot.thread}`,
    data: boot.options.data,
    post,
    core,
    content: null,
    connect,
    ...(jobs !== null && { jobs }),
  })
  const lifecycle = new Lifecycle(core)
  core.lifecycle = lifecycle
  core.runtime = runtime
  core.packet = new PacketCursor(arena, buffers, (packet) => runtime.retainPacket(packet))
  sender.attach({
    submissions,
    heap,
    events: lifecycle,
    maxGather: boot.options.maxGather,
    maxBackpressure: boot.options.maxBackpressure,
    wantsSent: [...handlers.values()].some((handler) => handler.onSend !== undefined),
    drainsByWord: isContentElsewhere,
    sendsPend: boot.sendsPend === true,
    lanes: null,
  })
  const dispatcher = new Dispatcher(core)
  core.now = clock.now()
  const sweeper = createSweeper(core, boot.options, clock)

  /** What was forwarded; the driver first hears of the sockets that it is about. */
  const showContent = (link: Forwarder) => {
    lifecycle.showAttached()
    link.publish()
    // At once: content begins while this thread does the rest of its turn.
    waker.flush()
  }

  const turn = () => {
    core.now = clock.turn(core.now)
    if (forwarder !== null || jobs !== null) waker.answerBell()
    if (forwarder !== null) dispatcher.resumeDeferred()
    jobs?.takeReplies()
    for (let round = 1; ; round++) {
      dispatcher.drain()
      lifecycle.takeForeign()
      dispatcher.resumeHeld()
      if (forwarder !== null) showContent(forwarder)
      if (round > ROUNDS_PER_TURN) break
      sender.flush()
      lifecycle.finishReleases()
      submissions.prepare()
      // Otherwise the driver gets everything together with its next wait: one system call less.
      if (!submissions.takePrompt() || binding.submit() === 0) break
    }
    // Resumed by handlers while others were gone on with; a flush has forgotten that they want a turn.
    if (forwarder === null && lifecycle.resumed.length > 0) core.markPending()
    runtime.endTurn()
    sender.settle()
    // What onLeave of a session left to say.
    if (forwarder !== null) showContent(forwarder)
    forwarder?.endTurn()
    waker.flush()
    sweeper.sessionsMayBe(lifecycle.registry.live.length)
  }

  return {
    core,
    runtime,
    lifecycle,
    jobs,
    protocols: protocolTable,
    forward: (handler) => forwarder?.handlerFor(handler) ?? handler,
    turn,
    stopSweeping: sweeper.stop,
  }
}

/** New sessions go to the update thread that their handler's module assigns, else by slot. */
function createForwarder(
  core: Core,
  boot: AssemblyBoot,
  binding: Binding,
  assigns: ReadonlyMap<string, AssignFunction>,
): Forwarder {
  const { updateCount } = core.arena.plan
  const assignOf = new Map<string, AssignFunction>()
  for (const { name, handler } of boot.protocols) {
    const assign = assigns.get(handler)
    if (assign !== undefined) assignOf.set(name, assign)
  }
  return new Forwarder(core, ({ slot, listener, token }) => {
    const assign = assignOf.get(listener)
    if (assign === undefined) return slot % updateCount
    try {
      const remoteAddress = binding.transitAddress(token)
      return threadOfKey(assign({ remoteAddress, listener }), updateCount)
    } catch (error) {
      console.error(`overlapped: assign() failed for listener '${listener}':`, error)
      return slot % updateCount
    }
  })
}

/** Looks at deadlines now and then, but only while there are sessions: an idle server sleeps. */
function createSweeper(core: Core, limits: SessionLimits, clock: Clock) {
  const { idleTimeout, firstMessageTimeout, closeTimeout } = limits
  const timeouts = [idleTimeout, firstMessageTimeout, closeTimeout].filter((ms) => ms > 0)
  const everyMs = Math.min(
    SWEEP_MAX_MS,
    Math.max(SWEEP_MIN_MS, Math.min(...timeouts) / SWEEPS_PER_TIMEOUT),
  )
  let end: (() => void) | null = null
  const stop = () => {
    end?.()
    end = null
  }
  return {
    stop,
    sessionsMayBe(count: number): void {
      if (end !== null || count === 0) return
      end = clock.every(everyMs, () => {
        core.now = clock.now()
        core.lifecycle.sweep()
        if (core.lifecycle.registry.live.length === 0) stop()
      })
    },
  }
}
