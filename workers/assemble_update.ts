// What: the rooms of an update thread wired together, and what it does between two sleeps.
// Flow: update.ts, a model, or the simulation -> this -> content, update_turn.ts.
// Thread: one update thread.

import type { Binding } from '../src/binding.ts'
import { Encoder } from '../src/framing/encode.ts'
import { CONTROL_SENT_WANTED } from '../src/layout/layout.ts'
import type { Outbox } from '../src/outbound/outbox.ts'
import { Sender } from '../src/outbound/sender.ts'
import type { FromWorker, WorkerBoot } from '../src/server/boot.ts'
import type { ConnectOptions, Handler, Session } from '../src/session/handler.ts'
import type { ThreadJobs } from '../src/session/jobs.ts'
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
import { createUpdateTurn, type UpdateTurn } from './update_turn.ts'

export interface UpdateParts {
  readonly boot: Pick<WorkerBoot, 'thread' | 'memories'> & {
    readonly protocols: readonly Pick<
      WorkerBoot['protocols'][number],
      'name' | 'framing' | 'handler'
    >[]
    readonly options: Pick<WorkerBoot['options'], 'data' | 'maxBackpressure'>
  }
  readonly binding: Pick<Binding, 'aliasArena' | 'signal' | 'sessionAddress'>
  /** By the URL that a protocol names. */
  readonly handlers: ReadonlyMap<string, Handler>
  /** What goes to other threads through main. */
  readonly tell: (message: FromWorker) => void
  readonly connect: (options: ConnectOptions) => Promise<Session>
  readonly makeJobs: ((arena: Arena) => ThreadJobs) | null
}

export interface AssembledUpdate extends UpdateTurn {
  readonly arena: Arena
  readonly table: SessionTable
  readonly sender: Sender<Outbox>
  readonly content: Content
  readonly runtime: ThreadRuntime
  readonly dialler: RemoteDialler
  /** By index; those of connect() are added. */
  readonly protocols: ContentProtocol[]
  readonly protocolTable: ProtocolTable
  /** Null: there are no job threads. */
  readonly jobs: ThreadJobs | null
  /** Says that handlers hear of sends, where one does. */
  announceSent(): void
}

export function assembleUpdate(parts: UpdateParts): AssembledUpdate {
  const { boot, binding, handlers, connect, makeJobs } = parts
  const arena = new Arena(binding, boot.memories, boot.thread)
  const waker = new Waker(arena, binding)
  const table = new SessionTable(arena, waker)
  const groups = new GroupTable(arena)
  const sender = new Sender<Outbox>(arena, waker, table, true)
  const protocols: ContentProtocol[] = boot.protocols.map(({ name, framing, handler }) => ({
    name,
    encoder: new Encoder(framing),
    handler: handlers.get(handler) as Handler,
  }))
  const names = protocols.map(({ name }) => name)
  const protocolTable = new ProtocolTable(
    arena,
    protocols.map(({ encoder }) => encoder),
  )
  const dialler = new RemoteDialler(
    arena,
    {
      dial: (thread, order) => parts.tell({ type: 'dial', thread, order }),
      giveUp: (thread, content, number, error) =>
        parts.tell({ type: 'giveUp', thread, content, number, error }),
    },
    (protocol) => protocols[protocol].handler.onSend !== undefined,
  )
  const jobs = makeJobs?.(arena) ?? null
  const content = new Content({
    arena,
    waker,
    table,
    groups,
    sender,
    protocols,
    binding,
    dialler,
    passOn: (thread, session) => parts.tell({ type: 'move', thread, session }),
  })
  const runtime = new ThreadRuntime({
    arena,
    sender,
    table,
    groups,
    waker,
    protocols: protocolTable,
    names,
    maxBackpressure: boot.options.maxBackpressure,
    thread: threadName(arena.plan, boot.thread),
    data: boot.options.data,
    post: (to, message) => parts.tell({ type: 'post', to, message }),
    core: null,
    content,
    connect,
    ...(jobs !== null && { jobs }),
  })
  content.attach(runtime, new PacketCursor(arena, null, (packet) => runtime.retainPacket(packet)))
  return {
    ...createUpdateTurn({ content, runtime, sender, waker, jobs }),
    arena,
    table,
    sender,
    content,
    runtime,
    dialler,
    protocols,
    protocolTable,
    jobs,
    announceSent(): void {
      if (protocols.some(({ handler }) => handler.onSend !== undefined))
        store(arena.words, CONTROL_SENT_WANTED, 1)
    },
  }
}
