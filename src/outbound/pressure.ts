// What: what waits because its socket is slow: how much may, copies of it in the heap, and which session goes when that is full.
// Flow: sender (bytes that were taken, or not) -> this -> onDrain, sessions that end.
// Thread: who submits.

import { assert } from '../assert.ts'
import {
  Counter,
  NODE_LENGTH,
  NODE_OFFSET,
  SESSION_DRAIN_WANTED,
  SESSION_QUEUED_BYTES,
} from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'
import { exchange, load, sub } from '../shared/atomics.ts'
import type { NodePool } from '../shared/node_pool.ts'
import type { WorkerHeap } from '../shared/worker_heap.ts'
import type { Outbox } from './outbox.ts'
import { OverflowQueue } from './overflow_queue.ts'
import type { References } from './references.ts'

/** A part of the heap in use at which the longest queue is closed: 7/8. */
const HEAP_PRESSURE = 7 / 8

export interface PressureEvents<T extends Outbox> {
  /** send() had returned 'full', and half of what may be buffered is free again. */
  drained(outbox: T): void
  /** The heap is under pressure and this one's queue is the longest, or there was no room for it: it goes. */
  overflowed(outbox: T): void
}

export interface PressureParts<T extends Outbox> {
  readonly heap: WorkerHeap
  readonly events: PressureEvents<T>
  readonly maxBackpressure: number
  /** Content runs in update threads, which are told `full` and ask for onDrain by a word [DRAIN-1]. */
  readonly drainsByWord: boolean
}

export class Pressure<T extends Outbox> {
  readonly #arena: Arena
  readonly #words: Int32Array
  readonly #counters: Float64Array
  readonly #nodes: NodePool
  readonly #references: References
  readonly #heap: WorkerHeap
  readonly #events: PressureEvents<T>
  readonly #maxBackpressure: number
  readonly #drainsByWord: boolean
  /** Sessions with a queue in the heap. */
  readonly #overflowing = new Set<T>()

  constructor(arena: Arena, nodes: NodePool, references: References, parts: PressureParts<T>) {
    this.#arena = arena
    this.#words = arena.words
    this.#counters = arena.counters
    this.#nodes = nodes
    this.#references = references
    this.#heap = parts.heap
    this.#events = parts.events
    this.#maxBackpressure = parts.maxBackpressure
    this.#drainsByWord = parts.drainsByWord
  }

  // --- how much may wait -----------------------------------------------------------------------

  /** Whether what waits and this many bytes more are over maxBackpressure. */
  isFull(outbox: T, length: number): boolean {
    // A message longer than the limit is taken when nothing waits: it could never be sent otherwise.
    return outbox.bufferedBytes > 0 && outbox.bufferedBytes + length > this.#maxBackpressure
  }

