// What: writes the header and trailer of a framing around a payload.
// Flow: framing descriptor -> this -> outbound, for every message that is not sent as it came.
// Thread: any.

import { OverlappedError } from '../errors.ts'
import { type Framing, headerBytes, longestPayload, trailerBytes } from './framing.ts'

/** A framing, compiled for writing. */
export class Encoder {
  readonly headerBytes: number
  readonly trailerBytes: number
  /** Longest payload that the framing can carry. */
  readonly payloadMax: number
  /** Whether a received frame, header included, is what sending its payload would write. */
  readonly echoes: boolean
  readonly #lengthBytes: number
  readonly #little: boolean
  readonly #lengthAdds: number
  readonly #trailer: readonly number[]

  constructor(framing: Framing) {
    this.headerBytes = headerBytes(framing)
    // Who does not strip the delimiter when receiving, writes it himself when sending.
    const adds = framing.kind !== 'delimiter' || framing.strip
    this.trailerBytes = adds ? trailerBytes(framing) : 0
    this.payloadMax = longestPayload(framing)
    this.#lengthBytes = framing.kind === 'length-prefix' ? framing.bytes : 0
    this.#little = framing.kind === 'length-prefix' && framing.endian === 'little'
    this.#lengthAdds =
      framing.kind === 'length-prefix' && framing.includesHeader ? this.headerBytes : 0
    this.#trailer = framing.kind === 'delimiter' && framing.strip ? framing.bytes : []
    this.echoes = framing.kind !== 'length-prefix' || framing.offset === 0
  }

  /** @throws {OverlappedError} ERR_PAYLOAD_TOO_LONG */
  check(payloadBytes: number): void {
    if (payloadBytes <= this.payloadMax) return
    throw new OverlappedError(
      'ERR_PAYLOAD_TOO_LONG',
      `a payload of ${payloadBytes} bytes was to be sent; this framing carries at most ${this.payloadMax}`,
    )
  }

  /** Writes headerBytes bytes at `at`. */
  writeHeader(bytes: Uint8Array, at: number, payloadBytes: number): void {
    const width = this.#lengthBytes
    if (width === 0) return
    const length = payloadBytes + this.#lengthAdds
    const field = at + this.headerBytes - width
    for (let i = at; i < field; i++) bytes[i] = 0
    if (width === 1) {
      bytes[field] = length
    } else if (this.#little) {
      for (let i = 0; i < width; i++) bytes[field + i] = length >>> (8 * i)
    } else {
      for (let i = 0; i < width; i++) bytes[field + i] = length >>> (8 * (width - 1 - i))
    }
  }

  /** Writes trailerBytes bytes at `at`. */
  writeTrailer(bytes: Uint8Array, at: number): void {
    for (let i = 0; i < this.#trailer.length; i++) bytes[at + i] = this.#trailer[i]
  }
}
