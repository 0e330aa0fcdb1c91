// What: models of the link stack: producers push while one consumer takes all.
// Flow: link_stack -> this -> protocols.test.ts.
// Thread: a model's threads.

import { push, takeAll } from '../../../src/shared/link_stack.ts'
import type { Scenario } from '../explore.ts'
import { check, waitWhile } from '../ops.ts'

const HEAD = 0
/** An entry's link and contents; entry n is at n * 2. */
const linkOf = (entry: number) => entry * 2
const contentOf = (entry: number) => entry * 2 + 1

function stack(name: string, perProducer: readonly number[]): Scenario {
  const words = new Int32Array(32)
  const total = perProducer.reduce((sum, count) => sum + count, 0)
  return {
    name,
    invariants: ['STACK-1', 'STACK-2'],
    words,
    build() {
      words.fill(0)
      const taken: number[] = []
      let takes = 0
      let retries = 0
      const produce = (producer: number) => {
        for (let i = 0; i < perProducer[producer]; i++) {
          const entry = 1 + producer * 4 + i
          words[contentOf(entry)] = 100 + entry
          retries += push(words, HEAD, linkOf(entry), entry)
        }
      }
      const threads: Record<string, () => void> = {
        consumer() {
          while (taken.length < total) {
            waitWhile(words, HEAD, 0)
            let entry = takeAll(words, HEAD)
            const batch: number[] = []
            while (entry !== 0) {
              check(
                words[contentOf(entry)] === 100 + entry,
                'STACK-1: contents come with the entry',
              )
              batch.push(entry)
              entry = words[linkOf(entry)]
              check(batch.length <= total, 'STACK-2: a list that was taken ends')
            }
            taken.push(...batch.reverse())
            takes++
          }
        },
        first() {
          produce(0)
        },
      }
      if (perProducer.length > 1) {
        threads.second = () => {
          produce(1)
        }
      }
      return {
        threads,
        outcome: () => taken.join(),
        check() {
          check(words[HEAD] === 0, 'STACK-2: all was taken')
          // Each take fails one push of each producer at most, each push one of every other producer.
          const others = perProducer.length - 1
          check(
            retries <= takes * perProducer.length + total * others,
            'STACK-1: a push is repeated only when another operation came between',
          )
          check(taken.length === total, 'STACK-2: each entry was taken once')
          for (let producer = 0; producer < perProducer.length; producer++) {
            const own = taken.filter((entry) => Math.floor((entry - 1) / 4) === producer)
            const wanted = own.toSorted((a, b) => a - b)
            check(own.join() === wanted.join(), 'STACK-2: newest first, so each in its order')
          }
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  stack('stack: one producer, three entries', [3]),
  stack('stack: two producers, one entry each', [1, 1]),
  stack('stack: two producers, two entries each', [2, 2]),
]
