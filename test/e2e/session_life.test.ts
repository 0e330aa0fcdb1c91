// What: a session from join to leave: events, ids, closing, timeouts.
// Flow: node:net clients and orders from main -> life.mjs -> reports.
// Thread: the test's; the servers' workers.

import type { ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { worlds } from '../helpers/drivers.ts'
import {
  Client,
  disconnectAfterEach,
  frame,
  join,
  pattern,
  unframe,
} from '../helpers/e2e_client.ts'
import { stopAfterEach } from '../helpers/e2e_server.ts'
import { startLife } from '../helpers/life_server.ts'

const KIB = 1024
const MIB = 2 ** 20

disconnectAfterEach()
stopAfterEach()

describe.each(worlds)('$driver, mode $mode', (world) => {
  const start = (options: Partial<ServerOptions> = {}) => startLife({ ...world, ...options })

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
      expect(await test.order('runtimeSend', { to: first.id, data: 'wrong' })).toBe('closed')
      expect(await test.order('runtimeClose', { to: first.id })).toBe(false)
      expect(await test.order('staleSession', { id: first.id })).toEqual(['closed', false, 0])
      expect(test.server.send(first.id, 'wrong')).toBe('closed')
      expect(test.server.close(first.id)).toBe(false)
      expect(await second.client.ask('right')).toBe('right')
      expect(second.client.length).toBe(0)
      expect(await test.order('runtimeSend', { to: second.id, data: 'by id' })).toBe('queued')
      expect((await second.client.hear()).toString()).toBe('by id')
      expect(await test.order('runtimeClose', { to: second.id })).toBe(true)
      expect(await test.next('leave', { id: second.id })).toMatchObject({ reason: 'localClose' })
    })

    it('know the peer from the first one on', async () => {
      const test = await start()
      const { client, id } = await join(test)
      const { localPort } = client.socket
      expect(await test.next('join')).toMatchObject({ host: '127.0.0.1', port: localPort })
      expect(await test.order('remoteAddress', { id })).toEqual({
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
        expect(await test.order('tag', { id, value })).toBe(kept)
      }
    })

    it('count the bytes that the socket took', async () => {
      const test = await start({ maxBackpressure: 4 * MIB })
      const { client, id } = await join(test)
      const sizes = [0, 1, 1000, 100_000, MIB]
      for (const size of sizes) await test.order('send', { id, data: pattern(size) })
      const total = sizes.reduce((sum, size) => sum + size + 4, 0)
      await client.take(total)
      const sum = () => test.seen('sent', { id }).reduce((all, { bytes }) => all + Number(bytes), 0)
      await test.until('every byte to be counted', () => sum() >= total)
      expect(sum()).toBe(total)
      expect(await test.order('buffered', { id })).toBe(0)
    })
  })

  describe('closing', () => {
    it('flushes what is queued to a slow reader before FIN', async () => {
      const test = await start({ maxBackpressure: 16 * MIB, closeTimeout: 60_000 })
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
      await test.order('sendAndClose', { id, data: 'last', times: 1 })
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
      await test.order('sendAndClose', { id, data: pattern(MIB), times: 8 })
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'closeTimeout' })
      client.resume()
      await client.untilClosed()
      expect(client.received).toBeLessThan(8 * MIB)
      await test.until('the slot to be free', () => test.server.monitor.snapshot().sessions === 0)
    })

    it('at once gives the peer ECONNRESET', async () => {
      const test = await start()
      const { client, id } = await join(test)
      await test.order('terminate', { id })
      await client.untilClosed()
      expect(client.error).toBe('ECONNRESET')
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'localTerminate' })
    })

    it('at once drops what is queued', async () => {
      const test = await start({ maxBackpressure: 64 * MIB })
      const { client, id } = await join(test, 'slow', { paused: true })
      await test.order('send', { id, data: pattern(MIB), times: 8 })
      await test.order('terminate', { id })
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
      await test.order('close', { id })
      await client.untilClosed()
      expect(client.error).toBe('ECONNRESET')
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'localClose' })
    })

    it('follows idleTimeout, which every received byte puts off', async () => {
      // Long enough for this thread to ask again, however busy the machine is.
      const test = await start({ idleTimeout: 1_500 })
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
      // Long enough for this thread to speak, however busy the machine is.
      const test = await start({ firstMessageTimeout: 1_500 })
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
})
