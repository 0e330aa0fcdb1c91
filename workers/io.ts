// What: an I/O worker: wires its rooms together, runs turns, stops.
// Flow: native loop -> turn: completions -> handlers -> sends -> submissions -> native loop.
// Thread: one I/O worker.

import { loadBinding } from '../src/binding.ts'
import { OverlappedError } from '../src/errors.ts'
import { Encoder } from '../src/framing/encode.ts'
import { Dispatcher } from '../src/inbound/dispatcher.ts'
import { THREAD_THREAD_STATE, ThreadState } from '../src/layout/layout.ts'
import type { Outbox } from '../src/outbound/outbox.ts'
import { Sender } from '../src/outbound/sender.ts'
import { SubmissionRing } from '../src/outbound/submission_ring.ts'
import type { FromWorker, ToWorker, WorkerBoot } from '../src/server/boot.ts'
import { Core, type Protocol } from '../src/session/core.ts'
import { type Handler, handlerOf } from '../src/session/handler.ts'
import { Lifecycle } from '../src/session/lifecycle.ts'
import { PacketCursor } from '../src/session/packet.ts'
import { ReceiveBuffers } from '../src/session/receive_buffers.ts'
import { ThreadRuntime } from '../src/session/runtime.ts'
import type { LiveSession } from '../src/session/session.ts'
import { Arena } from '../src/shared/arena.ts'
import { store } from '../src/shared/atomics.ts'
import { SessionTable } from '../src/shared/session_table.ts'
import { Waker } from '../src/shared/waker.ts'
import { WorkerHeap } from '../src/shared/worker_heap.ts'

/** Submissions of one turn: after it libuv and promises get their visit, also when the sockets never rest. */
const ROUNDS_PER_TURN = 4
/** How often deadlines are looked at: a part of the shortest timeout, within these milliseconds. */
const SWEEPS_PER_TIMEOUT = 8
const SWEEP_MIN_MS = 10
const SWEEP_MAX_MS = 1000

async function loadHandlers(boot: WorkerBoot): Promise<Map<string, Handler>> {
  const handlers = new Map<string, Handler>()
  for (const { handler: url } of boot.protocols) {
    if (handlers.has(url)) continue
    let module: { default?: unknown }
    try {
      module = (await import(url)) as { default?: unknown }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new OverlappedError('ERR_HANDLER_LOAD', `the handler ${url} cannot be loaded: ${why}`, {
        cause,
      })
    }
    handlers.set(url, handlerOf(module, url))
  }
  return handlers
}

