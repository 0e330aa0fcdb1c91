// What: sends to sessions of other threads, under a pin: what may be queued, and what came of it.
// Flow: runtime, session of an update thread -> this -> sender -> send list of the session.
// Thread: one instance per thread.

import type { Encoder } from '../framing/encode.ts'
import {
  CONTROL_SESSIONS_OPENED,
  Counter,
  SESSION_LISTENER,
  SESSION_QUEUED_BYTES,
  SESSION_STATE,
  SessionState,
} from '../layout/layout.ts'
import type { Outbox } from '../outbound/outbox.ts'
import type { Sender } from '../outbound/sender.ts'
import type { Arena } from '../shared/arena.ts'
import { load } from '../shared/atomics.ts'
import type { ProtocolTable } from '../shared/protocol_table.ts'
import type { SessionId } from '../shared/session_id.ts'
import type { SessionTable } from '../shared/session_table.ts'
import type { BroadcastResult, SendResult } from './handler.ts'
import type { PreparedBuffer } from './send_buffer.ts'

/** A broadcast to all sessions of other threads, whose slice may still be open. */
interface Round {
  readonly protocol: number
  readonly except: SessionId | undefined
  /** sessions_opened before the table was walked. */
  readonly opened: number
  readonly result: BroadcastResult
  encoder: Encoder | null
  /** The walk came to its end: a framing that cannot carry the payload throws in the middle. */
  isWhole: boolean
  /** Bytes that waited for the session that had most of them. */
  mostQueued: number
}

export class ForeignSends {
  readonly #arena: Arena
  readonly #table: SessionTable
  readonly #sender: Sender<Outbox>
  readonly #protocols: ProtocolTable
  readonly #maxBackpressure: number
  #round: Round | null = null
  /** What waited for the session that was asked about last. */
  #queued = 0

  constructor(
    arena: Arena,
    table: SessionTable,
    sender: Sender<Outbox>,
    protocols: ProtocolTable,
    maxBackpressure: number,
  ) {
    this.#arena = arena
    this.#table = table
    this.#sender = sender
    this.#protocols = protocols
    this.#maxBackpressure = maxBackpressure
  }

  /** The framing of whatever session a slot holds. */
  encoderOf(slot: number): Encoder {
    const { words } = this.#arena
    return this.#protocols.encoderOf(load(words, this.#arena.sessionAt(slot) + SESSION_LISTENER))
  }

  /** Queues part of `bytes` as one message of a session with this framing. */
  writeMessage(
    slot: number,
    encoder: Encoder,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): SendResult {
    encoder.check(length)
    const sender = this.#sender
    const openBytes = sender.openBytes(slot)
    // What goes into a slice that is open needs no second look at the session: it is sent with what is in it already.
    const { openQueued } = sender
    if (
      openBytes === 0 ||
      openQueued === -1 ||
      openQueued + openBytes + length > this.#maxBackpressure
    ) {
      const refused = this.#refusal(slot, length, openBytes)
      if (refused !== null) return refused
      if (openBytes > 0) sender.openQueued = this.#queued - openBytes
    }
    if (length + encoder.headerBytes + encoder.trailerBytes === 0) return 'queued'
    return this.#counted(sender.writeForeign(slot, encoder, bytes, start, length))
  }

