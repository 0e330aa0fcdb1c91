// What: the server as content sees it, in any thread: send, close and broadcast by id, prepared buffers, messages.
// Flow: user -> this -> our own sessions, or pins and send lists of other workers' sessions.
// Thread: one instance per thread; `core` is there in workers only.

import { OverlappedError } from '../errors.ts'
import type { Encoder } from '../framing/encode.ts'
import {
  Counter,
  SESSION_GENERATION,
  SESSION_LISTENER,
  SESSION_QUEUED_BYTES,
  SESSION_REQUEST_CLOSE,
  SESSION_STATE,
  SessionState,
} from '../layout/layout.ts'
import type { Outbox } from '../outbound/outbox.ts'
import type { Sender } from '../outbound/sender.ts'
import type { Arena } from '../shared/arena.ts'
import { load } from '../shared/atomics.ts'
import { generationOf, isSessionId, type SessionId, slotOf } from '../shared/session_id.ts'
import type { SessionTable } from '../shared/session_table.ts'
import type { Waker } from '../shared/waker.ts'
import type { Core } from './core.ts'
import type {
  BroadcastOptions,
  BroadcastResult,
  ConnectOptions,
  Reservation,
  Runtime,
  Sendable,
  SendBuffer,
  SendResult,
  Session,
} from './handler.ts'
import { PacketCursor } from './packet.ts'
import { BufferMaker, PreparedBuffer } from './send_buffer.ts'
import type { LiveSession } from './session.ts'

export interface RuntimeParts {
  readonly arena: Arena
  readonly sender: Sender<Outbox>
  readonly table: SessionTable
  readonly waker: Waker
  readonly encoders: readonly Encoder[]
  readonly names: readonly string[]
  readonly maxBackpressure: number
  readonly thread: string
  readonly data: unknown
  readonly post: (thread: string, message: unknown) => void
  /** Workers only. */
  readonly core: Core | null
}

const noSessions: readonly Session[] = []

export class ThreadRuntime implements Runtime {
  readonly thread: string
  readonly data: unknown
  readonly #parts: RuntimeParts
  readonly #buffers: BufferMaker
  readonly #own: (slot: number) => boolean

  constructor(parts: RuntimeParts) {
    this.#parts = parts
    this.thread = parts.thread
    this.data = parts.data
    this.#buffers = new BufferMaker(parts.arena, parts.sender)
    const { thread, plan } = parts.arena
    const first = (thread - 1) * plan.sessionsPerWorker
    this.#own =
      parts.core === null
        ? () => false
        : (slot) => slot >= first && slot < first + plan.sessionsPerWorker
  }

  sessions(): Iterable<Session> {
    const { core } = this.#parts
    return core === null
      ? noSessions
      : core.lifecycle.registry.live.filter((session) => session.joined && session.isOpen)
  }

  send(id: SessionId, data: Sendable): SendResult {
    checkId('send', id)
    const own = this.#ownSession(id)
    if (own !== undefined) return own.send(data)
    if (this.#own(slotOf(id))) return this.#closed()
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
      return slot === -1 ? this.#closed() : this.#writeForeign(slot, bytes, start, length)
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
        this.#toOwn(prepared, protocol, except, where, result)
        if (where === undefined) this.#toForeign(prepared, protocol, except, result)
      } else {
        this.#toEach(to, prepared, protocol, except, where, result)
      }
    } finally {
      // Also when a framing cannot carry the payload.
      if (prepared !== data) prepared.release()
      this.#afterwards()
    }
    return result
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

