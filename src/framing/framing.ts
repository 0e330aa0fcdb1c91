// What: framing descriptors: plain data that says how a byte stream is cut into messages.
// Flow: options -> this -> inbound (cuts), outbound (adds headers), in every thread.
// Thread: any.

import { OverlappedError } from '../errors.ts'

export type Endian = 'little' | 'big'

/** A binary length field before each payload. */
export interface LengthPrefix {
  readonly kind: 'length-prefix'
  /** Width of the length field. */
  readonly bytes: 1 | 2 | 4
  readonly endian: Endian
  /** Bytes before the length field; sent as zeros. 0 to 60. */
  readonly offset: number
  /** Whether the length counts the header (offset + bytes) too. */
  readonly includesHeader: boolean
  readonly maxPayloadLength?: number
}

/** A byte sequence after each payload. */
export interface Delimiter {
  readonly kind: 'delimiter'
  /** The sequence, 1 to 16 bytes. */
  readonly bytes: readonly number[]
  /** Whether onRecv gets the payload without the sequence. */
  readonly strip: boolean
  readonly maxPayloadLength?: number
}

/** No messages: onRecv gets bytes as they come. */
export interface Raw {
  readonly kind: 'raw'
}

export type Framing = LengthPrefix | Delimiter | Raw

/** Longest prefix before a length field that `offset` may say; a header fits a cache line. */
export const OFFSET_MAX = 60
/** Longest delimiter. */
export const DELIMITER_BYTES_MAX = 16
/** Largest maxPayloadLength: 16 MiB, a sixteenth of the default arena. */
export const PAYLOAD_LENGTH_LIMIT = 16_777_216
/** Default of maxPayloadLength. */
export const PAYLOAD_LENGTH_DEFAULT = 65_536

function range(name: string, value: unknown, min: number, max: number): void {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    throw new OverlappedError(
      'ERR_OPTION_RANGE',
      `${name} is ${show(value)}; it must be a whole number from ${min} to ${max}`,
    )
  }
}

function show(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}

/** Refuses options that the framing does not have. */
function known(name: string, options: object, names: readonly string[]): void {
  for (const key of Object.keys(options)) {
    if (!names.includes(key)) {
      throw new OverlappedError(
        'ERR_OPTION_UNKNOWN',
        `${name} has no option '${key}'; it has ${names.join(', ')}`,
      )
    }
  }
}

function oneOf(name: string, value: unknown, allowed: readonly unknown[]): void {
  if (!allowed.includes(value)) {
    throw new OverlappedError(
      'ERR_OPTION_RANGE',
      `${name} is ${show(value)}; it must be one of ${allowed.map(show).join(', ')}`,
    )
  }
}

/**
 * Messages with a binary length field before the payload.
 * @throws {OverlappedError} ERR_OPTION_RANGE
 */
export function lengthPrefix(
  options: {
    bytes?: 1 | 2 | 4
    endian?: Endian
    offset?: number
    includesHeader?: boolean
    maxPayloadLength?: number
  } = {},
): LengthPrefix {
  known('lengthPrefix', options, [
    'bytes',
    'endian',
    'offset',
    'includesHeader',
    'maxPayloadLength',
  ])
  const {
    bytes = 2,
    endian = 'big',
    offset = 0,
    includesHeader = false,
    maxPayloadLength,
  } = options
  oneOf('lengthPrefix bytes', bytes, [1, 2, 4])
  oneOf('lengthPrefix endian', endian, ['little', 'big'])
  range('lengthPrefix offset', offset, 0, OFFSET_MAX)
  oneOf('lengthPrefix includesHeader', includesHeader, [true, false])
  if (maxPayloadLength === undefined)
    return { kind: 'length-prefix', bytes, endian, offset, includesHeader }
  range('lengthPrefix maxPayloadLength', maxPayloadLength, 1, PAYLOAD_LENGTH_LIMIT)
  return { kind: 'length-prefix', bytes, endian, offset, includesHeader, maxPayloadLength }
}

/**
 * Messages that end with a byte sequence: `delimiter({ bytes: '\n' })` for lines.
 * @throws {OverlappedError} ERR_OPTION_RANGE
 */
export function delimiter(
  options: {
    bytes?: string | Uint8Array | readonly number[]
    strip?: boolean
    maxPayloadLength?: number
  } = {},
): Delimiter {
  known('delimiter', options, ['bytes', 'strip', 'maxPayloadLength'])
  const { bytes = '\n', strip = true, maxPayloadLength } = options
  if (typeof bytes !== 'string' && !(bytes instanceof Uint8Array) && !Array.isArray(bytes)) {
    throw new OverlappedError(
      'ERR_OPTION_TYPE',
      `delimiter bytes is ${show(bytes)}; it must be a string, a Uint8Array or an array of 1 to 16 bytes`,
    )
  }
  const sequence = typeof bytes === 'string' ? [...Buffer.from(bytes, 'utf8')] : [...bytes]
  range('delimiter bytes: the number of bytes', sequence.length, 1, DELIMITER_BYTES_MAX)
  for (const byte of sequence) range('delimiter bytes: a byte', byte, 0, 255)
  oneOf('delimiter strip', strip, [true, false])
  if (maxPayloadLength === undefined) return { kind: 'delimiter', bytes: sequence, strip }
  range('delimiter maxPayloadLength', maxPayloadLength, 1, PAYLOAD_LENGTH_LIMIT)
  return { kind: 'delimiter', bytes: sequence, strip, maxPayloadLength }
}

/** No framing: every piece of the stream is handed over as it arrives. */
export function raw(): Raw {
  return { kind: 'raw' }
}

/** Bytes that a framing puts before a payload. */
export function headerBytes(framing: Framing): number {
  return framing.kind === 'length-prefix' ? framing.offset + framing.bytes : 0
}

/** Bytes that a framing puts after a payload. */
export function trailerBytes(framing: Framing): number {
  return framing.kind === 'delimiter' ? framing.bytes.length : 0
}

/** What the length field can say, or the limit of the package. */
export function longestPayload(framing: Framing): number {
  if (framing.kind !== 'length-prefix') return PAYLOAD_LENGTH_LIMIT
  const largest = 2 ** (8 * framing.bytes) - 1
  const payload = framing.includesHeader ? largest - headerBytes(framing) : largest
  return Math.min(payload, PAYLOAD_LENGTH_LIMIT)
}

/** maxPayloadLength as it is in force: the option, else min(65,536, what the header can say). */
export function maxPayloadLength(framing: Framing): number {
  if (framing.kind === 'raw') return PAYLOAD_LENGTH_LIMIT
  return Math.min(framing.maxPayloadLength ?? PAYLOAD_LENGTH_DEFAULT, longestPayload(framing))
}
