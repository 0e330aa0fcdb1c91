// What: calls events of handlers: what one throws or rejects is reported and ends its session, and nobody else's.
// Flow: lifecycle, frame_reader, content, ticker -> this -> handler.
// Thread: the one that runs content.

import { Counter } from '../layout/layout.ts'
import type { CloseReasonName, Handler, Packet, Session } from './handler.ts'

/** Who ends a session whose handler has failed. */
export interface FailureHome<S extends Session> {
  endFailed(session: S): void
}

type SessionEvent = 'onJoin' | 'onDrain' | 'onSend' | 'onLeave' | 'onMove'

function call(
  event: SessionEvent,
  handler: Handler,
  session: Session,
  argument: number | string | undefined,
): unknown {
  switch (event) {
    case 'onJoin':
      return handler.onJoin?.(session)
    case 'onDrain':
      return handler.onDrain?.(session)
    case 'onSend':
      return handler.onSend?.(session, argument as number)
    case 'onLeave':
      return handler.onLeave?.(session, argument as CloseReasonName)
    case 'onMove':
      return handler.onMove?.(session, argument as string)
  }
}

export class HandlerCalls<S extends Session> {
  readonly counters: Float64Array
  readonly #home: FailureHome<S>

  constructor(counters: Float64Array, home: FailureHome<S>) {
    this.counters = counters
    this.#home = home
  }

  /** onRecv; apart from the others, because it is called per message. */
  received(handler: Handler, session: S, packet: Packet): void {
    try {
      const returned = handler.onRecv?.(session, packet)
      if (returned !== undefined) this.#watch(handler, returned, session)
    } catch (error) {
      this.failed(handler, error, session)
    }
  }

  event(event: 'onJoin' | 'onDrain', handler: Handler, session: S): void
  event(event: 'onSend', handler: Handler, session: S, bytes: number): void
  event(event: 'onLeave', handler: Handler, session: S, reason: CloseReasonName): void
  event(event: 'onMove', handler: Handler, session: S, from: string): void
  event(event: SessionEvent, handler: Handler, session: S, argument?: number | string): void {
    try {
      const returned = call(event, handler, session, argument)
      if (returned !== undefined) this.#watch(handler, returned, session)
    } catch (error) {
      this.failed(handler, error, session)
    }
  }

  /** An event that is of no session. */
  guard(handler: Handler, invoke: () => unknown): void {
    try {
      this.#watch(handler, invoke())
    } catch (error) {
      this.failed(handler, error)
    }
  }

  /** A handler threw or rejected: its owner hears of it, the session ends, nobody else is touched. */
  failed(handler: Handler, error: unknown, session?: S): void {
    this.#report(handler, error, session)
    if (session !== undefined) this.#home.endFailed(session)
  }

  /** Hears of the rejection of what a handler returned, if that is a promise, which is not awaited. */
  #watch(handler: Handler, returned: unknown, session?: S): void {
    if (typeof (returned as PromiseLike<unknown>)?.then !== 'function') return
    ;(returned as PromiseLike<unknown>).then(undefined, (error) =>
      this.failed(handler, error, session),
    )
  }

  #report(handler: Handler, error: unknown, session?: S): void {
    this.counters[Counter.HANDLER_ERRORS]++
    if (handler.onError === undefined) {
      console.error(
        `overlapped: a handler failed${session === undefined ? '' : ` for session ${session.id}`}:`,
        error,
      )
      return
    }
    try {
      handler.onError(error, session)
    } catch (second) {
      console.error('overlapped: onError failed itself:', second, 'while handling:', error)
    }
  }
}
