// What: message content that says whose and which it is, and the check of what arrives.
// Flow: (client, sequence) -> MessageContent -> server -> MessageContent -> ArrivalCheck -> report.
// Thread: the worker that owns the clients.
//
//   content = client (20 bits) and sequence (44 bits) | check word | pattern bytes
//
// The check word and the place where the pattern starts follow from client and sequence. So a byte
// that is lost, doubled, changed, or that belongs to another message is noticed. Under a delimiter
// framing it is text: two digits for a byte of the stamp, then pattern digits.

import type { Packet } from '../session/handler.ts'

/** Two words that say which message it is, and the check word. */
const STAMP_BYTES = 12
/** Digits of a word as text. */
const WORD_DIGITS = 8
const CLIENT_BITS = 20
/** Client of the messages that a broadcast begins with; never a real one. */
export const START_CLIENT = 2 ** CLIENT_BITS - 1
/** Words at which a pattern may start: 32 KiB, to stay in the second-level cache. */
const PATTERN_START_BITS = 13
/** Longest content that is compared by words; beyond, one native compare of a view is cheaper. */
const WORDWISE_BYTES_MAX = 512

/** What is read of a packet. */
export type Content = Pick<Packet, 'length' | 'bytes' | 'u8' | 'i32'>

/** `stamp`: it does not say which message it is. `pattern`: it does, and other bytes differ. */
export type ContentVerdict = 'right' | 'length' | 'stamp' | 'pattern'

/** Shortest content, in bytes. */
export function contentBytesMin(isText: boolean): number {
  return isText ? STAMP_BYTES * 2 : STAMP_BYTES
}

/**
 * murmur3's finalizer over both numbers: other sequences of a client have other check words. Words
 * are signed here, as V8 allocates an object for a number beyond 31 bits that it passes on.
 */
