// What: references that send nodes hold on what they send from: chunks, and receive buffers of this worker.
// Flow: sender, send buffers (retain) -> this -> pool of chunks, receive buffers; dropped ones of a chunk are settled together.
// Thread: one instance per thread.

import { NODE_BLOCK } from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'
import type { NodePool } from '../shared/node_pool.ts'
import type { ChunkWriter } from './chunk_writer.ts'

/** In place of a block. */
export const NO_BLOCK = -1

/** Blocks of receive buffers are named -2 - index, chunks by their index; -1 is no block. */
export function receiveBufferBlock(buffer: number): number {
  return -2 - buffer
}

/** Receive buffers of this thread, which only workers have. */
export interface ReceiveBuffers {
  /** Takes a reference on a receive buffer of this worker. */
  retainReceiveBuffer(buffer: number): void
  /** Drops one. */
  releaseReceiveBuffer(buffer: number): void
}

export class References {
  readonly #words: Int32Array
  readonly #nodes: NodePool
  readonly #writer: ChunkWriter
  /** Somebody settles later: a turn. A thread without one does it at once. */
  readonly #hasTurn: boolean
  #buffers: ReceiveBuffers | null = null
  /** References to one chunk that were dropped and not yet settled: one atomic for many. */
  #dropChunk = -1
  #dropCount = 0

  constructor(arena: Arena, nodes: NodePool, writer: ChunkWriter, hasTurn: boolean) {
    this.#words = arena.words
    this.#nodes = nodes
    this.#writer = writer
    this.#hasTurn = hasTurn
  }

  /** Who has receive buffers. */
  attach(buffers: ReceiveBuffers): void {
    this.#buffers = buffers
  }

  /** Another reference on a block, for one that release() drops. */
  retain(block: number): void {
    if (block === this.#writer.chunk) this.#writer.give(1)
    else if (block >= 0) this.#writer.pool.retain(block, 1)
    else (this.#buffers as ReceiveBuffers).retainReceiveBuffer(-2 - block)
  }

  /** Drops one; those of chunks are settled in bulk. */
  release(block: number): void {
    if (block < 0) {
      ;(this.#buffers as ReceiveBuffers).releaseReceiveBuffer(-2 - block)
      return
    }
    if (block !== this.#dropChunk) {
      this.settle()
      this.#dropChunk = block
    }
    this.#dropCount++
    if (!this.#hasTurn) this.settle()
  }

  /** Gives back a node, and the reference that it held. */
  releaseNode(node: number): void {
    this.release(this.#words[this.#nodes.at(node) + NODE_BLOCK])
    this.#nodes.free(node)
  }

  /** The same of a list; 0: it is empty. */
  releaseNodes(first: number): void {
    const words = this.#words
    let node = first
    while (node !== 0) {
      const next = words[this.#nodes.at(node)]
      this.releaseNode(node)
      node = next
    }
  }

  /** Settles the references that were dropped since the last time. */
  settle(): void {
    if (this.#dropCount > 0) this.#writer.pool.release(this.#dropChunk, this.#dropCount)
    this.#dropCount = 0
    this.#dropChunk = -1
  }
}
