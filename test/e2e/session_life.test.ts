// What: a session from join to leave: events, ids, closing, timeouts, pause, backpressure, packets, buffers.
// Flow: node:net clients and orders from main -> life.mjs -> reports.
// Thread: the test's; the servers' workers.

import { lengthPrefix, raw, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import {
  Client,
  type ClientOptions,
  disconnectAfterEach,
  frame,
  pattern,
  unframe,
} from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'

const KIB = 1024
const MIB = 2 ** 20
const lp4 = lengthPrefix({ bytes: 4, maxPayloadLength: MIB })

disconnectAfterEach()
stopAfterEach()

describe.each(drivers)('%s', (driver) => {
  function start(options: Partial<ServerOptions> = {}) {
    return startServer({
      driver,
      handler: handler('life'),
      listeners: [
        { name: 'main', port: 0, framing: lp4 },
        { name: 'slow', port: 0, framing: lp4, sendBufferBytes: 64 * KIB },
        { name: 'raw', port: 0, framing: raw() },
        { name: 'reset', port: 0, framing: lp4, closeMode: 'reset' },
        { name: 'pausing', port: 0, framing: lp4 },
      ],
      ...options,
    })
  }

  /** A client, and the id of its session. */
  async function join(test: TestServer, listener = 'main', options: ClientOptions = {}) {
    const before = test.seen('join').length
    const client = await Client.connect(test.port(listener), options)
    const { id } = await test.next('join', {}, before)
    return { client, id: id as number }
  }

  /** Has the handler do something; resolves with its result. */
  async function order(test: TestServer, action: string, fields: object = {}): Promise<unknown> {
    const before = test.seen(action).length
    test.tell({ do: action, ...fields })
    return (await test.next(action, {}, before)).result
  }

  describe('events', () => {
    it('come once each and in order', async () => {
      const test = await start()
      const pairs = await Promise.all(Array.from({ length: 20 }, () => Client.connect(test.port())))
      for (const client of pairs) client.say('note 1', 'note 2', 'quit')
      for (const client of pairs) expect(unframe(await client.rest()).toString()).toBe('bye')
      await test.until('every leave', () => test.seen('leave').length === pairs.length)
      const ids = new Set(test.seen('join').map(({ id }) => id))
      expect(ids.size).toBe(pairs.length)
      for (const id of ids) {
        const events = test.reports.filter((report) => report.id === id && report.type !== 'sent')
        expect(events.map(({ type }) => type)).toEqual(['join', 'recv', 'recv', 'leave'])
        expect(events[1].text).toBe('note 1')
        expect(events[3]).toMatchObject({
          reason: 'localClose',
          messages: 3,
          isOpen: false,
          late: 'closed',
        })
      }
      expect(test.seen('error')).toEqual([])
    })

    it('never repeat an id over 2,000 connections', async () => {
      const test = await start({ maxSessions: 40 })
      const lane = async () => {
        for (let at = 0; at < 100; at++) {
          const client = await Client.connect(test.port())
          client.say('quit')
          expect(unframe(await client.rest()).toString()).toBe('bye')
        }
      }
      await Promise.all(Array.from({ length: 20 }, lane))
      await test.until('every leave', () => test.seen('leave').length === 2000)
      expect(new Set(test.seen('join').map(({ id }) => id)).size).toBe(2000)
      expect(new Set(test.seen('leave').map(({ id }) => id)).size).toBe(2000)
      expect(test.count('joined')).toBe(2000)
      expect(test.count('left')).toBe(2000)
      await test.until('every slot to be free', () => test.server.monitor.snapshot().sessions === 0)
    })

    it('do not reach another session through an old id or an old session', async () => {
      const test = await start({ maxSessions: 1 })
      const first = await join(test)
      first.client.end()
      await first.client.untilClosed()
      await test.until('the slot to be free', () => test.server.monitor.snapshot().sessions === 0)
      const second = await join(test)
      expect(second.id).not.toBe(first.id)
      expect(await order(test, 'runtimeSend', { to: first.id, data: 'wrong' })).toBe('closed')
      expect(await order(test, 'runtimeClose', { to: first.id })).toBe(false)
      expect(await order(test, 'staleSession', { id: first.id })).toEqual(['closed', false, 0])
      expect(test.server.send(first.id, 'wrong')).toBe('closed')
      expect(test.server.close(first.id)).toBe(false)
      expect(await second.client.ask('right')).toBe('right')
      expect(second.client.length).toBe(0)
      expect(await order(test, 'runtimeSend', { to: second.id, data: 'by id' })).toBe('queued')
      expect((await second.client.hear()).toString()).toBe('by id')
      expect(await order(test, 'runtimeClose', { to: second.id })).toBe(true)
      expect(await test.next('leave', { id: second.id })).toMatchObject({ reason: 'localClose' })
    })

    it('know the peer from the first one on', async () => {
      const test = await start()
      const { client, id } = await join(test)
      const { localPort } = client.socket
      expect(await test.next('join')).toMatchObject({ host: '127.0.0.1', port: localPort })
      expect(await order(test, 'remoteAddress', { id })).toEqual({
        host: '127.0.0.1',
        port: localPort,
      })
    })

    it('keep a tag of 32 bits', async () => {
      const test = await start()
      const { id } = await join(test)
      for (const [value, kept] of [
        [5, 5],
        [-1, -1],
        [2 ** 31 - 1, 2 ** 31 - 1],
        [2 ** 32 + 3, 3],
      ]) {
        expect(await order(test, 'tag', { id, value })).toBe(kept)
      }
    })

    it('count the bytes that the socket took', async () => {
      const test = await start()
      const { client, id } = await join(test)
      const sizes = [0, 1, 1000, 100_000, MIB]
      for (const size of sizes) await order(test, 'send', { id, data: pattern(size) })
      const total = sizes.reduce((sum, size) => sum + size + 4, 0)
      await client.take(total)
      const sum = () => test.seen('sent', { id }).reduce((all, { bytes }) => all + Number(bytes), 0)
      await test.until('every byte to be counted', () => sum() >= total)
      expect(sum()).toBe(total)
      expect(await order(test, 'buffered', { id })).toBe(0)
    })
  })

  describe('closing', () => {
    it('flushes what is queued to a slow reader before FIN', async () => {
      const test = await start({ maxBackpressure: 16 * MIB })
      const { client, id } = await join(test, 'slow', { paused: true })
      const data = pattern(64 * KIB)
      test.tell({ do: 'sendAndClose', id, data, times: 96 })
      const { result } = await test.next('sendAndClose')
      expect(result).toEqual(['closed', false])
      client.resume()
      const payloads = unframe(await client.rest())
      expect(payloads).toHaveLength(96)
      expect(payloads.every((payload) => payload.equals(data))).toBe(true)
      expect(client.ended).toBe(true)
      expect(client.error).toBe('')
      expect(await test.next('leave')).toMatchObject({ reason: 'localClose' })
    })

    it('waits closeTimeout for the FIN of the peer, then resets', async () => {
      // Long enough for this thread to hear the message, however busy the machine is.
      const test = await start({ closeTimeout: 3_000 })
      const { client, id } = await join(test, 'main', { allowHalfOpen: true })
      await order(test, 'sendAndClose', { id, data: 'last', times: 1 })
      expect((await client.hear()).toString()).toBe('last')
      await client.untilEnded()
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'closeTimeout' })
      await test.until('the reset to arrive', () => {
        if (!client.closed) client.write('x')
        return client.closed
      })
      expect(['ECONNRESET', 'EPIPE']).toContain(client.error)
    })

    it('resets a peer that does not read within closeTimeout', async () => {
      const test = await start({ closeTimeout: 300, maxBackpressure: 64 * MIB })
      const { client, id } = await join(test, 'slow', { paused: true })
      await order(test, 'sendAndClose', { id, data: pattern(MIB), times: 8 })
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'closeTimeout' })
      client.resume()
      await client.untilClosed()
      expect(client.received).toBeLessThan(8 * MIB)
      await test.until('the slot to be free', () => test.server.monitor.snapshot().sessions === 0)
    })

    it('at once gives the peer ECONNRESET', async () => {
      const test = await start()
      const { client, id } = await join(test)
      await order(test, 'terminate', { id })
      await client.untilClosed()
      expect(client.error).toBe('ECONNRESET')
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'localTerminate' })
    })

    it('at once drops what is queued', async () => {
      const test = await start({ maxBackpressure: 64 * MIB })
      const { client, id } = await join(test, 'slow', { paused: true })
      await order(test, 'send', { id, data: pattern(MIB), times: 8 })
      await order(test, 'terminate', { id })
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'localTerminate' })
      client.resume()
      await client.untilClosed()
      // What the client's kernel had is read before the reset is seen, if it is.
      expect(client.received).toBeLessThan(8 * MIB)
      await test.until('the slot to be free', () => test.server.monitor.snapshot().sessions === 0)
    })

    it('ends with a reset where the listener says so, after the flush', async () => {
      const test = await start()
      const { client, id } = await join(test, 'reset', { allowHalfOpen: true })
      expect(await client.ask('hello')).toBe('hello')
      await order(test, 'close', { id })
      await client.untilClosed()
      expect(client.error).toBe('ECONNRESET')
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'localClose' })
    })

    it('follows idleTimeout, which every received byte puts off', async () => {
      const test = await start({ idleTimeout: 400 })
      const idle = await join(test)
      const busy = await join(test)
      let echoes = 0
      while (!idle.client.closed) {
        expect(await busy.client.ask('still here')).toBe('still here')
        echoes++
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      expect(echoes).toBeGreaterThan(0)
      expect(idle.client.ended).toBe(true)
      expect(await test.next('leave')).toMatchObject({ id: idle.id, reason: 'idleTimeout' })
      expect(await test.next('leave', { id: busy.id })).toMatchObject({ reason: 'idleTimeout' })
    })

    it('follows firstMessageTimeout, unless a message came', async () => {
      const test = await start({ firstMessageTimeout: 300 })
      const silent = await join(test)
      const half = await join(test)
      const speaking = await join(test)
      expect(await speaking.client.ask('first')).toBe('first')
      half.client.write(frame('never whole').subarray(0, 6))
      for (const { id } of [silent, half]) {
        expect(await test.next('leave', { id })).toMatchObject({ reason: 'firstMessageTimeout' })
      }
      expect(await speaking.client.ask('second')).toBe('second')
    })

    it('does not take a session that is paused for one whose peer has left', async () => {
      const test = await start({ firstMessageTimeout: 200 })
      const paused = await join(test, 'pausing')
      const later = await join(test)
      expect(await test.next('leave', { id: later.id })).toMatchObject({
        reason: 'firstMessageTimeout',
      })
      expect(test.seen('leave', { id: paused.id, reason: 'peerClosed' })).toEqual([])
    })
  })

  describe('pause', () => {
    it('delivers nothing until resume, then everything in order', async () => {
      const test = await start({ maxBackpressure: 8 * MIB })
      const { client, id } = await join(test)
      await order(test, 'pause', { id })
      const messages = Array.from({ length: 3000 }, (_, at) =>
        pattern(1 + ((at * 7) % 900), at + 1),
      )
      client.say(...messages)
      const other = await join(test)
      for (let at = 0; at < 20; at++) expect(await other.client.ask('other')).toBe('other')
      expect(client.received).toBe(0)
      const before = test.count('messagesIn')
      expect(await other.client.ask('one')).toBe('one')
      expect(test.count('messagesIn')).toBe(before + 1)
      await order(test, 'resume', { id })
      const expected = Buffer.concat(messages.map(frame))
      expect((await client.take(expected.length)).equals(expected)).toBe(true)
    })

    it('within a batch holds the messages behind', async () => {
      const test = await start()
      const { client, id } = await join(test)
      const texts = Array.from({ length: 50 }, (_, at) =>
        at % 5 === 4 ? `wait ${at}` : `note ${at}`,
      )
      client.say(...texts)
      for (let at = 4; at < 50; at += 5) {
        await test.next('recv', { text: `wait ${at}` })
        const other = await join(test)
        expect(await other.client.ask('other')).toBe('other')
        expect(test.seen('recv', { id })).toHaveLength(at + 1)
        await order(test, 'resume', { id })
      }
      expect(await client.ask('after')).toBe('after')
      expect(test.seen('recv', { id }).map(({ text }) => text)).toEqual(texts)
    })

    it('many times in a row loses nothing', async () => {
      const test = await start()
      const { client, id } = await join(test)
      const stream = Array.from({ length: 400 }, (_, at) => pattern(2000, at + 1))
      const expected = Buffer.concat(stream.map(frame))
      const orders = (async () => {
        for (let at = 0; at < 40; at++) {
          await order(test, 'pauseResume', { id, times: 1 + (at % 3) })
          await order(test, 'pause', { id })
          await order(test, 'resume', { id })
        }
      })()
      for (const message of stream) {
        client.say(message)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await orders
      expect((await client.take(expected.length)).equals(expected)).toBe(true)
    })

    it('from the start holds the first message', async () => {
      const test = await start()
      const { client, id } = await join(test, 'pausing')
      client.say('first')
      const other = await join(test)
      for (let at = 0; at < 20; at++) expect(await other.client.ask('other')).toBe('other')
      expect(client.received).toBe(0)
      await order(test, 'resume', { id })
      expect((await client.hear()).toString()).toBe('first')
    })

    it.each(['end', 'reset'] as const)('notices that the peer leaves: %s', async (leave) => {
      const test = await start({ closeTimeout: 200 })
      const { client, id } = await join(test)
      expect(await client.ask('hello')).toBe('hello')
      await order(test, 'pause', { id })
      client[leave]()
      const { reason } = await test.next('leave', { id })
      expect(['peerClosed', 'peerReset']).toContain(reason)
      await test.until('the slot to be free', () => test.server.monitor.snapshot().sessions === 0)
    })

    it('then resume hears what the peer said before it left', async () => {
      const test = await start({ closeTimeout: 10_000 })
      const { client, id } = await join(test, 'main', { allowHalfOpen: true })
      expect(await client.ask('hello')).toBe('hello')
      await order(test, 'pause', { id })
      client.say('last words')
      client.end()
      const other = await join(test)
      for (let at = 0; at < 20; at++) expect(await other.client.ask('other')).toBe('other')
      await order(test, 'resume', { id })
      expect(unframe(await client.rest()).toString()).toBe('last words')
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'peerClosed' })
    })

    it.each(['close', 'terminate'])('does not keep %s from ending it', async (action) => {
      const test = await start({ closeTimeout: 10_000 })
      const { client, id } = await join(test)
      await order(test, 'pause', { id })
      client.say(...Array.from({ length: 100 }, () => 'never delivered'))
      await order(test, action, { id })
      const reason = action === 'close' ? 'localClose' : 'localTerminate'
      expect(await test.next('leave', { id })).toMatchObject({ reason, messages: 0 })
      await client.untilClosed()
      expect(client.received).toBe(0)
      await test.until('the slot to be free', () => test.server.monitor.snapshot().sessions === 0)
    })
  })

  describe('backpressure', () => {
    it("says 'full', then onDrain, and no byte is lost", async () => {
      const test = await start({ maxBackpressure: 256 * KIB })
      const { client, id } = await join(test, 'slow', { paused: true })
      const data = pattern(10_000)
      let total = 0
      for (let round = 0; round < 3; round++) {
        const drains = test.seen('drain').length
        const filled = (await order(test, 'fill', { id, data, times: 100_000 })) as Record<
          string,
          unknown
        >
        expect(filled.result).toBe('full')
        expect(filled.buffered).toBeLessThanOrEqual(256 * KIB + 10_004)
        expect(filled.sent).toBeGreaterThan(0)
        total += filled.sent as number
        client.resume()
        const { buffered } = await test.next('drain', {}, drains)
        expect(buffered).toBeLessThanOrEqual(128 * KIB)
        client.socket.pause()
      }
      client.resume()
      const expected = frame(data)
      const bytes = await client.take(total * expected.length)
      for (let at = 0; at < total; at++) {
        const here = bytes.subarray(at * expected.length, (at + 1) * expected.length)
        if (!here.equals(expected)) expect.fail(`message ${at} of ${total} is damaged`)
      }
      await test.until(
        'the queue to be empty',
        () => test.server.monitor.snapshot().totals.bytesOut >= total * expected.length,
      )
      expect(await order(test, 'buffered', { id })).toBe(0)
      expect(client.length).toBe(0)
    })

    it('from peers that never read is bounded, and others are served', async () => {
      const test = await start({ maxBackpressure: 512 * KIB, arenaBytes: 48 * MIB })
      const stalled = []
      for (let at = 0; at < 20; at++) stalled.push(await join(test, 'slow', { paused: true }))
      const other = await join(test)
      for (let round = 0; round < 3; round++) {
        for (const { id } of stalled) {
          const filled = await order(test, 'fill', { id, data: pattern(3000), times: 100_000 })
          expect(filled).toMatchObject({ result: 'full' })
          expect((filled as { buffered: number }).buffered).toBeLessThanOrEqual(520 * KIB)
        }
        for (let at = 0; at < 20; at++) {
          const message = pattern(50_000, at + 1)
          other.client.say(message)
          expect((await other.client.hear()).equals(message)).toBe(true)
        }
      }
      expect(test.count('sendDropped')).toBe(0)
      expect(test.seen('leave')).toEqual([])
      for (const { client } of stalled) client.socket.destroy()
      await test.until('only one session', () => test.server.monitor.snapshot().sessions === 1)
      expect(await other.client.ask('last')).toBe('last')
    })

    it('beyond the memory closes the longest queue, and others are served', async () => {
      const test = await start({
        maxBackpressure: 64 * MIB,
        arenaBytes: 24 * MIB,
        receiveBuffers: 64,
      })
      const glutton = await join(test, 'slow', { paused: true })
      const other = await join(test)
      for (let sent = 0; test.seen('leave').length === 0 && sent < 64; sent++) {
        await order(test, 'send', { id: glutton.id, data: pattern(MIB) })
        expect(await other.client.ask('served')).toBe('served')
      }
      expect(await test.next('leave')).toMatchObject({ id: glutton.id, reason: 'overflow' })
      for (let at = 0; at < 5; at++) {
        const message = pattern(500_000, at + 1)
        other.client.say(message)
        expect((await other.client.hear()).equals(message)).toBe(true)
      }
    })
  })

  describe('messages', () => {
    it('can be read in every type', async () => {
      const test = await start()
      const { client } = await join(test)
      const head = Buffer.alloc(32)
      head.write('read')
      head.set([0xfe, 0xdc, 0xba, 0x98], 4)
      head.writeFloatLE(1.5, 8)
      head.writeFloatBE(-2.25, 12)
      head.writeDoubleLE(Math.PI, 16)
      head.writeDoubleBE(-Number.MAX_VALUE, 24)
      client.say(Buffer.concat([head, Buffer.from('grüße 🚀')]))
      const outside = new Array(6).fill('ERR_ARGUMENT')
      expect((await test.next('read')).read).toEqual({
        length: head.length + Buffer.byteLength('grüße 🚀'),
        u8: 0xfe,
        i8: -2,
        u16: [0xdcfe, 0xfedc],
        i16: [0xdcfe - 2 ** 16, 0xfedc - 2 ** 16],
        u32: [0x98badcfe, 0xfedcba98],
        i32: [0x98badcfe - 2 ** 32, 0xfedcba98 - 2 ** 32],
        f32: [1.5, -2.25],
        f64: [Math.PI, -Number.MAX_VALUE],
        text: ['grüße 🚀', 'read', ''],
        copied: true,
        outside,
      })
    })

    it('that are kept survive the messages that follow', async () => {
      const test = await start({ receiveBuffers: 16, receiveBufferSize: 1024 })
      const { client, id } = await join(test)
      const kept = [20, 900, 3000].map((size, at) =>
        Buffer.concat([Buffer.from('keep'), pattern(size, at + 1)]),
      )
      client.say(...kept)
      await test.next('kept', { count: 3 })
      for (let at = 0; at < 200; at++) {
        const noise = pattern(700, at + 100)
        client.say(noise)
        expect((await client.hear()).equals(noise)).toBe(true)
      }
      for (const which of [0, 1, 2, 1]) {
        expect(await order(test, 'sendRetained', { id, which })).toBe('queued')
        expect((await client.hear()).equals(kept[which])).toBe(true)
      }
      client.say('copy')
      for (const each of kept) expect((await client.hear()).equals(each)).toBe(true)
      for (const which of [0, 1, 2]) await order(test, 'releaseRetained', { id, which })
      expect(await order(test, 'sendRetained', { id, which: 1 })).toBe('ERR_BUFFER_RELEASED')
      expect(await order(test, 'releaseRetained', { id, which: 1 })).toBe('ERR_BUFFER_RELEASED')
    })

    it('can be sent several times within the handler', async () => {
      const test = await start()
      const { client } = await join(test)
      client.say('both ä 1', 'both 2')
      for (const text of ['both ä 1', 'both 2']) {
        for (const expected of [text, text, text.slice(4), text]) {
          expect((await client.hear()).toString()).toBe(expected)
        }
      }
    })

    it.each([
      ['an empty string', ''],
      ['a short string', 'hello'],
      ['multi-byte text', 'äöü€😀 '.repeat(500)],
      ['long multi-byte text', '日本語😀'.repeat(10_000)],
      ['a lone surrogate', 'a\ud800b'],
      ['bytes', pattern(10_000)],
      ['no bytes', new Uint8Array(0)],
      ['a part of a larger buffer', pattern(1000).subarray(100, 300)],
    ])('can be %s', async (_, data) => {
      const test = await start()
      const { client, id } = await join(test)
      await order(test, 'send', { id, data, times: 3 })
      const expected = Buffer.from(typeof data === 'string' ? new TextEncoder().encode(data) : data)
      for (let at = 0; at < 3; at++) expect((await client.hear()).equals(expected)).toBe(true)
    })

    it.each([42, null, undefined, {}, [1, 2]])('cannot be %j', async (data) => {
      const test = await start()
      const { client, id } = await join(test)
      expect(await order(test, 'send', { id, data })).toBe('ERR_ARGUMENT')
      expect(await client.ask('goes on')).toBe('goes on')
    })

    it('that are prepared can be sent many times, then are released', async () => {
      const test = await start({ maxBackpressure: 8 * MIB })
      const peers = []
      for (const listener of ['main', 'slow', 'raw']) peers.push(await join(test, listener))
      const data = pattern(777)
      expect(await order(test, 'prepare', { data })).toBe(777)
      for (const { id } of peers) {
        expect(await order(test, 'sendPrepared', { id, times: 500 })).toBe('queued')
      }
      await order(test, 'releasePrepared')
      for (const { id } of peers) {
        expect(await order(test, 'sendPrepared', { id })).toBe('ERR_BUFFER_RELEASED')
      }
      expect(await order(test, 'releasePrepared')).toBe('ERR_BUFFER_RELEASED')
      for (const [at, { client }] of peers.entries()) {
        const one = at === 2 ? data : frame(data)
        const expected = Buffer.concat(Array.from({ length: 500 }, () => one))
        expect((await client.take(expected.length)).equals(expected)).toBe(true)
      }
    })

    it('can be written in place', async () => {
      const test = await start()
      const { client, id } = await join(test)
      for (const [max, used, between] of [
        [100, 100, 0],
        [60_000, 10, 0],
        [1, 0, 0],
        [5000, 4000, 3],
        [30_000, 29_999, 500],
      ]) {
        const result = await order(test, 'open', { id, max, used, between })
        expect(result).toEqual([used, 'queued', 'ERR_BUFFER_RELEASED'])
        for (let at = 0; at < between; at++) {
          expect((await client.hear()).toString()).toBe(`between ${at}`)
        }
        expect([...(await client.hear())]).toEqual(
          Array.from({ length: used }, (_, at) => (at * 7) & 255),
        )
      }
    })

    it('cannot be written in two places at once, nor in too small or too large ones', async () => {
      const test = await start()
      const { id } = await join(test)
      expect(await order(test, 'openTwice')).toBe('ERR_OPEN_NESTED')
      for (const max of [0, -1, 1.5, 65_536]) {
        expect(await order(test, 'open', { id, max, used: 1 })).toBe('ERR_ARGUMENT')
      }
      expect(await order(test, 'open', { id, max: 10, used: 3 })).toEqual([
        3,
        'queued',
        'ERR_BUFFER_RELEASED',
      ])
    })

    it('that are left open are abandoned and counted', async () => {
      const test = await start()
      const { client, id } = await join(test)
      for (let round = 1; round <= 3; round++) {
        await order(test, 'leaveOpen', { id })
        expect(await client.ask('next turn')).toBe('next turn')
        await test.until('it to be counted', () => test.count('openAbandoned') === round)
        expect(await order(test, 'closeLeftOpen', { id })).toBe('ERR_BUFFER_RELEASED')
      }
      expect(await order(test, 'open', { id, max: 10, used: 3 })).toEqual([
        3,
        'queued',
        'ERR_BUFFER_RELEASED',
      ])
    })

    it('may be longer than a chunk', async () => {
      const test = await start({ chunkBytes: 4096 })
      const { client, id } = await join(test)
      for (const size of [4000, 4092, 4093, 4096, 4097, 100 * KIB]) {
        const data = pattern(size)
        await order(test, 'send', { id, data })
        expect((await client.hear()).equals(data)).toBe(true)
        client.say(data)
        expect((await client.hear()).equals(data)).toBe(true)
        expect(test.server.send(id, data)).toBe('queued')
        expect((await client.hear()).equals(data)).toBe(true)
      }
      const data = pattern(100 * KIB)
      expect(await order(test, 'prepare', { data })).toBe(100 * KIB)
      expect(await order(test, 'sendPrepared', { id, times: 5 })).toBe('queued')
      for (let at = 0; at < 5; at++) expect((await client.hear()).equals(data)).toBe(true)
    })
  })
})