function checkWord(client: number, sequence: number): number {
  const high = Math.floor(sequence / 2 ** 32)
  let hash = Math.imul(client + 1, 0x9e3779b1) ^ Math.imul(high, 0x27d4eb2f) ^ sequence
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

function patternStart(check: number): number {
  return (check >>> (32 - PATTERN_START_BITS)) * 4
}

/** 16 digits that do not contain `avoid`, the first byte of a delimiter. */
function digitsWithout(avoid: number): Uint8Array {
  return Uint8Array.from([...Buffer.from('0123456789abcdefg')].filter((byte) => byte !== avoid))
}

/** Builds and reads contents of one size, in memory that it allocates once. */
export class MessageContent {
  readonly size: number
  /** Of the content that was read last. */
  client = 0
  sequence = 0
  /** The content that was built last, then the pattern: copyWithin needs no view. */
  readonly #memory: Buffer
  readonly #message: Uint8Array
  readonly #patternAt: number
  /** The pattern as little-endian words. */
  readonly #words: Int32Array
  readonly #stampBytes: number
  readonly #digits: Uint8Array | undefined
  /** Value of each digit; absent ones are 16. */
  readonly #values = new Uint8Array(256).fill(16)
  /** Whether the stamp that is read has digits only. */
  #isStamp = true

  /** `avoid`: the content is text without this byte, the first one of a delimiter. */
  constructor(size: number, avoid?: number) {
    this.size = size
    this.#digits = avoid === undefined ? undefined : digitsWithout(avoid)
    this.#digits?.subarray(0, 16).forEach((digit, value) => {
      this.#values[digit] = value
    })
    this.#stampBytes = contentBytesMin(avoid !== undefined)
    const patternBytes = 2 ** PATTERN_START_BITS * 4 + Math.ceil(size / 4) * 4
    this.#memory = Buffer.alloc(size + patternBytes)
    this.#message = new Uint8Array(this.#memory.buffer, this.#memory.byteOffset, size)
    this.#patternAt = size
    this.#words = this.#fillPattern(patternBytes)
  }

  /** xorshift32 over the pattern, from a seed that only must not be 0. */
  #fillPattern(bytes: number): Int32Array {
    let state = 0x2545f491
    for (let at = this.#patternAt; at < this.#patternAt + bytes; at++) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      const byte = (state >>> 11) & 0xff
      this.#memory[at] = this.#digits === undefined ? byte : this.#digits[byte & 15]
    }
    const words = new Int32Array(bytes / 4)
    for (let at = 0; at < words.length; at++) {
      words[at] = this.#memory.readInt32LE(this.#patternAt + at * 4)
    }
    return words
  }

  /** The content of a message; valid until the next call. */
  build(client: number, sequence: number): Uint8Array {
    const check = checkWord(client, sequence)
    const high = Math.floor(sequence / 2 ** 32)
    this.#writeWord(0, client | (high << CLIENT_BITS))
    this.#writeWord(1, sequence | 0)
    this.#writeWord(2, check)
    const start = this.#patternAt + patternStart(check)
    this.#memory.copyWithin(this.#stampBytes, start, start + this.size - this.#stampBytes)
    return this.#message
  }

  /** Sets `client` and `sequence`, unless the verdict is `length` or `stamp`. */
  read(content: Content): ContentVerdict {
    if (content.length !== this.size) return 'length'
    this.#isStamp = true
    const first = this.#readWord(content, 0)
    const low = this.#readWord(content, 1)
    const check = this.#readWord(content, 2)
    const client = first & (2 ** CLIENT_BITS - 1)
    const sequence = (first >>> CLIENT_BITS) * 2 ** 32 + (low >>> 0)
    if (!this.#isStamp || check !== checkWord(client, sequence)) return 'stamp'
    this.client = client
    this.sequence = sequence
    return this.#equalsPattern(content, patternStart(check)) ? 'right' : 'pattern'
  }

  /** First byte of a content of the right length that differs from this message; -1 if none. */
  differsAt(content: Content, client: number, sequence: number): number {
    const expected = this.build(client, sequence)
    return expected.findIndex((byte, at) => byte !== content.u8(at))
  }

  #writeWord(index: number, word: number): void {
    const digits = this.#digits
    if (digits === undefined) {
      for (let at = 0; at < 4; at++) this.#message[index * 4 + at] = word >>> (8 * at)
      return
    }
    const end = (index + 1) * WORD_DIGITS - 1
    for (let at = 0; at < WORD_DIGITS; at++) {
      this.#message[end - at] = digits[(word >>> (4 * at)) & 15]
    }
  }

  #readWord(content: Content, index: number): number {
    if (this.#digits === undefined) return content.i32(index * 4, 'little')
    let word = 0
    for (let at = 0; at < WORD_DIGITS; at++) {
      const value = this.#values[content.u8(index * WORD_DIGITS + at)]
      if (value > 15) this.#isStamp = false
      word = (word << 4) | value
    }
    return word
  }

  #equalsPattern(content: Content, start: number): boolean {
    const stamp = this.#stampBytes
    const from = this.#patternAt + start
    if (this.size > WORDWISE_BYTES_MAX) {
      const end = from + this.size - stamp
      return this.#memory.compare(content.bytes, stamp, this.size, from, end) === 0
    }
    let at = stamp
    for (let word = start / 4; at + 4 <= this.size; word++, at += 4) {
      if (content.i32(at, 'little') !== this.#words[word]) return false
    }
    for (; at < this.size; at++) {
      if (content.u8(at) !== this.#memory[from + at - stamp]) return false
    }
    return true
  }
}

export const FAULT_KINDS = [
  'dropped',
  'duplicated',
  'reordered',
  'corrupted',
  'connection lost',
  'connect failed',
] as const

export type FaultKind = (typeof FAULT_KINDS)[number]
export type FaultCounts = Record<FaultKind, number>

export interface Fault {
  kind: FaultKind
  readonly client: number
  /** The sequence that was to come next; the first one that a silence swallowed. */
  readonly sequence: number
  /** `sequence 7`, or another thing that a client waits for. */
  readonly expected: string
  readonly got: string
  /** When it was noticed, by a clock that all workers share. */
  readonly atMs: number
}

export function noFaults(): FaultCounts {
  return Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as FaultCounts
}

/** The fault that was noticed first. */
export function earliest(faults: readonly (Fault | undefined)[]): Fault | undefined {
  return faults.reduce((best, next) => {
    if (best === undefined || next === undefined) return best ?? next
    return next.atMs < best.atMs ? next : best
  }, undefined)
}

/** Sequences behind the newest that are remembered: at least this, and at least 4 times the depth. */
const WINDOW_MIN = 256

/** The power of two that is not below `least`. */
export function powerOfTwoFrom(least: number): number {
  return 2 ** Math.ceil(Math.log2(least))
}

/**
 * What each client got, against what it was to get. A sequence that is skipped is missing: when it
 * comes within the window it was reordered, when it does not it was dropped. What comes twice
 * within the window is duplicated; so is what comes later than that.
 */
