// What: models of the lock: one holder at a time, sleepers that are woken, a holder that ends.
// Flow: lock -> this -> protocols.test.ts.
// Thread: a model's threads.

import { store } from '../../../src/shared/atomics.ts'
import { Lock } from '../../../src/shared/lock.ts'
import type { Scenario } from '../explore.ts'
import { check, waitWhile } from '../ops.ts'

const LOCK = 0
/** Changed under the lock only, by plain accesses: the model sees a race where two threads have it. */
const CONTENTS = 1
/** Not 0: the thread that had the lock has ended. */
const IS_LOST = 2

function lock(name: string, rounds: readonly number[], spins: number): Scenario {
  const words = new Int32Array(8)
  const total = rounds.reduce((sum, count) => sum + count, 0)
  return {
    name,
    invariants: ['LOCK-1', 'LOCK-2'],
    words,
    build() {
      words.fill(0)
      const order: number[] = []
      const work = (thread: number) => {
        const held = new Lock(words, LOCK, thread, spins)
        for (let i = 0; i < rounds[thread]; i++) {
          held.acquire()
          const before = words[CONTENTS]
          check(before === order.length, 'LOCK-1: who has the lock sees what all others wrote')
          words[CONTENTS] = before + 1
          order.push(thread)
          held.release()
        }
      }
      const threads: Record<string, () => void> = {
        first() {
          work(0)
        },
        second() {
          work(1)
        },
      }
      if (rounds.length > 2) {
        threads.third = () => {
          work(2)
        }
      }
      return {
        threads,
        outcome: () => order.join(),
        check() {
          check(words[LOCK] === 0, 'LOCK-1: nobody has it')
          check(words[CONTENTS] === total, 'LOCK-1: nothing is lost')
        },
      }
    },
  }
}

function lost(name: string, others: number): Scenario {
  const words = new Int32Array(8)
  return {
    name,
    invariants: ['LOCK-2', 'LOCK-3'],
    words,
    build() {
      words.fill(0)
      let entered = 0
      const work = (thread: number) => {
        const held = new Lock(words, LOCK, thread, 0)
        held.acquire()
        entered++
        held.release()
      }
      const threads: Record<string, () => void> = {
        lost() {
          new Lock(words, LOCK, 3, 0).acquire()
          store(words, IS_LOST, 1)
        },
        main() {
          const held = new Lock(words, LOCK, 0)
          // Threads that live keep what they have.
          held.releaseLost(7)
          waitWhile(words, IS_LOST, 0)
          held.releaseLost(3)
        },
        first() {
          work(1)
        },
      }
      if (others > 1) {
        threads.second = () => {
          work(2)
        }
      }
      return {
        threads,
        outcome: () => `${entered}`,
        check() {
          check(words[LOCK] === 0, 'LOCK-3: the lock of a lost thread is given back')
          check(entered === others, 'LOCK-2: who waits for it gets it')
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  lock('lock: two threads, two rounds', [2, 2], 0),
  lock('lock: two threads that try before they sleep', [1, 1], 1),
  lock('lock: three threads', [1, 1, 1], 0),
  lost('lock: a holder that ends', 1),
]
