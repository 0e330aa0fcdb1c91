// What: a job ring: records and payloads from a thread with a driver to an update thread, single producer, single consumer.
// Flow: forwarder (worker), send thread -> this -> content of an update thread.
// Thread: JobProducer: the thread with the driver; JobConsumer: the update thread.

import { assert } from '../assert.ts'
import {
  JOB_FIRST,
  JOB_RING_HEAD,
  JOB_RING_SPACE_WANTED,
  JOB_RING_TAIL,
  JOB_RING_WORDS,
  JOB_SECOND,
  JOB_WORDS,
  type JobKind,
} from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'
import { exchange, load, store } from '../shared/atomics.ts'

/** Bits of a record's first word that say its kind; the slot is above. */
const KIND_BITS = 8
/** Payloads that are shorter are copied byte by byte: a call costs more. */
const CALL_BYTES = 48
/** Payloads that were received behind one another are copied together, up to this much at a time: a call costs as much. */
const SPAN_BYTES = 1024

/** First word of the ring from a thread with a driver to an update thread. */
function ringAt(arena: Arena, producer: number, update: number): number {
  const { jobRingsAt, jobRingCapacity, updateFirst, updateCount } = arena.plan
  const index = (producer - 1) * updateCount + (update - updateFirst)
  return jobRingsAt + index * (JOB_RING_WORDS + jobRingCapacity * JOB_WORDS)
}

/** What a consumed record gives back: a receive buffer, or a block of the producer's heap. */
export interface JobMemory {
  releaseBuffer(buffer: number): void
  freeBlock(at: number, bytes: number): void
}

const NOTHING = -1

export class JobProducer {
  /** The update thread at the other end. */
  readonly update: number
  readonly #bytes: Uint8Array
  readonly #words: Int32Array
  readonly #at: number
  readonly #recordsAt: number
  readonly #mask: number
  readonly #memory: JobMemory
  #tail = 0
  #published = 0
  #head = 0
  /** Where payloads are, in bytes of the arena; their positions count modulo 2^32. */
  readonly #byteAt: number
  readonly #byteCapacity: number
  #byteTail = 0
  #byteHead = 0
  /** Bytes of the arena that were copied with the last payload, and how far away they are now; the end is 0 when none were. */
  #spanStart = 0
  #spanEnd = 0
  #spanShift = 0
  /** By record: where its payload ends, and what is given back when it is consumed. */
  readonly #byteEnds: Int32Array
  readonly #blocks: Int32Array
  readonly #blockBytes: Int32Array

  constructor(arena: Arena, update: number, memory: JobMemory) {
    const { plan, thread } = arena
    this.update = update
    this.#bytes = arena.bytes
    this.#words = arena.words
    this.#at = ringAt(arena, thread, update)
    this.#recordsAt = this.#at + JOB_RING_WORDS
    this.#mask = plan.jobRingCapacity - 1
    this.#memory = memory
    const region = (thread - 1) * plan.updateCount + (update - plan.updateFirst)
    this.#byteAt = plan.jobByteAt + region * plan.jobBytesPerRing
    this.#byteCapacity = plan.jobBytesPerRing
    this.#byteEnds = new Int32Array(plan.jobRingCapacity)
    this.#blocks = new Int32Array(plan.jobRingCapacity).fill(NOTHING)
    this.#blockBytes = new Int32Array(plan.jobRingCapacity)
    // Both ends go on from the count that the words stand at: nothing waits when they are made.
    this.#head = this.#tail = this.#published = this.#words[this.#at + JOB_RING_HEAD]
  }

