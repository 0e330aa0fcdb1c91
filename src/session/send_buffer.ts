// What: bytes written once into chunk memory, to be sent many times; reservations to write them in place.
// Flow: runtime.prepare, runtime.open, broadcast -> this -> send nodes, one reference each.
// Thread: the thread that made it.

import { OverlappedError } from '../errors.ts'
import type { Encoder } from '../framing/encode.ts'
import { DELIMITER_BYTES_MAX, OFFSET_MAX } from '../framing/framing.ts'
import type { Outbox } from '../outbound/outbox.ts'
import type { Sender } from '../outbound/sender.ts'
import type { Arena } from '../shared/arena.ts'
import type { Reservation, SendBuffer } from './handler.ts'

/** Room before a payload in which the first framing writes its header. */
const HEADER_ROOM = OFFSET_MAX + 4
const TRAILER_ROOM = DELIMITER_BYTES_MAX

/** A payload as one framing sends it. */
export interface Encoding {
  readonly encoder: Encoder
  readonly chunk: number
  readonly offset: number
  readonly length: number
}

export class PreparedBuffer implements SendBuffer {
  readonly #length: number
  /** Payloads that no chunk can hold stay here and are copied for each recipient. */
  readonly long: Uint8Array | null
  readonly #arena: Arena
  readonly #sender: Sender<Outbox>
  readonly #chunk: number
  readonly #payloadAt: number
  #roomFree = true
  #released = false
  readonly #encodings: Encoding[] = []

  /** Takes over one reference on `chunk`, unless `long`; one more for `encoding`, when it was written framed. */
  constructor(
    arena: Arena,
    sender: Sender<Outbox>,
    chunk: number,
    payloadAt: number,
    length: number,
    long: Uint8Array | null,
    encoding: Encoding | null,
  ) {
    this.#arena = arena
    this.#sender = sender
    this.#chunk = chunk
    this.#payloadAt = payloadAt
    this.#length = length
    this.long = long
    if (encoding === null) return
    this.#roomFree = false
    this.#encodings.push(encoding)
  }

  get length(): number {
    return this.#length
  }

