// What: the server as content sees it, in any thread: send, close and broadcast by id, prepared buffers, messages.
// Flow: user -> this -> our own sessions, or pins and send lists of other workers' sessions.
// Thread: one instance per thread; `core` is there in workers only.

import { OverlappedError } from '../errors.ts'
import {
  Counter,
  SESSION_GENERATION,
  SESSION_LISTENER,
  SESSION_REQUEST_CLOSE,
  SESSION_STATE,
  SessionState,
} from '../layout/layout.ts'
import type { Outbox } from '../outbound/outbox.ts'
import type { Sender } from '../outbound/sender.ts'
import type { Arena } from '../shared/arena.ts'
import { load } from '../shared/atomics.ts'
import type { Group, GroupTable } from '../shared/group_table.ts'
import { LiveSlots } from '../shared/live_slots.ts'
import type { ProtocolTable } from '../shared/protocol_table.ts'
import { generationOf, isSessionId, type SessionId, slotOf } from '../shared/session_id.ts'
import type { SessionTable } from '../shared/session_table.ts'
import type { Waker } from '../shared/waker.ts'
import type { Core } from './core.ts'
import { ForeignSends } from './foreign_sends.ts'
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
} from './handler.ts'
import { noJobs } from './jobs.ts'
import { PacketCursor } from './packet.ts'
import { type PinHome, SessionPin } from './pin.ts'
import { BufferMaker, PreparedBuffer } from './send_buffer.ts'
import type { LiveSession } from './session.ts'

export interface RuntimeParts {
  readonly arena: Arena
  readonly sender: Sender<Outbox>
  readonly table: SessionTable
  readonly groups: GroupTable
  readonly waker: Waker
  readonly protocols: ProtocolTable
  /** Of the declared protocols, by index. */
  readonly names: readonly string[]
  readonly maxBackpressure: number
  readonly thread: string
  readonly data: unknown
  readonly post: (thread: string, message: unknown) => void
  /** Workers only. */
  readonly core: Core | null
  /** Update threads only: the sessions whose content they run. */
  readonly content: ContentHome | null
  /** Threads that run content only. */
  readonly connect: ((options: ConnectOptions) => Promise<Session>) | null
  /** Absent: the server has no job threads. */
  readonly jobs?: Jobs
}

/** The sessions of an update thread, as its runtime sees them. */
export interface ContentHome {
  /** Those that have joined and are open. */
  sessions(): Iterable<Session>
  /** The one that a slot holds. */
  at(slot: number): Session | undefined
  /** Something was queued that a turn must publish. */
  markPending(): void
}

const noSessions: readonly Session[] = []

export class ThreadRuntime implements Runtime, PinHome {
  readonly thread: string
  readonly data: unknown
  readonly jobs: Jobs
  readonly #parts: RuntimeParts
  readonly #buffers: BufferMaker
  /** To sessions of other threads. */
  readonly foreign: ForeignSends
  readonly #own: (slot: number) => boolean
  readonly #liveSlots: LiveSlots

  constructor(parts: RuntimeParts) {
    this.#parts = parts
    this.thread = parts.thread
    this.data = parts.data
    this.jobs = parts.jobs ?? noJobs
    this.#buffers = new BufferMaker(parts.arena, parts.sender)
    this.foreign = new ForeignSends(
      parts.arena,
      parts.table,
      parts.sender,
      parts.protocols,
      parts.maxBackpressure,
    )
    this.#liveSlots = new LiveSlots(parts.arena)
    const { thread, plan } = parts.arena
    const first = (thread - 1) * plan.sessionsPerWorker
    this.#own =
      parts.core === null
        ? () => false
        : (slot) => slot >= first && slot < first + plan.sessionsPerWorker
  }

  sessions(): Iterable<Session> {
    const { core, content } = this.#parts
    if (content !== null) return content.sessions()
    return core === null
      ? noSessions
      : core.lifecycle.registry.live.filter((session) => session.joined && session.isOpen)
  }

