// What: an I/O worker: loads its handlers, runs in the native loop, ticks, stops.
// Flow: boot -> this -> assemble.ts, native loop, messages of main.
// Thread: one I/O worker.

import { performance } from 'node:perf_hooks'
import { loadBinding } from '../src/binding.ts'
import { OverlappedError } from '../src/errors.ts'
import { THREAD_THREAD_STATE, THREAD_TURN_AT_MS, ThreadState } from '../src/layout/layout.ts'
import type { FromWorker, ToWorker, WorkerBoot } from '../src/server/boot.ts'
import type { Core } from '../src/session/core.ts'
import { type Handler, handlerOf } from '../src/session/handler.ts'
import type { Arena } from '../src/shared/arena.ts'
import { store } from '../src/shared/atomics.ts'
import { assembleWorker, type Clock } from './assemble.ts'

const NS_PER_MS = 1_000_000n

/**
 * The monotonic clock that native code stamps turns with, from 0 on: a deadline is a small integer, which V8 keeps in
 * the session itself.
 */
function realClock(arena: Arena): Clock {
  const { words } = arena
  const turnAt = arena.threadAt(arena.thread) + THREAD_TURN_AT_MS
  const monotonicMs = () => Number(process.hrtime.bigint() / NS_PER_MS)
  const startMs = monotonicMs()
  return {
    now: () => monotonicMs() - startMs,
    // Modulo 2^32, as the word is: `before` is at most 24 days earlier, because a sleep is shorter.
    turn: (before) => before + ((words[turnAt] - ((before + startMs) | 0)) | 0),
    every(ms, run) {
      const timer = setInterval(run, ms)
      return () => clearInterval(timer)
    },
  }
}

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
  const { core, runtime, lifecycle, turn, stopSweeping } = assembleWorker(
    boot,
    binding,
    handlers,
    realClock,
    (to, message) => tell({ type: 'post', to, message }),
  )
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

  const ticker = createTicker(core, [...handlers.values()], boot.options.tickRate)
  const { arena } = core
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
    binding.closeListeners()
    store(arena.words, stateAt, ThreadState.STOPPING)
    await lifecycle.stop(timeoutMs)
    // The last handles are closed by what was submitted, some of them with RST.
    binding.submit()
    ticker.stop()
    for (const handler of handlers.values()) await handler.onStop?.(runtime)
  } finally {
    stopSweeping()
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
