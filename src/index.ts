// What: everything that users import.
// Flow: users -> this -> server, framing, session types.
// Thread: any.

export { loadConfig } from './config/load_config.ts'
export { OverlappedError } from './errors.ts'
export { delimiter, type Framing, lengthPrefix, raw } from './framing/framing.ts'
export type { ErrorCode } from './layout/layout.ts'
export type {
  JobsOptions,
  ListenerOptions,
  OutboundOptions,
  ServerOptions,
  ZeroCopy,
} from './server/options.ts'
export { createServer, type Server } from './server/server.ts'
export {
  type BroadcastOptions,
  type BroadcastResult,
  type CloseReasonName,
  type ConnectFailure,
  type ConnectionRequest,
  type ConnectOptions,
  defineHandler,
  type GroupInfo,
  type Handler,
  type Jobs,
  type JoinOptions,
  type JoinResult,
  type Packet,
  type PeerAddress,
  type Pin,
  type ReconnectOptions,
  type Reservation,
  type RunJobOptions,
  type Runtime,
  type SendBuffer,
  type SendResult,
  type Session,
  type SessionId,
} from './session/handler.ts'
export { defineJobs, type Job } from './session/jobs.ts'
export {
  CompletionPort,
  type CompletionPortHandle,
  type CompletionPortOptions,
  type CompletionPortSnapshot,
  type PortEntry,
  type PostResult,
} from './shared/completion_port.ts'
