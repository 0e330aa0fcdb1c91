// What: what content sees: handler events, session, packet, runtime, and defineHandler.
// Flow: handler module -> this -> dispatcher, lifecycle.
// Thread: the thread that runs content.

import { OverlappedError } from '../errors.ts'
import type { Framing } from '../framing/framing.ts'
import type { SessionId } from '../shared/session_id.ts'

export type { SessionId }

/** Why a session ended; docs/reference/close_reasons.md has a sentence for each. */
export type CloseReasonName =
  | 'none'
  | 'peerClosed'
  | 'peerReset'
  | 'localClose'
  | 'localTerminate'
  | 'refused'
  | 'tableFull'
  | 'frameTooLong'
  | 'frameInvalid'
  | 'handlerError'
  | 'idleTimeout'
  | 'firstMessageTimeout'
  | 'closeTimeout'
  | 'overflow'
  | 'serverStop'
  | 'workerLost'
  | 'connectFailed'
  | 'ioError'

/**
 * `queued`: it will be sent, in order. `full`: maxBackpressure bytes wait already, onDrain follows.
 * `closed`: the session is closing or gone. `dropped`: the server has no memory left for it.
 */
export type SendResult = 'queued' | 'full' | 'closed' | 'dropped'

/**
 * `joined`: it is a member, also if it was one before. `full`: the group has as many members as its capacity.
 * `closed`: the session is closing or gone. `exhausted`: the group would be a new one, and as many groups as
 * `groups.max` of the server are alive.
 */
export type JoinResult = 'joined' | 'full' | 'closed' | 'exhausted'

export interface JoinOptions {
  /**
   * Most members, if this join makes the group: 0 (no limit) to 1,048,575; `groups.capacity` of the server where
   * absent. Of a group that has members the capacity stays as it is.
   */
  readonly capacity?: number
}

/** A group that somebody is in. */
export interface GroupInfo {
  /** Sessions in the group, on all threads; 1 or more. */
  readonly members: number
  /** Most members; 0: no limit. */
  readonly capacity: number
}

export type Endian = 'little' | 'big'

/** A received message: valid until the handler returns or first awaits; later use throws ERR_PACKET_EXPIRED. */
export interface Packet {
  /** Payload bytes. */
  readonly length: number
  /** The payload, without a copy. Read it, do not keep or change it. */
  readonly bytes: Uint8Array
  /** A copy that may be kept. */
  copy(): Uint8Array
  /** The payload as something that can be sent later, many times; release() it. */
  retain(): SendBuffer
  /** UTF-8 text of [start, end). */
  text(start?: number, end?: number): string
  u8(offset: number): number
  i8(offset: number): number
  u16(offset: number, endian?: Endian): number
  i16(offset: number, endian?: Endian): number
  u32(offset: number, endian?: Endian): number
  i32(offset: number, endian?: Endian): number
  f32(offset: number, endian?: Endian): number
  f64(offset: number, endian?: Endian): number
}

/** Bytes that were written once and can be sent many times, by the thread that made them. */
export interface SendBuffer {
  /** Payload bytes. */
  readonly length: number
  /** Lets go of it; sends that were queued go out all the same. A second release throws. */
  release(): void
}

/** Room in the send memory, to write in place. */
export interface Reservation {
  /** `max` bytes to write to, until close(). */
  readonly bytes: Uint8Array
  /** Ends it: the first `used` bytes are a SendBuffer. */
  close(used: number): SendBuffer
}

export type Sendable = Uint8Array | string | Packet | SendBuffer

export interface PeerAddress {
  readonly host: string
  readonly port: number
}