  /** @throws {OverlappedError} ERR_SERVER_STATE on main */
  connect(options: ConnectOptions): Promise<Session> {
    const { core } = this.#parts
    if (core === null)
      throw new OverlappedError(
        'ERR_SERVER_STATE',
        'connect() was called on main; sessions belong to workers',
      )
    return core.lifecycle.connect(options)
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
      if (!session.joined || session.state !== SessionState.OPEN) continue
      if (protocol !== -1 && session.protocol !== protocol) continue
      if (except !== undefined && session.id === except) continue
      if (where !== undefined && !where(session)) continue
      const sent = session.sendPrepared(prepared)
      if (sent === 'queued') queued++
      else result[sent]++
    }
    result.queued += queued
  }

  // --- sessions of other workers ---------------------------------------------------------------

  #toForeign(
    prepared: PreparedBuffer,
    protocol: number,
    except: SessionId | undefined,
    result: BroadcastResult,
  ): void {
    const { arena, table } = this.#parts
    const { words, plan } = arena
    const exceptSlot = except === undefined ? -1 : slotOf(except)
    const exceptGeneration = except === undefined ? 0 : generationOf(except)
    for (let slot = 0; slot < plan.sessionCapacity; slot++) {
      if (this.#own(slot)) {
        slot += plan.sessionsPerWorker - 1
        continue
      }
      const at = arena.sessionAt(slot)
      if (load(words, at + SESSION_STATE) !== SessionState.OPEN || !table.pinOpen(slot)) continue
      // Read under the pin: the slot may have changed hands since it was looked at.
      const isExcept =
        slot === exceptSlot && load(words, at + SESSION_GENERATION) >>> 0 === exceptGeneration
      const isListener = protocol === -1 || load(words, at + SESSION_LISTENER) === protocol
      try {
        if (!isExcept && isListener) result[this.#pushForeign(slot, prepared)]++
      } finally {
        table.unpin(slot)
      }
    }
  }

  /** Null: the session is another listener's. */
  #sendForeign(id: SessionId, prepared: PreparedBuffer, protocol: number): SendResult | null {
    const { arena, table } = this.#parts
    const slot = table.pin(id)
    if (slot === -1) return this.#closed()
    try {
      const listener = load(arena.words, arena.sessionAt(slot) + SESSION_LISTENER)
      return protocol !== -1 && listener !== protocol ? null : this.#pushForeign(slot, prepared)
    } finally {
      table.unpin(slot)
    }
  }

  /** Under a pin. */
  #pushForeign(slot: number, prepared: PreparedBuffer): SendResult {
    if (prepared.long !== null)
      return this.#writeForeign(slot, prepared.long, 0, prepared.long.length)
    const refused = this.#refusal(slot, prepared.length)
    if (refused !== null) return refused
    const { sender, arena } = this.#parts
    const encoding = prepared.encode(
      this.#parts.encoders[load(arena.words, arena.sessionAt(slot) + SESSION_LISTENER)],
    )
    if (encoding === null) return this.#counted(false)
    if (encoding.length === 0) return 'queued'
    return this.#counted(
      sender.pushSharedForeign(slot, encoding.chunk, encoding.offset, encoding.length),
    )
  }

  /** Under a pin. */
  #writeForeign(slot: number, bytes: Uint8Array, start: number, length: number): SendResult {
    const { arena, encoders, sender } = this.#parts
    const encoder = encoders[load(arena.words, arena.sessionAt(slot) + SESSION_LISTENER)]
    encoder.check(length)
    const refused = this.#refusal(slot, length)
    if (refused !== null) return refused
    if (length + encoder.headerBytes + encoder.trailerBytes === 0) return 'queued'
    return this.#counted(sender.writeForeign(slot, encoder, bytes, start, length))
  }

  #refusal(slot: number, length: number): SendResult | null {
    const { arena, maxBackpressure } = this.#parts
    const at = arena.sessionAt(slot)
    if (load(arena.words, at + SESSION_STATE) !== SessionState.OPEN) return this.#closed()
    const queued = load(arena.words, at + SESSION_QUEUED_BYTES)
    if (queued > 0 && queued + length > maxBackpressure) {
      arena.counters[Counter.SEND_FULL]++
      return 'full'
    }
    return null
  }

  #closed(): SendResult {
    this.#parts.arena.counters[Counter.SEND_CLOSED]++
    return 'closed'
  }

  #counted(done: boolean): SendResult {
    this.#parts.arena.counters[done ? Counter.MESSAGES_OUT : Counter.SEND_DROPPED]++
    return done ? 'queued' : 'dropped'
  }

  /**
   * Threads without a turn publish at once; a worker does at the end of its turn. Also after a pin that
   * failed: a mismatched one may have been the last, and then the owner has a slot to release.
   */
  #afterwards(): void {
    const { core, sender } = this.#parts
    if (core === null) sender.publish()
    else core.markPending()
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
    const { encoders } = this.#parts
    const encoder = encoders.length === 1 ? encoders[0] : encoders[protocol]
    return encoder === undefined
      ? this.#buffers.copy(bytes, start, length)
      : this.#buffers.frame(encoder, bytes, start, length)
  }

  #bytesOf(method: string, data: Sendable): { bytes: Uint8Array; start: number; length: number } {
    if (data instanceof PacketCursor) {
      data.check()
      return { bytes: this.#parts.arena.bytes, start: data.start, length: data.end - data.start }
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

function checkId(method: string, id: unknown): void {
  if (isSessionId(id)) return
  throw new OverlappedError(
    'ERR_ARGUMENT',
    `${method}() was given ${String(id)}; it takes a session id`,
  )
}
