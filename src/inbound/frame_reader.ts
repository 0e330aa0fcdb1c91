// What: cuts received bytes into frames: length prefix, delimiter, raw; copies only a frame that straddles buffers.
// Flow: dispatcher -> this -> handler.onRecv.
// Thread: the owning worker.

import type { Delimiter, LengthPrefix } from '../framing/framing.ts'
import { CloseReason, Counter, SessionState } from '../layout/layout.ts'
import type { Core, Protocol } from '../session/core.ts'
import type { Handler } from '../session/handler.ts'
import type { HandlerCalls } from '../session/handler_calls.ts'
import type { PacketCursor } from '../session/packet.ts'
import type { LiveSession } from '../session/session.ts'
import { WorkerHeap } from '../shared/worker_heap.ts'

/** Reads [start, end) of the arena, which lie in a receive buffer; -1: in memory that is used again at once. */
export interface FrameReader {
  read(session: LiveSession, buffer: number, start: number, end: number): void
}

export function createFrameReader(core: Core, protocol: Protocol): FrameReader {
  const { framing } = protocol
  if (framing.kind === 'length-prefix') return new LengthPrefixReader(core, protocol, framing)
  if (framing.kind === 'delimiter') return new DelimiterReader(core, protocol, framing)
  return new RawReader(core, protocol)
}

abstract class Reader implements FrameReader {
  protected readonly core: Core
  protected readonly protocol: Protocol
  protected readonly bytes: Uint8Array
  readonly #counters: Float64Array
  readonly #packet: PacketCursor
  readonly #handler: Handler
  readonly #calls: HandlerCalls<LiveSession>

  constructor(core: Core, protocol: Protocol) {
    this.core = core
    this.protocol = protocol
    this.bytes = core.arena.bytes
    this.#counters = core.counters
    this.#packet = core.packet
    this.#handler = protocol.handler
    this.#calls = core.calls
  }

  abstract read(session: LiveSession, buffer: number, start: number, end: number): void

  /** Says where the messages lie that are handed over next, -1: in no receive buffer; and where they end. */
  protected begin(buffer: number, end: number): void {
    this.#packet.enter(buffer, this.protocol.encoder, end)
  }

  /** Hands a message to the handler. */
  protected deliver(
    session: LiveSession,
    frameStart: number,
    start: number,
    end: number,
    frameEnd: number,
  ): void {
    this.#counters[Counter.MESSAGES_IN]++
    if (session.isFresh) {
      session.isFresh = false
      session.deadline = 0
    }
    const packet = this.#packet
    packet.start = start
    packet.end = end
    packet.frameStart = frameStart
    packet.frameEnd = frameEnd
    this.#calls.received(this.#handler, session, packet)
    packet.start = -1
  }

  /** Whether reading may go on; if the session must stop, the rest is held for resume(), or for its update thread. */
  protected goesOn(session: LiveSession, buffer: number, start: number, end: number): boolean {
    if (session.state !== SessionState.OPEN) return false
    if (!session.stopped) return true
    if (start === end) return false
    if (session.paused) this.core.lifecycle.hold(session, start, end)
    else this.core.link?.defer(session, buffer, start, end)
    return false
  }

  /** Appends bytes to the partial frame, whose memory grows with what was received. False: no memory, session gone. */
  protected keep(session: LiveSession, start: number, end: number): boolean {
    const count = end - start
    const needed = session.partialLength + count
    if (session.partialAt === -1 || needed > session.partialCapacity) {
      const capacity = WorkerHeap.blockBytes(needed)
      const at = this.core.heap.allocate(capacity)
      if (at === -1) {
        this.core.lifecycle.terminate(session, CloseReason.OVERFLOW)
        return false
      }
      if (session.partialAt !== -1) {
        this.bytes.copyWithin(at, session.partialAt, session.partialAt + session.partialLength)
        this.core.heap.free(session.partialAt, session.partialCapacity)
      }
      session.partialAt = at
      session.partialCapacity = capacity
    }
    this.bytes.copyWithin(session.partialAt + session.partialLength, start, end)
    session.partialLength = needed
    return true
  }

  /** Hands over the partial frame, which is complete, and gives its memory back. */
  protected deliverPartial(session: LiveSession, headerBytes: number, trailerBytes: number): void {
    this.#counters[Counter.FRAMES_COPIED]++
    const { partialAt: at, partialLength: length, partialCapacity: capacity } = session
    // The handler may end the session; the memory is ours until it returns.
    session.partialAt = -1
    session.partialCapacity = session.partialLength = 0
    this.begin(-1, at + length)
    this.deliver(session, at, at + headerBytes, at + length - trailerBytes, at + length)
    this.core.heap.free(at, capacity)
  }

  protected fail(session: LiveSession, reason: CloseReason): void {
    this.core.lifecycle.close(session, reason)
  }
}

class LengthPrefixReader extends Reader {
  readonly #headerBytes: number
  readonly #width: number
  readonly #field: number
  readonly #little: boolean
  readonly #includesHeader: boolean
  readonly #payloadMax: number

  constructor(core: Core, protocol: Protocol, framing: LengthPrefix) {
    super(core, protocol)
    this.#headerBytes = framing.offset + framing.bytes
    this.#width = framing.bytes
    this.#field = framing.offset
    this.#little = framing.endian === 'little'
    this.#includesHeader = framing.includesHeader
    this.#payloadMax = protocol.maxPayloadLength
  }

