// What: an update thread: loads its handlers, runs the content of its sessions, ticks, stops.
// Flow: boot -> this -> content, native loop without sockets, messages of main.
// Thread: one update thread.

import { DRIVER_NONE, loadBinding } from '../src/binding.ts'
import { OverlappedError } from '../src/errors.ts'
import { JobClient } from '../src/jobs/job_client.ts'
import { THREAD_DEAF, THREAD_THREAD_STATE, ThreadState } from '../src/layout/layout.ts'
import type { FromWorker, ToWorker, WorkerBoot } from '../src/server/boot.ts'
import { store } from '../src/shared/atomics.ts'
import { assembleUpdate } from './assemble_update.ts'
import { HandlerSet, handlerUrls } from './handlers.ts'
import { afterMs, createConnector } from './outbound.ts'
import { createTicker, deliver } from './ticker.ts'

export async function runUpdateThread(
  boot: WorkerBoot,
  tell: (message: FromWorker) => void,
): Promise<void> {
  const binding = loadBinding()
  const handlers = new HandlerSet((handler) => ticker.add(handler))
  await handlers.load(handlerUrls(boot))
  const { update } = boot.options
  const jobsPort = boot.jobs?.port
  const assembled = assembleUpdate({
    boot,
    binding,
    handlers: handlers.handlers,
    tell,
    connect: (options) => connector.connect(options),
    makeJobs: jobsPort === undefined ? null : (arena) => new JobClient(arena, jobsPort),
  })
  const { arena, content, runtime, dialler, protocols, jobs, take, turn } = assembled
  const table = assembled.protocolTable
  const connector = createConnector({
    boot,
    dialler,
    table,
    handlers,
    runtime,
    calls: content.calls,
    onRegistered: (index, _, handler) => {
      protocols[index] = { name: '', encoder: table.encoderOf(index), handler }
      assembled.announceSent()
    },
    handlerOf: (index) => protocols[index].handler,
    after: afterMs,
  })
  assembled.announceSent()

  const eagerTurn = () => {
    take()
    turn()
  }
  const why = binding.openLoop(
    boot.memories.runtime,
    boot.thread,
    DRIVER_NONE,
    boot.options.completionBatch,
    0,
    new Uint8Array(boot.memories.control),
    new Uint8Array(boot.memories.arena),
    update.eager ? eagerTurn : turn,
  )
  if (why !== '') throw new OverlappedError('ERR_DRIVER_UNAVAILABLE', why)

  const block = arena.threadAt(boot.thread)
  // Between ticks nobody is to wake this thread: it hears of messages when a tick begins.
  if (!update.eager) arena.words[block + THREAD_DEAF] = 1
  const ticker = createTicker(
    [...handlers.handlers.values()],
    update.tickRate,
    update.overrun,
    update.catchUpMax,
    content.calls,
    update.eager ? undefined : take,
  )
  const stopped = new Promise<void>((resolve) => {
    boot.port.on('message', (message: ToWorker) => {
      if (message.type === 'stop') resolve()
      else if (message.type === 'move') content.moveIn(message.session)
      else if (message.type === 'dialFailed') dialler.failed(message.number, message.error)
      else if (message.type === 'message')
        handlers.tellAll((handler) =>
          deliver(handler, message.message, message.from, content.calls),
        )
    })
  })
  try {
    // Who is to stop does not wait for an onStart that may never end.
    await Promise.race([handlers.start(runtime), stopped])
    store(arena.words, block + THREAD_THREAD_STATE, ThreadState.RUNNING)
    ticker.start()
    tell({ type: 'ready' })
    await stopped
    store(arena.words, block + THREAD_THREAD_STATE, ThreadState.STOPPING)
    ticker.stop()
    // What workers said last: the sessions that they gave up.
    take()
    turn()
    // No worker is left that would answer.
    dialler.abandon()
    await connector.stop()
    await handlers.stop(runtime)
  } finally {
    ticker.stop()
    jobs?.leave()
    store(arena.words, block + THREAD_THREAD_STATE, ThreadState.GONE)
    binding.closeLoop()
  }
}
