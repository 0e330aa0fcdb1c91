// What: protocols through the table: what one thread registers, another one reads; limits and broken tables.
// Flow: this -> ProtocolTable.
// Thread: the test's, as two threads.

import { describe, expect, it } from 'vitest'
import { Encoder } from '../../src/framing/encode.ts'
import {
  delimiter,
  type Framing,
  lengthPrefix,
  maxPayloadLength,
  raw,
} from '../../src/framing/framing.ts'
import {
  CONTROL_PROTOCOL_COUNT,
  LISTENERS_MAX,
  PROTOCOL_FRAMING,
  PROTOCOL_WORDS,
} from '../../src/layout/layout.ts'
import { ProtocolTable } from '../../src/shared/protocol_table.ts'
import { framed } from '../helpers/framed.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

const record = (framing: Framing) => ({
  framing,
  maxPayloadLength: maxPayloadLength(framing),
  resetOnClose: false,
  noDelay: false,
  sendBufferBytes: 0,
  receiveBufferBytes: 0,
})

const framings: Framing[] = [
  raw(),
  ...([1, 2, 4] as const).flatMap((bytes) => [
    lengthPrefix({ bytes }),
    lengthPrefix({ bytes, endian: 'little', offset: 60, maxPayloadLength: 77 }),
    lengthPrefix({ bytes, includesHeader: true, offset: 1 }),
  ]),
  delimiter(),
  delimiter({ bytes: [255, 0, 128], strip: false }),
  delimiter({ bytes: Array.from({ length: 16 }, (_, at) => 255 - at), maxPayloadLength: 5 }),
]

describe('ProtocolTable', () => {
  it('gives every framing to another thread as it was', () => {
    const memory = unitMemory()
    const writer = new ProtocolTable(memory.arena(1), [])
    const reader = new ProtocolTable(memory.arena(2), [])
    const payload = Buffer.from('abc')
    for (const [at, framing] of framings.entries()) {
      expect(writer.register(record(framing))).toBe(at)
      const inForce =
        framing.kind === 'raw'
          ? framing
          : { ...framing, maxPayloadLength: maxPayloadLength(framing) }
      expect(reader.recordOf(at)).toEqual(record(inForce))
      const encoder = reader.encoderOf(at)
      expect(reader.encoderOf(at)).toBe(encoder)
      expect(framed(encoder, payload)).toEqual(framed(new Encoder(framing), payload))
      expect(framed(writer.encoderOf(at), payload)).toEqual(framed(encoder, payload))
    }
  })

  it('gives every option to another thread', () => {
    const memory = unitMemory()
    const writer = new ProtocolTable(memory.arena(1), [])
    const reader = new ProtocolTable(memory.arena(2), [])
    const common = record(lengthPrefix({ maxPayloadLength: 9 }))
    const changes = [
      { resetOnClose: true },
      { noDelay: true },
      { sendBufferBytes: 2 ** 30 - 1 },
      { receiveBufferBytes: 4096 },
    ]
    for (const change of changes) {
      const one = { ...common, ...change }
      expect(reader.recordOf(writer.register(one))).toEqual(one)
    }
  })

  it('begins behind the declared protocols, whose encoders it has', () => {
    const declared = [{ framing: raw() }, { framing: lengthPrefix() }]
    const outbound = declared.map(({ framing }, at) => ({
      name: `declared${at}`,
      framing,
      handler: 'handler.js',
    }))
    const memory = unitMemory({ outbound })
    const encoders = declared.map(({ framing }) => new Encoder(framing))
    const table = new ProtocolTable(memory.arena(1), encoders)
    expect(table.encoderOf(1)).toBe(encoders[1])
    expect(table.likely).toBe(undefined)
    expect(table.register(record(raw()))).toBe(2)
    const only = new ProtocolTable(unitMemory().arena(1), encoders.slice(1))
    expect(only.likely).toBe(encoders[1])
    only.register(record(raw()))
    expect(only.likely).toBe(encoders[1])
  })

  it('has LISTENERS_MAX places, and a count that nobody drives further', () => {
    const memory = unitMemory()
    const threads = [1, 2].map((thread) => new ProtocolTable(memory.arena(thread), []))
    for (let at = 0; at < LISTENERS_MAX; at++)
      expect(threads[at % 2].register(record(raw()))).toBe(at)
    for (let at = 0; at < 10; at++) expect(threads[at % 2].register(record(raw()))).toBe(-1)
    expect(memory.words[CONTROL_PROTOCOL_COUNT]).toBe(LISTENERS_MAX + 2)
    expect(threads[0].recordOf(LISTENERS_MAX - 1).framing).toEqual(raw())
  })

  it('stops at an index that nobody has published, and at a framing that there is not', () => {
    const memory = unitMemory()
    const table = new ProtocolTable(memory.arena(1), [])
    expect(() => table.encoderOf(0)).toThrow('PROTOCOL-2')
    table.register(record(delimiter()))
    const other = new ProtocolTable(memory.arena(2), [])
    memory.words[memory.arena(1).plan.protocolsAt + PROTOCOL_FRAMING] = 9
    expect(() => other.encoderOf(0)).toThrow('PROTOCOL-3')
    expect(PROTOCOL_WORDS % 16).toBe(0)
  })
})
