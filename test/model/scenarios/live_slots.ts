// What: models of live slots: sessions that come and go, and threads that look for those that they were told of.
// Flow: live_slots, session_table, io_count -> this -> protocols.test.ts.
// Thread: a model's threads.

import { SESSION_GENERATION, SESSION_IO_COUNT, SESSION_STATE } from '../../../src/layout/layout.ts'
import { load, store } from '../../../src/shared/atomics.ts'
import { open, release } from '../../../src/shared/io_count.ts'
import { LiveSlots } from '../../../src/shared/live_slots.ts'
import type { Scenario } from '../explore.ts'
import { check, waitWhile } from '../ops.ts'
import { World } from '../world.ts'

const OPEN = 1
const OVER = 0

/** Of two sessions of one word one comes and goes; one thread looks for them, another one sends to them. */
function looks(isLooked: boolean): Scenario {
  const world = new World({ workers: 2, sessionsPerWorker: 2 })
  const { words } = world
  return {
    name: `live slots: two sessions, one that sends${isLooked ? ', one that looks' : ''}`,
    invariants: ['LIVE-1', 'LIVE-2'],
    words,
    build() {
      world.reset()
      const { arena } = world.thread(1)
      const slots = new LiveSlots(arena)
      const at = (slot: number) => arena.sessionAt(slot)
      const told = (slot: number) => world.outside(slot)
      const comes = (slot: number) => {
        open(words, at(slot) + SESSION_IO_COUNT)
        slots.occupy(slot)
        store(words, at(slot) + SESSION_STATE, OPEN)
        store(words, told(slot), 1)
      }
      const goes = (slot: number) => {
        store(words, at(slot) + SESSION_STATE, OVER)
        if (!release(words, at(slot) + SESSION_IO_COUNT)) waitWhile(words, told(slot), 1)
        slots.vacate(slot)
        store(words, at(slot) + SESSION_GENERATION, words[at(slot) + SESSION_GENERATION] + 1)
      }
      const seen: string[] = []
      const look = (): number => {
        // What it was told of before it looks, it finds; the first one stays.
        const mustBe = load(words, told(0))
        const bits = slots.bits(1, 0)
        check((bits & 1) >= mustBe, 'LIVE-1: a session that a thread was told of is seen')
        check(slots.bits(2, 0) === 0, 'LIVE-2: words are of one worker each')
        return bits
      }
      const broadcast = () => {
        const { table } = world.thread(2)
        const bits = look()
        for (let slot = 0; slot < 2; slot++) {
          if ((bits & (1 << slot)) === 0) continue
          if (load(words, at(slot) + SESSION_STATE) !== OPEN || !table.pinOpen(slot)) continue
          seen.push(`${slot}`)
          // The last pin tells the owner, whose stack is no matter here.
          if (release(words, at(slot) + SESSION_IO_COUNT)) store(words, told(slot), 2)
        }
      }
      const threads: Record<string, () => void> = {
        owner() {
          comes(0)
          comes(1)
          goes(1)
        },
        broadcaster() {
          broadcast()
        },
      }
      if (isLooked) {
        threads.looker = () => {
          look()
        }
      }
      return {
        threads,
        outcome: () => seen.join(),
        check() {
          check(slots.bits(1, 0) === 1, 'LIVE-1: a bit is set as long as its slot has a session')
        },
      }
    },
  }
}

export const scenarios: Scenario[] = [looks(false), looks(true)]
