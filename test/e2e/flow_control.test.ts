// What: who is slower than the other: pause and resume of receiving, backpressure of sending.
// Flow: node:net clients and orders from main -> life.mjs -> reports.
// Thread: the test's; the servers' workers.

import type { ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { worlds } from '../helpers/drivers.ts'
import { disconnectAfterEach, frame, join, pattern, unframe } from '../helpers/e2e_client.ts'
import { stopAfterEach } from '../helpers/e2e_server.ts'
import { startLife } from '../helpers/life_server.ts'

const KIB = 1024
const MIB = 2 ** 20

disconnectAfterEach()
stopAfterEach()

describe.each(worlds)('$driver, mode $mode', (world) => {
  const start = (options: Partial<ServerOptions> = {}) => startLife({ ...world, ...options })

  describe('pause', () => {
    it('delivers nothing until resume, then everything in order', async () => {
      const test = await start({ maxBackpressure: 8 * MIB })
      const { client, id } = await join(test)
      await test.order('pause', { id })
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
      await test.order('resume', { id })
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
        await test.order('resume', { id })
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
          await test.order('pauseResume', { id, times: 1 + (at % 3) })
          await test.order('pause', { id })
          await test.order('resume', { id })
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
      await test.order('resume', { id })
      expect((await client.hear()).toString()).toBe('first')
    })

    it.each(['end', 'reset'] as const)('notices that the peer leaves: %s', async (leave) => {
      const test = await start({ closeTimeout: 200 })
      const { client, id } = await join(test)
      expect(await client.ask('hello')).toBe('hello')
      await test.order('pause', { id })
      client[leave]()
      const { reason } = await test.next('leave', { id })
      expect(['peerClosed', 'peerReset']).toContain(reason)
      await test.until('the slot to be free', () => test.server.monitor.snapshot().sessions === 0)
    })

    it('then resume hears what the peer said before it left', async () => {
      const test = await start({ closeTimeout: 10_000 })
      const { client, id } = await join(test, 'main', { allowHalfOpen: true })
      expect(await client.ask('hello')).toBe('hello')
      await test.order('pause', { id })
      client.say('last words')
      client.end()
      const other = await join(test)
      for (let at = 0; at < 20; at++) expect(await other.client.ask('other')).toBe('other')
      await test.order('resume', { id })
      expect(unframe(await client.rest()).toString()).toBe('last words')
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'peerClosed' })
    })

    it.each(['close', 'terminate'])('does not keep %s from ending it', async (action) => {
      const test = await start({ closeTimeout: 10_000 })
      const { client, id } = await join(test)
      await test.order('pause', { id })
      client.say(...Array.from({ length: 100 }, () => 'never delivered'))
      await test.order(action, { id })
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
        const filled = (await test.order('fill', { id, data, times: 100_000 })) as Record<
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
      // The completion of what was taken is seen by another thread, in its time.
      let buffered: unknown
      do buffered = await test.order('buffered', { id })
      while (buffered !== 0)
      expect(client.length).toBe(0)
    })

    it('from peers that never read is bounded, and others are served', async () => {
      const test = await start({ maxBackpressure: 512 * KIB, arenaBytes: 48 * MIB })
      const stalled = []
      for (let at = 0; at < 20; at++) stalled.push(await join(test, 'slow', { paused: true }))
      const other = await join(test)
      for (let round = 0; round < 3; round++) {
        for (const { id } of stalled) {
          const filled = await test.order('fill', { id, data: pattern(3000), times: 100_000 })
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
        await test.order('send', { id: glutton.id, data: pattern(MIB) })
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
})
