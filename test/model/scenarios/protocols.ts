// What: models of the protocol table: threads register, others learn of an index and read the record.
// Flow: protocol_table, world.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import type { Framing } from '../../../src/framing/framing.ts'
import {
  CONTROL_PROTOCOL_COUNT,
  LISTENERS_MAX,
  PROTOCOL_PUBLISHED,
  PROTOCOL_WORDS,
} from '../../../src/layout/layout.ts'
import { load, store } from '../../../src/shared/atomics.ts'
import { ProtocolTable } from '../../../src/shared/protocol_table.ts'
import type { Scenario } from '../explore.ts'
import { check, waitWhile } from '../ops.ts'
import { World } from '../world.ts'

/** Told apart by the bytes that they add. Written out: what builds them has names that suspend in models. */
const FRAMINGS: readonly Framing[] = [
  {
    kind: 'length-prefix',
    bytes: 4,
    endian: 'big',
    offset: 0,
    includesHeader: false,
    maxPayloadLength: 9,
  },
  { kind: 'delimiter', bytes: [97, 98, 99, 100, 101, 102], strip: true, maxPayloadLength: 7 },
]

const recordOf = (framing: Framing) => ({
  framing,
  maxPayloadLength: framing.kind === 'raw' ? 0 : (framing.maxPayloadLength ?? 0),
  resetOnClose: true,
  noDelay: true,
  sendBufferBytes: 5,
  receiveBufferBytes: 6,
})

const textOf = (value: unknown) => JSON.stringify(value)

/**
 * Two threads register while a third reads what is there. `isTold`: it learns of an index by a word of its own, as by a
 * session; else by looking at the table.
 */
function registering(name: string, isTold: boolean): Scenario {
  const world = new World({ workers: 2 })
  const { words } = world
  return {
    name,
    invariants: ['PROTOCOL-1', 'PROTOCOL-2'],
    words,
    build() {
      world.reset()
      const tables = [0, 1, 2].map((thread) => new ProtocolTable(world.arena(thread), []))
      const got: number[] = []
      const add = (at: number) => {
        got[at] = tables[at + 1].register(recordOf(FRAMINGS[at]))
        if (isTold) store(words, world.outside(at), got[at] + 1)
      }
      const { protocolsAt } = world.arena(0).plan
      const read: string[] = []
      return {
        threads: {
          first() {
            add(0)
          },
          second() {
            add(1)
          },
          reader() {
            for (let at = 0; at < FRAMINGS.length; at++) {
              const told = isTold
                ? world.outside(at)
                : protocolsAt + at * PROTOCOL_WORDS + PROTOCOL_PUBLISHED
              waitWhile(words, told, 0)
              const index = isTold ? load(words, told) - 1 : at
              tables[0].encoderOf(index)
              read[index] = textOf(tables[0].recordOf(index))
            }
          },
        },
        outcome: () => got.join(),
        check() {
          check(got.toSorted().join() === '0,1', 'PROTOCOL-1: each has an index of its own')
          for (const [at, index] of got.entries()) {
            const wanted = textOf(recordOf(FRAMINGS[at]))
            check(read[index] === wanted, 'PROTOCOL-2: a reader sees what was registered')
          }
        },
      }
    },
  }
}

/** One place is left for two threads. */
function full(): Scenario {
  const world = new World({ workers: 2 })
  const { words } = world
  return {
    name: 'protocols: two threads, one place left',
    invariants: ['PROTOCOL-1'],
    words,
    build() {
      world.reset()
      words[CONTROL_PROTOCOL_COUNT] = LISTENERS_MAX - 1
      const got: number[] = []
      const add = (at: number) => {
        const table = new ProtocolTable(world.arena(at + 1), [])
        got.push(table.register(recordOf(FRAMINGS[at])))
        got.push(table.register(recordOf(FRAMINGS[at])))
      }
      return {
        threads: {
          first() {
            add(0)
          },
          second() {
            add(1)
          },
        },
        check() {
          const indices = got.filter((index) => index !== -1)
          check(indices.join() === `${LISTENERS_MAX - 1}`, 'PROTOCOL-1: one got the last place')
          check(
            words[CONTROL_PROTOCOL_COUNT] <= LISTENERS_MAX + 2,
            'PROTOCOL-1: a thread that found no room does not ask again',
          )
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  registering('protocols: two threads register, a third looks at the table', false),
  registering('protocols: two threads register and tell a third', true),
  full(),
]
