// What: what main tells an engine thread when it starts, and the messages between them afterwards.
// Flow: server -> this -> workers/boot.ts.
// Thread: main and workers.

import type { MessagePort } from 'node:worker_threads'
import type { SharedMemories } from '../shared/arena.ts'
import type { MovedSession } from '../update/content.ts'
import type { ResolvedOptions, ResolvedProtocol } from './options.ts'

export type ThreadRole = 'worker' | 'update' | 'send'

export interface WorkerBoot {
  readonly role: ThreadRole
  readonly thread: number
  readonly memories: SharedMemories
  /** DRIVER_URING or DRIVER_EPOLL. */
  readonly driver: number
  /** IO_URING_FEATURES bits that are not to be used. */
  readonly featuresForbidden: number
  readonly protocols: readonly ResolvedProtocol[]
  /** URL of the server's handler, where it has one: that of connect() with a framing and no handler. */
  readonly handler: string | undefined
  readonly options: Pick<
    ResolvedOptions,
    | 'data'
    | 'maxBackpressure'
    | 'maxGather'
    | 'completionBatch'
    | 'idleTimeout'
    | 'firstMessageTimeout'
    | 'closeTimeout'
    | 'tickRate'
    | 'update'
    | 'send'
  >
  readonly port: MessagePort
}

export type ToWorker =
  | MoveMessage
  | { readonly type: 'stop'; readonly timeoutMs: number }
  | { readonly type: 'message'; readonly message: unknown; readonly from: string }

/** A session that goes from one update thread to another; main only passes it on. */
export interface MoveMessage {
  readonly type: 'move'
  readonly thread: number
  readonly session: MovedSession
}

export type FromWorker =
  | MoveMessage
  | { readonly type: 'ready' }
  | { readonly type: 'post'; readonly to: string; readonly message: unknown }

/** Why a worker ended by itself: `code` of an OverlappedError, or ''. */
export interface WorkerFailure {
  readonly code: string
  readonly message: string
}
