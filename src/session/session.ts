// What: a session as its owner and its handler see it.
// Flow: lifecycle makes it -> dispatcher hands it to the handler -> send() -> sender.
// Thread: the owning worker.

import { OverlappedError } from '../errors.ts'
import { CloseReason, Counter, SESSION_TAG, SessionState } from '../layout/layout.ts'
import { Outbox } from '../outbound/outbox.ts'
import { NO_BLOCK } from '../outbound/references.ts'
import { load, store } from '../shared/atomics.ts'
import { makeSessionId } from '../shared/session_id.ts'
import type { Core, Protocol } from './core.ts'
import type {
  JoinOptions,
  JoinResult,
  PeerAddress,
  Runtime,
  Sendable,
  SendResult,
  Session,
} from './handler.ts'
import { Memberships } from './memberships.ts'
import { PacketCursor } from './packet.ts'
import { PreparedBuffer } from './send_buffer.ts'
import { textBytes } from './text_bytes.ts'

/** What the driver does for this session's receiving. */
export const Receiving = {
  /** Not started: an outbound session that is not connected. */
  NONE: 0,
  ARMED: 1,
  /** PAUSE was submitted. */
  PAUSING: 2,
  PAUSED: 3,
  /** The terminal completion was seen. */
  ENDED: 4,
} as const
export type Receiving = (typeof Receiving)[keyof typeof Receiving]

/** A heap block with received bytes that wait for resume(). */
export interface Held {
  readonly at: number
  readonly capacity: number
  readonly length: number
}

export class LiveSession extends Outbox implements Session {
  data: unknown = undefined
  state: SessionState = SessionState.OPEN
  closeReason: CloseReason = CloseReason.NONE
  readonly protocolOf: Protocol
  joined = false
  receiving: Receiving = Receiving.NONE
  /** The user paused it. */
  paused = false
  /** Its next message must wait: it is paused, or its update thread has enough to do. */
  stopped = false
  /** Pieces of its bytes that wait for its update thread, in the link's list. */
  deferredCount = 0
  /** Thread id of who runs its content. */
  content: number
  /** Thread id of the update thread that its content is on the way to; 0: none. */
  movingTo = 0
  /** What its content is to be told of when it has arrived: the end, onDrain, bytes that were sent. */
  endWaits = false
  drainWaits = false
  sentWaits = 0
  /** Why its content was asked to let it end; NONE: it was not. */
  endReason: CloseReason = CloseReason.NONE
  /** Its content has handled everything, or wants no more: it may end. */
  contentDone: boolean
  held: Held[] | null = null
  /** IoStatus of the terminal receive completion that waits behind held bytes; -1: none. */
  endStatus = -1
  shutdownDone = false
  resetOnClose = false
  /** The frame that is being put together: block offset, -1: none. */
  partialAt = -1
  partialCapacity = 0
  partialLength = 0
  /** The peer of a paused session has ended or reset its connection. */
  peerLeft = false
  /** Names the socket until the driver has attached it; -1: it never was in transit. */
  transitToken = -1
  /** When the close or the first message is overdue; 0: no deadline. */
  deadline = 0
  /** It has sent no message yet. */
  isFresh = true
  /** Index in the registry's list of live sessions. */
  liveIndex = -1
  readonly #core: Core
  #remote: PeerAddress | null = null
  #memberships: Memberships | null = null

  constructor(core: Core, slot: number, generation: number, protocol: Protocol, content: number) {
    super(slot, generation, core.arena.sessionAt(slot), protocol.index, protocol.encoder)
    this.content = content
    this.contentDone = core.link === null
    this.#core = core
    this.protocolOf = protocol
  }

  get id(): number {
    return makeSessionId(this.slot, this.generation)
  }

  get listener(): string {
    return this.protocolOf.name
  }

  get runtime(): Runtime {
    return this.#core.runtime
  }