  /** Whether somebody elsewhere is held up until bytes of other threads are settled. */
  isAwaited(outbox: T): boolean {
    return outbox.foreignBytes > 0 && (!this.#drainsByWord || this.#isDrainWanted(outbox))
  }

  /** These bytes do not wait any more: they were taken, or are dropped. */
  settle(outbox: T, bytes: number): void {
    outbox.bufferedBytes -= bytes
    if (outbox.foreignBytes > 0) this.#settleForeign(outbox, bytes)
  }

  #settleForeign(outbox: T, bytes: number): void {
    const settled = Math.min(outbox.foreignBytes, bytes)
    outbox.foreignBytes -= settled
    // order: before the look at drain_wanted; pairs with wantDrain() [DRAIN-1]
    const queued = sub(this.#words, outbox.at + SESSION_QUEUED_BYTES, settled) - settled
    if (this.asksForDrain(outbox)) this.#drainByWord(outbox, queued)
  }

  /** Whether content in an update thread asks for onDrain. */
  asksForDrain(outbox: T): boolean {
    return this.#drainsByWord && this.#isDrainWanted(outbox)
  }

  #isDrainWanted(outbox: T): boolean {
    return load(this.#words, outbox.at + SESSION_DRAIN_WANTED) !== 0
  }

  /** It was asked for onDrain with nothing queued, so that no completion will look [DRAIN-1]. */
  drainIfEmpty(outbox: T): void {
    if (load(this.#words, outbox.at + SESSION_QUEUED_BYTES) === 0) this.#drainByWord(outbox, 0)
  }

  /** onDrain is due in its update thread, once. */
  #drainByWord(outbox: T, queued: number): void {
    if (queued * 2 > this.#maxBackpressure) return
    if (exchange(this.#words, outbox.at + SESSION_DRAIN_WANTED, 0) === 0) return
    this.#events.drained(outbox)
  }

  /** onDrain is due in this thread, if send() returned 'full' here. */
  drainOwn(outbox: T): void {
    if (!outbox.wantsDrain || outbox.bufferedBytes * 2 > this.#maxBackpressure) return
    outbox.wantsDrain = false
    this.#events.drained(outbox)
  }

  // --- what the socket did not take ------------------------------------------------------------

  /** Copies what was not taken of the gather in flight, so that what it refers to can go. */
  keepFlight(outbox: T, taken: number): void {
    const words = this.#words
    // What was copied while this send was pending comes behind it.
    const behind = outbox.overflow
    outbox.overflow = null
    let skip = taken
    let node = outbox.flightFirst
    while (node !== 0) {
      const at = this.#nodes.at(node)
      const next = words[at]
      const length = words[at + NODE_LENGTH]
      if (skip < length) this.#keep(outbox, words[at + NODE_OFFSET] + skip, length - skip)
      skip = Math.max(0, skip - length)
      node = next
    }
    if (behind === null) return
    if (outbox.overflow === null) outbox.overflow = behind
    else (outbox.overflow as OverflowQueue).join(behind)
  }

  /** Copies what waits behind what was copied, and drops its references. */
  keepWaiting(outbox: T): void {
    const words = this.#words
    let node = outbox.waitFirst
    // Taken off first: heap pressure may end this session, and that appends its open slice.
    outbox.waitFirst = outbox.waitLast = outbox.waitCount = 0
    while (node !== 0) {
      const at = this.#nodes.at(node)
      const next = words[at]
      this.#keep(outbox, words[at + NODE_OFFSET], words[at + NODE_LENGTH])
      this.#references.releaseNode(node)
      node = next
    }
  }

  #keep(outbox: T, offset: number, length: number): void {
    if (outbox.sendDead) {
      this.settle(outbox, length)
      return
    }
    const heap = this.#heap
    if (outbox.overflow === null) {
      outbox.overflow = new OverflowQueue(this.#arena, heap)
      this.#overflowing.add(outbox)
    }
    this.#counters[Counter.OVERFLOW_BYTES] += length
    const before = outbox.overflow.bytes
    if (outbox.overflow.append(offset, length)) {
      if (heap.usedBytes > heap.capacityBytes * HEAP_PRESSURE) this.#relieve(heap.usedBytes)
      return
    }
    // A gap would corrupt the stream: nothing after what was copied may be sent.
    outbox.sendDead = true
    this.settle(outbox, length - (outbox.overflow.bytes - before))
    this.#events.overflowed(outbox)
  }

  /** The longest queue goes, unless those that go already make room enough: their blocks are free a little later. */
  #relieve(usedBytes: number): void {
    const pressureBytes = this.#heap.capacityBytes * HEAP_PRESSURE
    let keptBytes = usedBytes
    let longest: T | null = null
    let longestBytes = 0
    for (const outbox of this.#overflowing) {
      const queue = outbox.overflow as OverflowQueue
      if (outbox.sendDead) {
        keptBytes -= queue.heldBytes
      } else if (queue.bytes > longestBytes) {
        longest = outbox
        longestBytes = queue.bytes
      }
    }
    if (longest === null || keptBytes <= pressureBytes) return
    this.#events.overflowed(longest)
    assert(longest.sendDead, 'HEAP-3: who is to go sends no more')
  }

  /** Bytes of its queue were taken. */
  consume(outbox: T, taken: number): void {
    if (taken > 0) (outbox.overflow as OverflowQueue).consume(taken)
    if (outbox.overflow?.bytes === 0) this.#end(outbox)
  }

  /** Frees its queue, if it has one. Nothing of it may be in flight. */
  clear(outbox: T): void {
    outbox.overflow?.clear()
    this.#end(outbox)
  }

  #end(outbox: T): void {
    outbox.overflow = null
    this.#overflowing.delete(outbox)
  }
}
