// What: outbound connections of an update thread: the worker with the fewest sessions makes them, and tells what came of it.
// Flow: connector -> this -> messages of main -> a worker's connecting; CONNECTED, JOIN -> content -> this.
// Thread: one update thread.

import { OverlappedError } from '../errors.ts'
import { type ErrorCode, THREAD_ASSIGNED_SESSIONS } from '../layout/layout.ts'
import type { Dialler, Dialling, DialOrder } from '../session/connecting.ts'
import type { CloseReasonName, Session } from '../session/handler.ts'
import type { Arena } from '../shared/arena.ts'
import { load } from '../shared/atomics.ts'
import type { ContentSession } from './content_session.ts'

/** What a worker is asked to connect to. */
export interface RemoteOrder {
  /** Names the call in its update thread. */
  readonly number: number
  /** Thread id of the update thread. */
  readonly content: number
  readonly address: string
  readonly port: number
  readonly protocol: number
  readonly timeoutMs: number
  /** Its handler hears of onSend. */
  readonly wantsSent: boolean
}

/** An OverlappedError on its way to another thread. */
export interface RemoteError {
  readonly code: ErrorCode
  readonly message: string
}

export interface DialMessages {
  dial(worker: number, order: RemoteOrder): void
  giveUp(worker: number, content: number, number: number, error: RemoteError): void
}

interface Waiting {
  readonly order: DialOrder
  readonly resolve: (session: Session) => void
  readonly reject: (error: OverlappedError) => void
}

export class RemoteDialler implements Dialler {
  readonly #arena: Arena
  readonly #messages: DialMessages
  readonly #wantsSent: (protocol: number) => boolean
  readonly #waiting = new Map<number, Waiting>()
  /** Sessions that were connected and whose end somebody wants to hear of. */
  readonly #followed = new Map<ContentSession, DialOrder>()
  #lastNumber = 0

  constructor(arena: Arena, messages: DialMessages, wantsSent: (protocol: number) => boolean) {
    this.#arena = arena
    this.#messages = messages
    this.#wantsSent = wantsSent
  }

  dial(order: DialOrder): Dialling {
    this.#lastNumber = (this.#lastNumber + 1) & 0x7fffffff
    const number = this.#lastNumber
    const worker = this.#leastLoaded()
    const { address, port, protocol, timeoutMs } = order
    const session = new Promise<Session>((resolve, reject) => {
      this.#waiting.set(number, { order, resolve, reject })
    })
    const content = this.#arena.thread
    const wantsSent = this.#wantsSent(protocol)
    this.#messages.dial(worker, { number, content, address, port, protocol, timeoutMs, wantsSent })
    const giveUp = ({ code, message }: OverlappedError) =>
      this.#messages.giveUp(worker, content, number, { code, message })
    return { session, giveUp }
  }

  #leastLoaded(): number {
    const { words, plan } = this.#arena
    let best = 1
    let fewest = Number.POSITIVE_INFINITY
    for (let worker = 1; worker <= plan.workerCount; worker++) {
      const sessions = load(words, this.#arena.threadAt(worker) + THREAD_ASSIGNED_SESSIONS)
      if (sessions >= fewest) continue
      best = worker
      fewest = sessions
    }
    return best
  }

  failed(number: number, { code, message }: RemoteError): void {
    const waiting = this.#waiting.get(number)
    this.#waiting.delete(number)
    waiting?.reject(new OverlappedError(code, message))
  }

  /** The workers have ended: nobody may wait for them. */
  abandon(): void {
    for (const number of [...this.#waiting.keys()])
      this.failed(number, {
        code: 'ERR_SERVER_STATE',
        message: 'connect(): the server has stopped',
      })
  }

  /** Its session has come, and is about to join. */
  connected(number: number, session: ContentSession): void {
    const waiting = this.#waiting.get(number)
    if (waiting === undefined) return
    this.#waiting.delete(number)
    session.data = waiting.order.data
    if (waiting.order.onLeft !== null) this.#followed.set(session, waiting.order)
    waiting.resolve(session)
  }

  /** Whether somebody here waits for its end: it stays in this thread. */
  follows(session: ContentSession): boolean {
    return this.#followed.has(session)
  }

  /** After onLeave. */
  left(session: ContentSession, reason: CloseReasonName): void {
    const order = this.#followed.get(session)
    if (order === undefined) return
    this.#followed.delete(session)
    order.onLeft?.(reason, session.hasSpoken)
  }
}