  get remoteAddress(): PeerAddress {
    if (this.#remote !== null) return this.#remote
    const { binding } = this.#core
    let address = binding.peerAddress(this.slot, this.generation)
    // Not attached yet: until then the token is this socket's.
    if (address.port === 0 && this.state !== SessionState.RELEASED && this.transitToken !== -1) {
      address = binding.transitAddress(this.transitToken)
    }
    this.#remote = address
    return address
  }

  get bufferedAmount(): number {
    return this.bufferedBytes
  }

  get isOpen(): boolean {
    return this.state === SessionState.OPEN
  }

  get tag(): number {
    return this.state === SessionState.RELEASED
      ? 0
      : load(this.#core.arena.words, this.at + SESSION_TAG)
  }

  set tag(value: number) {
    if (this.state !== SessionState.RELEASED)
      store(this.#core.arena.words, this.at + SESSION_TAG, value)
  }

  send(data: Sendable): SendResult {
    const core = this.#core
    if (this.state !== SessionState.OPEN || this.sendDead) {
      core.counters[Counter.SEND_CLOSED]++
      return 'closed'
    }
    if (data instanceof PacketCursor) return this.#sendPacket(data)
    if (data instanceof Uint8Array) return this.#sendBytes(data, 0, data.length)
    if (typeof data === 'string') {
      textBytes.encode(data)
      return this.#sendBytes(textBytes.bytes, 0, textBytes.length)
    }
    if (data instanceof PreparedBuffer) return this.sendPrepared(data)
    throw new OverlappedError(
      'ERR_ARGUMENT',
      `send() was given ${typeof data}; it takes bytes, a string, a packet or a send buffer`,
    )
  }

  #sendBytes(source: Uint8Array, start: number, length: number): SendResult {
    this.encoder.check(length)
    if (this.#core.sender.isFull(this, length)) return this.#full()
    if (length + this.encoder.headerBytes + this.encoder.trailerBytes === 0) return 'queued'
    return this.#queued(this.#core.sender.writeOwn(this, source, start, length))
  }

  /** A frame of the same framing goes out as it came: no copy, the slice refers to the receive buffer. */
  #sendPacket(packet: PacketCursor): SendResult {
    packet.check()
    const { encoder } = this
    const length = packet.end - packet.start
    const block = packet.echoBlock
    if (block === NO_BLOCK || packet.encoder !== encoder || length === 0) {
      return this.#sendBytes(this.#core.arena.bytes, packet.start, length)
    }
    const { sender } = this.#core
    if (sender.isFull(this, length)) return this.#full()
    return this.#queued(sender.appendOwn(this, block, packet.frameStart, packet.frameEnd))
  }

  /** The caller has checked that it is not released. */
  sendPrepared(prepared: PreparedBuffer): SendResult {
    prepared.check()
    const core = this.#core
    if (this.state !== SessionState.OPEN || this.sendDead) {
      core.counters[Counter.SEND_CLOSED]++
      return 'closed'
    }
    if (prepared.long !== null) return this.#sendBytes(prepared.long, 0, prepared.long.length)
    if (this.#core.sender.isFull(this, prepared.length)) return this.#full()
    const encoding = prepared.encode(this.encoder)
    if (encoding === null) return this.#queued(false)
    if (encoding.length === 0) return 'queued'
    return this.#queued(
      core.sender.pushShared(this, encoding.chunk, encoding.offset, encoding.length),
    )
  }

  #full(): SendResult {
    this.wantsDrain = true
    // onDrain must not wait for a lazy completion.
    this.#core.sender.hurry(this)
    this.#core.counters[Counter.SEND_FULL]++
    return 'full'
  }

  #queued(done: boolean): SendResult {
    this.#core.counters[done ? Counter.MESSAGES_OUT : Counter.SEND_DROPPED]++
    return done ? 'queued' : 'dropped'
  }

  close(): void {
    this.#core.lifecycle.close(this, CloseReason.LOCAL_CLOSE)
  }

  terminate(): void {
    this.#core.lifecycle.terminate(this, CloseReason.LOCAL_TERMINATE)
  }

  pause(): void {
    this.#core.lifecycle.pause(this)
  }

  resume(): void {
    this.#core.lifecycle.resume(this)
  }

  useLane(lane: number): never {
    throw new OverlappedError(
      'ERR_ARGUMENT',
      `useLane(${lane}): there are lanes only in mode 'send', with send.lanes`,
    )
  }

  moveTo(thread: string): never {
    throw new OverlappedError(
      'ERR_ARGUMENT',
      `moveTo('${thread}'): a session moves between update threads; there are none in mode 'worker'`,
    )
  }

  get groups(): readonly string[] {
    return this.#memberships?.names ?? []
  }

  join(group: string, options?: JoinOptions): JoinResult {
    if (this.state !== SessionState.OPEN) return 'closed'
    const { groups, arena } = this.#core
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
}