  /** @throws {OverlappedError} ERR_BUFFER_RELEASED */
  check(): void {
    if (!this.#released) return
    throw new OverlappedError('ERR_BUFFER_RELEASED', 'a send buffer was used after release()')
  }

  /** The payload as this framing sends it; made once per framing. Null: no memory. */
  encode(encoder: Encoder): Encoding | null {
    for (const made of this.#encodings) if (made.encoder === encoder) return made
    encoder.check(this.#length)
    const length = encoder.headerBytes + this.#length + encoder.trailerBytes
    const { bytes } = this.#arena
    let offset: number
    let chunk: number
    if (this.#roomFree) {
      // The header goes right before the payload: nothing is copied.
      this.#roomFree = false
      chunk = this.#chunk
      offset = this.#payloadAt - encoder.headerBytes
      this.#sender.takeReference(chunk)
    } else {
      const { writer } = this.#sender
      if (!writer.reserve(length)) return null
      chunk = writer.chunk
      offset = writer.position
      writer.position += length
      this.#sender.takeReference(chunk)
      const from = this.#payloadAt
      bytes.copyWithin(offset + encoder.headerBytes, from, from + this.#length)
    }
    encoder.writeHeader(bytes, offset, this.#length)
    encoder.writeTrailer(bytes, offset + length - encoder.trailerBytes)
    const encoding = { encoder, chunk, offset, length }
    this.#encodings.push(encoding)
    return encoding
  }

  release(): void {
    this.check()
    this.#released = true
    if (this.long !== null) return
    for (const { chunk } of this.#encodings) this.#sender.dropReference(chunk)
    this.#sender.dropReference(this.#chunk)
  }
}

/** Makes PreparedBuffers for one thread, and its one reservation. */
export class BufferMaker {
  readonly #arena: Arena
  readonly #sender: Sender<Outbox>
  #open: ReservationInPlace | null = null

  constructor(arena: Arena, sender: Sender<Outbox>) {
    this.#arena = arena
    this.#sender = sender
  }

  /** Longest payload that one chunk holds. */
  get payloadMax(): number {
    return this.#sender.writer.chunkBytes - HEADER_ROOM - TRAILER_ROOM
  }

  /** Copies [start, start + length) of `source`. Null: no chunk is free. */
  copy(source: Uint8Array, start: number, length: number): PreparedBuffer | null {
    if (length > this.payloadMax) {
      return new PreparedBuffer(
        this.#arena,
        this.#sender,
        -1,
        0,
        length,
        source.slice(start, start + length),
        null,
      )
    }
    const at = this.#reserve(length)
    if (at === -1) return null
    this.#store(at, source, start, length)
    const { chunk } = this.#sender.writer
    return new PreparedBuffer(this.#arena, this.#sender, chunk, at, length, null, null)
  }

  /**
   * The same, written as `encoder` sends it, right behind what was written before: slices of several such
   * buffers to one session become one. Null: no chunk is free.
   */
  frame(
    encoder: Encoder,
    source: Uint8Array,
    start: number,
    length: number,
  ): PreparedBuffer | null {
    const { writer } = this.#sender
    const total = encoder.headerBytes + length + encoder.trailerBytes
    if (length > encoder.payloadMax || total > this.payloadMax)
      return this.copy(source, start, length)
    if (!writer.reserve(total)) return null
    const { chunk, position: offset } = writer
    const payloadAt = offset + encoder.headerBytes
    writer.position = offset + total
    this.#store(payloadAt, source, start, length)
    encoder.writeHeader(this.#arena.bytes, offset, length)
    encoder.writeTrailer(this.#arena.bytes, payloadAt + length)
    this.#sender.takeReference(chunk)
    this.#sender.takeReference(chunk)
    const encoding = { encoder, chunk, offset, length: total }
    return new PreparedBuffer(this.#arena, this.#sender, chunk, payloadAt, length, null, encoding)
  }

  #store(at: number, source: Uint8Array, start: number, length: number): void {
    if (source === this.#arena.bytes) source.copyWithin(at, start, start + length)
    else this.#arena.bytes.set(source.subarray(start, start + length), at)
  }

  /**
   * @throws {OverlappedError} ERR_OPEN_NESTED, ERR_ARGUMENT, ERR_MEMORY_PLAN
   */
  open(maxBytes: number): Reservation {
    if (this.#open !== null) {
      throw new OverlappedError(
        'ERR_OPEN_NESTED',
        'open() was called while another reservation is open; close that first',
      )
    }
    if (!Number.isInteger(maxBytes) || maxBytes < 1 || maxBytes > this.payloadMax) {
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `open(${maxBytes}): the size must be a whole number from 1 to ${this.payloadMax}`,
      )
    }
    const at = this.#reserve(maxBytes)
    if (at === -1)
      throw new OverlappedError(
        'ERR_MEMORY_PLAN',
        'open(): no chunk is free; arenaBytes is too small for what is queued',
      )
    const { writer } = this.#sender
    this.#open = new ReservationInPlace(this.#arena.aliasRange(at, maxBytes), (used) => {
      this.#open = null
      // Nobody has written behind it unless a send came between; then the rest of it stays unused.
      if (writer.position === at + maxBytes + TRAILER_ROOM)
        writer.position = at + used + TRAILER_ROOM
      return new PreparedBuffer(this.#arena, this.#sender, chunk, at, used, null, null)
    })
    const { chunk } = writer
    return this.#open
  }

  /** At the end of a turn: a reservation that is still open ends without a buffer. Returns whether there was one. */
  abandon(): boolean {
    if (this.#open === null) return false
    this.#open.close(0).release()
    return true
  }

  /** Room for a payload with header and trailer room around it, charged with one reference; its arena offset or -1. */
  #reserve(length: number): number {
    const { writer } = this.#sender
    if (!writer.reserve(HEADER_ROOM + length + TRAILER_ROOM)) return -1
    const at = writer.position + HEADER_ROOM
    writer.position = at + length + TRAILER_ROOM
    this.#sender.takeReference(writer.chunk)
    return at
  }
}

class ReservationInPlace implements Reservation {
  readonly #bytes: Uint8Array
  readonly #finish: (used: number) => PreparedBuffer
  #closed = false

  constructor(bytes: Uint8Array, finish: (used: number) => PreparedBuffer) {
    this.#bytes = bytes
    this.#finish = finish
  }

  get bytes(): Uint8Array {
    if (this.#closed)
      throw new OverlappedError('ERR_BUFFER_RELEASED', 'a reservation was used after close()')
    return this.#bytes
  }

  close(used: number): PreparedBuffer {
    const max = this.bytes.length
    if (!Number.isInteger(used) || used < 0 || used > max) {
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `close(${used}): the bytes used must be a whole number from 0 to ${max}`,
      )
    }
    this.#closed = true
    return this.#finish(used)
  }
}
