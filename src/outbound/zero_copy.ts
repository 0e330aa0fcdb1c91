// What: gathers that the kernel reads where they lie: which ones, what they hold, and until when.
// Flow: sender -> this -> SENDs with a number; NOTIFIED completions -> this -> sender, which drops the references.
// Thread: who submits.

import { assert } from '../assert.ts'
import {
  COMPLETION_FLAG_NOTIFIES,
  Counter,
  GATHER_MAX,
  IoStatus,
  LISTENERS_MAX,
  NODE_BLOCK,
  NOTIFICATIONS_MAX,
} from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'
import type { NodePool } from '../shared/node_pool.ts'
import type { Outbox } from './outbox.ts'

/**
 * `zeroCopy: 'auto'`: gathers of so many bytes. Copying this much costs some microseconds, about as much as pinning
 * its pages and one more completion do.
 */
export const AUTO_MIN_BYTES = 32_768
/** Copied, or refused, so often in a row: the peers of a protocol are on this machine, or the limit is too low. */
const IN_VAIN_MAX = 64
/** Of all chunks, what the kernel may hold for all threads that submit together. */
const CHUNK_PART = 1 / 4
/** Of the receive buffers of a worker, what it may hold. */
const BUFFER_PART = 1 / 4
/** Of what a thread may have the kernel hold, the part for one session. */
const SESSION_PART = 1 / 4

/** No gather is in flight that is sent without a copy. */
export const NO_NUMBER = -1
/** Of a number: it is taken, and no memory with it (yet). */
const NOTHING = -1

/** Chunks, or receive buffers, of which the kernel may read. */
class Pins {
  /** Of the whole thread. */
  count = 0
  readonly max: number
  readonly #counts: Int32Array

  constructor(blocks: number, max: number) {
    this.#counts = new Int32Array(blocks)
    this.max = Math.max(1, Math.floor(max))
  }

