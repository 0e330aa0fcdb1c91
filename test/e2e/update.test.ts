// What: mode update: every byte comes back, each session's content runs in one thread and in order, assign chooses which.
// Flow: node:net clients -> workers -> update.mjs in update threads -> clients, reports.
// Thread: the test's; the servers' workers and update threads.

import { BroadcastChannel } from 'node:worker_threads'
import { delimiter, lengthPrefix, raw, type ServerOptions } from 'overlapped'
import { afterEach, describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { Client, disconnectAfterEach, frame, join, pattern } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'

const MIB = 2 ** 20
const lp4 = lengthPrefix({ bytes: 4, maxPayloadLength: MIB })
const NEWLINE = Buffer.from('\n')
/** Around what is packed, what is lent, what straddles buffers of 4 KiB and of 32 KiB. */
const SIZES = [
  0, 1, 64, 1000, 2047, 2048, 2049, 4091, 4092, 4093, 9000, 0, 32_764, 32_765, 60_000, 5,
]

interface Heard {
  readonly type: string
  readonly thread: number
  readonly listener: string
  readonly host: string
  readonly port: number
  readonly text: string
}

disconnectAfterEach()
stopAfterEach()

const closing: BroadcastChannel[] = []
afterEach(() => {
  for (const channel of closing.splice(0)) channel.close()
})

/** What handler modules say from wherever they run. */
function listen(): Heard[] {
  const heard: Heard[] = []
  const channel = new BroadcastChannel('update.test')
  channel.onmessage = (event) => heard.push((event as { data: Heard }).data)
  closing.push(channel)
  return heard
}

/** Without a byte that is a delimiter. */
function letters(length: number, seed: number): Buffer {
  const bytes = pattern(length, seed)
  for (let at = 0; at < length; at++) bytes[at] |= 64
  return bytes
}

describe.each(drivers)('%s', (driver) => {
  const start = (options: Partial<ServerOptions> = {}) =>
    startServer({
      driver,
      mode: 'update',
      workers: 2,
      handler: handler('update'),
      listeners: ['prefix', 'numbers', 'bad', 'throws', 'refused'].map((name) => ({
        name,
        port: 0,
        framing: lp4,
      })),
      ...options,
    })

  async function expectOrderly(test: TestServer, sessions: number, messages: number) {
    await test.until('every leave', () => test.seen('leave').length >= sessions)
    await test.stop()
    expect(test.seen('join')).toHaveLength(sessions)
    expect(test.seen('leave')).toHaveLength(sessions)
    for (const leave of test.seen('leave')) {
      expect(leave).toMatchObject({ threads: 1, wrong: [], unsent: 0, reason: 'peerClosed' })
      expect(test.seen('join', { id: leave.id })).toMatchObject([{ from: leave.from }])
    }
    const total = test.seen('leave').reduce((sum, leave) => sum + Number(leave.messages), 0)
    expect(total).toBeGreaterThanOrEqual(messages)
  }

  it.each([
    { threads: 1, eager: true, receiveBufferSize: 32_768 },
    { threads: 3, eager: true, receiveBufferSize: 4096 },
    { threads: 1, eager: false, receiveBufferSize: 4096 },
    { threads: 3, eager: false, receiveBufferSize: 32_768 },
  ])(
    'echoes every byte: $threads threads, eager $eager, buffers of $receiveBufferSize',
    async ({ threads, eager, receiveBufferSize }) => {
      const test = await start({
        update: { threads, eager, tickRate: 200 },
        receiveBufferSize,
        receiveBuffers: 64,
        maxBackpressure: 8 * MIB,
        listeners: [
          { name: 'prefix', port: 0, framing: lp4 },
          { name: 'lines', port: 0, framing: delimiter({ maxPayloadLength: MIB }) },
          { name: 'raw', port: 0, framing: raw() },
        ],
      })
      const wraps: Record<string, (payload: Buffer) => Buffer> = {
        prefix: frame,
        lines: (payload) => Buffer.concat([payload, NEWLINE]),
        raw: (payload) => payload,
      }
      const perListener = 8
      const lanes = Object.entries(wraps).flatMap(([listener, wrap], kind) =>
        Array.from({ length: perListener }, async (_, at) => {
          const client = await Client.connect(test.port(listener))
          const stream = Buffer.concat(
            SIZES.map((_, index) => {
              const size = SIZES[(index + at) % SIZES.length]
              return wrap(letters(size, 1 + kind * 1000 + at * 100 + index))
            }),
          )
          client.write(stream)
          expect((await client.take(stream.length)).equals(stream)).toBe(true)
          // The last word is answered although the stream ends right behind it.
          client.socket.end(wrap(letters(77, at + 1)))
          expect(await client.rest()).toEqual(wrap(letters(77, at + 1)))
          expect(client.error).toBe('')
        }),
      )
      await Promise.all(lanes)
      const threadsUsed = new Set(test.seen('join').map(({ from }) => from))
      expect([...threadsUsed].every((name) => name.startsWith('update'))).toBe(true)
      await expectOrderly(test, 3 * perListener, 2 * perListener * (SIZES.length + 1))
    },
  )

  it('lets sessions of one key meet in one thread, and asks workers for keys', async () => {
    const heard = listen()
    const test = await start({ update: { eager: true, threads: 3 } })
    const hosts = Array.from({ length: 12 }, (_, at) => `127.0.0.${at + 2}`)
    for (const localAddress of hosts) {
      for (let at = 0; at < 4; at++) {
        const client = await Client.connect(test.port('prefix'), { localAddress })
        expect(await client.ask('hello')).toBe('hello')
      }
    }
    // An answer may come before the report of the join.
    await test.until('every join', () => test.seen('join').length === 4 * hosts.length)
    const threadsOf = (host: string) => new Set(test.seen('join', { host }).map(({ from }) => from))
    for (const host of hosts) {
      expect(test.seen('join', { host })).toHaveLength(4)
      expect(threadsOf(host).size).toBe(1)
    }
    expect(new Set(hosts.flatMap((host) => [...threadsOf(host)]))).toEqual(
      new Set(['update1', 'update2', 'update3']),
    )
    for (let at = 0; at < 6; at++) {
      const client = await Client.connect(test.port('numbers'))
      const port = client.socket.localPort as number
      const thread = 1 + ((3 - (port % 3)) % 3)
      expect(await test.next('join', { port })).toMatchObject({ from: `update${thread}` })
    }
    const refused = new Client(test.port('refused'))
    await refused.untilClosed()
    await test.until('every worker to have told', () => {
      return heard.filter(({ type }) => type === 'request').length === 55
    })
    await test.until('every key', () => heard.filter(({ type }) => type === 'assign').length === 54)
    const threadsThatAsk = new Set(heard.map(({ thread }) => thread))
    expect(threadsThatAsk).toEqual(new Set([1, 2]))
    expect(test.seen('join', { listener: 'refused' })).toEqual([])
    expect(test.count('refused')).toBe(1)
  })

  it.each([
    ['bad', /assign\(\) failed for listener 'bad'.*assign\(\) returned \d+\.5/],
    ['throws', /assign\(\) failed for listener 'throws'.*nobody knows/],
  ])('reports a wrong key and keeps the session: %s', async (listener, sentence) => {
    const heard = listen()
    const test = await start({ update: { eager: true, threads: 2 } })
    const { client, id } = await join(test, listener)
    for (let at = 0; at < 3; at++) expect(await client.ask(`message ${at}`)).toBe(`message ${at}`)
    await test.until('the report', () => heard.some(({ type }) => type === 'printed'))
    expect(heard.find(({ type }) => type === 'printed')?.text).toMatch(sentence)
    client.end()
    expect(await test.next('leave', { id })).toMatchObject({ messages: 3, reason: 'peerClosed' })
  })
})
