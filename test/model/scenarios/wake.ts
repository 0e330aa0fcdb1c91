// What: models of a thread that goes to sleep while others push to it and wake it.
// Flow: waker, link_stack, native.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import {
  SESSION_FLUSH_LINK,
  THREAD_FLUSH_HEAD,
  THREAD_PARKED,
  THREAD_RELEASE_HEAD,
  THREAD_REQUEST_HEAD,
} from '../../../src/layout/layout.ts'
import { push, takeAll } from '../../../src/shared/link_stack.ts'
import type { Scenario } from '../explore.ts'
import { ModelDriver, NativeLoop } from '../native.ts'
import { check } from '../ops.ts'
import { World } from '../world.ts'

const HEADS = [THREAD_FLUSH_HEAD, THREAD_RELEASE_HEAD, THREAD_REQUEST_HEAD]

/** Per producer: the stacks that it pushes on; one wake-up follows all of its pushes, or each one. */
function wake(name: string, pushes: readonly (readonly number[])[], isEach: boolean): Scenario {
  const world = new World({ workers: 2, sessionsPerWorker: 4 })
  const { words } = world
  return {
    name,
    invariants: ['WAKE-1', 'WAKE-2'],
    words,
    build() {
      world.reset()
      const arena = world.arena(1)
      const block = arena.threadAt(1)
      const driver = new ModelDriver(world, 1, world.outside(0), () => {})
      const native = new NativeLoop(world, 1, driver)
      let taken = 0
      const produce = (producer: number, thread: number) => {
        const { waker } = world.thread(thread)
        let slot = producer * 4
        for (const stack of pushes[producer]) {
          const link = arena.sessionAt(slot) + SESSION_FLUSH_LINK
          push(words, block + HEADS[stack], link, slot + 1)
          waker.mark(1)
          if (isEach) waker.flush()
          slot++
        }
        waker.flush()
      }
      const threads: Record<string, () => void> = {
        first() {
          produce(0, 0)
        },
      }
      if (pushes.length > 1) {
        threads.second = () => {
          produce(1, 2)
        }
      }
      return {
        threads,
        daemons: {
          sleeper() {
            for (;;) {
              native.sleepOrLook()
              native.checkAwake()
              for (const head of HEADS) {
                let entry = takeAll(words, block + head)
                while (entry !== 0) {
                  taken++
                  entry = words[arena.sessionAt(entry - 1) + SESSION_FLUSH_LINK]
                }
              }
            }
          },
        },
        outcome: () => String(taken),
        check() {
          for (const head of HEADS)
            check(words[block + head] === 0, 'WAKE-2: a thread with work does not sleep')
          const total = pushes.reduce((sum, stacks) => sum + stacks.length, 0)
          check(taken === total, 'WAKE-1: everything that was published is taken')
          check(
            world.signals <= native.parks,
            'WAKE-1: one signal for a thread that says it sleeps',
          )
          check(words[block + THREAD_PARKED] === 1, 'WAKE-1: it says that it sleeps')
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  wake('wake: one producer, one wake-up', [[0]], false),
  wake('wake: one producer, each stack', [[0, 1, 2]], true),
  wake('wake: one producer, one wake-up for two pushes', [[0, 0]], false),
  wake('wake: two producers', [[0], [1]], false),
]
