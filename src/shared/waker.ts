// What: every wake-up of another thread: signals only one that said it sleeps, once per batch.
// Flow: publish (push on a stack) -> this -> the thread's wake descriptor, in its native wait.
// Thread: one instance per thread.

import type { Binding } from '../binding.ts'
import { Counter, THREAD_DOORBELL, THREAD_PARKED } from '../layout/layout.ts'
import type { Arena } from './arena.ts'
import { exchange, load, store } from './atomics.ts'

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

  /** Says that something was published for a thread where only its JavaScript looks, and marks it [BELL-1]. */
  ringBell(thread: number): void {
    // order: after the publish; pairs with answerBell()
    store(this.#arena.words, this.#arena.threadAt(thread) + THREAD_DOORBELL, 1)
    this.mark(thread)
  }

  /** Whether somebody rang; this thread must look at its rings and reply stacks after it [BELL-1]. */
  answerBell(): boolean {
    const bell = this.#arena.threadAt(this.#arena.thread) + THREAD_DOORBELL
    if (load(this.#arena.words, bell) === 0) return false
    // order: before the looks; what is published after them rings again
    store(this.#arena.words, bell, 0)
    return true
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