  pin(block: number): void {
    if (this.#counts[block]++ === 0) this.count++
  }

  unpin(block: number): void {
    assert(this.#counts[block] > 0, 'ZEROCOPY-2: what is let go of was held')
    if (--this.#counts[block] === 0) this.count--
  }
}

export class ZeroCopy {
  /** Gathers of so many bytes; Infinity: none any more. */
  minBytes: number
  readonly #isAuto: boolean
  readonly #words: Int32Array
  readonly #nodes: NodePool
  readonly #counters: Float64Array
  readonly #chunks: Pins
  readonly #buffers: Pins
  readonly #firstBuffer: number
  readonly #sessionMax: number
  /** Blocks of one list, see #runOf(). */
  readonly #run = new Int32Array(GATHER_MAX)
  /** By protocol: gathers that were copied since one was not. */
  readonly #copiedInARow = new Int32Array(LISTENERS_MAX)
  /** Gathers that were refused since one was not. */
  #refusedInARow = 0
  /** Refused for lack of memory, and no notification since. */
  #isShort = false

  constructor(arena: Arena, nodes: NodePool) {
    const { chunkCount, driverCount, recvBuffersPerWorker, zeroCopyBytes } = arena.plan
    this.minBytes = zeroCopyBytes
    this.#isAuto = arena.plan.zeroCopyIsAuto
    this.#words = arena.words
    this.#nodes = nodes
    this.#counters = arena.counters
    this.#chunks = new Pins(chunkCount, (chunkCount * CHUNK_PART) / driverCount)
    this.#buffers = new Pins(recvBuffersPerWorker, recvBuffersPerWorker * BUFFER_PART)
    this.#firstBuffer = (arena.thread - 1) * recvBuffersPerWorker
    this.#sessionMax = Math.max(1, Math.floor(this.#chunks.max * SESSION_PART))
  }

  /** The number under which the gather in flight goes without a copy; NO_NUMBER: it is to be copied. */
  takeNumber(outbox: Outbox): number {
    if (outbox.flightBytes < this.minBytes || this.#isShort) return NO_NUMBER
    // A lane is changed when the kernel holds nothing any more.
    if (outbox.isLeaving) return NO_NUMBER
    if (this.#isAuto && this.#copiedInARow[outbox.protocol] >= IN_VAIN_MAX) return NO_NUMBER
    const blocks = this.#pinFlight(outbox)
    if (blocks === 0) {
      this.#counters[Counter.ZERO_COPY_LIMITED]++
      return NO_NUMBER
    }
    outbox.numbers ??= new Int32Array(NOTIFICATIONS_MAX)
    const number = outbox.numbers.indexOf(0)
    outbox.numbers[number] = NOTHING
    outbox.notifications++
    outbox.heldBlocks += blocks
    outbox.flightNumber = number
    return number
  }

  /** What the nodes of a list refer to, into #run: the same block in several nodes that follow one another once. */
  #runOf(first: number): number {
    let count = 0
    for (let node = first; node !== 0; ) {
      const at = this.#nodes.at(node)
      const block = this.#words[at + NODE_BLOCK]
      if (count === 0 || block !== this.#run[count - 1]) this.#run[count++] = block
      node = this.#words[at]
    }
    return count
  }

  /** Pins what the gather in flight refers to, and returns how much that is; 0: the kernel has enough. */
  #pinFlight(outbox: Outbox): number {
    const count = this.#runOf(outbox.flightFirst)
    let buffers = 0
    for (let i = 0; i < count; i++) if (this.#run[i] < 0) buffers++
    if (
      outbox.notifications === NOTIFICATIONS_MAX ||
      outbox.heldBlocks + count > this.#sessionMax ||
      this.#chunks.count + count - buffers > this.#chunks.max ||
      this.#buffers.count + buffers > this.#buffers.max
    )
      return 0
    for (let i = 0; i < count; i++) {
      const block = this.#run[i]
      if (block < 0) this.#buffers.pin(-2 - block - this.#firstBuffer)
      else this.#chunks.pin(block)
    }
    return count
  }

  #unpinAll(outbox: Outbox, first: number): void {
    const count = this.#runOf(first)
    outbox.heldBlocks -= count
    for (let i = 0; i < count; i++) {
      const block = this.#run[i]
      if (block < 0) this.#buffers.unpin(-2 - block - this.#firstBuffer)
      else this.#chunks.unpin(block)
    }
  }

  /**
   * The result of the gather in flight, which has a number. It keeps that where the kernel holds memory of it.
   * True: zero copy was refused, and the gather is to be sent again.
   */
  sendEnded(outbox: Outbox, status: IoStatus, taken: number, flags: number): boolean {
    const numbers = outbox.numbers as Int32Array
    const isNotified = (flags & COMPLETION_FLAG_NOTIFIES) !== 0
    if (!isNotified) {
      numbers[outbox.flightNumber] = 0
      outbox.notifications--
    }
    const isRefused = status === IoStatus.NO_RESOURCES || status === IoStatus.NOT_SUPPORTED
    if (isNotified && taken > 0) {
      this.#refusedInARow = 0
      this.#counters[Counter.ZERO_COPY_SENDS]++
      return false
    }
    // The kernel has nothing of it, whatever is still to be notified.
    this.#unpinAll(outbox, outbox.flightFirst)
    outbox.flightNumber = NO_NUMBER
    if (isRefused) this.#refused(status)
    return isRefused
  }

  #refused(status: IoStatus): void {
    this.#counters[Counter.ZERO_COPY_REFUSED]++
    this.#isShort = true
    if (status !== IoStatus.NOT_SUPPORTED && ++this.#refusedInARow < IN_VAIN_MAX) return
    this.minBytes = Number.POSITIVE_INFINITY
    this.#counters[Counter.ZERO_COPY_GIVEN_UP]++
  }

  /** The nodes of the gather in flight, one for each block, until its notification. */
  keepFlight(outbox: Outbox): void {
    const numbers = outbox.numbers as Int32Array
    numbers[outbox.flightNumber] = outbox.flightFirst
    outbox.flightNumber = NO_NUMBER
  }

  /** What a number has held, which the caller drops; 0: nothing. */
  takeHeld(outbox: Outbox, number: number, isCopied: boolean): number {
    const { numbers } = outbox
    assert(
      numbers !== null && numbers[number] !== 0 && number !== outbox.flightNumber,
      'ZEROCOPY-1: a notification comes once, after the result of its send',
    )
    const first = numbers[number]
    numbers[number] = 0
    outbox.notifications--
    this.#isShort = false
    if (first === NOTHING) return 0
    this.#unpinAll(outbox, first)
    this.#learn(outbox.protocol, isCopied)
    return first
  }

  #learn(protocol: number, isCopied: boolean): void {
    if (isCopied) this.#counters[Counter.ZERO_COPY_COPIED]++
    const before = this.#copiedInARow[protocol]
    if (before >= IN_VAIN_MAX) return
    this.#copiedInARow[protocol] = isCopied ? before + 1 : 0
    if (this.#isAuto && before + 1 === IN_VAIN_MAX && isCopied)
      this.#counters[Counter.ZERO_COPY_GIVEN_UP]++
  }
}
