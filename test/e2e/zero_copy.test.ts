// What: gathers that the kernel reads in place: every byte is right, with `poison` and peers that do not read; ends.
// Flow: clients that check patterns -> a server with `poison` -> counters, reports.
// Thread: the test's; the server's threads.

import { lengthPrefix, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { type Driver, drivers } from '../helpers/drivers.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'
import { NetClient, type NetFraming } from '../helpers/net_client.ts'
import { fillPattern } from '../helpers/pattern.mjs'

stopAfterEach()

const framing = lengthPrefix({ bytes: 4, maxPayloadLength: 2 ** 20 })
const netFraming: NetFraming = { lengthBytes: 4, endian: 'big' }
/** More than what a peer's socket takes that is not read from: the rest stays with ours. */
const SEND_BUFFER_BYTES = 524_288

function start(driver: Driver, options: ServerOptions = {}): Promise<TestServer> {
  return startServer({
    driver,
    chunkBytes: 16_384,
    // A gather of messages with a chunk each stays below what the kernel may hold for a session.
    maxGather: 16,
    receiveBuffers: 128,
    poison: true,
    zeroCopy: { minBytes: 4096 },
    listeners: [{ port: 0, framing, sendBufferBytes: SEND_BUFFER_BYTES }],
    handler: handler('zero_copy'),
    ...options,
  })
}

/** As few receive buffers as there can be. */
const FEW_BUFFERS = 16
const ECHOES = 24

/** A peer that asks for patterns. */
class Taker {
  readonly client: NetClient
  readonly #seed: number

  static async connect(server: TestServer, seed: number): Promise<Taker> {
    return new Taker(await NetClient.connect(server.port(), netFraming), seed)
  }

  constructor(client: NetClient, seed: number) {
    this.client = client
    this.#seed = seed
  }

  ask(count: number, size: number): void {
    this.client.send(`! ${this.#seed} ${count} ${size}`)
  }

  /** Messages `first` to `first + count - 1`, exact to the byte. */
  async check(first: number, count: number, size: number): Promise<void> {
    const got = await this.client.collect(count, 20_000)
    expect(got.length).toBe(count)
    for (const [index, payload] of got.entries()) {
      const wanted = fillPattern(Buffer.alloc(size), this.#seed, first + index)
      if (!payload.equals(wanted)) {
        const at = payload.findIndex((byte, i) => byte !== wanted[i])
        throw new Error(`byte ${at} of message ${first + index} of peer ${this.#seed} is wrong`)
      }
    }
  }
}

async function waitForNotifications(server: TestServer): Promise<void> {
  await server.until(
    'the kernel has read everything, and copied it, as on loopback it does',
    () => {
      return server.count('zeroCopyCopied') === server.count('zeroCopySends')
    },
  )
}

const COUNT = 150
const SIZE = 9001
const modes: readonly ServerOptions[] = [
  { mode: 'worker' },
  { mode: 'update', update: { eager: true } },
  { mode: 'send', update: { eager: true } },
]

describe.each(drivers)('%s', (driver) => {
  describe.each([{ minBytes: 4096 }, 'off'] as const)('zeroCopy %o', (zeroCopy) => {
    it.each(modes)('$mode: peers that do not read get every byte', async (mode) => {
      const server = await start(driver, { ...mode, zeroCopy })
      const slow = await Promise.all([1, 2, 3].map((seed) => Taker.connect(server, seed)))
      for (const taker of slow) {
        taker.client.socket.pause()
        taker.ask(COUNT, SIZE)
      }
      // Others have memory given back, and taken again, all the while.
      const fast = await Taker.connect(server, 4)
      for (let round = 0; round < 3; round++) {
        fast.ask(COUNT, SIZE)
        await fast.check(0, COUNT, SIZE)
      }
      for (const taker of slow) taker.client.socket.resume()
      await Promise.all(slow.map((taker) => taker.check(0, COUNT, SIZE)))
      const isInForce = driver === 'io_uring' && zeroCopy !== 'off'
      if (isInForce) expect(server.count('zeroCopySends')).toBeGreaterThan(0)
      else expect(server.count('zeroCopySends')).toBe(0)
      await waitForNotifications(server)
    })
  })

  it('echoes by reference are right for a peer that reads late', async () => {
    const server = await start(driver)
    const client = await NetClient.connect(server.port(), netFraming)
    const payload = (number: number) => fillPattern(Buffer.alloc(20_000), 5, number)
    client.socket.pause()
    // Below what stands still: what is not read is not echoed, and not taken either.
    for (let number = 0; number < 24; number++) client.send(payload(number))
    const other = await Taker.connect(server, 6)
    other.ask(COUNT, SIZE)
    await other.check(0, COUNT, SIZE)
    client.socket.resume()
    const got = await client.collect(24, 20_000)
    expect(got.map((each, number) => each.equals(payload(number)))).toEqual(Array(24).fill(true))
    await waitForNotifications(server)
  })

  it('peers that do not read leave receive buffers to all others', async () => {
    const server = await start(driver, { receiveBuffers: FEW_BUFFERS })
    const payload = (number: number) => fillPattern(Buffer.alloc(20_000), 5, number)
    const slow = await Promise.all(
      Array.from({ length: FEW_BUFFERS / 2 }, () => NetClient.connect(server.port(), netFraming)),
    )
    for (const { socket } of slow) socket.pause()
    // What their sockets take of the echoes stays with ours, in the buffers in which it was received.
    for (let number = 0; number < ECHOES; number++) {
      for (const client of slow) client.send(payload(number))
    }
    const fast = await NetClient.connect(server.port(), netFraming)
    for (let number = 0; number < ECHOES; number++) {
      fast.send(payload(number))
      expect((await fast.collect(1, 20_000))[0].equals(payload(number))).toBe(true)
    }
    if (driver === 'io_uring') {
      await server.until('the kernel holds what it may', () => server.count('zeroCopyLimited') > 0)
      expect(server.count('zeroCopySends')).toBeGreaterThan(server.count('zeroCopyCopied'))
    }
    for (const { socket } of slow) socket.resume()
    for (const client of slow) {
      const got = await client.collect(ECHOES, 20_000)
      expect(got.length).toBe(ECHOES)
      expect(got.every((each, number) => each.equals(payload(number)))).toBe(true)
    }
    await waitForNotifications(server)
  })

  it('a session ends while the kernel holds memory of it', async () => {
    const server = await start(driver, { closeTimeout: 100 })
    for (const end of ['terminate', 'close', 'peer']) {
      const shortSends = server.count('shortSends')
      const taker = await Taker.connect(server, 7)
      const { id } = await server.next('join', {}, server.seen('leave').length)
      taker.client.socket.pause()
      taker.ask(COUNT, SIZE)
      await server.until('its socket is full', () => server.count('shortSends') > shortSends)
      if (end === 'peer') taker.client.socket.resetAndDestroy()
      else server.tell({ id, end })
      await server.next('leave', { id })
      taker.client.socket.destroy()
    }
  })

  it('a server stops while the kernel holds memory of sessions', async () => {
    const server = await start(driver)
    const taker = await Taker.connect(server, 8)
    taker.client.socket.pause()
    taker.ask(COUNT, SIZE)
    await server.until('its socket is full', () => server.count('shortSends') > 0)
    await server.stop(0)
    taker.client.socket.destroy()
  })

  it('says what is in force', async () => {
    const server = await start(driver)
    const { zeroCopy, driverReason } = server.server.info()
    const told = `zeroCopy is not in force, ${driver} copies here`
    expect(driverReason.includes(told)).toBe(driver !== 'io_uring')
    expect(zeroCopy).toEqual(driver === 'io_uring' ? { minBytes: 4096 } : 'off')
  })

  it('does without where it is ruled out, and below its size', async () => {
    for (const options of [{ ioUringWithout: ['zeroCopy'] }, { zeroCopy: { minBytes: 2 ** 20 } }]) {
      const server = await start(driver, options as ServerOptions)
      const taker = await Taker.connect(server, 9)
      taker.ask(10, SIZE)
      await taker.check(0, 10, SIZE)
      expect(server.count('zeroCopySends')).toBe(0)
    }
  })
})

describe.each(drivers.filter((driver) => driver === 'io_uring'))('%s, zeroCopy auto', (driver) => {
  it('ends on loopback, where the kernel copies', async () => {
    const server = await start(driver, { zeroCopy: 'auto' })
    expect(server.server.info().zeroCopy).toBe('auto')
    const taker = await Taker.connect(server, 10)
    const send = async () => {
      taker.ask(1, 40_000)
      await taker.check(0, 1, 40_000)
    }
    // 64 in a row, and those whose notification comes later.
    for (let sent = 0; sent < 200 && server.count('zeroCopyGivenUp') === 0; sent++) await send()
    await waitForNotifications(server)
    expect(server.count('zeroCopyGivenUp')).toBe(1)
    const zeroCopySends = server.count('zeroCopySends')
    for (let i = 0; i < 3; i++) await send()
    expect(server.count('zeroCopySends')).toBe(zeroCopySends)
  })
})
