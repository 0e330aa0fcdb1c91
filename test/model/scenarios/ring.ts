// What: models of a completion ring between a native producer and its worker, as if on two threads.
// Flow: completion_ring, native.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import { CompletionRing } from '../../../src/inbound/completion_ring.ts'
import {
  COMPLETION_KIND,
  COMPLETION_RESULT,
  COMPLETION_SLOT,
  COMPLETION_STATUS,
  COMPLETION_WORDS,
  CompletionKind,
  THREAD_COMPLETION_HEAD,
  THREAD_COMPLETION_TAIL,
} from '../../../src/layout/layout.ts'
import type { Scenario } from '../explore.ts'
import { RingProducer } from '../native.ts'
import { check, waitWhile } from '../ops.ts'
import { World } from '../world.ts'

/** `batches`: how many completions each commit publishes; `from`: where the counters stand. */
function ring(name: string, batches: readonly number[], from: number): Scenario {
  const world = new World({ completionCapacity: 2 })
  const { words } = world
  const total = batches.reduce((sum, count) => sum + count, 0)
  return {
    name,
    invariants: ['COMPLETION-1', 'COMPLETION-2', 'COMPLETION-3'],
    words,
    build() {
      world.reset()
      const arena = world.arena(1)
      const block = arena.threadAt(1)
      const producer = new RingProducer(world, 1)
      const consumer = new CompletionRing(arena)
      const got: number[] = []
      for (let n = 0; n < from; n++) {
        producer.claim({ kind: CompletionKind.SEND, slot: 0, generation: 0 })
        producer.commit()
        check(consumer.next() !== -1 && consumer.next() === -1, 'one is there')
      }
      return {
        threads: {
          driver() {
            let value = 1
            for (const count of batches) {
              for (let i = 0; i < count; i++) {
                // The rest stays with the kernel until there is room.
                if (producer.space() === 0) {
                  producer.commit()
                  waitWhile(words, producer.headAt, words[block + THREAD_COMPLETION_TAIL] - 2)
                }
                producer.claim({
                  kind: CompletionKind.SEND,
                  slot: value,
                  generation: 1,
                  status: 0,
                  result: value * 10,
                })
                value++
              }
              producer.commit()
            }
          },
          worker() {
            let tail = from
            while (got.length < total) {
              waitWhile(words, block + THREAD_COMPLETION_TAIL, tail)
              for (let at = consumer.next(); at !== -1; at = consumer.next()) {
                const entry = got.length + 1
                check(
                  words[at + COMPLETION_KIND] === CompletionKind.SEND,
                  'COMPLETION-5: a kind of the schema',
                )
                check(
                  words[at + COMPLETION_SLOT] === entry &&
                    words[at + COMPLETION_RESULT] === entry * 10 &&
                    words[at + COMPLETION_STATUS] === 0,
                  'COMPLETION-1: entries come whole and in order',
                )
                check((at - arena.plan.completionsAt) % COMPLETION_WORDS === 0, 'an entry')
                got.push(words[at + COMPLETION_SLOT])
              }
              tail = from + got.length
            }
          },
        },
        outcome: () => got.join(),
        check() {
          check(got.length === total, 'COMPLETION-2: each entry was taken once')
          check(
            words[block + THREAD_COMPLETION_HEAD] === from + total,
            'COMPLETION-2: all were given back',
          )
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  ring('completion ring: one by one, two', [1, 1], 0),
  ring('completion ring: one by one, more than it holds', [1, 1, 1], 0),
  ring('completion ring: batches, more than it holds', [2, 1, 2], 1),
]
