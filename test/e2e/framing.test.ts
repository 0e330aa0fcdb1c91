// What: every framing, cut and joined in every way that TCP may, is echoed exactly.
// Flow: node:net clients -> servers with a listener per framing -> framing_echo.mjs -> clients.
// Thread: the test's; the servers' workers.

import { delimiter, type Framing, lengthPrefix, raw } from 'overlapped'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { Client, disconnectAfterEach, pattern } from '../helpers/e2e_client.ts'
import {
  handler,
  listenOnly,
  startServer,
  stopAfterEach,
  type TestServer,
} from '../helpers/e2e_server.ts'

const MIB = 2 ** 20
/** More than what a turn's receive buffers of one session hold. */
const SEGMENTS = 120
const MANY = 4000
/** Longest payload that the package allows; framing.ts. */
const LIMIT = 16 * MIB

/** A framing with a codec of its own, made here from what the framing means. */
interface Case {
  readonly name: string
  readonly framing: Framing
  /** Longest payload received. */
  readonly max: number
  /** Longest payload that can be sent. */
  readonly sendMax: number
  /** A payload as a client sends it; `fill` goes where the server must not look. */
  wrap(payload: Uint8Array, fill?: number): Buffer
  /** What the handler gets of it. */
  seen(payload: Uint8Array): Buffer
  /** What the server sends for a payload of the handler's own. */
  answer(payload: Uint8Array): Buffer
}

function lengthPrefixCase(
  bytes: 1 | 2 | 4,
  endian: 'little' | 'big',
  offset: number,
  includesHeader: boolean,
): Case {
  const header = offset + bytes
  const says = 2 ** (8 * bytes) - 1 - (includesHeader ? header : 0)
  const max = bytes === 4 ? MIB : says
  const wrap = (payload: Uint8Array, fill = 0) => {
    const head = Buffer.alloc(header, fill)
    const length = payload.length + (includesHeader ? header : 0)
    if (endian === 'little') head.writeUIntLE(length, offset, bytes)
    else head.writeUIntBE(length, offset, bytes)
    return Buffer.concat([head, payload])
  }
  return {
    name: `lengthPrefix ${bytes} ${endian} offset ${offset}${includesHeader ? ' with header' : ''}`,
    framing: lengthPrefix({ bytes, endian, offset, includesHeader, maxPayloadLength: max }),
    max,
    sendMax: Math.min(says, LIMIT),
    wrap,
    seen: (payload) => Buffer.from(payload),
    answer: (payload) => wrap(payload),
  }
}

function delimiterCase(text: string, strip: boolean): Case {
  const end = Buffer.from(text)
  const wrap = (payload: Uint8Array) => Buffer.concat([payload, end])
  return {
    name: `delimiter ${JSON.stringify(text)}${strip ? '' : ' kept'}`,
    framing: delimiter({ bytes: text, strip, maxPayloadLength: MIB }),
    max: MIB,
    sendMax: LIMIT,
    wrap,
    seen: (payload) => (strip ? Buffer.from(payload) : wrap(payload)),
    answer: (payload) => (strip ? wrap(payload) : Buffer.from(payload)),
  }
}

const cases: Case[] = []
for (const bytes of [1, 2, 4] as const) {
  for (const endian of ['little', 'big'] as const) {
    for (const offset of [0, 3]) {
      for (const includesHeader of [false, true]) {
        cases.push(lengthPrefixCase(bytes, endian, offset, includesHeader))
      }
    }
  }
}
for (const text of ['\n', '\r\n']) {
  for (const strip of [true, false]) cases.push(delimiterCase(text, strip))
}

/** A payload without anything that a framing or the handler takes for something else. */
function payload(length: number, seed = 1): Buffer {
  const bytes = pattern(length, seed)
  for (let at = 0; at < length; at++) bytes[at] = 64 + (bytes[at] & 127)
  return bytes
}

/** Bytes in pieces, each of which the server has received before the next is sent. */
async function writePieces(test: TestServer, client: Client, bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) {
    const before = test.count('bytesIn')
    const piece = bytes.subarray(at, at + size)
    client.write(piece)
    await test.until(
      'the piece to be received',
      () => test.count('bytesIn') >= before + piece.length,
    )
  }
}

const memories = [
  { receiveBufferSize: 16_384, chunkBytes: 65_536 },
  { receiveBufferSize: 512, chunkBytes: 4096 },
]

disconnectAfterEach()
stopAfterEach()