export interface Session<Data = unknown> {
  /** Never used again for another session. */
  readonly id: SessionId
  /** The user's own. */
  data: Data
  /** A 32-bit word of the user's, kept in shared memory. */
  tag: number
  /** Name of the listener or outbound protocol; '' where connect() was given the framing. */
  readonly listener: string
  readonly remoteAddress: PeerAddress
  readonly runtime: Runtime
  /** Bytes that the socket has not taken yet. */
  readonly bufferedAmount: number
  readonly isOpen: boolean
  /** Names of the groups that it is in, in the order of joining; during onLeave those that it was in. */
  readonly groups: readonly string[]
  /**
   * Queues a message; the framing adds its header.
   * @throws {OverlappedError} ERR_PAYLOAD_TOO_LONG, ERR_PACKET_EXPIRED, ERR_BUFFER_RELEASED, ERR_ARGUMENT
   */
  send(data: Sendable): SendResult
  /** Sends what is queued, then ends the stream; after closeTimeout the connection is reset. */
  close(): void
  /** Resets the connection; what is queued is lost. */
  terminate(): void
  /** Stops receiving: no onRecv until resume(). */
  pause(): void
  resume(): void
  /**
   * Its content goes on in another update thread, `update1` and up: `data` goes with it as a structured clone, and its
   * groups do, messages stay in order, onMove is called there with a new object; this one is closed then.
   * True: it is on its way; messages received before are still handled here. False: it ends, or is on its way already.
   * @throws {OverlappedError} ERR_ARGUMENT, where there is no such update thread; a DataCloneError for `data`
   */
  moveTo(thread: string): boolean
  /**
   * Its sends go through another send thread: 0 is the first one, 1 to `send.lanes` are those beside it. It changes when
   * nothing of it is on its way, which may be before the next send only; the order stays.
   * @throws {OverlappedError} ERR_ARGUMENT, where there is no such send thread
   */
  useLane(lane: number): void
  /**
   * Makes it a member of a group: broadcasts to the group reach it, from any thread, when this has returned. The
   * first member makes the group. It is a member until leave(), or until its onLeave is called.
   * @param group 1 to 64 bytes of UTF-8.
   * @throws {OverlappedError} ERR_ARGUMENT
   */
  join(group: string, options?: JoinOptions): JoinResult
  /** Ends a membership; the group ends with its last member. False: it was not a member. */
  leave(group: string): boolean
}

export interface BroadcastOptions {
  /** Who gets it: `'all'` sessions of the runtime (the default), the members of a group, or these. */
  readonly to?: 'all' | { readonly group: string } | Iterable<SessionId>
  /** Not this one. */
  readonly except?: SessionId
  /** Only sessions of this listener. */
  readonly listener?: string
  /** Only sessions of this thread for which it returns true; a closure cannot cross threads. */
  readonly where?: (session: Session) => boolean
}

/** Sessions by the status that send() would have returned. */
export type BroadcastResult = Record<SendResult, number>

/** Delays between attempts; each is drawn from [delay * (1 - jitter), delay]. */
export interface ReconnectOptions {
  /** Milliseconds before the second attempt, or before the first one after a session ended. Default 100. */
  readonly minDelay?: number
  /** Milliseconds that a delay grows to. Default 30,000. */
  readonly maxDelay?: number
  /** What each delay is of the one before: 1 to 10. Default 2. */
  readonly factor?: number
  /** How much of a delay is left to chance: 0 to 1. Default 0.5. */
  readonly jitter?: number
  /** Attempts in a row without success until it gives up. Default Infinity. */
  readonly attempts?: number
}

interface DialOptions {
  /** An IP address, or a name whose addresses are tried in their order. */
  readonly host: string
  readonly port: number
  /** Milliseconds for one attempt, all addresses together. Default 10,000. */
  readonly timeout?: number
  /** What session.data is from onJoin on; the same value for each session of a reconnecting client. */
  readonly data?: unknown
  /** Aborted, it ends connecting and reconnecting; a session that is connected stays. */
  readonly signal?: AbortSignal
  /** Goes on until connected, and connects again when the session ends, unless this side ended it. Default false. */
  readonly reconnect?: boolean | ReconnectOptions
}

export interface ConnectByName extends DialOptions {
  /** Name of one of the server's `outbound` protocols. */
  readonly protocol: string
}

export interface ConnectByFraming extends DialOptions {
  readonly framing: Framing
  /** Module with a default export of defineHandler; the server's where absent. */
  readonly handler?: URL | string
  /** `reset` ends sessions with RST, which leaves no TIME_WAIT. Default `graceful`. */
  readonly closeMode?: 'graceful' | 'reset'
  /** TCP_NODELAY. Default true. */
  readonly noDelay?: boolean
  /** SO_SNDBUF in bytes; the system's where absent. */
  readonly sendBufferBytes?: number
  /** SO_RCVBUF in bytes; the system's where absent. */
  readonly receiveBufferBytes?: number
}

export type ConnectOptions = ConnectByName | ConnectByFraming

