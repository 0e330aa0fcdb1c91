// What: what main tells an engine thread when it starts, and the messages between them afterwards.
// Flow: server -> this -> workers/boot.ts.
// Thread: main and workers.

import type { MessagePort } from 'node:worker_threads'
import type { SharedMemories } from '../shared/arena.ts'
import type { CompletionPortHandle } from '../shared/completion_port.ts'
import type { MovedSession } from '../update/content.ts'
import type { RemoteError, RemoteOrder } from '../update/remote_dialler.ts'
import type { ResolvedOptions, ResolvedProtocol } from './options.ts'

export type ThreadRole = 'worker' | 'update' | 'send' | 'job'

export interface WorkerBoot {
  readonly role: ThreadRole
  readonly thread: number
  readonly memories: SharedMemories
  /** DRIVER_URING, DRIVER_EPOLL or DRIVER_IOCP. */
  readonly driver: number
  /** IO_URING_FEATURES and IOCP_FEATURES bits that are not to be used. */
  readonly featuresForbidden: number
  /** A send that is to complete now may stay with the kernel. */
  readonly sendsPend?: boolean
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
  /** Null: the server has no job threads. */
  readonly jobs: { readonly module: string; readonly port: CompletionPortHandle } | null
  readonly port: MessagePort
}

export type ToWorker =
  | PassedMessage
  | { readonly type: 'stop'; readonly timeoutMs: number }
  | { readonly type: 'message'; readonly message: unknown; readonly from: string }

/** From one thread to another, for things that happen now and then; main only passes it on. */
export type PassedMessage = { readonly thread: number } & (
  | { readonly type: 'move'; readonly session: MovedSession }
  | { readonly type: 'dial'; readonly order: RemoteOrder }
  | {
      readonly type: 'giveUp'
      readonly content: number
      readonly number: number
      readonly error: RemoteError
    }
  | { readonly type: 'dialFailed'; readonly number: number; readonly error: RemoteError }
)

export type FromWorker =
  | PassedMessage
  | { readonly type: 'ready' }
  /** Main's bell rings. */
  | { readonly type: 'bell' }
  | { readonly type: 'post'; readonly to: string; readonly message: unknown }

/** Why a worker ended by itself: `code` of an OverlappedError, or ''. */
export interface WorkerFailure {
  readonly code: string
  readonly message: string
}
