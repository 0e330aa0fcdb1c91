// What: models of a thread that goes to sleep while others push to it and wake it.
// Flow: waker, link_stack, native.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import {
  SESSION_FLUSH_LINK,
  THREAD_DEAF,
  THREAD_DOORBELL,
  THREAD_FLUSH_HEAD,
  THREAD_NODE_RETURN_HEAD,
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

/** A stack that the native loop does not know, told of by the doorbell; `deafSleeps` before the thread listens. */
function bell(name: string, pushes: readonly number[], deafSleeps: number): Scenario {
  const world = new World({ workers: 2, sessionsPerWorker: 4 })
  const { words } = world
  return {
    name,
    invariants: ['WAKE-1', 'WAKE-2', 'BELL-1', 'BELL-2'],
    words,
    build() {
      world.reset()
      const arena = world.arena(1)
      const block = arena.threadAt(1)
      const stack = block + THREAD_NODE_RETURN_HEAD
      const driver = new ModelDriver(world, 1, world.outside(0), () => {})
      const native = new NativeLoop(world, 1, driver)
      const { waker: own } = world.thread(1)
      let taken = 0
      const produce = (producer: number, thread: number) => {
        const { waker } = world.thread(thread)
        for (let i = 0; i < pushes[producer]; i++) {
          const slot = producer * 4 + i
          push(words, stack, arena.sessionAt(slot) + SESSION_FLUSH_LINK, slot + 1)
          waker.ringBell(1)
          waker.flush()
        }
      }
      const turn = () => {
        if (!own.answerBell()) return
        let entry = takeAll(words, stack)
        while (entry !== 0) {
          taken++
          entry = words[arena.sessionAt(entry - 1) + SESSION_FLUSH_LINK]
        }
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
            for (let i = 0; i < deafSleeps; i++) {
              words[block + THREAD_DEAF] = 1
              native.sleepOrLook()
              words[block + THREAD_DEAF] = 0
              turn()
            }
            for (;;) {
              native.sleepOrLook()
              native.checkAwake()
              turn()
            }
          },
        },
        outcome: () => String(taken),
        check() {
          check(words[stack] === 0, 'BELL-1: what a look missed leaves the doorbell set')
          check(taken === pushes.reduce((sum, count) => sum + count), 'BELL-1: everything is taken')
          check(words[block + THREAD_DOORBELL] === 0, 'WAKE-2: who sleeps has answered its bell')
          check(world.signals <= native.parks, 'BELL-2: nobody signals a thread that is deaf')
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
  bell('wake: a doorbell', [2], 0),
  bell('wake: a doorbell, two producers', [1, 1], 0),
  bell('wake: a doorbell of a thread that is deaf until a tick', [2], 1),
]