/** An attempt of a reconnecting client that failed. */
export interface ConnectFailure {
  readonly host: string
  readonly port: number
  /** Attempts in a row that have failed, this one counted. */
  readonly attempt: number
  /** Milliseconds until the next one; null: there is none. */
  readonly retryInMs: number | null
  /** The `data` of connect(). */
  readonly data: unknown
}

export interface RunJobOptions {
  /** When this session has left by the time the result comes, the promise rejects with ERR_SESSION_GONE. */
  readonly session?: SessionId
}

/** Work for job threads: what blocks, or takes long. */
export interface Jobs {
  /**
   * Runs a job of the jobs module in a job thread. Arguments and result are copied as v8.serialize()
   * does: like structuredClone(), but without shared memory. Rejects
   * with what the job threw; also with ERR_JOBS_FULL, ERR_JOB_UNKNOWN, ERR_PAYLOAD_TOO_LONG, ERR_SESSION_GONE,
   * ERR_ARGUMENT, and with ERR_SERVER_STATE when the server stops.
   */
  run(name: string, args?: unknown, options?: RunJobOptions): Promise<unknown>
  /**
   * In a job: runs `work`, which blocks this thread, while another job thread takes its place.
   * @throws {OverlappedError} ERR_SERVER_STATE outside of a job
   */
  blocking<T>(work: () => T): T
}

/**
 * A session of any thread, held: until unpin() it may end, but it is not released, so that onLeave is not called and
 * its slot is no other session's. One that is never let go holds up a stop for its drainTimeout.
 */
export interface Pin {
  readonly id: SessionId
  readonly isOpen: boolean
  /** The session's tag, in shared memory. */
  tag: number
  /** Bytes that threads other than the one that sends for it have queued, and its socket has not taken yet. */
  readonly bufferedAmount: number
  send(data: Sendable): SendResult
  /** False when it is closing already. */
  close(): boolean
  /** Lets go. Whatever is called afterwards throws ERR_PIN_RELEASED, but isOpen, which is false. */
  unpin(): void
}

/** The server as content sees it; the same methods in every thread. */
export interface Runtime {
  /** Job threads; refuses where the server has no option `jobs`. */
  readonly jobs: Jobs
  /** `main`, `worker1`, `update1`, `job1`, … */
  readonly thread: string
  /** The `data` option of the server. */
  readonly data: unknown
  /** Sessions of this thread; none on main. */
  sessions(): Iterable<Session>
  send(id: SessionId, data: Sendable): SendResult
  /** False when the session is gone already. */
  close(id: SessionId): boolean
  /** Holds a session of any thread; undefined when it is gone. @throws {OverlappedError} ERR_ARGUMENT */
  pin(id: SessionId): Pin | undefined
  /**
   * Encodes once, queues for every recipient, on every thread. A group that nobody is in has no recipients. Of several
   * to the same recipients in one turn, whoever is `full` for one may be `full` for shorter ones behind it too.
   * @throws {OverlappedError} ERR_PAYLOAD_TOO_LONG, ERR_PACKET_EXPIRED, ERR_BUFFER_RELEASED, ERR_ARGUMENT
   */
  broadcast(data: Sendable, options?: BroadcastOptions): BroadcastResult
  /**
   * Members and capacity of a group as they are now; undefined when nobody is in it.
   * @throws {OverlappedError} ERR_ARGUMENT
   */
  group(name: string): GroupInfo | undefined
  /** @throws {OverlappedError} ERR_MEMORY_PLAN when no chunk is free. */
  prepare(data: Sendable): SendBuffer
  /** One reservation at a time; one that is left open at the end of a turn is abandoned and counted. */
  open(maxBytes: number): Reservation
  /**
   * An outbound session of this thread, connected; not on main. At most 256 listeners, outbound protocols and
   * different framings with their options together.
   * @throws {OverlappedError} ERR_CONNECT_REFUSED, ERR_CONNECT_UNREACHABLE, ERR_CONNECT_TIMED_OUT, ERR_CONNECT_ABORTED,
   * ERR_CONNECT, ERR_NAME_NOT_FOUND, ERR_SESSION_TABLE_FULL, ERR_PROTOCOL_TABLE_FULL, ERR_SERVER_STATE,
   * ERR_HANDLER_LOAD, ERR_HANDLER_SHAPE, ERR_ARGUMENT, ERR_OPTION_UNKNOWN, ERR_OPTION_TYPE, ERR_OPTION_RANGE
   */
  connect(options: ConnectOptions): Promise<Session>
  /** Sends a structured clone to onMessage of a thread that runs content, or to the server's `message` event. */
  post(thread: string, message: unknown): void
}

