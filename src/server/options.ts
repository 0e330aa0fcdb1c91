// What: the options of a server, as the user writes them and as they are in force.
// Flow: user, config -> this -> memory_plan, threads, workers.
// Thread: main validates; workers get the result.

import type { Framing } from '../framing/framing.ts'
import type { OverrunPolicy } from '../update/tick.ts'

export type DriverName = 'io_uring' | 'epoll' | 'iocp'
export type DriverChoice = 'auto' | DriverName
export type IoUringFeature =
  | 'multishotRecv'
  | 'multishotAccept'
  | 'deferTaskrun'
  | 'registeredRing'
  | 'skipSuccess'
  | 'fileTable'
  | 'zeroCopy'
/**
 * Ways of IOCP: `zeroByteReceive`, an idle session holds no receive buffer, else a receive into one is pending;
 * `trySend`, a send takes what fits and is not pending, else it is; `queuedSuccess`, what succeeds at once has a packet
 * all the same, else FILE_SKIP_COMPLETION_PORT_ON_SUCCESS.
 */
export type IocpFeature = 'zeroByteReceive' | 'trySend' | 'queuedSuccess'
/** Which thread runs content: the worker that owns the session, or an update thread; in `send`, send threads send. */
export type Mode = 'worker' | 'update' | 'send'
export type CloseMode = 'graceful' | 'reset'

/** What a listener and an outbound protocol have in common. */
export interface ProtocolOptions {
  readonly name?: string
  readonly framing: Framing
  /** Module with a default export of defineHandler; the server's where absent. */
  readonly handler?: URL | string
  /** `reset` ends sessions with RST, which leaves no TIME_WAIT. Default `graceful`. */
  readonly closeMode?: CloseMode
  /** TCP_NODELAY. Default true. */
  readonly noDelay?: boolean
  /** SO_SNDBUF in bytes; the system's where absent. */
  readonly sendBufferBytes?: number
  /** SO_RCVBUF in bytes; the system's where absent. */
  readonly receiveBufferBytes?: number
}

export interface ListenerOptions extends ProtocolOptions {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** 0 picks a free one. */
  readonly port: number
  /** Default 1024. */
  readonly backlog?: number
}

export interface OutboundOptions extends ProtocolOptions {
  readonly name: string
}

/** `minBytes`: gathered sends of so many bytes. */
export type ZeroCopy = 'off' | 'auto' | { readonly minBytes: number }

export interface GroupOptions {
  /** Groups alive at once. Default 1,024. */
  readonly max?: number
  /** Members of a group whose first join says no capacity; 0 is no limit. Default 0. */
  readonly capacity?: number
}

/** Update threads, in modes `update` and `send`. */
export interface UpdateOptions {
  /** Default 1. */
  readonly threads?: number
  /** Ticks a second; the server's tickRate where absent. */
  readonly tickRate?: number
  /** Messages are handled as they come, not only when a tick begins. Default false. */
  readonly eager?: boolean
  /**
   * Milliseconds between two looks of a worker at what it receives, where that is little: what waits for a tick costs
   * less when it is received together. Sends and all else are done at once. Default: a sixteenth of a tick, from 1 to 4;
   * with eager 0.
   */
  readonly receiveInterval?: number
  /**
   * When ticks are missed: `skip` leaves them out, `catchUp` runs up to catchUpMax of them at once and leaves out
   * the rest. Default `skip`.
   */
  readonly overrun?: OverrunPolicy
  /** Default 5. */
  readonly catchUpMax?: number
}

/** Send threads, in mode `send`. */
export interface SendOptions {
  /** Milliseconds between flushes; 0 sends at once. Default 0. */
  readonly flushInterval?: number
  /** Send threads beside the first, for sessions with session.useLane(). Default 0. */
  readonly lanes?: number
}

/** Job threads. */
export interface JobsOptions {
  /** Module with a default export of defineJobs. */
  readonly module: URL | string
  /** Default 4. */
  readonly threads?: number
  /** Job threads that run at once, those that block left out; 0 is one per available core. Default 0. */
  readonly concurrency?: number
  /** Jobs that one thread may have in the queue; of longer ones fewer: each takes one for 1024 bytes. Default 1024. */
  readonly queue?: number
}

