// What: consumer half of a worker's completion ring.
// Flow: native/shared/completion_ring.h -> this -> dispatcher.
// Thread: the worker.

import {
  COMPLETION_WORDS,
  THREAD_COMPLETION_HEAD,
  THREAD_COMPLETION_TAIL,
} from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'
import { load, store } from '../shared/atomics.ts'

export class CompletionRing {
  readonly words: Int32Array
  readonly #at: number
  readonly #mask: number
  readonly #headAt: number
  readonly #tailAt: number
  #head = 0
  #tail = 0

  constructor(arena: Arena) {
    this.words = arena.words
    const { completionCapacity, completionsAt } = arena.plan
    this.#at = completionsAt + (arena.thread - 1) * completionCapacity * COMPLETION_WORDS
    this.#mask = completionCapacity - 1
    const block = arena.threadAt(arena.thread)
    this.#headAt = block + THREAD_COMPLETION_HEAD
    this.#tailAt = block + THREAD_COMPLETION_TAIL
  }

  /** First word of the oldest completion; -1 when there is none. Valid until the next call. */
  next(): number {
    if (this.#head === this.#tail) {
      // What was handled so far is given back in one store. order: pairs with the producer's space() [COMPLETION-2]
      store(this.words, this.#headAt, this.#head)
      // order: pairs with the producer's commit() [COMPLETION-1]; read once per batch
      this.#tail = load(this.words, this.#tailAt)
      if (this.#head === this.#tail) return -1
    }
    const at = this.#at + (this.#head & this.#mask) * COMPLETION_WORDS
    this.#head = (this.#head + 1) | 0
    return at
  }
}