  /** Records that were not consumed when the producer looked last. */
  get waiting(): number {
    return (this.#tail - this.#head) | 0
  }

  /** Longest payload that is ever packed: the way around the end may waste as much again. */
  get packedMax(): number {
    return this.#byteCapacity >>> 1
  }

  /** Whether a record with a packed payload of `bytes` fits; looks at what was consumed if need be. */
  hasRoom(bytes: number): boolean {
    if (this.#fits(bytes)) return true
    this.reclaim()
    return this.#fits(bytes)
  }

  #fits(bytes: number): boolean {
    const free = this.#byteCapacity - ((this.#byteTail - this.#byteHead) | 0)
    return this.waiting <= this.#mask && free >= this.#padding(bytes) + bytes
  }

  /** Bytes to the end of the region when a payload does not fit before it. */
  #padding(bytes: number): number {
    if (bytes === 0) return 0
    const left = this.#byteCapacity - (this.#byteTail & (this.#byteCapacity - 1))
    return bytes <= left ? 0 : left
  }

  /** Gives back what consumed records held; whether there were any [JOBRING-3]. */
  reclaim(): boolean {
    // order: pairs with the consumer's store; what it read lies before [JOBRING-2]
    const head = load(this.#words, this.#at + JOB_RING_HEAD)
    if (head === this.#head) return false
    for (let record = this.#head; record !== head; record = (record + 1) | 0) {
      const index = record & this.#mask
      const block = this.#blocks[index]
      if (block === NOTHING) continue
      this.#blocks[index] = NOTHING
      const bytes = this.#blockBytes[index]
      if (bytes === 0) this.#memory.releaseBuffer(block)
      else this.#memory.freeBlock(block, bytes)
    }
    this.#byteHead = this.#byteEnds[(head - 1) & this.#mask]
    this.#head = head
    // Nothing waits: the next payload goes to the start of the region, which is in the cache, not on through all of it.
    if (head === this.#tail) {
      this.#byteTail = this.#byteHead =
        (this.#byteTail + this.#byteCapacity - 1) & -this.#byteCapacity
      this.#spanEnd = 0
    }
    return true
  }

  /** A record of two values; the caller has seen that there is room. */
  put(kind: JobKind, slot: number, first: number, second: number): void {
    // What gives back everything up to here must not come before payloads that are copied already.
    this.#spanEnd = 0
    this.#putRecord(kind, slot, first, second, this.#byteTail)
  }

  /**
   * A payload of the arena, copied; the caller has seen that there is room, for SPAN_BYTES at least where `limit` is
   * given: the end of what was received with it, which is copied ahead. Until endSpan() that must stay as it is.
   */
  putPacked(
    kind: JobKind,
    slot: number,
    start: number,
    length: number,
    limit = start + length,
  ): void {
    const end = start + length
    if (start < this.#spanStart || end > this.#spanEnd) this.#copy(start, length, limit)
    // Its own end, not that of all that was copied: those behind it are still to be consumed.
    const byteEnd = (this.#byteTail - (this.#spanEnd - end)) | 0
    this.#putRecord(kind, slot, start + this.#spanShift, length, byteEnd)
    if (limit === end) this.#spanEnd = 0
  }

  /** The payloads that come now may lie where others lay that were copied. */
  endSpan(): void {
    this.#spanEnd = 0
  }

  #copy(start: number, length: number, limit: number): void {
    // Nothing is copied ahead where it cannot be another like this.
    const together = limit - start >= 2 * length && length < SPAN_BYTES
    const span = together ? Math.min(limit - start, SPAN_BYTES) : length
    this.#byteTail = (this.#byteTail + this.#padding(span)) | 0
    const to = this.#byteAt + (this.#byteTail & (this.#byteCapacity - 1))
    const bytes = this.#bytes
    if (span < CALL_BYTES) for (let i = 0; i < span; i++) bytes[to + i] = bytes[start + i]
    else bytes.copyWithin(to, start, start + span)
    this.#byteTail = (this.#byteTail + span) | 0
    this.#spanStart = start
    this.#spanEnd = start + span
    this.#spanShift = to - start
  }

  #putRecord(kind: JobKind, slot: number, first: number, second: number, byteEnd: number): void {
    assert(this.waiting <= this.#mask, 'JOBRING-3: nothing is overwritten before it was consumed')
    const index = this.#tail & this.#mask
    const at = this.#recordsAt + index * JOB_WORDS
    const words = this.#words
    words[at] = kind | (slot << KIND_BITS)
    words[at + JOB_FIRST] = first
    words[at + JOB_SECOND] = second
    this.#byteEnds[index] = byteEnd
    this.#tail = (this.#tail + 1) | 0
  }

  /** A payload by reference: its receive buffer is released when the record was consumed. */
  putInBuffer(kind: JobKind, slot: number, start: number, length: number, buffer: number): void {
    const index = this.#tail & this.#mask
    this.#blocks[index] = buffer
    this.#blockBytes[index] = 0
    this.put(kind, slot, start, length)
  }

  /** A payload in a block of `bytes` of the heap, which is freed when the record was consumed. */
  putInBlock(kind: JobKind, slot: number, start: number, length: number, bytes: number): void {
    const index = this.#tail & this.#mask
    this.#blocks[index] = start
    this.#blockBytes[index] = bytes
    this.put(kind, slot, start, length)
  }

  /** Shows the consumer what was put. Whether there was anything. */
  publish(): boolean {
    if (this.#published === this.#tail) return false
    this.#published = this.#tail
    // order: publishes records and payloads; pairs with the consumer's load [JOBRING-1]
    store(this.#words, this.#at + JOB_RING_TAIL, this.#tail)
    return true
  }

  /** Asks to be rung when records were consumed. False: some were already, so that nobody may ring [JOBRING-4]. */
  wantSpace(): boolean {
    // order: before the look at head; pairs with the consumer's store of head before its exchange
    store(this.#words, this.#at + JOB_RING_SPACE_WANTED, 1)
    return !this.reclaim()
  }
}

export class JobConsumer {
  /** The thread with the driver at the other end. */
  readonly producer: number
  /** Of the record that advance() took. */
  kind = 0
  slot = 0
  first = 0
  second = 0
  readonly #words: Int32Array
  readonly #at: number
  readonly #recordsAt: number
  readonly #mask: number
  #head = 0
  #tail = 0

  constructor(arena: Arena, producer: number) {
    this.producer = producer
    this.#words = arena.words
    this.#at = ringAt(arena, producer, arena.thread)
    this.#recordsAt = this.#at + JOB_RING_WORDS
    this.#mask = arena.plan.jobRingCapacity - 1
    this.#head = this.#tail = this.#words[this.#at + JOB_RING_HEAD]
  }

  /** Looks what was published; how many records wait. */
  look(): number {
    // order: pairs with publish() [JOBRING-1]
    this.#tail = load(this.#words, this.#at + JOB_RING_TAIL)
    return (this.#tail - this.#head) | 0
  }

  /** Takes the next record that look() saw. Its payload is valid until consumed(). */
  advance(): boolean {
    if (this.#head === this.#tail) return false
    const at = this.#recordsAt + (this.#head & this.#mask) * JOB_WORDS
    const words = this.#words
    const kindSlot = words[at]
    this.kind = kindSlot & ((1 << KIND_BITS) - 1)
    this.slot = kindSlot >>> KIND_BITS
    this.first = words[at + JOB_FIRST]
    this.second = words[at + JOB_SECOND]
    this.#head = (this.#head + 1) | 0
    return true
  }

  /** Gives back every record taken so far. Whether the producer waits for that. */
  consumed(): boolean {
    // order: after the last read of records and payloads [JOBRING-2]
    store(this.#words, this.#at + JOB_RING_HEAD, this.#head)
    const wantedAt = this.#at + JOB_RING_SPACE_WANTED
    // order: after head; pairs with wantSpace() [JOBRING-4]
    return load(this.#words, wantedAt) !== 0 && exchange(this.#words, wantedAt, 0) !== 0
  }
}
