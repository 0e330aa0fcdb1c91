// What: sends to sessions of other threads, under a pin: what may be queued, and what came of it.
// Flow: runtime, session of an update thread -> this -> sender -> send list of the session.
// Thread: one instance per thread.

import type { Encoder } from '../framing/encode.ts'
import {
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
import type { SendResult } from './handler.ts'
import type { PreparedBuffer } from './send_buffer.ts'

export class ForeignSends {
  readonly #arena: Arena
  readonly #sender: Sender<Outbox>
  readonly #protocols: ProtocolTable
  readonly #maxBackpressure: number

  constructor(
    arena: Arena,
    sender: Sender<Outbox>,
    protocols: ProtocolTable,
    maxBackpressure: number,
  ) {
    this.#arena = arena
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
    const refused = this.#refusal(slot, length)
    if (refused !== null) return refused
    if (length + encoder.headerBytes + encoder.trailerBytes === 0) return 'queued'
    return this.#counted(this.#sender.writeForeign(slot, encoder, bytes, start, length))
  }

  /** Queues a buffer that many sessions get. */
  pushPrepared(slot: number, prepared: PreparedBuffer): SendResult {
    if (prepared.long !== null)
      return this.writeMessage(slot, this.encoderOf(slot), prepared.long, 0, prepared.long.length)
    const refused = this.#refusal(slot, prepared.length)
    if (refused !== null) return refused
    const encoding = prepared.encode(this.encoderOf(slot))
    if (encoding === null) return this.#counted(false)
    if (encoding.length === 0) return 'queued'
    return this.#counted(
      this.#sender.pushSharedForeign(slot, encoding.chunk, encoding.offset, encoding.length),
    )
  }

  #refusal(slot: number, length: number): SendResult | null {
    const { words, counters } = this.#arena
    const at = this.#arena.sessionAt(slot)
    if (load(words, at + SESSION_STATE) !== SessionState.OPEN) return this.closed()
    const queued = load(words, at + SESSION_QUEUED_BYTES) + this.#sender.openBytes(slot)
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
