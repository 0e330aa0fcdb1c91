// What: a buddy allocator over a worker's part of the arena: overflow blocks and partial frames.
// Flow: inbound (straddling frames), outbound (unsent bytes) -> this.
// Thread: the worker that owns the part; no other thread touches it.

import { assert } from '../assert.ts'
import { POISON } from './arena.ts'

/** Smallest block: what one stalled peer with a few bytes costs. */
export const BLOCK_BYTES_MIN = 1024
const MIN_ORDER = 10
const MAX_ORDER = 30
const NONE = -1
/** In the table of orders: no block starts at the unit. */
const INSIDE = 255
/** In the table of orders: a block that is in use starts at the unit; its order is in the bits below. */
const USED = 128

export class WorkerHeap {
  readonly capacityBytes: number
  usedBytes = 0
  readonly #base: number
  /** The arena, where blocks that are freed are overwritten; else null. */
  readonly #poisoned: Uint8Array | null
  /** First free block of each order, by unit; NONE when there is none. */
  readonly #heads = new Int32Array(MAX_ORDER + 1).fill(NONE)
  readonly #next: Int32Array
  readonly #previous: Int32Array
  /** Of the block that starts at a unit: its order when it is free, USED + order when not; else INSIDE. */
  readonly #order: Uint8Array

  /** Manages [base, base + bytes) of the arena, in whole units of BLOCK_BYTES_MIN. */
  constructor(base: number, bytes: number, poisoned: Uint8Array | null = null) {
    const units = Math.floor(bytes / BLOCK_BYTES_MIN)
    this.#base = base
    this.#poisoned = poisoned
    this.capacityBytes = units * BLOCK_BYTES_MIN
    this.#next = new Int32Array(units)
    this.#previous = new Int32Array(units)
    this.#order = new Uint8Array(units).fill(INSIDE)
    // Cut into the largest aligned powers of two.
    for (let unit = 0; unit < units; ) {
      let order = MIN_ORDER
      while (order < MAX_ORDER) {
        const twice = 1 << (order + 1 - MIN_ORDER)
        if (unit % twice !== 0 || unit + twice > units) break
        order++
      }
      this.#link(unit, order)
      unit += 1 << (order - MIN_ORDER)
    }
  }

  /** Size that a request is rounded up to: a power of two. */
  static blockBytes(bytes: number): number {
    return bytes <= BLOCK_BYTES_MIN ? BLOCK_BYTES_MIN : 2 ** (32 - Math.clz32(bytes - 1))
  }

  /** Arena offset of a block of blockBytes(bytes); -1 when there is none. */
  allocate(bytes: number): number {
    const wanted = 31 - Math.clz32(WorkerHeap.blockBytes(bytes))
    let order = wanted
    while (order <= MAX_ORDER && this.#heads[order] === NONE) order++
    if (order > MAX_ORDER) return -1
    const unit = this.#heads[order]
    this.#unlink(unit, order)
    while (order > wanted) {
      order--
      this.#link(unit + (1 << (order - MIN_ORDER)), order)
    }
    this.#order[unit] = USED + wanted
    this.usedBytes += 1 << wanted
    return this.#base + unit * BLOCK_BYTES_MIN
  }

  /** Gives a block back; `bytes` as it was asked for, or anything with the same blockBytes. */
  free(offset: number, bytes: number): void {
    let unit = (offset - this.#base) / BLOCK_BYTES_MIN
    let order = 31 - Math.clz32(WorkerHeap.blockBytes(bytes))
    assert(
      Number.isInteger(unit) && unit >= 0 && unit < this.#order.length,
      'HEAP-1: a block of this heap',
    )
    assert(
      this.#order[unit] === USED + order,
      'HEAP-2: a block in use is freed once, with its size',
    )
    this.#order[unit] = INSIDE
    this.usedBytes -= 1 << order
    this.#poisoned?.fill(POISON, offset, offset + (1 << order))
    while (order < MAX_ORDER) {
      const buddy = unit ^ (1 << (order - MIN_ORDER))
      if (buddy >= this.#order.length || this.#order[buddy] !== order) break
      this.#unlink(buddy, order)
      unit = Math.min(unit, buddy)
      order++
    }
    this.#link(unit, order)
  }

  #link(unit: number, order: number): void {
    const head = this.#heads[order]
    this.#next[unit] = head
    this.#previous[unit] = NONE
    if (head !== NONE) this.#previous[head] = unit
    this.#heads[order] = unit
    this.#order[unit] = order
  }

  #unlink(unit: number, order: number): void {
    const next = this.#next[unit]
    const previous = this.#previous[unit]
    if (next !== NONE) this.#previous[next] = previous
    if (previous === NONE) this.#heads[order] = next
    else this.#next[previous] = next
    this.#order[unit] = INSIDE
  }
}
