// What: a session as the update thread that runs its content sees it: every call becomes a push or a request.
// Flow: content makes it at JOIN -> handler -> this -> send list, requests of the owner.
// Thread: one update thread.

import { OverlappedError } from '../errors.ts'
import type { Encoder } from '../framing/encode.ts'
import {
  CloseReason,
  SESSION_CLOSE_REASON,
  SESSION_LANE_WANTED,
  SESSION_PAUSED,
  SESSION_QUEUED_BYTES,
  SESSION_REQUEST_CLOSE,
  SESSION_REQUEST_FLOW,
  SESSION_REQUEST_TERMINATE,
  SESSION_STATE,
  SESSION_TAG,
  SessionState,
} from '../layout/layout.ts'
import type { Outbox } from '../outbound/outbox.ts'
import type { Sender } from '../outbound/sender.ts'
import type { ForeignSends } from '../session/foreign_sends.ts'
import type {
  Handler,
  JoinOptions,
  JoinResult,
  PeerAddress,
  Runtime,
  Sendable,
  SendResult,
  Session,
} from '../session/handler.ts'
import { Memberships } from '../session/memberships.ts'
import { PacketCursor } from '../session/packet.ts'
import { PreparedBuffer } from '../session/send_buffer.ts'
import { textBytes } from '../session/text_bytes.ts'
import type { Arena } from '../shared/arena.ts'
import { load, store } from '../shared/atomics.ts'
import type { Group, GroupTable } from '../shared/group_table.ts'
import { makeSessionId } from '../shared/session_id.ts'
import type { SessionTable } from '../shared/session_table.ts'

/** A listener or outbound protocol, as an update thread needs it. */
export interface ContentProtocol {
  readonly name: string
  readonly encoder: Encoder
  readonly handler: Handler
}

/** What the sessions of an update thread share. */
export interface ContentParts {
  readonly arena: Arena
  readonly table: SessionTable
  readonly groups: GroupTable
  readonly sender: Sender<Outbox>
  readonly foreign: ForeignSends
  readonly runtime: Runtime
  addressOf(slot: number): PeerAddress
  /** Something was asked of other threads, which are woken at the end of a turn. */
  markPending(): void
  /** A session goes on with what it holds. */
  resumed(session: ContentSession): void
  /** A session wants to go to another update thread. */
  move(session: ContentSession, thread: string): boolean
  /** A packet that stands on a message which was copied. */
  packetOf(bytes: Uint8Array): PacketCursor
}

export class ContentSession implements Session {
  readonly slot: number
  readonly generation: number
  /** First word of the slot. */
  readonly at: number
  readonly protocol: ContentProtocol
  data: unknown = undefined
  paused = false
  /** Messages that came while it was paused, oldest first; null: none. */
  held: Uint8Array[] | null = null
  /** The end that waits behind them; NONE: none does. */
  heldEnd: CloseReason = CloseReason.NONE
  /** Its content takes no more messages: it was closed here, or is on its way to another thread. */
  isDone = false
  /** Its peer has sent a message. */
  hasSpoken = false
  /** It has asked to go to another update thread. */
  isMoving = false
  /** Index in the list of live sessions. */
  liveIndex = -1
  readonly #parts: ContentParts
  #remote: PeerAddress | null = null
  #memberships: Memberships | null = null
  /** onLeave has returned: the slot may be another session's. */
  #isGone = false

  constructor(parts: ContentParts, slot: number, generation: number, protocol: ContentProtocol) {
    this.#parts = parts
    this.slot = slot
    this.generation = generation
    this.at = parts.arena.sessionAt(slot)
    this.protocol = protocol
  }

  get id(): number {
    return makeSessionId(this.slot, this.generation)
  }

  get listener(): string {
    return this.protocol.name
  }

  get runtime(): Runtime {
    return this.#parts.runtime
  }