  send(id: SessionId, data: Sendable): SendResult {
    checkId('send', id)
    const own = this.#ownSession(id)
    if (own !== undefined) return own.send(data)
    if (this.#own(slotOf(id))) return this.foreign.closed()
    if (data instanceof PreparedBuffer) {
      data.check()
      try {
        return this.#sendForeign(id, data, -1) as SendResult
      } finally {
        this.#afterwards()
      }
    }
    const { bytes, start, length } = this.#bytesOf('send', data)
    const slot = this.#parts.table.pin(id)
    try {
      return slot === -1
        ? this.foreign.closed()
        : this.foreign.writeMessage(slot, this.foreign.encoderOf(slot), bytes, start, length)
    } finally {
      if (slot !== -1) this.#parts.table.unpin(slot)
      this.#afterwards()
    }
  }

  close(id: SessionId): boolean {
    checkId('close', id)
    const own = this.#ownSession(id)
    if (own !== undefined) {
      if (!own.isOpen) return false
      own.close()
      return true
    }
    if (this.#own(slotOf(id))) return false
    const content = this.#contentSession(id)
    if (content !== undefined) {
      if (!content.isOpen) return false
      content.close()
      return true
    }
    const { arena, table, sender } = this.#parts
    const slot = table.pin(id)
    if (slot === -1) {
      this.#afterwards()
      return false
    }
    const open = load(arena.words, arena.sessionAt(slot) + SESSION_STATE) === SessionState.OPEN
    if (open) sender.request(slot, SESSION_REQUEST_CLOSE)
    table.unpin(slot)
    this.#afterwards()
    return open
  }

  pin(id: SessionId): Pin | undefined {
    checkId('pin', id)
    const { arena, table } = this.#parts
    const slot = table.pin(id)
    this.#afterwards()
    return slot === -1 ? undefined : new SessionPin(this, arena, id, slot)
  }

  unpinned(slot: number): void {
    this.#parts.table.unpin(slot)
    this.#afterwards()
  }

  broadcast(data: Sendable, options: BroadcastOptions = {}): BroadcastResult {
    const result: BroadcastResult = { queued: 0, full: 0, closed: 0, dropped: 0 }
    const { to = 'all', except, listener, where } = options
    const protocol = listener === undefined ? -1 : this.#protocol(listener)
    const prepared =
      data instanceof PreparedBuffer ? data : this.#prepared('broadcast', data, protocol)
    if (prepared === null) {
      this.#parts.arena.counters[Counter.SEND_DROPPED]++
      result.dropped++
      return result
    }
    prepared.check()
    try {
      if (to === 'all') {
        if (where !== undefined && this.#parts.content !== null)
          this.#toContent(this.#parts.content.sessions(), prepared, listener, except, where, result)
        else this.#toOwn(prepared, protocol, except, where, result)
        if (where === undefined) this.#toForeign(prepared, protocol, except, result)
      } else if (isGroup(to)) {
        const { group: name } = to
        const group = this.#parts.groups.lookUp(name)
        if (group !== undefined)
          this.#toMembers(group, prepared, listener, protocol, except, where, result)
      } else {
        this.#toEach(to, prepared, listener, protocol, except, where, result)
      }
    } finally {
      // Also when a framing cannot carry the payload.
      if (prepared !== data) prepared.release()
      this.#afterwards()
    }
    return result
  }

  group(name: string): GroupInfo | undefined {
    return this.#parts.groups.info(name)
  }

  prepare(data: Sendable): SendBuffer {
    const prepared = this.#prepared('prepare', data, -1)
    if (prepared === null) {
      throw new OverlappedError(
        'ERR_MEMORY_PLAN',
        'prepare(): no chunk is free; arenaBytes is too small for what is queued',
      )
    }
    return prepared
  }

  open(maxBytes: number): Reservation {
    return this.#buffers.open(maxBytes)
  }

  connect(options: ConnectOptions): Promise<Session> {
    const { connect } = this.#parts
    if (connect !== null) return connect(options)
    return Promise.reject(
      new OverlappedError(
        'ERR_SERVER_STATE',
        'connect() was called on main; sessions belong to the threads that run content: call it in a handler, ' +
          'in onStart(runtime) or for what post() brings to its onMessage',
      ),
    )
  }

  post(thread: string, message: unknown): void {
    this.#parts.post(thread, message)
  }

  /** A packet as a buffer that outlives it. */
  retainPacket(packet: PacketCursor): SendBuffer {
    return this.prepare(packet)
  }

  /** At the end of a turn: nothing may stay reserved. */
  endTurn(): void {
    if (this.#buffers.abandon()) this.#parts.arena.counters[Counter.OPEN_ABANDONED]++
  }

  #toEach(
    ids: Iterable<SessionId>,
    prepared: PreparedBuffer,
    listener: string | undefined,
    protocol: number,
    except: SessionId | undefined,
    where: ((session: Session) => boolean) | undefined,
    result: BroadcastResult,
  ): void {
    for (const id of ids) {
      checkId('broadcast', id)
      if (id === except) continue
      const own = this.#ownSession(id)
      if (own === undefined) {
        const content = where === undefined ? undefined : this.#contentSession(id)
        if (content !== undefined) {
          this.#toContent([content], prepared, listener, except, where, result)
          continue
        }
        const sent = where === undefined ? this.#sendForeign(id, prepared, protocol) : null
        if (sent !== null) result[sent]++
      } else if (protocol === -1 || own.protocol === protocol) {
        if (where === undefined || where(own)) result[own.sendPrepared(prepared)]++
      }
    }
  }

  // --- our own sessions ------------------------------------------------------------------------

  #ownSession(id: SessionId): LiveSession | undefined {
    const { core } = this.#parts
    if (core === null || !this.#own(slotOf(id))) return undefined
    const session = core.lifecycle.registry.at(slotOf(id))
    return session?.joined && session.id === id ? session : undefined
  }

  /** The session of this update thread with this id. */
  #contentSession(id: SessionId): Session | undefined {
    const session = this.#parts.content?.at(slotOf(id))
    return session?.id === id ? session : undefined
  }

  /** To sessions of this update thread that the predicate takes. */
  #toContent(
    sessions: Iterable<Session>,
    prepared: PreparedBuffer,
    listener: string | undefined,
    except: SessionId | undefined,
    where: ((session: Session) => boolean) | undefined,
    result: BroadcastResult,
  ): void {
    for (const session of sessions) {
      if (listener !== undefined && session.listener !== listener) continue
      if (session.id === except || where?.(session) === false) continue
      result[session.send(prepared)]++
    }
  }

  #toOwn(
    prepared: PreparedBuffer,
    protocol: number,
    except: SessionId | undefined,
    where: ((session: Session) => boolean) | undefined,
    result: BroadcastResult,
  ): void {
    const { core } = this.#parts
    if (core === null) return
    const { live } = core.lifecycle.registry
    let queued = 0
    for (let i = 0; i < live.length; i++) {
      const session = live[i]
      if (!this.#isRecipient(session, protocol, except, where)) continue
      const sent = session.sendPrepared(prepared)
      if (sent === 'queued') queued++
      else result[sent]++
    }
    result.queued += queued
  }

  #isRecipient(
    session: LiveSession,
    protocol: number,
    except: SessionId | undefined,
    where: ((session: Session) => boolean) | undefined,
  ): boolean {
    if (!session.joined || session.state !== SessionState.OPEN) return false
    if (protocol !== -1 && session.protocol !== protocol) return false
    if (except !== undefined && session.id === except) return false
    return where === undefined || where(session)
  }

