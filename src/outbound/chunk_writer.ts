// What: the thread's open chunk: messages are written behind one another, each slice refers to the chunk.
// Flow: chunk pool -> this -> slices on send nodes.
// Thread: one instance per thread.

import { assert } from '../assert.ts'
import type { Arena } from '../shared/arena.ts'
import { ChunkPool, OPEN_CHARGE } from '../shared/chunk_pool.ts'

export class ChunkWriter {
  readonly pool: ChunkPool
  /** Index of the open chunk; -1 when there is none. */
  chunk = -1
  /** Where the next byte goes, as an arena offset. */
  position = 0
  readonly chunkBytes: number
  readonly #chunkByteAt: number
  #end = 0
  /** References given to slices since the chunk was opened. */
  #given = 0

  constructor(arena: Arena) {
    this.pool = new ChunkPool(arena)
    this.chunkBytes = arena.plan.chunkBytes
    this.#chunkByteAt = arena.plan.chunkByteAt
  }

  /** Room for `bytes` contiguous bytes at `position`; opens another chunk if need be. False: no chunk is free. */
  reserve(bytes: number): boolean {
    if (this.position + bytes <= this.#end) return true
    assert(bytes <= this.chunkBytes, 'CHUNK-3: what is longer than a chunk is cut by the sender')
    const chunk = this.pool.acquire()
    if (chunk === -1) return false
    this.retire()
    this.chunk = chunk
    this.position = this.#chunkByteAt + chunk * this.chunkBytes
    this.#end = this.position + this.chunkBytes
    return true
  }

  /** Bytes left in the open chunk. */
  get room(): number {
    return this.#end - this.position
  }

  /** First byte of a chunk, as an arena offset. */
  chunkStart(chunk: number): number {
    return this.#chunkByteAt + chunk * this.chunkBytes
  }

  /** Accounts references to the open chunk, which their holders will drop one by one. */
  give(count: number): void {
    this.#given += count
    if (this.#given <= OPEN_CHARGE / 2) return
    // A buffer that is sent for ever from a chunk that stays open would use up the charge.
    this.pool.retain(this.chunk, this.#given)
    this.#given = 0
  }

  /** Lets go of the open chunk; it is freed when the last slice is. */
  retire(): void {
    if (this.chunk === -1) return
    this.pool.retire(this.chunk, this.#given)
    this.chunk = -1
    this.#given = 0
    this.position = this.#end = 0
  }
}