export interface ServerOptions {
  readonly listeners?: readonly ListenerOptions[]
  /** Protocols of sessions that runtime.connect() makes. */
  readonly outbound?: readonly OutboundOptions[]
  /** Module with a default export of defineHandler, loaded in workers and in the threads that run content. */
  readonly handler?: URL | string
  /** Structured-clonable; given to onStart as runtime.data. */
  readonly data?: unknown
  /** I/O workers: 1 to 60; 'auto' or 0 is one per available core, in modes `update` and `send` one less. */
  readonly workers?: number | 'auto'
  /** Default `worker`. */
  readonly mode?: Mode
  readonly update?: UpdateOptions
  readonly send?: SendOptions
  readonly driver?: DriverChoice
  /** io_uring features that must not be used although the kernel has them: to measure, or to rule them out. */
  readonly ioUringWithout?: readonly IoUringFeature[]
  /** Ways of IOCP that must not be used: to measure the other way. */
  readonly iocpWithout?: readonly IocpFeature[]
  /** Default 10,000. */
  readonly maxSessions?: number
  /** Unsent bytes of one session beyond which send() returns 'full'. Default 1 MiB. */
  readonly maxBackpressure?: number
  /** Memory for receive buffers, chunks and overflow. Default 256 MiB. */
  readonly arenaBytes?: number
  /** Default 64 KiB. */
  readonly chunkBytes?: number
  /** Receive buffers of a worker, a power of two. Default 512. */
  readonly receiveBuffers?: number
  /** Size of a receive buffer. Default 32 KiB: a few messages of 4 KiB fit without a straddling one. */
  readonly receiveBufferSize?: number
  /** Slices in one gathered send. Default 64. */
  readonly maxGather?: number
  /**
   * Gathered sends that the kernel reads where they lie, instead of copying them; on io_uring. `auto` takes those of
   * 32 KiB and more, until the kernel copies them all the same. On iocp `{ minBytes }`, whatever the number, takes the send
   * buffer away from all sockets, and `auto` is `off`. Default `off`.
   */
  readonly zeroCopy?: ZeroCopy
  /** Completions taken per turn. Default 1024. */
  readonly completionBatch?: number
  /** Milliseconds; 0 is off. Default 120,000. */
  readonly idleTimeout?: number
  /** Milliseconds; 0 is off. Default 0. */
  readonly firstMessageTimeout?: number
  /** Milliseconds from close() to RST. Default 5,000. */
  readonly closeTimeout?: number
  /** Milliseconds that stop() waits. Default 30,000. */
  readonly drainTimeout?: number
  /** onTick calls a second. Default 20. */
  readonly tickRate?: number
  readonly groups?: GroupOptions
  /** Overwrites memory as soon as it is given back, to find who still reads it. Default false. */
  readonly poison?: boolean
  readonly jobs?: JobsOptions
}

export interface ResolvedProtocol {
  readonly name: string
  readonly framing: Framing
  /** maxPayloadLength as it is in force. */
  readonly maxPayloadLength: number
  /** URL of the handler module. */
  readonly handler: string
  readonly closeMode: CloseMode
  readonly noDelay: boolean
  /** 0 is the system's. */
  readonly sendBufferBytes: number
  /** 0 is the system's. */
  readonly receiveBufferBytes: number
}

export interface ResolvedListener extends ResolvedProtocol {
  readonly host: string
  readonly port: number
  readonly backlog: number
}

/** Every option, in force. */
export interface ResolvedOptions {
  /** URL of the server's handler module. */
  readonly handler: string | undefined
  readonly listeners: readonly ResolvedListener[]
  readonly outbound: readonly ResolvedProtocol[]
  readonly data: unknown
  readonly workers: number
  readonly mode: Mode
  readonly update: Required<UpdateOptions>
  readonly send: Required<SendOptions>
  readonly driver: DriverChoice
  readonly ioUringWithout: readonly IoUringFeature[]
  readonly iocpWithout: readonly IocpFeature[]
  readonly maxSessions: number
  readonly maxBackpressure: number
  readonly arenaBytes: number
  readonly chunkBytes: number
  readonly receiveBuffers: number
  readonly receiveBufferSize: number
  readonly maxGather: number
  readonly zeroCopy: ZeroCopy
  readonly completionBatch: number
  readonly idleTimeout: number
  readonly firstMessageTimeout: number
  readonly closeTimeout: number
  readonly drainTimeout: number
  readonly tickRate: number
  readonly groups: Required<GroupOptions>
  readonly poison: boolean
  /** `module` is a URL. Absent: no job threads. */
  readonly jobs?: Required<JobsOptions> & { readonly module: string }
}
