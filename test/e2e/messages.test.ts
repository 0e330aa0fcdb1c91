// What: messages as handlers see and make them: readers, kept packets, prepared buffers, buffers written in place.
// Flow: node:net clients and orders from main -> life.mjs -> reports.
// Thread: the test's; the servers' workers.

import type { ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { worlds } from '../helpers/drivers.ts'
import { disconnectAfterEach, frame, join, pattern } from '../helpers/e2e_client.ts'
import { stopAfterEach } from '../helpers/e2e_server.ts'
import { startLife } from '../helpers/life_server.ts'

const KIB = 1024
const MIB = 2 ** 20

disconnectAfterEach()
stopAfterEach()

describe.each(worlds)('$driver, mode $mode', (world) => {
  const start = (options: Partial<ServerOptions> = {}) => startLife({ ...world, ...options })

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
        expect(await test.order('sendRetained', { id, which })).toBe('queued')
        expect((await client.hear()).equals(kept[which])).toBe(true)
      }
      client.say('copy')
      for (const each of kept) expect((await client.hear()).equals(each)).toBe(true)
      for (const which of [0, 1, 2]) await test.order('releaseRetained', { id, which })
      expect(await test.order('sendRetained', { id, which: 1 })).toBe('ERR_BUFFER_RELEASED')
      expect(await test.order('releaseRetained', { id, which: 1 })).toBe('ERR_BUFFER_RELEASED')
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

    it('can be text and bytes of all kinds, and nothing else', async () => {
      const test = await start({ maxBackpressure: 8 * MIB })
      const { client, id } = await join(test)
      for (const data of [
        '',
        'hello',
        'äöü€😀 '.repeat(500),
        '日本語😀'.repeat(10_000),
        'a\ud800b',
        pattern(10_000),
        new Uint8Array(0),
        pattern(1000).subarray(100, 300),
      ]) {
        await test.order('send', { id, data, times: 3 })
        const expected = Buffer.from(
          typeof data === 'string' ? new TextEncoder().encode(data) : data,
        )
        for (let at = 0; at < 3; at++) expect((await client.hear()).equals(expected)).toBe(true)
      }
      for (const data of [42, null, undefined, {}, [1, 2]]) {
        expect(await test.order('send', { id, data })).toBe('ERR_ARGUMENT')
        expect(await client.ask('goes on')).toBe('goes on')
      }
    })

    it('that are prepared can be sent many times, then are released', async () => {
      const test = await start({ maxBackpressure: 8 * MIB })
      const peers = []
      for (const listener of ['main', 'slow', 'raw']) peers.push(await join(test, listener))
      const data = pattern(777)
      expect(await test.order('prepare', { data })).toBe(777)
      for (const { id } of peers) {
        expect(await test.order('sendPrepared', { id, times: 500 })).toBe('queued')
      }
      await test.order('releasePrepared')
      for (const { id } of peers) {
        expect(await test.order('sendPrepared', { id })).toBe('ERR_BUFFER_RELEASED')
      }
      expect(await test.order('releasePrepared')).toBe('ERR_BUFFER_RELEASED')
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
        const result = await test.order('open', { id, max, used, between })
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
      expect(await test.order('openTwice')).toBe('ERR_OPEN_NESTED')
      for (const max of [0, -1, 1.5, 65_536]) {
        expect(await test.order('open', { id, max, used: 1 })).toBe('ERR_ARGUMENT')
      }
      expect(await test.order('open', { id, max: 10, used: 3 })).toEqual([
        3,
        'queued',
        'ERR_BUFFER_RELEASED',
      ])
    })

    it('that are left open are abandoned and counted', async () => {
      const test = await start()
      const { client, id } = await join(test)
      for (let round = 1; round <= 3; round++) {
        await test.order('leaveOpen', { id })
        expect(await client.ask('next turn')).toBe('next turn')
        await test.until('it to be counted', () => test.count('openAbandoned') === round)
        expect(await test.order('closeLeftOpen', { id })).toBe('ERR_BUFFER_RELEASED')
      }
      expect(await test.order('open', { id, max: 10, used: 3 })).toEqual([
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
        await test.order('send', { id, data })
        expect((await client.hear()).equals(data)).toBe(true)
        client.say(data)
        expect((await client.hear()).equals(data)).toBe(true)
        expect(test.server.send(id, data)).toBe('queued')
        expect((await client.hear()).equals(data)).toBe(true)
      }
      const data = pattern(100 * KIB)
      expect(await test.order('prepare', { data })).toBe(100 * KIB)
      expect(await test.order('sendPrepared', { id, times: 5 })).toBe('queued')
      for (let at = 0; at < 5; at++) expect((await client.hear()).equals(data)).toBe(true)
    })
  })
})