  /** Queues a buffer that many sessions get. */
  pushPrepared(slot: number, prepared: PreparedBuffer): SendResult {
    if (prepared.long !== null)
      return this.writeMessage(slot, this.encoderOf(slot), prepared.long, 0, prepared.long.length)
    const refused = this.#refusal(slot, prepared.length, this.#sender.openBytes(slot))
    if (refused !== null) return refused
    const encoding = prepared.encode(this.encoderOf(slot))
    if (encoding === null) return this.#counted(false)
    if (encoding.length === 0) return 'queued'
    return this.#counted(
      this.#sender.pushSharedForeign(slot, encoding.chunk, encoding.offset, encoding.length),
    )
  }

  // --- to all ----------------------------------------------------------------------------------

  /**
   * Adds a broadcast to the one before, if that went to the same sessions and nothing was sent to one of them since:
   * no walk over the table, and each sends one slice. Otherwise false: it goes to each, by beginRound() and joinRound().
   */
  extendRound(
    prepared: PreparedBuffer,
    protocol: number,
    except: SessionId | undefined,
    result: BroadcastResult,
  ): boolean {
    const round = this.#round
    const sender = this.#sender
    if (round === null || !round.isWhole || round.encoder === null) return false
    if (prepared.long !== null) return false
    if (round.protocol !== protocol || round.except !== except) return false
    // Something was sent since, some have another framing, or one got none.
    const { queued, dropped } = round.result
    if (queued === 0 || sender.audienceCount !== queued || dropped > 0) return false
    // order: after whoever told this thread of a session; pairs with the add when it was opened [AUDIENCE-2]
    if (load(this.#arena.words, CONTROL_SESSIONS_OPENED) !== round.opened) return false
    // What others queued since is not seen; the slice ends with its chunk, so that it is that much too long at most.
    const queuedBytes = round.mostQueued + sender.audienceBytes
    if (queuedBytes + prepared.length > this.#maxBackpressure) return false
    const encoding = prepared.encode(round.encoder)
    if (encoding === null) return false
    if (!sender.extendAudience(encoding.chunk, encoding.offset, encoding.length)) return false
    this.#arena.counters[Counter.MESSAGES_OUT] += queued
    this.#arena.counters[Counter.SEND_FULL] += round.result.full
    this.#arena.counters[Counter.SEND_CLOSED] += round.result.closed
    addResult(result, round.result)
    return true
  }

  /** Begins a walk over the table. */
  beginRound(protocol: number, except: SessionId | undefined): void {
    this.#sender.commit()
    this.#round = {
      protocol,
      except,
      opened: load(this.#arena.words, CONTROL_SESSIONS_OPENED),
      result: { queued: 0, full: 0, closed: 0, dropped: 0 },
      encoder: null,
      isWhole: false,
      mostQueued: 0,
    }
  }

  /** Sends to a pinned session as one of many, and takes over the pin. */
  joinRound(slot: number, prepared: PreparedBuffer): void {
    const round = this.#round as Round
    let isPinned = true
    try {
      const encoder = this.encoderOf(slot)
      round.encoder ??= encoder
      if (prepared.long !== null || encoder !== round.encoder) {
        round.result[this.pushPrepared(slot, prepared)]++
        return
      }
      const refused = this.#refusal(slot, prepared.length, 0)
      if (refused !== null) {
        round.result[refused]++
        return
      }
      const encoding = prepared.encode(encoder)
      if (encoding === null || encoding.length === 0) {
        round.result[encoding === null ? this.#counted(false) : 'queued']++
        return
      }
      const { chunk, offset, length } = encoding
      const done = this.#sender.pushToAudience(slot, chunk, offset, length)
      isPinned = !done
      round.result[this.#counted(done)]++
      if (done) round.mostQueued = Math.max(round.mostQueued, this.#queued)
    } finally {
      if (isPinned) this.#table.unpin(slot)
    }
  }

  /** Ends the walk. What it sent may still grow, until something else is sent or the turn ends. */
  endRound(result: BroadcastResult): void {
    const round = this.#round as Round
    round.isWhole = true
    addResult(result, round.result)
  }

  /** `openBytes` of the session are in a slice that is still open. */
  #refusal(slot: number, length: number, openBytes: number): SendResult | null {
    const { words, counters } = this.#arena
    const at = this.#arena.sessionAt(slot)
    if (load(words, at + SESSION_STATE) !== SessionState.OPEN) return this.closed()
    const queued = openBytes + load(words, at + SESSION_QUEUED_BYTES)
    this.#queued = queued
    if (queued > 0 && queued + length > this.#maxBackpressure) {
      counters[Counter.SEND_FULL]++
      return 'full'
    }
    return null
  }

  /** The session is gone, or was never there. */
  closed(): SendResult {
    this.#arena.counters[Counter.SEND_CLOSED]++
    return 'closed'
  }

  #counted(done: boolean): SendResult {
    this.#arena.counters[done ? Counter.MESSAGES_OUT : Counter.SEND_DROPPED]++
    return done ? 'queued' : 'dropped'
  }
}

function addResult(
  sum: BroadcastResult,
  { queued, full, closed, dropped }: Readonly<BroadcastResult>,
): void {
  sum.queued += queued
  sum.full += full
  sum.closed += closed
  sum.dropped += dropped
}
