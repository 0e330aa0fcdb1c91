// What: the protocols that connect() was given, in shared memory, so that every thread knows the framing of a session.
// Flow: connector registers -> this -> runtime (sends of any thread), the worker that owns the session.
// Thread: any; one instance per thread.

import { assert } from '../assert.ts'
import { Encoder } from '../framing/encode.ts'
import type { Framing } from '../framing/framing.ts'
import {
  CONTROL_PROTOCOL_COUNT,
  FramingKind,
  LISTENERS_MAX,
  PROTOCOL_DELIMITER_0,
  PROTOCOL_FLAG_INCLUDES_HEADER,
  PROTOCOL_FLAG_LITTLE_ENDIAN,
  PROTOCOL_FLAG_NO_DELAY,
  PROTOCOL_FLAG_RESET_ON_CLOSE,
  PROTOCOL_FLAG_STRIP,
  PROTOCOL_FLAGS,
  PROTOCOL_FRAMING,
  PROTOCOL_MARKER_BYTES,
  PROTOCOL_MAX_PAYLOAD_LENGTH,
  PROTOCOL_PREFIX_OFFSET,
  PROTOCOL_PUBLISHED,
  PROTOCOL_RECEIVE_BUFFER_BYTES,
  PROTOCOL_SEND_BUFFER_BYTES,
  PROTOCOL_WORDS,
} from '../layout/layout.ts'
import type { Arena } from './arena.ts'
import { add, load, store } from './atomics.ts'

/** What threads know of a protocol of each other; its handler is the content thread's own. */
export interface ProtocolRecord {
  readonly framing: Framing
  /** In force, in bytes. */
  readonly maxPayloadLength: number
  readonly resetOnClose: boolean
  readonly noDelay: boolean
  /** 0 is the system's. */
  readonly sendBufferBytes: number
  /** 0 is the system's. */
  readonly receiveBufferBytes: number
}

const BITS_PER_BYTE = 8
const BYTES_PER_WORD = 4

export class ProtocolTable {
  /** The encoder of each protocol that this thread has met, by index. */
  readonly #encoders: Encoder[]
  readonly #declared: number
  readonly #words: Int32Array
  readonly #at: number
  #isFull = false

  /** `declared`: encoders of the protocols that the server's options name; every thread has them from the start. */
  constructor(arena: Arena, declared: readonly Encoder[]) {
    this.#encoders = [...declared]
    this.#declared = declared.length
    this.#words = arena.words
    this.#at = arena.plan.protocolsAt
  }

  /** The encoder of nearly every session: of the one protocol that was declared, where it is one. */
  get likely(): Encoder | undefined {
    return this.#declared === 1 ? this.#encoders[0] : undefined
  }

  /** What a session's `listener` word says. The same object each time, so that encoders can be compared. */
  encoderOf(index: number): Encoder {
    const known = this.#encoders[index]
    if (known !== undefined) return known
    const { framing } = this.recordOf(index)
    const encoder = new Encoder(framing)
    this.#encoders[index] = encoder
    return encoder
  }

  /** Of a protocol that connect() was given, by whatever thread. */
  recordOf(index: number): ProtocolRecord {
    const words = this.#words
    const at = this.#recordAt(index)
    // order: acquire; pairs with register() [PROTOCOL-2]
    const published = load(words, at + PROTOCOL_PUBLISHED)
    assert(published === 1, 'PROTOCOL-2: a protocol is published before a session has it')
    const flags = words[at + PROTOCOL_FLAGS]
    return {
      framing: readFraming(words, at),
      maxPayloadLength: words[at + PROTOCOL_MAX_PAYLOAD_LENGTH],
      resetOnClose: (flags & PROTOCOL_FLAG_RESET_ON_CLOSE) !== 0,
      noDelay: (flags & PROTOCOL_FLAG_NO_DELAY) !== 0,
      sendBufferBytes: words[at + PROTOCOL_SEND_BUFFER_BYTES],
      receiveBufferBytes: words[at + PROTOCOL_RECEIVE_BUFFER_BYTES],
    }
  }

