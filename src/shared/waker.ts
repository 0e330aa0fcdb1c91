// What: every wake-up of another thread: signals only one that said it sleeps, once per batch.
// Flow: publish (push on a stack) -> this -> the thread's wake descriptor, in its native wait.
// Thread: one instance per thread.

import type { Binding } from '../binding.ts'
import { Counter, THREAD_PARKED } from '../layout/layout.ts'
import type { Arena } from './arena.ts'
import { exchange } from './atomics.ts'

export class Waker {
  readonly #arena: Arena
  readonly #binding: Pick<Binding, 'signal'>
  readonly #marked: Uint8Array
  readonly #queue: number[] = []

  constructor(arena: Arena, binding: Pick<Binding, 'signal'>) {
    this.#arena = arena
    this.#binding = binding
    this.#marked = new Uint8Array(arena.plan.threadCount)
  }

  /** Notes that something was published for a thread; flush() wakes it. */
  mark(thread: number): void {
    if (this.#marked[thread] !== 0) return
    this.#marked[thread] = 1
    this.#queue.push(thread)
  }

  /** Wakes every marked thread that is parked. */
  flush(): void {
    const { words } = this.#arena
    while (this.#queue.length > 0) {
      const thread = this.#queue.pop() as number
      this.#marked[thread] = 0
      // order: seq_cst; after the publish; pairs with the parking thread's store and re-check [WAKE-1]
      if (exchange(words, this.#arena.threadAt(thread) + THREAD_PARKED, 0) === 1) {
        this.#binding.signal(this.#arena.memories.runtime, thread)
        this.#arena.counters[Counter.WAKES_SENT]++
      }
    }
  }
}