describe.each(drivers)('%s', (driver) => {
  describe.each(memories)('receive buffers of $receiveBufferSize', (memory) => {
    let test: TestServer

    beforeAll(async () => {
      test = await listenOnly({
        driver,
        ...memory,
        handler: handler('framing_echo'),
        listeners: [
          ...cases.map(({ framing }, at) => ({ name: `case${at}`, framing, port: 0 })),
          { name: 'raw', framing: raw(), port: 0 },
        ],
        maxBackpressure: 4 * MIB,
      })
    })
    afterAll(() => test.stop(0))

    describe.each(cases)('$name', (framed) => {
      const { wrap, answer, seen, max, sendMax } = framed
      const connect = () => Client.connect(test.port(`case${cases.indexOf(framed)}`))

      async function expectEchoes(client: Client, payloads: readonly Buffer[]) {
        const expected = Buffer.concat(payloads.map((each) => answer(seen(each))))
        expect((await client.take(expected.length)).equals(expected)).toBe(true)
      }

      it('hands over the payload, and nothing else', async () => {
        const client = await connect()
        const question = Buffer.from('?ab')
        client.write(wrap(question, 0xff))
        const given = seen(question)
        const expected = answer(Buffer.from(`${given.length}:${given.toString('hex')}`))
        expect(await client.take(expected.length)).toEqual(expected)
      })

      it('echoes messages of all sizes, whatever stands before the length', async () => {
        const client = await connect()
        const payloads = [1, 2, 3, 31, 32, 100, 200, 240].map((size) => payload(size, size))
        for (const each of payloads) {
          client.write(wrap(each, 0xff))
          await expectEchoes(client, [each])
        }
        client.write(Buffer.concat(payloads.map((each) => wrap(each, 0xff))))
        await expectEchoes(client, payloads)
        expect(client.length).toBe(0)
      })

      it('takes bytes one at a time', async () => {
        const client = await connect()
        const payloads = [1, 0, 20, 7].map((size) => payload(size, size + 1))
        await writePieces(test, client, Buffer.concat(payloads.map((each) => wrap(each))), 1)
        await expectEchoes(client, payloads)
      })

      it('takes thousands of messages in one write', async () => {
        const client = await connect()
        const payloads = Array.from({ length: MANY }, (_, at) => payload(at % 9, at + 1))
        client.write(Buffer.concat(payloads.map((each) => wrap(each))))
        await expectEchoes(client, payloads)
      })

      it('puts a message together from more than a hundred segments', async () => {
        const client = await connect()
        const payloads = [payload(max, 7), payload(5, 8)]
        const bytes = Buffer.concat(payloads.map((each) => wrap(each)))
        await writePieces(test, client, bytes, Math.floor(bytes.length / SEGMENTS))
        await expectEchoes(client, payloads)
      })

      it('takes empty payloads', async () => {
        const client = await connect()
        const payloads = [0, 0, 3, 0, 0].map((size) => payload(size))
        client.write(Buffer.concat(payloads.map((each) => wrap(each))))
        await expectEchoes(client, payloads)
      })

      it('takes the longest payloads allowed, back to back', async () => {
        const client = await connect()
        const payloads = [payload(max, 3), payload(max - 1, 4), payload(1, 5)]
        client.write(Buffer.concat(payloads.map((each) => wrap(each))))
        await expectEchoes(client, payloads)
      })

      it('refuses to send more than it can say', async () => {
        const client = await connect()
        client.write(wrap(Buffer.from(`!${sendMax + 1}`)))
        const expected = answer(Buffer.from('ERR_PAYLOAD_TOO_LONG'))
        expect((await client.take(expected.length)).toString()).toBe(expected.toString())
        client.write(wrap(payload(9)))
        await expectEchoes(client, [payload(9)])
      })
    })

    describe('raw', () => {
      it('echoes a stream exactly, in the pieces that came', async () => {
        const client = await Client.connect(test.port('raw'))
        const stream = payload(3 * MIB, 5)
        client.write(stream)
        expect((await client.take(stream.length)).equals(stream)).toBe(true)
      })

      it('hands over single bytes', async () => {
        const client = await Client.connect(test.port('raw'))
        const bytes = payload(50, 9)
        await writePieces(test, client, bytes, 1)
        expect(await client.take(bytes.length)).toEqual(bytes)
      })
    })
  })

  it('gives each listener its own framing and handler', async () => {
    const test = await startServer({
      driver,
      handler: handler('framing_echo'),
      listeners: [
        { name: 'lines', port: 0, framing: delimiter() },
        { name: 'named', port: 0, framing: lengthPrefix(), handler: handler('framing_name') },
        {
          name: 'other',
          port: 0,
          framing: delimiter({ bytes: '\r\n' }),
          handler: handler('framing_name'),
        },
        { name: 'raw', port: 0, framing: raw() },
      ],
    })
    const says: Record<string, [string, string]> = {
      lines: ['\0\x03a\r\n', '\0\x03a\r\n'],
      named: ['\0\x02a\n', '\0\x0dname named a\n'],
      other: ['a\nb\r\n', 'name other a\nb\r\n'],
      raw: ['\0\x02', '\0\x02'],
    }
    const clients = await Promise.all(
      Object.keys(says).map((name) => Client.connect(test.port(name))),
    )
    for (let round = 0; round < 3; round++) {
      for (const [at, [said]] of Object.values(says).entries()) clients[at].write(said)
      for (const [at, [, expected]] of Object.values(says).entries()) {
        expect((await clients[at].take(expected.length)).toString()).toBe(expected)
      }
    }
  })
})
