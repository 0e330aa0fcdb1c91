// What: what the rooms of one worker share: memory, send path, protocols, options, and its errors.
// Flow: workers/io.ts builds it -> session, inbound.
// Thread: one worker.

import type { Binding } from '../binding.ts'
import type { Encoder } from '../framing/encode.ts'
import { CloseReason, THREAD_LOCAL_PENDING } from '../layout/layout.ts'
import type { Sender } from '../outbound/sender.ts'
import type { SubmissionRing } from '../outbound/submission_ring.ts'
import type { Arena } from '../shared/arena.ts'
import type { GroupTable } from '../shared/group_table.ts'
import type { ProtocolRecord } from '../shared/protocol_table.ts'
import type { SessionTable } from '../shared/session_table.ts'
import type { Waker } from '../shared/waker.ts'
import type { WorkerHeap } from '../shared/worker_heap.ts'
import type { Handler, Runtime } from './handler.ts'
import { type FailureHome, HandlerCalls } from './handler_calls.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { PacketCursor } from './packet.ts'
import type { ReceiveBuffers } from './receive_buffers.ts'
import type { LiveSession } from './session.ts'

/** A listener or outbound protocol, ready for use in this thread. */
export interface Protocol extends ProtocolRecord {
  readonly index: number
  /** '' of a protocol that connect() was given. */
  readonly name: string
  readonly encoder: Encoder
  /** The user's; where content runs in another thread, what forwards to it. */
  handler: Handler
}

/** Options that sessions read, in milliseconds; 0 is off. */
export interface SessionLimits {
  readonly idleTimeout: number
  readonly firstMessageTimeout: number
  readonly closeTimeout: number
}

/** Who reads bytes that were put off. */
export interface DeferredReader {
  /** Reads [start, end) of the arena, or puts a part of it off again. */
  readDeferred(session: LiveSession, buffer: number, start: number, end: number): void
}

/** The way to the threads that run content, where those are not the workers. */
export interface ContentLink {
  /** Thread id of the update thread for a connection that takes this slot. */
  choose(slot: number, listener: string, token: number): number
  /** An outbound session was made for this connect(); its join follows. */
  connected(session: LiveSession, number: number): void
  /** Nothing more is received: its content asks for the end when it has handled everything. */
  ended(session: LiveSession, reason: CloseReason): void
  /** Its content has asked to move: it is told when everything before was forwarded. */
  moving(session: LiveSession): void
  /** It has arrived: what its content was to be told of meanwhile is forwarded there. */
  moved(session: LiveSession): void
  /** Whether its update thread has enough to do: what is received must wait. */
  isStalled(session: LiveSession): boolean
  /** Keeps bytes for later; buffer -1: they lie in memory that is used again at once. */
  defer(session: LiveSession, buffer: number, start: number, end: number): void
  /** Goes on with what was deferred. */
  resume(reader: DeferredReader): void
  /** Shows what was forwarded. */
  publish(): void
  endTurn(): void
}
/** Calls `run` once in `ms` milliseconds, unless the returned function is called before. Nobody stays awake for it. */
export type After = (ms: number, run: () => void) => () => void

export interface CoreParts {
  readonly arena: Arena
  readonly binding: Binding
  readonly waker: Waker
  readonly table: SessionTable
  readonly groups: GroupTable
  readonly sender: Sender<LiveSession>
  readonly submissions: SubmissionRing
  readonly heap: WorkerHeap
  readonly buffers: ReceiveBuffers
  readonly protocols: readonly Protocol[]
  readonly limits: SessionLimits
  readonly after: After
}

export class Core implements FailureHome<LiveSession> {
  readonly arena: Arena
  readonly binding: Binding
  readonly waker: Waker
  readonly table: SessionTable
  readonly groups: GroupTable
  readonly sender: Sender<LiveSession>
  readonly submissions: SubmissionRing
  readonly heap: WorkerHeap
  readonly buffers: ReceiveBuffers
  /** By index; those of connect() are added by addProtocol(), so there may be holes. */
  readonly protocols: Protocol[]
  readonly limits: SessionLimits
  readonly after: After
  readonly counters: Float64Array
  readonly calls: HandlerCalls<LiveSession>
  readonly pendingAt: number
  /** Milliseconds, read once per turn. */
  now = 0
  // Set right after construction; the parts refer to one another.
  packet!: PacketCursor
  lifecycle!: Lifecycle
  runtime!: Runtime
  /** Thread id of the send thread that new sessions send through; this thread's where it sends itself. */
  senderThread: number
  /** Null where content runs in this thread. */
  link: ContentLink | null = null

  constructor(parts: CoreParts) {
    this.arena = parts.arena
    this.binding = parts.binding
    this.waker = parts.waker
    this.table = parts.table
    this.groups = parts.groups
    this.sender = parts.sender
    this.submissions = parts.submissions
    this.heap = parts.heap
    this.buffers = parts.buffers
    this.protocols = [...parts.protocols]
    this.limits = parts.limits
    this.after = parts.after
    this.counters = parts.arena.counters
    this.calls = new HandlerCalls(this.counters, this)
    this.senderThread = parts.arena.thread
    this.pendingAt = parts.arena.threadAt(parts.arena.thread) + THREAD_LOCAL_PENDING
  }

  /** A protocol that connect() was given in this thread. */
  addProtocol(protocol: Protocol): void {
    this.protocols[protocol.index] = protocol
    if (protocol.handler.onSend !== undefined) this.sender.reportSent()
  }

  /** Asks for another turn before the thread sleeps. */
  markPending(): void {
    this.arena.words[this.pendingAt] = 1
  }

  endFailed(session: LiveSession): void {
    this.lifecycle.close(session, CloseReason.HANDLER_ERROR)
  }
}
