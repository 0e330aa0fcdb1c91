// What: send nodes: each thread has its own, in shared words; others hand them back by a stack.
// Flow: producer allocates -> send list -> flag holder frees, to itself or to the producer's return stack.
// Thread: one instance per thread.

import {
  NODE_BLOCK,
  NODE_LENGTH,
  NODE_OFFSET,
  NODE_WORDS,
  THREAD_NODE_RETURN_HEAD,
} from '../layout/layout.ts'
import type { Arena } from './arena.ts'
import { push, takeAll } from './link_stack.ts'

/** A node is named by index + 1, so that 0 can say "none". */
export class NodePool {
  readonly words: Int32Array
  readonly #nodesAt: number
  readonly #perThread: number
  readonly #threadsAt: (thread: number) => number
  readonly #first: number
  readonly #last: number
  #free = 0
  /** Nodes never used so far; the free list is not built before it is needed. */
  #fresh: number

  constructor(arena: Arena) {
    this.words = arena.words
    this.#nodesAt = arena.plan.nodesAt
    this.#perThread = arena.plan.nodesPerThread
    this.#threadsAt = (thread) => arena.threadAt(thread)
    this.#first = arena.thread * this.#perThread + 1
    this.#last = this.#first + this.#perThread - 1
    this.#fresh = this.#first
  }

  /** First word of a node. */
  at(node: number): number {
    return this.#nodesAt + (node - 1) * NODE_WORDS
  }

  /** A node for a slice; 0 when this thread has none left. */
  allocate(offset: number, length: number, block: number): number {
    let node = this.#free
    if (node !== 0) {
      this.#free = this.words[this.at(node)]
    } else if (this.#fresh <= this.#last) {
      node = this.#fresh++
    } else {
      node = this.#takeReturned()
      if (node === 0) return 0
    }
    const at = this.at(node)
    this.words[at + NODE_OFFSET] = offset
    this.words[at + NODE_LENGTH] = length
    this.words[at + NODE_BLOCK] = block
    return node
  }

  /** Gives a node back: to this thread's free list, or to the thread that it belongs to [NODE-1]. */
  free(node: number): void {
    if (node >= this.#first && node <= this.#last) {
      this.words[this.at(node)] = this.#free
      this.#free = node
      return
    }
    const owner = Math.floor((node - 1) / this.#perThread)
    push(this.words, this.#threadsAt(owner) + THREAD_NODE_RETURN_HEAD, this.at(node), node)
  }

  /** Free nodes of this thread, counted now; for tests. */
  freeCount(): number {
    let count = this.#last - this.#fresh + 1
    const thread = Math.floor((this.#first - 1) / this.#perThread)
    const returned = this.words[this.#threadsAt(thread) + THREAD_NODE_RETURN_HEAD]
    for (const first of [this.#free, returned]) {
      for (let node = first; node !== 0; node = this.words[this.at(node)]) count++
    }
    return count
  }

  #takeReturned(): number {
    const thread = Math.floor((this.#first - 1) / this.#perThread)
    const node = takeAll(this.words, this.#threadsAt(thread) + THREAD_NODE_RETURN_HEAD)
    if (node !== 0) this.#free = this.words[this.at(node)]
    return node
  }
}
