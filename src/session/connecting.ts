// What: one outbound connection to an address: slot, socket, CONNECT, time limit, cancelling, and who hears of its end.
// Flow: connector -> this -> submissions; CONNECT completion -> dispatcher -> this -> lifecycle.
// Thread: the owning worker.

import { getSystemErrorName } from 'node:util'
import { OverlappedError } from '../errors.ts'
import {
  CloseReason,
  Counter,
  type ErrorCode,
  IO_STATUS_NAMES,
  IoStatus,
  SessionState,
} from '../layout/layout.ts'
import type { Core } from './core.ts'
import type { CloseReasonName, Session } from './handler.ts'
import type { LiveSession } from './session.ts'

/** One connection that is to be made. */
export interface DialOrder {
  /** An IP address. */
  readonly address: string
  readonly port: number
  /** Index of the protocol. */
  readonly protocol: number
  /** Milliseconds until it is cancelled. */
  readonly timeoutMs: number
  /** What session.data is from onJoin on. */
  readonly data: unknown
  /** Called once after onLeave, if there was an onJoin. `heard`: the peer has sent a message. */
  readonly onLeft: ((reason: CloseReasonName, heard: boolean) => void) | null
}

/** A connection on its way. */
export interface Dialling {
  /** Rejects with an OverlappedError: ERR_CONNECT… or ERR_SERVER_STATE. The slot is free by then, or at the end of the next turn. */
  readonly session: Promise<Session>
  /** Ends it with this error, if it is not connected yet. */
  giveUp(error: OverlappedError): void
}

/** What a connector needs of the thread that owns sockets. */
export interface Dialler {
  /** @throws {OverlappedError} ERR_SESSION_TABLE_FULL, ERR_CONNECT, ERR_SERVER_STATE */
  dial(order: DialOrder): Dialling
}

/** `127.0.0.1:80`, `[::1]:80`. */
export function endpointText(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

interface Waiting {
  readonly order: DialOrder
  readonly number: number
  readonly endTimer: () => void
  readonly resolve: (session: Session) => void
  readonly reject: (error: OverlappedError) => void
  /** Why it was cancelled. */
  failure: OverlappedError | null
}

const FAILURES: Partial<Record<IoStatus, readonly [code: ErrorCode, text: string]>> = {
  [IoStatus.REFUSED]: ['ERR_CONNECT_REFUSED', 'nobody listens there'],
  [IoStatus.UNREACHABLE]: ['ERR_CONNECT_UNREACHABLE', 'there is no way to it'],
  [IoStatus.TIMED_OUT]: ['ERR_CONNECT_TIMED_OUT', 'the system gave up waiting for an answer'],
}

function failureOf(target: string, status: IoStatus, errno: number): OverlappedError {
  const known = FAILURES[status]
  if (known !== undefined)
    return new OverlappedError(known[0], `connect(): ${target} was not reached: ${known[1]}`)
  const native = errno > 0 ? ` (${getSystemErrorName(-errno)})` : ''
  return new OverlappedError(
    'ERR_CONNECT',
    `connect(): ${target} was not reached: ${IO_STATUS_NAMES[status]}${native}`,
  )
}

function stoppedBefore(target: string): OverlappedError {
  const message = `connect(): the server stopped before ${target} was reached`
  return new OverlappedError('ERR_SERVER_STATE', message)
}

export class Connecting implements Dialler {
  readonly #core: Core
  readonly #waiting = new Map<LiveSession, Waiting>()
  /** Sessions that were connected and whose end somebody wants to hear of. */
  readonly #followed = new Map<LiveSession, DialOrder>()

  constructor(core: Core) {
    this.#core = core
  }

  /**
   * `content`: the thread that runs the session's content; where that is another one, `number` tells it which call of
   * connect() the session is for.
   */
  dial(order: DialOrder, content = this.#core.arena.thread, number = 0): Dialling {
    const core = this.#core
    const { address, port, timeoutMs } = order
    const protocol = core.protocols[order.protocol]
    const target = endpointText(address, port)
    if (core.lifecycle.stopping)
      throw new OverlappedError('ERR_SERVER_STATE', `connect(): ${target}: the server is stopping`)
    const { errno, value: token } = core.binding.prepareConnect(
      address,
      port,
      protocol.noDelay,
      protocol.sendBufferBytes,
      protocol.receiveBufferBytes,
    )
    if (errno !== 0) {
      throw new OverlappedError(
        'ERR_CONNECT',
        `connect(): no socket can be made for ${target} (${getSystemErrorName(-errno)})`,
      )
    }
    const session = core.lifecycle.openOutbound(protocol, content)
    if (session === null) {
      core.submissions.refuse(token)
      throw new OverlappedError(
        'ERR_SESSION_TABLE_FULL',
        `connect(): ${target}: this worker has all of its ${core.lifecycle.registry.capacity} sessions; raise maxSessions`,
      )
    }
    core.lifecycle.submitConnect(session, token)
    const endTimer = core.after(timeoutMs, () => {
      const message = `connect(): ${target} did not answer in ${timeoutMs} ms`
      this.#giveUp(session, new OverlappedError('ERR_CONNECT_TIMED_OUT', message))
    })
    const promise = new Promise<Session>((resolve, reject) => {
      this.#waiting.set(session, { order, number, endTimer, resolve, reject, failure: null })
    })
    return { session: promise, giveUp: (error) => this.#giveUp(session, error) }
  }

  #giveUp(session: LiveSession, error: OverlappedError): void {
    const waiting = this.#waiting.get(session)
    if (waiting === undefined || waiting.failure !== null) return
    waiting.failure = error
    this.#core.lifecycle.terminate(session, CloseReason.CONNECT_FAILED)
  }

  /** The CONNECT completion; `errno` is the native error number. */
  connected(session: LiveSession, status: IoStatus, errno: number): void {
    const core = this.#core
    const waiting = this.#waiting.get(session) as Waiting
    this.#waiting.delete(session)
    waiting.endTimer()
    const { order } = waiting
    if (status === IoStatus.OK && session.state === SessionState.OPEN) {
      core.counters[Counter.CONNECTED]++
      session.data = order.data
      if (order.onLeft !== null) this.#followed.set(session, order)
      if (waiting.number !== 0) core.link?.connected(session, waiting.number)
      waiting.resolve(session)
      core.lifecycle.beginOutbound(session)
      return
    }
    core.counters[Counter.CONNECT_FAILED]++
    const target = endpointText(order.address, order.port)
    const stopped = session.closeReason === CloseReason.SERVER_STOP
    const why = stopped ? stoppedBefore(target) : failureOf(target, status, errno)
    waiting.reject(waiting.failure ?? why)
    core.lifecycle.endOutbound(session)
  }

  /** The server stopped and the driver does not answer: nobody may wait for it. */
  abandon(): void {
    for (const { order, endTimer, reject, failure } of this.#waiting.values()) {
      endTimer()
      reject(failure ?? stoppedBefore(endpointText(order.address, order.port)))
    }
  }

  /** After onLeave. */
  left(session: LiveSession, reason: CloseReasonName): void {
    const order = this.#followed.get(session)
    if (order === undefined) return
    this.#followed.delete(session)
    order.onLeft?.(reason, !session.isFresh)
  }
}
