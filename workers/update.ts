// What: an update thread: loads its handlers, runs the content of its sessions, ticks, stops.
// Flow: boot -> this -> content, native loop without sockets, messages of main.
// Thread: one update thread.

import { DRIVER_NONE, loadBinding } from '../src/binding.ts'
import { OverlappedError } from '../src/errors.ts'
import { Encoder } from '../src/framing/encode.ts'
import { JobClient } from '../src/jobs/job_client.ts'
import {
  CONTROL_SENT_WANTED,
  THREAD_DEAF,
  THREAD_THREAD_STATE,
  ThreadState,
} from '../src/layout/layout.ts'
import type { Outbox } from '../src/outbound/outbox.ts'
import { Sender } from '../src/outbound/sender.ts'
import type { FromWorker, ToWorker, WorkerBoot } from '../src/server/boot.ts'
import type { Handler } from '../src/session/handler.ts'
import { PacketCursor } from '../src/session/packet.ts'
import { ThreadRuntime } from '../src/session/runtime.ts'
import { Arena } from '../src/shared/arena.ts'
import { store } from '../src/shared/atomics.ts'
import { GroupTable } from '../src/shared/group_table.ts'
import { ProtocolTable } from '../src/shared/protocol_table.ts'
import { SessionTable } from '../src/shared/session_table.ts'
import { threadName } from '../src/shared/thread_ids.ts'
import { Waker } from '../src/shared/waker.ts'
import { Content } from '../src/update/content.ts'
import type { ContentProtocol } from '../src/update/content_session.ts'
import { RemoteDialler } from '../src/update/remote_dialler.ts'
import { HandlerSet, handlerUrls } from './handlers.ts'
import { afterMs, createConnector } from './outbound.ts'
import { createTicker, deliver } from './ticker.ts'
import { createUpdateTurn } from './update_turn.ts'

export async function runUpdateThread(
  boot: WorkerBoot,
  tell: (message: FromWorker) => void,
): Promise<void> {
  const binding = loadBinding()
  const handlers = new HandlerSet((handler) => ticker.add(handler))
  await handlers.load(handlerUrls(boot))
  const arena = new Arena(binding, boot.memories, boot.thread)
  const waker = new Waker(arena, binding)
  const table = new SessionTable(arena, waker)
  const groups = new GroupTable(arena)
  const sender = new Sender<Outbox>(arena, waker, table, true)
  const protocols: ContentProtocol[] = boot.protocols.map(({ name, framing, handler }) => ({
    name,
    encoder: new Encoder(framing),
    handler: handlers.handlers.get(handler) as Handler,
  }))
  const protocolTable = new ProtocolTable(
    arena,
    protocols.map(({ encoder }) => encoder),
  )
  if (protocols.some(({ handler }) => handler.onSend !== undefined))
    store(arena.words, CONTROL_SENT_WANTED, 1)
  const { update } = boot.options
  const dialler = new RemoteDialler(
    arena,
    {
      dial: (thread, order) => tell({ type: 'dial', thread, order }),
      giveUp: (thread, content, number, error) =>
        tell({ type: 'giveUp', thread, content, number, error }),
    },
    (protocol) => protocols[protocol].handler.onSend !== undefined,
  )
  const jobs = boot.jobs === null ? null : new JobClient(arena, boot.jobs.port)
  const content = new Content({
    arena,
    waker,
    table,
    groups,
    sender,
    protocols,
    binding,
    dialler,
    send: (thread, session) => tell({ type: 'move', thread, session }),
  })
  const runtime = new ThreadRuntime({
    arena,
    sender,
    table,
    groups,
    waker,
    protocols: protocolTable,
    names: protocols.map(({ name }) => name),
    maxBackpressure: boot.options.maxBackpressure,
    thread: threadName(arena.plan, boot.thread),
    data: boot.options.data,
    post: (to, message) => tell({ type: 'post', to, message }),
    core: null,
    content,
    connect: (options) => connector.connect(options),
    ...(jobs !== null && { jobs }),
  })
  const connector = createConnector({
    boot,
    dialler,
    table: protocolTable,
    handlers,
    runtime,
    calls: content.calls,
    onRegistered: (index, _, handler) => {
      protocols[index] = { name: '', encoder: protocolTable.encoderOf(index), handler }
      if (handler.onSend !== undefined) store(arena.words, CONTROL_SENT_WANTED, 1)
    },
    handlerOf: (index) => protocols[index].handler,
    after: afterMs,
  })
  content.attach(runtime, new PacketCursor(arena, null, (packet) => runtime.retainPacket(packet)))

  const { take, turn } = createUpdateTurn({ content, runtime, sender, waker, jobs })
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
        for (const handler of handlers.handlers.values())
          deliver(handler, message.message, message.from, content.calls)
    })
  })
  try {
    await handlers.start(runtime)
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
