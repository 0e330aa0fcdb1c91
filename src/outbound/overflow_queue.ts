// What: bytes of one session that its socket did not take, copied out of chunks so that those can go.
// Flow: sender (short sends, stalled sessions) -> this -> sender, when the socket is writable again.
// Thread: the session's submitting thread.

import type { Arena } from '../shared/arena.ts'
import { WorkerHeap } from '../shared/worker_heap.ts'

/** Blocks grow with the queue up to this: few slices per gather, little waste for a few bytes. */
const BLOCK_BYTES_MAX = 65_536

interface Block {
  readonly offset: number
  readonly size: number
  start: number
  end: number
}

export class OverflowQueue {
  bytes = 0
  /** Bytes of the heap that its blocks take. */
  heldBytes = 0
  readonly blocks: Block[] = []
  readonly #arena: Arena
  readonly #heap: WorkerHeap

  constructor(arena: Arena, heap: WorkerHeap) {
    this.#arena = arena
    this.#heap = heap
  }

  /** Copies arena bytes to the end of the queue. False: the heap is exhausted; what was copied so far stays. */
  append(offset: number, length: number): boolean {
    let from = offset
    let left = length
    while (left > 0) {
      let tail = this.blocks.at(-1)
      if (tail === undefined || tail.end === tail.offset + tail.size) {
        const size = WorkerHeap.blockBytes(
          Math.min(Math.max(left, this.bytes >> 2), BLOCK_BYTES_MAX),
        )
        const at = this.#heap.allocate(size)
        if (at === -1) return false
        tail = { offset: at, size, start: at, end: at }
        this.blocks.push(tail)
        this.heldBytes += size
      }
      const count = Math.min(left, tail.offset + tail.size - tail.end)
      this.#arena.bytes.copyWithin(tail.end, from, from + count)
      tail.end += count
      from += count
      left -= count
      this.bytes += count
    }
    return true
  }

  /** What another queue holds comes behind; that one is not to be used again. */
  join(behind: OverflowQueue): void {
    this.blocks.push(...behind.blocks)
    this.bytes += behind.bytes
    this.heldBytes += behind.heldBytes
  }

  /** Drops bytes from the front, which were sent. */
  consume(count: number): void {
    this.bytes -= count
    let left = count
    while (left > 0) {
      const block = this.blocks[0]
      const step = Math.min(left, block.end - block.start)
      block.start += step
      left -= step
      if (block.start === block.end) {
        this.#heap.free(block.offset, block.size)
        this.heldBytes -= block.size
        this.blocks.shift()
      }
    }
  }

  /** Frees everything. Nothing of it may be in flight. */
  clear(): void {
    for (const block of this.blocks) this.#heap.free(block.offset, block.size)
    this.blocks.length = 0
    this.bytes = this.heldBytes = 0
  }
}