export class ArrivalCheck {
  readonly counts = noFaults()
  /** Messages with the right bytes that came once. */
  verified = 0
  /** Sequences that were skipped and may still come. */
  missing = 0
  readonly #next: Float64Array
  /** Per client a ring: 1 for a sequence that was skipped and has not come. */
  readonly #isMissing: Uint8Array
  readonly #window: number
  /** The first fault of each client: bounded however many there are. */
  readonly #first: (Fault | undefined)[]
  readonly #idOf: (index: number) => number
  readonly #clock: () => number

  /** Clients are numbered from 0; `idOf` says how faults name them. */
  constructor(
    clients: number,
    depth: number,
    idOf: (index: number) => number,
    clock: () => number,
  ) {
    this.#window = powerOfTwoFrom(Math.max(WINDOW_MIN, depth * 4))
    this.#next = new Float64Array(clients)
    this.#isMissing = new Uint8Array(clients * this.#window)
    this.#first = new Array(clients).fill(undefined)
    this.#idOf = idOf
    this.#clock = clock
  }

  /** The sequence after the newest one that came. */
  nextOf(index: number): number {
    return this.#next[index]
  }

  /** The fault of these clients that was noticed first. */
  get first(): Fault | undefined {
    return earliest(this.#first)
  }

  /** A message with the right bytes came. */
  take(index: number, sequence: number): void {
    const next = this.#next[index]
    if (sequence === next) {
      this.#pass(index, sequence, 0)
      this.verified++
    } else if (sequence > next) {
      this.note('dropped', index, `sequence ${sequence}`)
      for (let skipped = next; skipped < sequence; skipped++) this.#pass(index, skipped, 1)
      this.#pass(index, sequence, 0)
      this.verified++
    } else {
      this.#takeOld(index, sequence)
    }
  }

  #takeOld(index: number, sequence: number): void {
    const slot = this.#slotOf(index, sequence)
    const isRemembered = sequence >= this.#next[index] - this.#window
    if (!isRemembered || this.#isMissing[slot] === 0) {
      this.fault('duplicated', index, `sequence ${sequence}`)
      return
    }
    this.#isMissing[slot] = 0
    this.missing--
    this.verified++
    this.counts.reordered++
    const first = this.#first[index]
    if (first?.kind === 'dropped' && first.sequence === sequence) first.kind = 'reordered'
  }

  /** A message with wrong bytes came; it is taken for `sequence` where that is known. */
  takeCorrupted(index: number, sequence: number | undefined, got: string): void {
    this.fault('corrupted', index, got)
    const place = sequence ?? this.#next[index]
    // Behind the newest it has its place already, or is a second fault that hides behind this one.
    if (place >= this.#next[index]) {
      for (let at = this.#next[index]; at < place; at++) this.#pass(index, at, 1)
      this.#pass(index, place, 0)
    } else if (this.#isMissing[this.#slotOf(index, place)] === 1) {
      this.#isMissing[this.#slotOf(index, place)] = 0
      this.missing--
    }
  }

  /** Counts a fault; keeps it where it is the client's first. */
  fault(kind: FaultKind, index: number, got: string): void {
    this.counts[kind]++
    this.note(kind, index, got)
  }

  /** Keeps a fault that is counted later, or was, where it is the client's first. */
  note(kind: FaultKind, index: number, got: string): void {
    if (this.#first[index] !== undefined) return
    const sequence = this.#next[index]
    const expected = `sequence ${sequence}`
    const client = this.#idOf(index)
    this.#first[index] = { kind, client, sequence, expected, got, atMs: this.#clock() }
  }

  /** Nothing more will come to this client, to which everything before `sent` was to come. */
  finish(index: number, sent: number): void {
    const silent = sent - this.#next[index]
    if (silent > 0) {
      this.note('dropped', index, 'nothing')
      this.counts.dropped += silent
    }
    const start = index * this.#window
    for (let slot = start; slot < start + this.#window; slot++) this.#dropMissing(slot)
  }

  #slotOf(index: number, sequence: number): number {
    return index * this.#window + (sequence % this.#window)
  }

  #dropMissing(slot: number): void {
    if (this.#isMissing[slot] === 0) return
    this.#isMissing[slot] = 0
    this.missing--
    this.counts.dropped++
  }

  /** The newest sequence is this one; what leaves the window for it, and is missing, was dropped. */
  #pass(index: number, sequence: number, isMissing: 0 | 1): void {
    const slot = this.#slotOf(index, sequence)
    this.#dropMissing(slot)
    this.#isMissing[slot] = isMissing
    this.missing += isMissing
    this.#next[index] = sequence + 1
  }
}