export async function runIoWorker(
  boot: WorkerBoot,
  tell: (message: FromWorker) => void,
): Promise<void> {
  const binding = loadBinding()
  const handlers = await loadHandlers(boot)
  const arena = new Arena(binding, boot.memories, boot.thread)
  const waker = new Waker(arena, binding)
  const table = new SessionTable(arena, waker)
  const sender = new Sender<LiveSession>(arena, waker, table)
  const submissions = new SubmissionRing(arena)
  const { heapByteAt, heapBytesPerWorker } = arena.plan
  const heap = new WorkerHeap(
    heapByteAt + (boot.thread - 1) * heapBytesPerWorker,
    heapBytesPerWorker,
  )
  const buffers = new ReceiveBuffers(arena, submissions)
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
    sender,
    submissions,
    heap,
    buffers,
    protocols,
    limits: boot.options,
  })
  const runtime = new ThreadRuntime({
    arena,
    sender: sender as unknown as Sender<Outbox>,
    table,
    waker,
    encoders: protocols.map((protocol) => protocol.encoder),
    names: protocols.map((protocol) => protocol.name),
    maxBackpressure: boot.options.maxBackpressure,
    thread: `worker${boot.thread}`,
    data: boot.options.data,
    post: (to, message) => tell({ type: 'post', to, message }),
    core,
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
  })
  const dispatcher = new Dispatcher(core)
  const sweeper = createSweeper(core, boot)

  const turn = () => {
    core.now = performance.now()
    for (let round = 1; ; round++) {
      dispatcher.drain()
      lifecycle.takeForeign()
      dispatcher.resumeHeld()
      if (round > ROUNDS_PER_TURN) break
      sender.flush()
      lifecycle.finishReleases()
      const prompt = submissions.promptSends > 0
      submissions.prepare()
      // Otherwise the driver gets everything together with its next wait: one system call less.
      if (!prompt || binding.submit() === 0) break
    }
    runtime.endTurn()
    sender.settle()
    waker.flush()
    sweeper.sessionsMayBe(lifecycle.registry.live.length)
  }

  const why = binding.openLoop(
    boot.memories.runtime,
    boot.thread,
    boot.driver,
    boot.options.completionBatch,
    boot.featuresForbidden,
    new Uint8Array(boot.memories.control),
    new Uint8Array(boot.memories.arena),
    turn,
  )
  if (why !== '') throw new OverlappedError('ERR_DRIVER_UNAVAILABLE', why)
  core.now = performance.now()

  const ticker = createTicker(core, [...handlers.values()], boot.options.tickRate)
  const stateAt = arena.threadAt(boot.thread) + THREAD_THREAD_STATE
  const stopped = new Promise<number>((resolve) => {
    boot.port.on('message', (message: ToWorker) => {
      if (message.type === 'stop') resolve(message.timeoutMs)
      else
        for (const handler of handlers.values())
          deliver(core, handler, message.message, message.from)
    })
  })
  try {
    for (const handler of handlers.values()) await handler.onStart?.(runtime)
    store(arena.words, stateAt, ThreadState.RUNNING)
    ticker.start()
    tell({ type: 'ready' })
    const timeoutMs = await stopped
    store(arena.words, stateAt, ThreadState.STOPPING)
    await lifecycle.stop(timeoutMs)
    ticker.stop()
    for (const handler of handlers.values()) await handler.onStop?.(runtime)
  } finally {
    sweeper.stop()
    ticker.stop()
    store(arena.words, stateAt, ThreadState.GONE)
    binding.closeLoop()
  }
}

function deliver(core: Core, handler: Handler, message: unknown, from: string): void {
  if (handler.onMessage === undefined) return
  try {
    core.watch(handler, handler.onMessage(message, from))
  } catch (error) {
    core.handlerFailed(handler, error)
  }
}

/** Looks at deadlines now and then, but only while there are sessions: an idle server sleeps. */
function createSweeper(core: Core, boot: WorkerBoot) {
  const { idleTimeout, firstMessageTimeout, closeTimeout } = boot.options
  const timeouts = [idleTimeout, firstMessageTimeout, closeTimeout].filter((ms) => ms > 0)
  const everyMs = Math.min(
    SWEEP_MAX_MS,
    Math.max(SWEEP_MIN_MS, Math.min(...timeouts) / SWEEPS_PER_TIMEOUT),
  )
  let timer: NodeJS.Timeout | null = null
  const stop = () => {
    if (timer !== null) clearInterval(timer)
    timer = null
  }
  return {
    stop,
    sessionsMayBe(count: number): void {
      if (timer !== null || count === 0) return
      timer = setInterval(() => {
        core.now = performance.now()
        core.lifecycle.sweep()
        if (core.lifecycle.registry.live.length === 0) stop()
      }, everyMs)
    },
  }
}

/** Calls onTick at a fixed rate: a tick that came late does not move the ones after it, one that was missed is left out. */
function createTicker(core: Core, handlers: readonly Handler[], rate: number) {
  const ticking = handlers.filter((handler) => handler.onTick !== undefined)
  const everyMs = 1000 / rate
  let timer: NodeJS.Timeout | null = null
  let due = 0
  let before = 0
  const tick = () => {
    const now = performance.now()
    for (const handler of ticking) {
      try {
        core.watch(handler, handler.onTick?.(now - before))
      } catch (error) {
        core.handlerFailed(handler, error)
      }
    }
    before = now
    due += everyMs * Math.max(1, Math.ceil((performance.now() - due) / everyMs))
    timer = setTimeout(tick, due - performance.now())
  }
  return {
    start(): void {
      if (ticking.length === 0) return
      before = performance.now()
      due = before + everyMs
      timer = setTimeout(tick, everyMs)
    },
    stop(): void {
      if (timer !== null) clearTimeout(timer)
      timer = null
    },
  }
}
