// What: models of the I/O count: pins from outside, the last one out, the next session in the same slot.
// Flow: io_count, session_table, worker.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import {
  IO_RELEASED,
  SESSION_GENERATION,
  SESSION_IO_COUNT,
  SESSION_RELEASE_LINK,
  THREAD_RELEASE_HEAD,
} from '../../../src/layout/layout.ts'
import { store } from '../../../src/shared/atomics.ts'
import { open, release, retain } from '../../../src/shared/io_count.ts'
import { takeAll } from '../../../src/shared/link_stack.ts'
import { makeSessionId } from '../../../src/shared/session_id.ts'
import type { Scenario } from '../explore.ts'
import { check, waitWhile } from '../ops.ts'
import { World } from '../world.ts'

/** Generations that the slot has in a schedule: the owner ends each one. */
function pins(name: string, generations: number, pinners: number, tries: number): Scenario {
  const world = new World({ workers: 2 })
  const { words } = world
  return {
    name,
    invariants: ['IOCOUNT-1', 'IOCOUNT-2', 'IOCOUNT-3', 'SESSION-1'],
    words,
    build() {
      world.reset()
      const arena = world.arena(1)
      const at = arena.sessionAt(0)
      const count = at + SESSION_IO_COUNT
      const releaseHead = arena.threadAt(1) + THREAD_RELEASE_HEAD
      words[at + SESSION_GENERATION] = 1
      words[count] = 1
      let ended = 0
      const pinned: string[] = []
      const pin = (thread: number) => {
        const { table, waker } = world.thread(thread)
        for (let i = 0; i < tries; i++) {
          const slot = table.pin(makeSessionId(0, 1))
          if (slot !== -1) {
            // Seen without a step: under the pin it is so in every order.
            check(ended === 0, 'IOCOUNT-2: a session that ended is not pinned')
            check(words[at + SESSION_GENERATION] === 1, 'SESSION-1: an id reaches its own session')
            retain(words, count)
            table.unpin(slot)
            check(ended === 0, 'IOCOUNT-3: a pinned session does not end')
            table.unpin(slot)
            pinned.push(`${thread}`)
          }
          waker.flush()
        }
      }
      const threads: Record<string, () => void> = {
        owner() {
          for (let generation = 1; generation <= generations; generation++) {
            let mine = release(words, count)
            if (!mine) {
              waitWhile(words, releaseHead, 0)
              const entry = takeAll(words, releaseHead)
              check(entry === 1, 'IOCOUNT-3: the slot that ended is handed over')
              check(words[at + SESSION_RELEASE_LINK] === 0, 'IOCOUNT-3: it is handed over once')
              mine = true
            }
            check(words[count] === IO_RELEASED, 'IOCOUNT-2: at the end the count is RELEASED')
            ended++
            if (generation === generations) return
            store(words, at + SESSION_GENERATION, generation + 1)
            open(words, count)
          }
        },
        first() {
          pin(0)
        },
      }
      if (pinners > 1) {
        threads.second = () => {
          pin(2)
        }
      }
      return {
        threads,
        outcome: () => `${ended} ${pinned.join()}`,
        check() {
          check(ended === generations, 'IOCOUNT-3: each session ends once')
          check(words[releaseHead] === 0, 'IOCOUNT-3: nobody else was handed over')
          check(words[count] === IO_RELEASED, 'IOCOUNT-1: nothing is held')
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  pins('I/O count: one thread pins, the slot is used again', 2, 1, 2),
  pins('I/O count: two threads pin, the last one out', 1, 2, 1),
  pins('I/O count: two threads pin, the slot is used again', 2, 2, 1),
]