/** What `assign`, a function that a handler module exports beside its handler, is asked with. */
export interface AssignInfo {
  readonly remoteAddress: PeerAddress
  readonly listener: string
}

/**
 * Chooses the update thread of a new session by a key: sessions with equal keys meet in one thread. A whole number
 * names a thread, modulo their count; of a text the hash does.
 */
export type AssignFunction = (info: AssignInfo) => number | string

export interface ConnectionRequest {
  readonly remoteAddress: PeerAddress
  readonly listener: string
}

/** Events. A returned promise is not awaited; its rejection goes to onError and closes the session. */
export interface Handler<Data = unknown> {
  /** Before the first session; awaited. It may connect(): sessions of its own calls join while it waits. */
  onStart?(runtime: Runtime): void | Promise<void>
  /** After the last session; awaited. */
  onStop?(runtime: Runtime): void | Promise<void>
  /** A connection was accepted; false resets it. There is no session yet. Called in the worker, in every mode. */
  onConnectionRequest?(request: ConnectionRequest): boolean
  onJoin?(session: Session<Data>): void | Promise<void>
  onRecv?(session: Session<Data>, packet: Packet): void | Promise<void>
  /** After send() returned `full`: half of maxBackpressure is free again. */
  onDrain?(session: Session<Data>): void | Promise<void>
  /** It came from another update thread by session.moveTo(): a new object with the same id and data. */
  onMove?(session: Session<Data>, from: string): void | Promise<void>
  /**
   * The socket has taken bytes of a gather, headers of the framing among them. Of a session that moves or leaves the
   * last ones may be missing.
   */
  onSend?(session: Session<Data>, bytes: number): void | Promise<void>
  /** Exactly once per onJoin, after the last completion. */
  onLeave?(session: Session<Data>, reason: CloseReasonName): void | Promise<void>
  /**
   * tickRate times a second, in each thread that runs content.
   * @param dtMs Milliseconds since the tick before; with `overrun: 'catchUp'` the period, for each of several in a row.
   */
  onTick?(dtMs: number): void | Promise<void>
  /** From runtime.post(); also while onStart waits for something. */
  onMessage?(message: unknown, from: string): void | Promise<void>
  /** An attempt of connect() with `reconnect` failed; before the promise rejects, if it was the last one. */
  onConnectFailed?(error: OverlappedError, failure: ConnectFailure): void | Promise<void>
  /** What a handler threw or rejected with. Without it the error is printed. */
  onError?(error: unknown, session?: Session<Data>): void
}

const EVENTS: readonly string[] = [
  'onStart',
  'onStop',
  'onConnectionRequest',
  'onJoin',
  'onRecv',
  'onDrain',
  'onMove',
  'onSend',
  'onLeave',
  'onTick',
  'onMessage',
  'onConnectFailed',
  'onError',
]

const BRAND = Symbol.for('overlapped.handler')

/** Marks and types the default export of a handler module. */
export function defineHandler<Data = unknown>(handler: Handler<Data>): Handler<Data> {
  return Object.assign({}, handler, { [BRAND]: true })
}

/**
 * The handler that a module exports.
 * @throws {OverlappedError} ERR_HANDLER_SHAPE
 */
export function handlerOf(module: { default?: unknown }, url: string): Handler {
  const handler = module.default
  if (typeof handler !== 'object' || handler === null || !(BRAND in handler)) {
    throw new OverlappedError(
      'ERR_HANDLER_SHAPE',
      `${url} has no handler; its default export must be made by defineHandler({ … })`,
    )
  }
  for (const [name, value] of Object.entries(handler)) {
    if (!EVENTS.includes(name)) {
      throw new OverlappedError(
        'ERR_HANDLER_SHAPE',
        `${url} defines '${name}'; a handler has ${EVENTS.join(', ')}`,
      )
    }
    if (typeof value !== 'function') {
      throw new OverlappedError(
        'ERR_HANDLER_SHAPE',
        `${url} defines ${name} as ${typeof value}; it must be a function`,
      )
    }
  }
  return handler as Handler
}