  /** Claims an index and publishes the record; -1: every index is used, and stays so. */
  register(record: ProtocolRecord): number {
    if (this.#isFull) return -1
    const words = this.#words
    // order: one index for each thread that adds [PROTOCOL-1]
    const index = add(words, CONTROL_PROTOCOL_COUNT, 1)
    if (index >= LISTENERS_MAX) {
      this.#isFull = true
      return -1
    }
    const at = this.#recordAt(index)
    writeFraming(words, at, record.framing)
    words[at + PROTOCOL_FLAGS] = flagsOf(record)
    words[at + PROTOCOL_MAX_PAYLOAD_LENGTH] = record.maxPayloadLength
    words[at + PROTOCOL_SEND_BUFFER_BYTES] = record.sendBufferBytes
    words[at + PROTOCOL_RECEIVE_BUFFER_BYTES] = record.receiveBufferBytes
    // order: release; pairs with recordOf() [PROTOCOL-2]
    store(words, at + PROTOCOL_PUBLISHED, 1)
    return index
  }

  #recordAt(index: number): number {
    return this.#at + index * PROTOCOL_WORDS
  }
}

function flagsOf({ framing, resetOnClose, noDelay }: ProtocolRecord): number {
  let flags = 0
  if (framing.kind === 'length-prefix') {
    if (framing.endian === 'little') flags |= PROTOCOL_FLAG_LITTLE_ENDIAN
    if (framing.includesHeader) flags |= PROTOCOL_FLAG_INCLUDES_HEADER
  }
  if (framing.kind === 'delimiter' && framing.strip) flags |= PROTOCOL_FLAG_STRIP
  if (resetOnClose) flags |= PROTOCOL_FLAG_RESET_ON_CLOSE
  if (noDelay) flags |= PROTOCOL_FLAG_NO_DELAY
  return flags
}

function writeFraming(words: Int32Array, at: number, framing: Framing): void {
  switch (framing.kind) {
    case 'length-prefix':
      words[at + PROTOCOL_FRAMING] = FramingKind.LENGTH_PREFIX
      words[at + PROTOCOL_MARKER_BYTES] = framing.bytes
      words[at + PROTOCOL_PREFIX_OFFSET] = framing.offset
      break
    case 'delimiter': {
      const { bytes } = framing
      words[at + PROTOCOL_FRAMING] = FramingKind.DELIMITER
      words[at + PROTOCOL_MARKER_BYTES] = bytes.length
      for (let first = 0; first < bytes.length; first += BYTES_PER_WORD) {
        let packed = 0
        for (let i = 0; i < BYTES_PER_WORD; i++)
          packed |= (bytes[first + i] ?? 0) << (BITS_PER_BYTE * i)
        words[at + PROTOCOL_DELIMITER_0 + first / BYTES_PER_WORD] = packed
      }
      break
    }
    case 'raw':
      words[at + PROTOCOL_FRAMING] = FramingKind.RAW
      break
  }
}

/** The descriptor, with the maxPayloadLength that is in force. */
function readFraming(words: Int32Array, at: number): Framing {
  const kind = words[at + PROTOCOL_FRAMING]
  const flags = words[at + PROTOCOL_FLAGS]
  const maxPayloadLength = words[at + PROTOCOL_MAX_PAYLOAD_LENGTH]
  const markerBytes = words[at + PROTOCOL_MARKER_BYTES]
  if (kind === FramingKind.LENGTH_PREFIX) {
    return {
      kind: 'length-prefix',
      bytes: markerBytes as 1 | 2 | 4,
      endian: (flags & PROTOCOL_FLAG_LITTLE_ENDIAN) !== 0 ? 'little' : 'big',
      offset: words[at + PROTOCOL_PREFIX_OFFSET],
      includesHeader: (flags & PROTOCOL_FLAG_INCLUDES_HEADER) !== 0,
      maxPayloadLength,
    }
  }
  if (kind === FramingKind.DELIMITER) {
    const bytes: number[] = []
    for (let i = 0; i < markerBytes; i++) {
      const word = words[at + PROTOCOL_DELIMITER_0 + Math.floor(i / BYTES_PER_WORD)]
      bytes.push((word >>> (BITS_PER_BYTE * (i % BYTES_PER_WORD))) & 0xff)
    }
    return {
      kind: 'delimiter',
      bytes,
      strip: (flags & PROTOCOL_FLAG_STRIP) !== 0,
      maxPayloadLength,
    }
  }
  assert(kind === FramingKind.RAW, 'PROTOCOL-3: a published protocol has a framing that is known')
  return { kind: 'raw' }
}
