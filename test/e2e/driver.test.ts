// What: io_uring and IOCP with each of their ways ruled out, few receive buffers, a full completion queue: nothing is lost.
// Flow: verifying clients -> a raw echo server -> the same bytes.
// Thread: the test's; the server's workers.

import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { lengthPrefix, raw } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { Client } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'

/** Every client sends all of its bytes at once and gets back the same. */
async function echoAll(server: TestServer, clients: number, bytes: number): Promise<void> {
  await Promise.all(
    Array.from({ length: clients }, async () => {
      const client = await Client.connect(server.port())
      const sent = randomBytes(bytes)
      client.write(sent)
      expect((await client.take(bytes)).equals(sent)).toBe(true)
      client.end()
      await client.untilClosed()
    }),
  )
}

const RECEIVE_BUFFER_BYTES = 16_384

const options = {
  receiveBufferSize: RECEIVE_BUFFER_BYTES,
  listeners: [{ port: 0, framing: raw() }],
  handler: handler('blocking_echo'),
  data: { blockMs: 0 },
}

stopAfterEach()

const eachAndAll = <T>(names: readonly T[]) => [
  ...names.map((name) => ({ without: [name] })),
  { without: names },
]

function ruledOut(): void {
  const features = [
    'multishotRecv',
    'multishotAccept',
    'deferTaskrun',
    'registeredRing',
    'skipSuccess',
    'fileTable',
  ] as const
  it.each(eachAndAll(features))('$without', async ({ without }) => {
    const server = await startServer({ ...options, driver: 'io_uring', ioUringWithout: without })
    expect(server.server.info().driverReason).toBe(
      `asked for; ioUringWithout rules out ${without.join(', ')}`,
    )
    await echoAll(server, 40, 100_000)
    await server.until('every session has left', () => server.count('left') === 40)
    expect(server.count('bytesIn')).toBe(4_000_000)
    expect(server.count('bytesOut')).toBe(4_000_000)
  })

  it.each([[], ['deferTaskrun'] as const])('%s and a full completion queue', async (...without) => {
    // A small queue, and buffers for 16,384 completions of bytes that piled up.
    const server = await startServer({
      ...options,
      driver: 'io_uring',
      ioUringWithout: without,
      maxSessions: 100,
      completionBatch: 16,
      receiveBuffers: 16_384,
      receiveBufferSize: 512,
      data: { blockMs: 500 },
    })
    await echoAll(server, 80, 400_000)
    await server.until('every session has left', () => server.count('left') === 80)
    expect(server.count('bytesOut')).toBe(32_000_000)
    if (without.length > 0) expect(server.count('queueOverflows')).toBeGreaterThan(0)
  })
}

