// What: the pool of chunks: a bitmap of free ones and a reference count for each.
// Flow: chunk_writer acquires -> references travel with send nodes -> whoever drops the last one frees.
// Thread: any.

import { type Arena, POISON } from './arena.ts'
import { add, compareExchange, load, or, store, sub } from './atomics.ts'

/**
 * Charged when a chunk is opened, settled when it is retired, so that a slice costs no atomic when it is
 * made; chunk_writer charges again before half of it is used. Large enough that this is rare.
 */
export const OPEN_CHARGE = 1 << 24

export class ChunkPool {
  readonly #words: Int32Array
  readonly #bitmapAt: number
  readonly #refsAt: number
  readonly #bitmapWords: number
  /** Null: chunks are left as they are. */
  readonly #poisoned: Uint8Array | null
  readonly #byteAt: number
  readonly #chunkBytes: number
  #hint = 0

  constructor(arena: Arena) {
    this.#words = arena.words
    this.#bitmapAt = arena.plan.chunkBitmapAt
    this.#refsAt = arena.plan.chunkRefsAt
    this.#poisoned = arena.plan.poison ? arena.bytes : null
    this.#byteAt = arena.plan.chunkByteAt
    this.#chunkBytes = arena.plan.chunkBytes
    this.#bitmapWords = Math.ceil(arena.plan.chunkCount / 32)
    // Threads start to look in different places, so that they seldom meet in one word.
    this.#hint = (arena.thread * 7) % this.#bitmapWords
  }

  /** Index of a chunk, charged with OPEN_CHARGE references; -1 when none is free. */
  acquire(): number {
    const words = this.#words
    for (let looked = 0; looked < this.#bitmapWords; looked++) {
      const index = this.#bitmapAt + this.#hint
      // order: seq_cst; pairs with free's or [CHUNK-1]. A bit is a value, not a pointer: no ABA.
      let free = load(words, index)
      while (free !== 0) {
        const bit = free & -free
        const seen = compareExchange(words, index, free, free & ~bit)
        if (seen === free) {
          const chunk = this.#hint * 32 + (31 - Math.clz32(bit))
          store(words, this.#refsAt + chunk, OPEN_CHARGE)
          return chunk
        }
        free = seen
      }
      this.#hint = this.#hint + 1 === this.#bitmapWords ? 0 : this.#hint + 1
    }
    return -1
  }

  /** Adds references; the caller holds one, or the chunk is open in this thread. */
  retain(chunk: number, count: number): void {
    add(this.#words, this.#refsAt + chunk, count)
  }

  /** Drops references; the last one frees the chunk, exactly once [CHUNK-2]. */
  release(chunk: number, count: number): void {
    if (sub(this.#words, this.#refsAt + chunk, count) === count) this.#free(chunk)
  }

  /** Ends the charge of acquire: `given` slices are out and drop their own references. */
  retire(chunk: number, given: number): void {
    this.release(chunk, OPEN_CHARGE - given)
  }

  #free(chunk: number): void {
    const start = this.#byteAt + chunk * this.#chunkBytes
    // Before the bit: from there on it is somebody else's.
    this.#poisoned?.fill(POISON, start, start + this.#chunkBytes)
    or(this.#words, this.#bitmapAt + (chunk >>> 5), 1 << (chunk & 31))
  }

  /** Free chunks, counted now; for monitoring and tests. */
  freeCount(): number {
    let count = 0
    for (let i = 0; i < this.#bitmapWords; i++) {
      for (let bits = load(this.#words, this.#bitmapAt + i); bits !== 0; bits &= bits - 1) count++
    }
    return count
  }
}
