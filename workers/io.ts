// What: an I/O worker: loads its handlers, runs in the native loop, ticks, stops.
// Flow: boot -> this -> assemble.ts, native loop, messages of main.
// Thread: one I/O worker.

import { loadBinding } from '../src/binding.ts'
import { OverlappedError } from '../src/errors.ts'
import { JobClient } from '../src/jobs/job_client.ts'
import {
  THREAD_RECEIVE_INTERVAL_MS,
  THREAD_THREAD_STATE,
  THREAD_TURN_AT_MS,
  ThreadState,
} from '../src/layout/layout.ts'
import type { FromWorker, ToWorker, WorkerBoot } from '../src/server/boot.ts'
import type { Arena } from '../src/shared/arena.ts'
import { store } from '../src/shared/atomics.ts'
import { assembleWorker, type Clock } from './assemble.ts'
import { HandlerSet, handlerUrls } from './handlers.ts'
import { afterMs, createConnector } from './outbound.ts'
import { RemoteDials } from './remote_dials.ts'
import { createTicker, deliver } from './ticker.ts'

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
    after: afterMs,
  }
}

export async function runIoWorker(
  boot: WorkerBoot,
  tell: (message: FromWorker) => void,
): Promise<void> {
  const binding = loadBinding()
  const jobsPort = boot.jobs?.port
  const handlers = new HandlerSet((handler) => ticker.add(handler))
  await handlers.load(handlerUrls(boot))
  const assembled = assembleWorker(
    boot,
    binding,
    handlers.handlers,
    realClock,
    (to, message) => tell({ type: 'post', to, message }),
    (options) => connector.connect(options),
    handlers.assigns,
    jobsPort === undefined ? null : (arena) => new JobClient(arena, jobsPort),
  )
  const { core, runtime, lifecycle, jobs, protocols, turn, stopSweeping } = assembled
  // Where content runs in update threads, this one calls no event but onConnectionRequest.
  const runsContent = core.link === null
  const connector = createConnector({
    boot,
    dialler: lifecycle.connecting,
    table: protocols,
    handlers,
    runtime,
    calls: core.calls,
    onRegistered: (index, { record }, handler) =>
      core.addProtocol({
        ...record,
        index,
        name: '',
        encoder: protocols.encoderOf(index),
        handler,
      }),
    handlerOf: (index) => core.protocols[index].handler,
    after: core.after,
  })
  const { arena } = core
  const block = arena.threadAt(boot.thread)
  if (!runsContent) {
    arena.words[block + THREAD_RECEIVE_INTERVAL_MS] = boot.options.update.receiveInterval
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

  const remote = new RemoteDials(assembled, tell)
  const ticking = runsContent ? [...handlers.handlers.values()] : []
  const ticker = createTicker(ticking, boot.options.tickRate, 'skip', 1, core.calls)
  const stateAt = block + THREAD_THREAD_STATE
  const stopped = new Promise<number>((resolve) => {
    boot.port.on('message', (message: ToWorker) => {
      if (message.type === 'stop') resolve(message.timeoutMs)
      else if (message.type === 'message') {
        if (runsContent)
          handlers.tellAll((handler) => deliver(handler, message.message, message.from, core.calls))
      } else remote.heard(message)
    })
  })
  try {
    // Who is to stop does not wait for an onStart that may never end.
    if (runsContent) await Promise.race([handlers.start(runtime), stopped])
    store(arena.words, stateAt, ThreadState.RUNNING)
    ticker.start()
    tell({ type: 'ready' })
    const timeoutMs = await stopped
    binding.closeListeners()
    store(arena.words, stateAt, ThreadState.STOPPING)
    const answered = connector.stop()
    await lifecycle.stop(timeoutMs)
    await answered
    // The last handles are closed by what was submitted, some of them with RST.
    binding.submit()
    ticker.stop()
    if (runsContent) await handlers.stop(runtime)
  } finally {
    stopSweeping()
    ticker.stop()
    jobs?.leave()
    store(arena.words, stateAt, ThreadState.GONE)
    binding.closeLoop()
  }
}