function otherWays(): void {
  const ways = ['zeroByteReceive', 'trySend', 'queuedSuccess'] as const
  it.each(eachAndAll(ways))('$without', async ({ without }) => {
    const server = await startServer({ ...options, driver: 'iocp', iocpWithout: without })
    expect(server.server.info().driverReason).toBe(
      `asked for; iocpWithout rules out ${without.join(', ')}`,
    )
    await echoAll(server, 40, 100_000)
    await server.until('every session has left', () => server.count('left') === 40)
    expect(server.count('bytesIn')).toBe(4_000_000)
    expect(server.count('bytesOut')).toBe(4_000_000)
    // Whatever way was taken, it was counted once.
    expect(server.count('sendsInline') + server.count('sendsPending')).toBe(server.count('gathers'))
    const receives = server.count('recvsInline') + server.count('recvsPending')
    expect(receives).toBeGreaterThanOrEqual(Math.ceil(4_000_000 / RECEIVE_BUFFER_BYTES))
    expect(server.count('recvsPending')).toBeGreaterThanOrEqual(40)
  })

  it('peers that do not read, while every send pends: others are served; one reads on, one leaves', async () => {
    const bytes = 8_000_000
    const server = await startServer({
      ...options,
      driver: 'iocp',
      iocpWithout: ['trySend'],
      // The handler echoes whatever send() answers: nothing may be refused.
      maxBackpressure: 2 * bytes,
      // What is given back before its send has completed is overwritten, and the peer compares.
      poison: true,
    })
    const sent = randomBytes(bytes)
    const [reader, leaver] = await Promise.all([
      Client.connect(server.port(), { paused: true }),
      Client.connect(server.port(), { paused: true }),
    ])
    for (const { socket } of [reader, leaver]) socket.write(sent)
    // More than there are receive buffers: what waits behind a send that pends is copied, when half of them are held.
    await server.until('both have said all', () => server.count('bytesIn') === 2 * bytes)
    expect(server.count('bytesOut')).toBeLessThan(2 * bytes)
    expect(server.count('sendsPending')).toBeGreaterThan(0)
    expect(server.count('overflowBytes')).toBeGreaterThan(0)
    await echoAll(server, 10, 10_000)
    reader.socket.resume()
    expect((await reader.take(bytes)).equals(sent)).toBe(true)
    reader.end()
    // What is pending for the other is cancelled.
    leaver.socket.destroy()
    await server.until('every session has left', () => server.count('left') === 12)
  })
}

if (drivers.includes('io_uring')) describe('features of io_uring ruled out', ruledOut)
if (drivers.includes('iocp')) describe('ways of iocp ruled out', otherWays)

describe.each(drivers)('%s', (driver) => {
  it('takes a handler by its path, as the system writes it', async () => {
    const byPath = fileURLToPath(handler('blocking_echo'))
    await echoAll(await startServer({ ...options, driver, handler: byPath }), 1, 1000)
  })

  it('goes on when receive buffers run out', async () => {
    const server = await startServer({
      ...options,
      driver,
      receiveBuffers: 16,
      receiveBufferSize: 512,
      data: { blockMs: 100 },
    })
    await echoAll(server, 200, 20_000)
    await server.until('every session has left', () => server.count('left') === 200)
    expect(server.count('bytesOut')).toBe(4_000_000)
    if (driver === 'io_uring') expect(server.count('buffersStarved')).toBeGreaterThan(0)
  })

  it('serves connections that come faster than they are taken', async () => {
    const server = await startServer({ ...options, driver, workers: 2 })
    for (let round = 0; round < 5; round++) await echoAll(server, 200, 64)
    await server.until('every session has left', () => server.count('left') === 1000)
    await server.until('every slot', () => server.server.monitor.snapshot().sessions === 0)
  })

  // Wine forgets a reset that came while no receive was pending (missing.mjs).
  if (driver === 'iocp') return
  it('hears of a reset that came with bytes, both before the worker looked', async () => {
    const gate = new Int32Array(new SharedArrayBuffer(8))
    const server = await startServer({
      ...options,
      driver,
      workers: 1,
      listeners: [{ port: 0, framing: lengthPrefix() }],
      data: { gate },
    })
    const first = await Client.connect(server.port())
    const others = await Promise.all(
      Array.from({ length: 20 }, () => Client.connect(server.port())),
    )
    await server.until('all to be sessions', () => server.count('joined') === 21)
    first.write(Buffer.from([0, 1, 7]))
    await server.until('the gate to be reached', () => Atomics.load(gate, 1) === 1)
    // A part of a message: there is nothing to answer, so no send fails.
    for (const other of others) {
      other.write(Buffer.from([0]))
      other.reset()
    }
    await Promise.all(others.map((other) => other.untilClosed()))
    Atomics.store(gate, 0, 1)
    Atomics.notify(gate, 0)
    expect(await first.take(3)).toEqual(Buffer.from([0, 1, 7]))
    await server.until('all resets', () => server.count('endedPeerReset') === 20)
    expect(server.count('bytesIn')).toBe(23)
  })
})