  override read(session: LiveSession, buffer: number, start: number, end: number): void {
    let at = start
    if (session.partialLength > 0) {
      at = this.#finishPartial(session, at, end)
      if (at === -1 || !this.goesOn(session, buffer, at, end)) return
    }
    const headerBytes = this.#headerBytes
    this.begin(buffer, end)
    while (end - at >= headerBytes) {
      const payload = this.#payloadBytes(at)
      if (payload < 0 || payload > this.#payloadMax) {
        this.#refuse(session, payload)
        return
      }
      const frameEnd = at + headerBytes + payload
      if (frameEnd > end) break
      this.deliver(session, at, at + headerBytes, frameEnd, frameEnd)
      at = frameEnd
      if (session.stopped || session.state !== SessionState.OPEN) {
        this.goesOn(session, buffer, at, end)
        return
      }
    }
    if (at < end) this.keep(session, at, end)
  }

  /** Payload length that the header at an arena offset says; negative when it is less than the header it includes. */
  #payloadBytes(at: number): number {
    const { bytes } = this
    const field = at + this.#field
    let length: number
    if (this.#width === 2) {
      length = this.#little
        ? bytes[field] | (bytes[field + 1] << 8)
        : (bytes[field] << 8) | bytes[field + 1]
    } else if (this.#width === 1) {
      length = bytes[field]
    } else if (this.#little) {
      length =
        (bytes[field] |
          (bytes[field + 1] << 8) |
          (bytes[field + 2] << 16) |
          (bytes[field + 3] << 24)) >>>
        0
    } else {
      length =
        ((bytes[field] << 24) |
          (bytes[field + 1] << 16) |
          (bytes[field + 2] << 8) |
          bytes[field + 3]) >>>
        0
    }
    return this.#includesHeader ? length - this.#headerBytes : length
  }

  /** Adds to the partial frame and hands it over when it is whole. Where reading goes on; -1: nowhere. */
  #finishPartial(session: LiveSession, start: number, end: number): number {
    let at = start
    const headerBytes = this.#headerBytes
    if (session.partialLength < headerBytes) {
      const count = Math.min(headerBytes - session.partialLength, end - at)
      if (!this.keep(session, at, at + count)) return -1
      at += count
      if (session.partialLength < headerBytes) return -1
    }
    const payload = this.#payloadBytes(session.partialAt)
    if (payload < 0 || payload > this.#payloadMax) {
      this.#refuse(session, payload)
      return -1
    }
    const count = Math.min(headerBytes + payload - session.partialLength, end - at)
    if (count > 0 && !this.keep(session, at, at + count)) return -1
    at += count
    if (session.partialLength < headerBytes + payload) return -1
    this.deliverPartial(session, headerBytes, 0)
    return at
  }

  #refuse(session: LiveSession, payload: number): void {
    this.fail(session, payload < 0 ? CloseReason.FRAME_INVALID : CloseReason.FRAME_TOO_LONG)
  }
}

class DelimiterReader extends Reader {
  readonly #sequence: readonly number[]
  readonly #last: number
  readonly #trailerBytes: number
  readonly #payloadMax: number

  constructor(core: Core, protocol: Protocol, framing: Delimiter) {
    super(core, protocol)
    this.#sequence = framing.bytes
    this.#last = framing.bytes[framing.bytes.length - 1]
    this.#trailerBytes = framing.strip ? framing.bytes.length : 0
    this.#payloadMax = protocol.maxPayloadLength
  }

  override read(session: LiveSession, buffer: number, start: number, end: number): void {
    const { bytes } = this
    const width = this.#sequence.length
    let frameStart = start
    this.begin(buffer, end)
    for (let at = start; at < end; at++) {
      if (bytes[at] !== this.#last) continue
      if (session.partialLength > 0) {
        // The sequence may have begun in an earlier buffer.
        if (!this.keep(session, frameStart, at + 1)) return
        frameStart = at + 1
        const whole = session.partialLength
        if (whole < width || !this.#endsHere(session.partialAt + whole)) continue
        if (whole - width > this.#payloadMax) {
          this.fail(session, CloseReason.FRAME_TOO_LONG)
          return
        }
        this.deliverPartial(session, 0, this.#trailerBytes)
        this.begin(buffer, end)
      } else {
        if (at + 1 - frameStart < width || !this.#endsHere(at + 1)) continue
        if (at + 1 - width - frameStart > this.#payloadMax) {
          this.fail(session, CloseReason.FRAME_TOO_LONG)
          return
        }
        this.deliver(session, frameStart, frameStart, at + 1 - this.#trailerBytes, at + 1)
        frameStart = at + 1
      }
      if (session.stopped || session.state !== SessionState.OPEN) {
        this.goesOn(session, buffer, frameStart, end)
        return
      }
    }
    // A delimiter that has begun does not count against the payload.
    if (session.partialLength + end - frameStart > this.#payloadMax + width - 1) {
      this.fail(session, CloseReason.FRAME_TOO_LONG)
      return
    }
    if (frameStart < end) this.keep(session, frameStart, end)
  }

  /** Whether the sequence ends right before an arena offset; its last byte is known to. */
  #endsHere(end: number): boolean {
    const sequence = this.#sequence
    const first = end - sequence.length
    for (let i = sequence.length - 2; i >= 0; i--)
      if (this.bytes[first + i] !== sequence[i]) return false
    return true
  }
}

class RawReader extends Reader {
  override read(session: LiveSession, buffer: number, start: number, end: number): void {
    this.begin(buffer, end)
    this.deliver(session, start, start, end, end)
  }
}