  // --- sessions of other workers ---------------------------------------------------------------

  #toForeign(
    prepared: PreparedBuffer,
    protocol: number,
    except: SessionId | undefined,
    result: BroadcastResult,
  ): void {
    if (this.foreign.extendRound(prepared, protocol, except, result)) return
    const { arena, core } = this.#parts
    const { thread, plan } = arena
    this.foreign.beginRound(protocol, except)
    for (let worker = 1; worker <= plan.workerCount; worker++)
      if (core === null || worker !== thread) this.#toWorker(worker, prepared, protocol, except)
    this.foreign.endRound(result)
  }

  /** To every session of another worker. One that this thread was told of is seen [LIVE-1]. */
  #toWorker(
    worker: number,
    prepared: PreparedBuffer,
    protocol: number,
    except: SessionId | undefined,
  ): void {
    const { arena, table } = this.#parts
    const { words, plan } = arena
    const first = (worker - 1) * plan.sessionsPerWorker
    for (let word = 0; word < this.#liveSlots.slotWords; word++) {
      for (let bits = this.#liveSlots.bits(worker, word); bits !== 0; bits &= bits - 1) {
        const slot = first + 32 * word + 31 - Math.clz32(bits & -bits)
        const state = load(words, arena.sessionAt(slot) + SESSION_STATE)
        if (state !== SessionState.OPEN || !table.pinOpen(slot)) continue
        if (this.#isMeant(slot, protocol, except)) this.foreign.joinRound(slot, prepared)
        else table.unpin(slot)
      }
    }
  }

  /** Whether a pinned slot is one of those that are sent to: it may have changed hands since it was looked at. */
  #isMeant(slot: number, protocol: number, except: SessionId | undefined): boolean {
    const { words } = this.#parts.arena
    const at = this.#parts.arena.sessionAt(slot)
    const isExcept =
      except !== undefined &&
      slot === slotOf(except) &&
      load(words, at + SESSION_GENERATION) >>> 0 === generationOf(except)
    return !isExcept && (protocol === -1 || load(words, at + SESSION_LISTENER) === protocol)
  }

  /** Sends to whatever session a pinned slot holds, and drops the pin. */
  #toPinned(
    slot: number,
    prepared: PreparedBuffer,
    protocol: number,
    except: SessionId | undefined,
    result: BroadcastResult,
  ): void {
    try {
      if (this.#isMeant(slot, protocol, except)) result[this.foreign.pushPrepared(slot, prepared)]++
    } finally {
      this.#parts.table.unpin(slot)
    }
  }

  // --- groups ----------------------------------------------------------------------------------

  #toMembers(
    group: Group,
    prepared: PreparedBuffer,
    listener: string | undefined,
    protocol: number,
    except: SessionId | undefined,
    where: ((session: Session) => boolean) | undefined,
    result: BroadcastResult,
  ): void {
    const { groups, arena, table, core, content } = this.#parts
    for (let word = 0; word < groups.slotWords; word++) {
      for (let bits = groups.bits(group, word); bits !== 0; bits &= bits - 1) {
        const slot = 32 * word + 31 - Math.clz32(bits & -bits)
        if (core !== null && this.#own(slot)) {
          const session = core.lifecycle.registry.at(slot)
          // A predicate may have let it leave.
          if (session === undefined || !groups.isMember(group, slot)) continue
          if (this.#isRecipient(session, protocol, except, where))
            result[session.sendPrepared(prepared)]++
        } else if (where !== undefined) {
          const session = content?.at(slot)
          if (session?.isOpen && groups.isMember(group, slot))
            this.#toContent([session], prepared, listener, except, where, result)
        } else {
          const state = load(arena.words, arena.sessionAt(slot) + SESSION_STATE)
          if (state !== SessionState.OPEN || !groups.pinMember(group, slot, table)) continue
          this.#toPinned(slot, prepared, protocol, except, result)
        }
      }
    }
  }

  /** Null: the session is another listener's. */
  #sendForeign(id: SessionId, prepared: PreparedBuffer, protocol: number): SendResult | null {
    const { arena, table } = this.#parts
    const slot = table.pin(id)
    if (slot === -1) return this.foreign.closed()
    try {
      const listener = load(arena.words, arena.sessionAt(slot) + SESSION_LISTENER)
      return protocol !== -1 && listener !== protocol
        ? null
        : this.foreign.pushPrepared(slot, prepared)
    } finally {
      table.unpin(slot)
    }
  }

  /**
   * Threads without a turn publish at once; a worker does at the end of its turn. Also after a pin that
   * failed: a mismatched one may have been the last, and then the owner has a slot to release.
   */
  #afterwards(): void {
    const { core, content, sender } = this.#parts
    const home = core ?? content
    if (home === null) sender.publish()
    else home.markPending()
  }

  // --- arguments -------------------------------------------------------------------------------

  /** For one protocol, or for any (-1). Null: no memory. */
  #prepared(method: string, data: Sendable, protocol: number): PreparedBuffer | null {
    if (data instanceof PreparedBuffer && data.long === null) {
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `${method}() was given a send buffer; it takes bytes, a string or a packet`,
      )
    }
    const { bytes, start, length } = this.#bytesOf(method, data)
    const { protocols } = this.#parts
    const encoder = protocol === -1 ? protocols.likely : protocols.encoderOf(protocol)
    return encoder === undefined
      ? this.#buffers.copy(bytes, start, length)
      : this.#buffers.frame(encoder, bytes, start, length)
  }

  #bytesOf(method: string, data: Sendable): { bytes: Uint8Array; start: number; length: number } {
    if (data instanceof PacketCursor) {
      data.check()
      return { bytes: data.memory, start: data.start, length: data.end - data.start }
    }
    if (data instanceof Uint8Array) return { bytes: data, start: 0, length: data.length }
    if (typeof data === 'string') {
      const bytes = Buffer.from(data, 'utf8')
      return { bytes, start: 0, length: bytes.length }
    }
    throw new OverlappedError(
      'ERR_ARGUMENT',
      `${method}() was given ${typeof data}; it takes bytes, a string or a packet`,
    )
  }

  #protocol(listener: string): number {
    const index = this.#parts.names.indexOf(listener)
    if (index !== -1) return index
    const names = this.#parts.names.map((name) => `'${name}'`).join(', ')
    throw new OverlappedError(
      'ERR_ARGUMENT',
      `broadcast(): there is no listener '${listener}'; there are ${names}`,
    )
  }
}

function isGroup(to: NonNullable<BroadcastOptions['to']>): to is { readonly group: string } {
  return typeof to === 'object' && to !== null && 'group' in to
}

function checkId(method: string, id: unknown): void {
  if (isSessionId(id)) return
  throw new OverlappedError(
    'ERR_ARGUMENT',
    `${method}() was given ${String(id)}; it takes a session id`,
  )
}