  get remoteAddress(): PeerAddress {
    if (this.#remote === null && !this.#isGone) this.#remote = this.#parts.addressOf(this.slot)
    return this.#remote ?? { host: '', port: 0 }
  }

  get bufferedAmount(): number {
    if (this.#isGone) return 0
    const { arena, sender } = this.#parts
    const open = sender.openBytes(this.slot)
    return open + load(arena.words, this.at + SESSION_QUEUED_BYTES)
  }

  get isOpen(): boolean {
    return (
      !this.isDone && load(this.#parts.arena.words, this.at + SESSION_STATE) === SessionState.OPEN
    )
  }

  get tag(): number {
    return this.#isGone ? 0 : load(this.#parts.arena.words, this.at + SESSION_TAG)
  }

  set tag(value: number) {
    if (!this.#isGone) store(this.#parts.arena.words, this.at + SESSION_TAG, value)
  }

  send(data: Sendable): SendResult {
    if (data instanceof PacketCursor) {
      data.check()
      return this.#sendBytes(data.memory, data.start, data.end - data.start)
    }
    if (data instanceof Uint8Array) return this.#sendBytes(data, 0, data.length)
    if (typeof data === 'string') {
      textBytes.encode(data)
      return this.#sendBytes(textBytes.bytes, 0, textBytes.length)
    }
    if (data instanceof PreparedBuffer) return this.#sendPrepared(data)
    throw new OverlappedError(
      'ERR_ARGUMENT',
      `send() was given ${typeof data}; it takes bytes, a string, a packet or a send buffer`,
    )
  }

  #sendBytes(source: Uint8Array, start: number, length: number): SendResult {
    const { table, foreign, sender } = this.#parts
    // The open slice of this session has a pin, which covers a message that becomes a slice of its own too.
    const isPinned = sender.hasPinned(this.slot) && length <= sender.writer.chunkBytes / 2
    if (this.isDone) return foreign.closed()
    if (!isPinned) {
      // Its owner may have to be woken: an open slice has marked that already.
      this.#parts.markPending()
      if (!table.pinOpen(this.slot)) return foreign.closed()
    }
    try {
      const { encoder } = this.protocol
      const result = foreign.writeMessage(this.slot, encoder, source, start, length)
      if (result === 'full') this.#wantDrain()
      return result
    } finally {
      if (!isPinned) table.unpin(this.slot)
    }
  }

  #sendPrepared(prepared: PreparedBuffer): SendResult {
    prepared.check()
    const { table, foreign } = this.#parts
    if (this.isDone) return foreign.closed()
    this.#parts.markPending()
    if (!table.pinOpen(this.slot)) return foreign.closed()
    try {
      const result = foreign.pushPrepared(this.slot, prepared)
      if (result === 'full') this.#wantDrain()
      return result
    } finally {
      table.unpin(this.slot)
    }
  }

  /** A pin of its own: the open slice, whose pin may be the only one, ends first, so that its bytes count. */
  #wantDrain(): void {
    const { table, sender } = this.#parts
    this.#parts.markPending()
    if (!table.pinOpen(this.slot)) return
    sender.commit()
    sender.slots.wantDrain(this.slot)
    table.unpin(this.slot)
  }

  /** Asks the owner for something (SESSION_REQUEST_*). False: the session is over. */
  ask(bits: number): boolean {
    const { table, sender } = this.#parts
    this.#parts.markPending()
    if (!table.pinOpen(this.slot)) return false
    sender.request(this.slot, bits)
    table.unpin(this.slot)
    return true
  }

  close(): void {
    this.endBy(SESSION_REQUEST_CLOSE, CloseReason.LOCAL_CLOSE)
  }

  terminate(): void {
    this.endBy(SESSION_REQUEST_TERMINATE, CloseReason.LOCAL_TERMINATE)
  }

  /** Takes no more messages; what is held is dropped. A close may be followed by terminate(). */
  endBy(bits: number, reason: CloseReason): void {
    if (this.#isGone || (this.isDone && bits !== SESSION_REQUEST_TERMINATE)) return
    this.isDone = true
    this.held = null
    this.heldEnd = CloseReason.NONE
    store(this.#parts.arena.words, this.at + SESSION_CLOSE_REASON, reason)
    this.ask(bits)
  }

  pause(): void {
    if (this.paused || this.isDone) return
    this.paused = true
    this.#tellFlow()
  }

  resume(): void {
    if (!this.paused || this.isDone) return
    this.paused = false
    if (this.held === null && this.heldEnd === CloseReason.NONE) this.#tellFlow()
    else this.#parts.resumed(this)
  }

  /** Everything that was held is handled: the owner may receive again. */
  flows(): void {
    this.held = null
    this.#tellFlow()
  }

  #tellFlow(): void {
    store(this.#parts.arena.words, this.at + SESSION_PAUSED, this.paused ? 1 : 0)
    this.ask(SESSION_REQUEST_FLOW)
  }

  useLane(lane: number): void {
    const { arena, table, sender } = this.#parts
    const { workerCount, driverCount } = arena.plan
    const lanes = driverCount - workerCount
    if (!Number.isInteger(lane) || lane < 0 || lane >= lanes) {
      const allowed =
        lanes === 0 ? "there are lanes only in mode 'send'" : `it must be from 0 to ${lanes - 1}`
      throw new OverlappedError('ERR_ARGUMENT', `useLane(${lane}): ${allowed}`)
    }
    if (this.isDone) return
    this.#parts.markPending()
    if (!table.pinOpen(this.slot)) return
    store(arena.words, this.at + SESSION_LANE_WANTED, workerCount + 1 + lane)
    sender.slots.handOver(this.slot)
    table.unpin(this.slot)
  }

  get groups(): readonly string[] {
    return this.#memberships?.names ?? []
  }

  join(group: string, options?: JoinOptions): JoinResult {
    if (!this.isOpen) return 'closed'
    const { groups, arena } = this.#parts
    this.#memberships ??= new Memberships(groups, arena, this.slot)
    return this.#memberships.join(group, options)
  }

  leave(group: string): boolean {
    return this.#memberships?.leave(group) ?? false
  }

  /** Its onLeave is due. */
  leaveGroups(): void {
    this.#memberships?.endAll()
  }

  /** Its groups, which go with it to another thread. */
  giveGroups(): readonly Group[] {
    return this.#memberships?.handOver() ?? []
  }

  /** It has come from another thread, with these. */
  takeGroups(brought: readonly Group[]): void {
    const { groups, arena } = this.#parts
    if (brought.length > 0) this.#memberships = new Memberships(groups, arena, this.slot, brought)
  }

  moveTo(thread: string): boolean {
    return this.#parts.move(this, thread)
  }

  /** onLeave has returned, or it lives in another thread now. */
  gone(): void {
    this.isDone = true
    this.#isGone = true
    this.held = null
  }
}
