// What: what other threads ask the owner of a session for: close, end, flow, moving to another update thread.
// Flow: request stack (src/outbound/hand_over.ts) -> this -> lifecycle, link to update threads.
// Thread: the owning worker.

import {
  CloseReason,
  IoStatus,
  SESSION_CLOSE_REASON,
  SESSION_IO_COUNT,
  SESSION_MOVE_TO,
  SESSION_PAUSED,
  SESSION_REQUEST,
  SESSION_REQUEST_CLOSE,
  SESSION_REQUEST_END,
  SESSION_REQUEST_FLOW,
  SESSION_REQUEST_FLUSHED,
  SESSION_REQUEST_LINK,
  SESSION_REQUEST_MOVE,
  SESSION_REQUEST_MOVED,
  SESSION_REQUEST_OVERFLOW,
  SESSION_REQUEST_SEND_FAILED,
  SESSION_REQUEST_SEND_RESET,
  SESSION_REQUEST_TERMINATE,
  SessionState,
  THREAD_REQUEST_HEAD,
} from '../layout/layout.ts'
import { exchange, load } from '../shared/atomics.ts'
import { release, retain } from '../shared/io_count.ts'
import { takeAll } from '../shared/link_stack.ts'
import type { Core } from './core.ts'
import type { LiveSession } from './session.ts'

export class Requests {
  readonly #core: Core
  readonly #requestHead: number

  constructor(core: Core) {
    const { arena } = core
    this.#core = core
    this.#requestHead = arena.threadAt(arena.thread) + THREAD_REQUEST_HEAD
  }

  /** Does what was asked for since the last time. */
  takeRequests(): void {
    const { arena, lifecycle } = this.#core
    const { words } = arena
    let entry = takeAll(words, this.#requestHead)
    while (entry !== 0) {
      const session = lifecycle.outboxOf(entry - 1)
      entry = words[session.at + SESSION_REQUEST_LINK]
      // order: after the link is read; from here the slot may be pushed again [REQUEST-1]
      const bits = exchange(words, session.at + SESSION_REQUEST, 0)
      this.#asked(session, bits)
      // The count that came with the request [REQUEST-2].
      if (release(words, session.at + SESSION_IO_COUNT)) lifecycle.leaveLater(session)
    }
  }

  /** What other threads want of a session (SESSION_REQUEST_* bits). */
  #asked(session: LiveSession, bits: number): void {
    const { arena, lifecycle } = this.#core
    if ((bits & SESSION_REQUEST_FLOW) !== 0 && session.movingTo === 0) this.#flow(session)
    // In this order: who has arrived may want to go on at once [MOVE-1].
    if ((bits & SESSION_REQUEST_MOVED) !== 0) this.#moved(session)
    if ((bits & SESSION_REQUEST_MOVE) !== 0) this.#move(session)
    if ((bits & SESSION_REQUEST_END) !== 0) lifecycle.contentEnded(session)
    if ((bits & SESSION_REQUEST_FLUSHED) !== 0) lifecycle.endStream(session)
    if ((bits & SESSION_REQUEST_SEND_RESET) !== 0) lifecycle.sendFailed(session, IoStatus.RESET)
    if ((bits & SESSION_REQUEST_SEND_FAILED) !== 0) lifecycle.sendFailed(session, IoStatus.UNKNOWN)
    if ((bits & SESSION_REQUEST_OVERFLOW) !== 0) lifecycle.terminate(session, CloseReason.OVERFLOW)
    if ((bits & (SESSION_REQUEST_CLOSE | SESSION_REQUEST_TERMINATE)) === 0) return
    const reason = load(arena.words, session.at + SESSION_CLOSE_REASON) as CloseReason
    if ((bits & SESSION_REQUEST_TERMINATE) !== 0) {
      lifecycle.terminate(session, reason || CloseReason.LOCAL_TERMINATE)
      return
    }
    session.contentDone = true
    lifecycle.close(session, reason || CloseReason.LOCAL_CLOSE)
    // The peer's end waited for its content, which wants no more.
    if (session.endStatus !== -1) lifecycle.contentEnded(session)
  }

  /** Receives, or not, as its content wants it. */
  #flow(session: LiveSession): void {
    const { arena, lifecycle } = this.#core
    if (load(arena.words, session.at + SESSION_PAUSED) !== 0) lifecycle.pause(session)
    else lifecycle.resume(session)
  }

  /** Its content wants to go to another update thread: from here on what is received waits for it there. */
  #move(session: LiveSession): void {
    // One that ends does so where it is.
    if (session.state !== SessionState.OPEN || session.endReason !== CloseReason.NONE) return
    const { arena, lifecycle, link } = this.#core
    const { words } = arena
    session.movingTo = load(words, session.at + SESSION_MOVE_TO)
    // Until it has arrived the session is not released: somebody must hear its onLeave [MOVE-1].
    retain(words, session.at + SESSION_IO_COUNT)
    lifecycle.pause(session)
    link?.moving(session)
  }

  /** Its content has arrived. */
  #moved(session: LiveSession): void {
    const { arena, lifecycle, link } = this.#core
    session.content = session.movingTo
    session.movingTo = 0
    link?.moved(session)
    this.#flow(session)
    // The count that the move had [MOVE-1].
    if (release(arena.words, session.at + SESSION_IO_COUNT)) lifecycle.leaveLater(session)
  }
}
