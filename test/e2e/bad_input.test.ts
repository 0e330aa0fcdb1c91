// What: bad peers and bad handlers: each costs its own session, with the right reason, and nobody else's.
// Flow: node:net clients that misbehave, others that echo meanwhile -> a server -> reports of its handler.
// Thread: the test's; the servers' workers.

import { delimiter, lengthPrefix, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { worlds } from '../helpers/drivers.ts'
import { Client, disconnectAfterEach, frame, pattern } from '../helpers/e2e_client.ts'
import {
  handler,
  startServer,
  stopAfterEach,
  type TestServer,
  until,
} from '../helpers/e2e_server.ts'
import { hasRemotePeers, RemotePeer } from '../helpers/remote_peer.ts'

const NEIGHBOURS = 3
/** Echoes that every neighbour must still get after something bad happened. */
const ROUNDS_AFTER = 5

const lp4 = lengthPrefix({ bytes: 4, maxPayloadLength: 100_000 })

/** Clients that echo all the time and compare every byte. */
class Neighbours {
  readonly #rounds = new Array<number>(NEIGHBOURS).fill(0)
  readonly #tasks: Promise<void>[]
  #stopped = false
  /** They wait for it while somebody else must be alone. */
  #gate = Promise.resolve()
  #waiting = 0

  constructor(port: number) {
    this.#tasks = this.#rounds.map((_, index) => this.#run(port, index))
    // Looked at by stop().
    for (const task of this.#tasks) task.catch(() => {})
  }

  async #run(port: number, index: number) {
    const client = await Client.connect(port)
    while (!this.#stopped) {
      this.#waiting++
      await this.#gate
      this.#waiting--
      const message = pattern(1 + ((this.#rounds[index] * 97) % 3000), this.#rounds[index] + 1)
      client.say(message)
      if (!(await client.hear()).equals(message)) throw new Error('a neighbour got other bytes')
      this.#rounds[index]++
    }
    client.end()
    await client.untilClosed()
    expect(client.error).toBe('')
  }

  /** Everyone has had some more echoes. */
  async goOn() {
    const before = [...this.#rounds]
    const all = until('more echoes of every neighbour', () => {
      return this.#rounds.every((count, index) => count >= before[index] + ROUNDS_AFTER)
    })
    await Promise.race([all, Promise.all(this.#tasks)])
  }

  /** Nothing but what `act` does reaches the server meanwhile, so that what it counts is of that. */
  async rest(act: () => Promise<void>) {
    let open = () => {}
    this.#gate = new Promise((resolve) => {
      open = resolve
    })
    await until('every neighbour to rest', () => this.#waiting === NEIGHBOURS)
    await act()
    open()
  }

  async stop() {
    this.#stopped = true
    await Promise.all(this.#tasks)
  }
}

/** A connection that is reset, before or after connect() is done. */
async function expectReset(port: number) {
  // Inside of Wine a client may take it for an end.
  if (hasRemotePeers) {
    const peer = RemotePeer.connect(port, false)
    await until('the connection to close', () => peer.isClosed)
    expect(peer.isReset).toBe(true)
    expect(peer.received).toHaveLength(0)
    return
  }
  const client = new Client(port)
  await client.untilClosed()
  expect(client.error).toBe('ECONNRESET')
  expect(client.received).toBe(0)
}

disconnectAfterEach()
stopAfterEach()

describe.each(worlds)('$driver, mode $mode', (world) => {
  function start(options: Partial<ServerOptions> = {}) {
    return startServer({
      ...world,
      handler: handler('bad_input'),
      listeners: [
        { name: 'good', port: 0, framing: lp4 },
        { name: 'main', port: 0, framing: lp4 },
        {
          name: 'inc',
          port: 0,
          framing: lengthPrefix({ bytes: 2, offset: 3, includesHeader: true }),
        },
        { name: 'line', port: 0, framing: delimiter({ maxPayloadLength: 100 }) },
        { name: 'crlf', port: 0, framing: delimiter({ bytes: '\r\n', maxPayloadLength: 100 }) },
        { name: 'closed', port: 0, framing: lp4 },
      ],
      ...options,
    })
  }

  /** Connects, does something bad, and the session must end with this reason while neighbours echo. */
  async function expectReason(
    listener: string,
    reason: string,
    misbehave: (client: Client, test: TestServer, neighbours: Neighbours) => unknown,
  ) {
    const test = await start()
    const neighbours = new Neighbours(test.port())
    const client = await Client.connect(test.port(listener))
    const { id } = await test.next('join', { listener })
    await neighbours.goOn()
    await misbehave(client, test, neighbours)
    const { reason: given } = await test.next('leave', { id })
    expect(given).toBe(reason)
    await client.untilClosed()
    await neighbours.goOn()
    await neighbours.stop()
    expect(test.seen('leave', { id })).toHaveLength(1)
    expect(test.seen('error')).toEqual([])
    return { test, client }
  }

  describe('frames', () => {
    const announced = (length: number) => {
      const header = Buffer.alloc(4)
      header.writeUInt32BE(length)
      return header
    }

    it.each([
      ['one byte too long', 'main', announced(100_001)],
      ['as long as can be said', 'main', announced(0xffff_ffff)],
      ['with the sign bit', 'main', announced(0x8000_0000)],
      ['a line without an end', 'line', Buffer.alloc(101, 'x')],
      ['an ended line that is too long', 'line', Buffer.from(`${'x'.repeat(101)}\n`)],
      ['a line of half delimiters', 'crlf', Buffer.alloc(500, '\r')],
      ['garbage', 'main', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    ])('too long: %s', async (_, listener, bytes) => {
      await expectReason(listener, 'frameTooLong', (client) => client.write(bytes))
    })

    it.each([0, 1, 4])(
      'says that a length of %i, less than the header, is invalid',
      async (length) => {
        const header = Buffer.from([9, 9, 9, 0, length])
        await expectReason('inc', 'frameInvalid', (client) => client.write(header))
      },
    )

    it('answers what came before the bad frame', async () => {
      const { client } = await expectReason('main', 'frameTooLong', (client) =>
        client.write(Buffer.concat([frame('good'), announced(2 ** 31), pattern(50_000)])),
      )
      expect(client.drain()).toEqual(frame('good'))
      expect(client.ended).toBe(true)
    })

    it('takes bad frames byte by byte', () =>
      expectReason('main', 'frameTooLong', (client, test, neighbours) =>
        neighbours.rest(async () => {
          for (const byte of announced(100_001)) {
            const before = test.count('bytesIn')
            client.write(Buffer.of(byte))
            await test.until('the byte to arrive', () => test.count('bytesIn') > before)
          }
        }),
      ))

    it('survives random bytes from many peers', async () => {
      const test = await start()
      const neighbours = new Neighbours(test.port())
      const names = ['main', 'inc', 'line', 'crlf']
      const peers = await Promise.all(
        Array.from({ length: 40 }, (_, at) => Client.connect(test.port(names[at % names.length]))),
      )
      for (const [at, peer] of peers.entries()) {
        peer.write(pattern(5000, at + 1))
        peer.end()
      }
      for (const peer of peers) await peer.untilClosed()
      await neighbours.goOn()
      await neighbours.stop()
      await test.until('every leave', () => {
        const isEmpty = test.server.monitor.snapshot().sessions === 0
        return isEmpty && test.seen('leave').length === test.count('joined')
      })
      const reasons = new Set(test.seen('leave').map(({ reason }) => reason))
      for (const reason of reasons) {
        expect(['frameTooLong', 'frameInvalid', 'peerClosed', 'peerReset']).toContain(reason)
      }
    })
  })

  describe('peers', () => {
    it('answers what was received before a FIN, then closes', async () => {
      const test = await start()
      const client = await Client.connect(test.port(), { allowHalfOpen: true })
      const messages = Array.from({ length: 200 }, (_, at) => pattern(5000, at + 1))
      client.say(...messages)
      client.end()
      expect((await client.rest()).equals(Buffer.concat(messages.map(frame)))).toBe(true)
      expect(client.ended).toBe(true)
      expect(client.error).toBe('')
      expect(await test.next('leave')).toMatchObject({ reason: 'peerClosed' })
    })

    it('closes on a FIN within a frame', async () => {
      const test = await start()
      const client = await Client.connect(test.port(), { allowHalfOpen: true })
      client.write(frame('whole half').subarray(0, 8))
      client.end()
      expect(await client.rest()).toHaveLength(0)
      expect(await test.next('leave')).toMatchObject({ reason: 'peerClosed' })
    })

    it('closes on a FIN and nothing before it', async () => {
      const test = await start()
      const client = await Client.connect(test.port(), { allowHalfOpen: true })
      client.end()
      await client.untilClosed()
      expect(await test.next('leave')).toMatchObject({ reason: 'peerClosed' })
    })

    it('says that a reset is one', () =>
      expectReason('main', 'peerReset', async (client) => {
        client.say('hello')
        await client.hear()
        client.reset()
      }))

    it('says that a reset within a frame is one', () =>
      expectReason('main', 'peerReset', (client, test, neighbours) =>
        neighbours.rest(async () => {
          const before = test.count('bytesIn')
          client.write(frame('whole half').subarray(0, 8))
          await test.until('the half to arrive', () => test.count('bytesIn') === before + 8)
          client.reset()
        }),
      ))

    it('is not disturbed by connections that are reset at once', async () => {
      const test = await start()
      const neighbours = new Neighbours(test.port())
      for (let at = 0; at < 100; at++) (await Client.connect(test.port())).reset()
      await neighbours.goOn()
      await neighbours.stop()
      await test.until('every leave', () => test.server.monitor.snapshot().sessions === 0)
      expect(test.count('left')).toBe(test.count('joined'))
    })
  })

  describe('refusal', () => {
    it('resets what onConnectionRequest does not want', async () => {
      const test = await start()
      const neighbours = new Neighbours(test.port())
      for (let at = 0; at < 5; at++) await expectReset(test.port('closed'))
      expect(test.count('refused')).toBe(5)
      await neighbours.goOn()
      await neighbours.stop()
      expect(test.seen('join', { listener: 'closed' })).toEqual([])
    })

    it.each([1, 2])('resets what the table has no room for, %i workers', async (workers) => {
      const test = await start({ maxSessions: 3, workers })
      const clients: Client[] = []
      for (let at = 0; at < 3; at++) {
        const client = await Client.connect(test.port())
        expect(await client.ask('in')).toBe('in')
        clients.push(client)
      }
      for (let round = 1; round <= 4; round++) {
        await expectReset(test.port())
        expect(test.count('tableFull')).toBe(round)
        const leaving = clients.shift() as Client
        leaving.end()
        await leaving.untilClosed()
        await test.until('the slot to be free', () => test.server.monitor.snapshot().sessions === 2)
        const next = await Client.connect(test.port())
        expect(await next.ask('next')).toBe('next')
        clients.push(next)
        for (const client of clients) expect(await client.ask('still here')).toBe('still here')
      }
    })
  })

  describe('packets', () => {
    it('expire when the handler awaits', async () => {
      const test = await start()
      const client = await Client.connect(test.port())
      client.say('await')
      const uses = ['length', 'bytes', 'copy', 'retain', 'text', 'u8', 'f64', 'send', 'prepare']
      for (const what of uses) {
        expect(await test.next('tried', { what })).toMatchObject({ code: 'ERR_PACKET_EXPIRED' })
      }
      expect(await client.ask('goes on')).toBe('goes on')
    })

    it('expire also when more messages of the batch follow', async () => {
      const test = await start()
      const client = await Client.connect(test.port())
      client.say('await', 'one', 'two', 'await', 'three')
      for (const expected of ['one', 'two', 'three']) {
        expect((await client.hear()).toString()).toBe(expected)
      }
      await test.next('tried', { what: 'prepare' }, 1)
      const codes = new Set(test.seen('tried').map(({ code }) => code))
      expect([...codes]).toEqual(['ERR_PACKET_EXPIRED'])
    })

    it('expire when the handler has returned', async () => {
      const test = await start()
      const client = await Client.connect(test.port())
      client.say('keep')
      client.say('kept')
      const { code } = await test.next('tried', { what: 'later' })
      expect(code).toBe('ERR_PACKET_EXPIRED')
    })

    it('end the session with handlerError when that is not caught', async () => {
      const test = await start()
      const neighbours = new Neighbours(test.port())
      const client = await Client.connect(test.port())
      client.say('await and fail')
      const { code, id } = await test.next('error')
      expect(code).toBe('ERR_PACKET_EXPIRED')
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'handlerError' })
      await client.untilClosed()
      await neighbours.goOn()
      await neighbours.stop()
    })
  })

  describe.each(['throws', 'rejects'])('a handler that %s', (how) => {
    const sessionEvents = ['onJoin', 'onRecv', 'onDrain', 'onSend']

    /** Two listeners: one with a handler that fails in `event`, one whose sessions must not notice. */
    async function startFailing(event: string, name: string) {
      const test = await start({
        data: { event, how },
        maxBackpressure: 65_536,
        listeners: [
          { name: 'good', port: 0, framing: lp4 },
          { name: 'bad', port: 0, framing: lp4, handler: handler(name), sendBufferBytes: 8192 },
        ],
      })
      return { test, neighbours: new Neighbours(test.port('good')) }
    }

    /** Connects and makes the event happen. */
    async function provoke(test: TestServer, event: string) {
      const client = await Client.connect(test.port('bad'), { paused: event === 'onDrain' })
      if (event === 'onDrain') {
        client.say('fill')
        await test.next('full')
        client.resume()
      } else if (event !== 'onJoin') {
        client.say('hello')
      }
      if (event === 'onLeave') {
        await client.hear()
        client.end()
      }
      return client
    }

    it.each(sessionEvents)('in %s ends its session with handlerError', async (event) => {
      const { test, neighbours } = await startFailing(event, 'fail')
      const client = await provoke(test, event)
      const { id, message } = await test.next('error')
      expect(message).toBe(`in ${event}`)
      expect(id).toBeTypeOf('number')
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'handlerError' })
      await client.untilClosed()
      expect(client.error).toBe('')
      await neighbours.goOn()
      await neighbours.stop()
      expect(test.seen('leave', { id })).toHaveLength(1)
      expect(test.count('handlerErrors')).toBe(test.seen('error').length)
    })

    it('in onLeave is told which session it was', async () => {
      const { test, neighbours } = await startFailing('onLeave', 'fail')
      await provoke(test, 'onLeave')
      const { id } = await test.next('leave')
      expect(await test.next('error')).toMatchObject({ message: 'in onLeave', id })
      await test.until('the slot to be free', () => {
        return test.server.monitor.snapshot().sessions === NEIGHBOURS
      })
      await neighbours.goOn()
      await neighbours.stop()
      expect(test.seen('leave', { id })).toHaveLength(1)
    })

    it('in onMessage costs nothing', async () => {
      const { test, neighbours } = await startFailing('onMessage', 'fail')
      const client = await Client.connect(test.port('bad'))
      test.tell('hello')
      expect(await test.next('error')).toMatchObject({ message: 'in onMessage', id: undefined })
      expect(await client.ask('still')).toBe('still')
      await neighbours.goOn()
      await neighbours.stop()
    })

    it.each([...sessionEvents, 'onLeave', 'onMessage'])('in %s, without onError', async (event) => {
      const { test, neighbours } = await startFailing(event, 'fail_silent')
      if (event === 'onMessage') test.tell('hello')
      else await provoke(test, event)
      await test.next('failing')
      await test.until('the error to be counted', () => test.count('handlerErrors') > 0)
      if (event !== 'onMessage') {
        const reason = event === 'onLeave' ? 'peerClosed' : 'handlerError'
        expect(await test.next('leave')).toMatchObject({ reason })
      }
      await neighbours.goOn()
      await neighbours.stop()
    })

    // It returns a boolean, so it cannot reject; and in mode update its thread could not tell us.
    if (how !== 'throws' || world.mode !== 'worker') return
    it('in onConnectionRequest refuses', async () => {
      const { test, neighbours } = await startFailing('onConnectionRequest', 'fail')
      await expectReset(test.port('bad'))
      const { message, id } = await test.next('error')
      expect(message).toBe('in onConnectionRequest')
      expect(id).toBe(undefined)
      await neighbours.goOn()
      await neighbours.stop()
      expect(test.seen('leave', { listener: undefined })).toHaveLength(0)
    })
  })
})
