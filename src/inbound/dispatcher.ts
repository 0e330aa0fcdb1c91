// What: takes completions in order and gives each to whom it concerns.
// Flow: completion ring -> this -> frame readers, sender, lifecycle.
// Thread: the owning worker.

import { assert } from '../assert.ts'
import {
  CloseReason,
  COMPLETION_BUFFER,
  COMPLETION_FLAG_COPIED,
  COMPLETION_FLAGS,
  COMPLETION_OFFSET,
  COMPLETION_RESULT,
  COMPLETION_STATUS,
  CompletionKind,
  Counter,
  type IoStatus,
  SessionState,
} from '../layout/layout.ts'
import type { Core, DeferredReader } from '../session/core.ts'
import type { LiveSession } from '../session/session.ts'
import { CompletionRing } from './completion_ring.ts'
import { type CompletionHome, drainCompletions } from './drain_completions.ts'
import { createFrameReader, type FrameReader } from './frame_reader.ts'

export class Dispatcher implements CompletionHome<LiveSession>, DeferredReader {
  readonly #core: Core
  readonly #ring: CompletionRing
  /** By protocol, made when the first bytes of one come. */
  readonly #readers: FrameReader[] = []

  constructor(core: Core) {
    this.#core = core
    this.#ring = new CompletionRing(core.arena)
  }

  /** Handles every completion that is there. */
  drain(): void {
    drainCompletions(this.#ring, this.#core.counters, this)
  }

  sessionAt(slot: number): LiveSession | undefined {
    return this.#core.lifecycle.registry.at(slot)
  }

  accepted(listener: number, token: number): void {
    this.#core.lifecycle.accepted(listener, token)
  }

  reported(session: LiveSession, kind: number, at: number): void {
    if (kind === CompletionKind.RECV) this.#received(session, at)
    else this.#other(session, kind, at)
  }

  #received(session: LiveSession, at: number): void {
    const core = this.#core
    const { words } = this.#ring
    const length = words[at + COMPLETION_RESULT]
    if (length === 0) {
      core.lifecycle.receiveEnded(session, words[at + COMPLETION_STATUS] as IoStatus)
      return
    }
    core.counters[Counter.BYTES_IN] += length
    core.lifecycle.registry.received(session, core.now)
    const buffer = words[at + COMPLETION_BUFFER]
    const start = words[at + COMPLETION_OFFSET]
    core.buffers.retain(buffer)
    if (session.state === SessionState.OPEN) {
      const end = start + length
      // What was put off before goes first.
      if (session.deferredCount > 0) core.link?.defer(session, buffer, start, end)
      else if (session.paused || session.held !== null) core.lifecycle.hold(session, start, end)
      else this.#readNow(session, buffer, start, end)
    }
    core.buffers.release(buffer)
  }

  /** Reads bytes of an open session that is not paused, or puts them off. */
  #readNow(session: LiveSession, buffer: number, start: number, end: number): void {
    const { link } = this.#core
    if (link !== null) {
      // Its content was asked to let it end: as in a session that is closing, nothing more is read.
      if (session.endReason !== CloseReason.NONE || session.state !== SessionState.OPEN) return
      if (link.isStalled(session)) {
        link.defer(session, buffer, start, end)
        return
      }
      session.stopped = false
    }
    this.#reader(session).read(session, buffer, start, end)
  }

  /** Goes on with what waited for update threads. */
  resumeDeferred(): void {
    this.#core.link?.resume(this)
  }

  readDeferred(session: LiveSession, buffer: number, start: number, end: number): void {
    // It was paused while its bytes waited; what is held since then came before these.
    const waits = session.paused || session.held !== null
    if (waits && session.state === SessionState.OPEN) this.#core.lifecycle.hold(session, start, end)
    else this.#readNow(session, buffer, start, end)
  }

  #reader({ protocol, protocolOf }: LiveSession): FrameReader {
    this.#readers[protocol] ??= createFrameReader(this.#core, protocolOf)
    return this.#readers[protocol]
  }

  #other(session: LiveSession, kind: number, at: number): void {
    const core = this.#core
    const { words } = this.#ring
    const status = words[at + COMPLETION_STATUS] as IoStatus
    switch (kind) {
      case CompletionKind.SEND:
        core.sender.completed(
          session,
          status,
          words[at + COMPLETION_RESULT],
          words[at + COMPLETION_FLAGS],
        )
        break
      case CompletionKind.NOTIFIED:
        core.sender.notified(
          session,
          words[at + COMPLETION_RESULT],
          (words[at + COMPLETION_FLAGS] & COMPLETION_FLAG_COPIED) !== 0,
        )
        break
      case CompletionKind.CONNECT:
        core.lifecycle.connecting.connected(session, status, words[at + COMPLETION_RESULT])
        break
      case CompletionKind.PAUSED:
        core.lifecycle.pausedByDriver(session)
        break
      case CompletionKind.PEER_GONE:
        core.lifecycle.peerGone(session)
        break
      default:
        assert(false, `COMPLETION-5: kind ${kind} is none that a driver reports`)
    }
  }

  /** Goes on with what resumed sessions have received while they were paused. */
  resumeHeld(): void {
    const { resumed } = this.#core.lifecycle
    const { link } = this.#core
    // A handler may resume others while it reads.
    for (let left = resumed.length; left > 0 && resumed.length > 0; left--) {
      const session = resumed.shift() as LiveSession
      const held = session.held
      if (held === null || session.paused) continue
      if (link?.isStalled(session)) {
        resumed.push(session)
        continue
      }
      // Emptied first: what the handler pauses again is held anew, behind nothing.
      session.held = null
      for (const block of held) {
        const end = block.at + block.length
        // One that ended while it was paused holds nothing: nobody could resume it.
        if (session.state === SessionState.OPEN) {
          if (session.paused) this.#core.lifecycle.hold(session, block.at, end)
          else this.#readNow(session, -1, block.at, end)
        }
        this.#core.lifecycle.freeHeld(block)
      }
      if (session.held === null) this.#core.lifecycle.heldDone(session)
    }
  }
}
