// What: threads that send to, close and broadcast to sessions of other workers; order, counts, balance, posts.
// Flow: orders from main -> cross.mjs on two workers -> node:net clients -> this.
// Thread: the test's; main of the server is the same thread; two workers.

import { lengthPrefix, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { worlds } from '../helpers/drivers.ts'
import {
  Client,
  disconnectAfterEach,
  join,
  type Peer,
  pattern,
  unframe,
} from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'

const MIB = 2 ** 20
const lp4 = lengthPrefix({ bytes: 4, maxPayloadLength: MIB })

disconnectAfterEach()
stopAfterEach()

describe.each(worlds)('$driver, mode $mode', ({ driver, mode }) => {
  /** Those that run content. */
  const THREADS = mode === 'worker' ? ['worker1', 'worker2'] : ['update1', 'update2']
  const [FIRST, SECOND] = THREADS

  function start(options: Partial<ServerOptions> = {}) {
    return startServer({
      driver,
      mode,
      update: { eager: true, threads: 2 },
      workers: 2,
      handler: handler('cross'),
      listeners: [
        { name: 'main', port: 0, framing: lp4 },
        { name: 'short', port: 0, framing: lengthPrefix({ bytes: 1 }) },
      ],
      ...options,
    })
  }

  async function joinMany(test: TestServer, count: number): Promise<Peer[]> {
    const peers: Peer[] = []
    for (let at = 0; at < count; at++) peers.push(await join(test))
    return peers
  }

  const on = (peers: readonly Peer[], thread: string) =>
    peers.filter((peer) => peer.worker === thread)
  const other = (thread: string) => (thread === FIRST ? SECOND : FIRST)

  /** Ends every connection; afterwards nothing may be left of any of them. */
  async function expectNothingLeft(test: TestServer, peers: readonly Peer[]) {
    for (const { client } of peers) client.end()
    for (const { client } of peers) await client.untilClosed()
    await test.until('no session to be left', () => test.server.monitor.snapshot().sessions === 0)
    expect(test.count('left')).toBe(test.count('joined'))
    expect(test.count('accepted')).toBe(test.count('joined'))
    // Reports come later than counts.
    const joined = test.count('joined')
    for (const type of ['join', 'leave']) {
      await test.until(`every ${type}`, () => test.seen(type).length >= joined)
      expect(test.seen(type)).toHaveLength(joined)
    }
    expect(test.seen('error')).toEqual([])
    await test.stop()
  }

  if (mode === 'worker')
    it('balances sessions over the workers', async () => {
      const test = await start()
      const peers = await joinMany(test, 20)
      const counts = () => {
        const { threads } = test.server.monitor.snapshot()
        return THREADS.map((name) => threads.find((thread) => thread.name === name)?.sessions)
      }
      expect(counts()).toEqual([10, 10])
      const leaving = on(peers, 'worker1')
      for (const { client } of leaving) client.end()
      await test.until('ten to be left', () => test.server.monitor.snapshot().sessions === 10)
      expect(counts()).toEqual([0, 10])
      const more = await joinMany(test, 10)
      expect(counts()).toEqual([10, 10])
      expect(new Set(more.map(({ worker }) => worker))).toEqual(new Set(['worker1']))
      await expectNothingLeft(test, [...peers, ...more])
    })

  it('sends to and closes a session from every thread', async () => {
    const test = await start()
    const peers = await joinMany(test, 4)
    for (const { client, id, worker } of peers) {
      expect(await test.order('send', { id, data: 'foreign' }, other(worker))).toBe('queued')
      expect((await client.hear()).toString()).toBe('foreign')
      expect(await test.order('send', { id, data: 'own' }, worker)).toBe('queued')
      expect((await client.hear()).toString()).toBe('own')
      expect(test.server.send(id, 'main')).toBe('queued')
      expect((await client.hear()).toString()).toBe('main')
      const long = pattern(300_000, id)
      expect(test.server.send(id, long)).toBe('queued')
      expect((await client.hear()).equals(long)).toBe(true)
    }
    const [first, second, third, fourth] = peers
    expect(test.server.close(first.id)).toBe(true)
    expect(await test.order('close', { id: second.id }, other(second.worker))).toBe(true)
    expect(await test.order('close', { id: third.id }, third.worker)).toBe(true)
    for (const { id, client } of [first, second, third]) {
      await client.untilClosed()
      expect(client.error).toBe('')
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'localClose' })
      expect(test.server.send(id, 'late')).toBe('closed')
      expect(test.server.close(id)).toBe(false)
      for (const worker of THREADS) {
        expect(await test.order('send', { id, data: 'late' }, worker)).toBe('closed')
        expect(await test.order('close', { id }, worker)).toBe(false)
      }
    }
    expect(await fourth.client.ask('still here')).toBe('still here')
    await expectNothingLeft(test, peers)
  })

  it.each(['main', 'foreign', 'own'])('sends before it closes: %s', async (who) => {
    const test = await start()
    const data = pattern(10_000)
    for (let round = 0; round < 20; round++) {
      const { client, id, worker } = await join(test)
      if (who === 'main') {
        for (let at = 0; at < 10; at++) test.server.send(id, data)
        expect(test.server.close(id)).toBe(true)
      } else {
        const thread = who === 'own' ? worker : other(worker)
        expect(await test.order('sendAndClose', { id, data, times: 10 }, thread)).toBe(true)
      }
      const payloads = unframe(await client.rest())
      expect(payloads.map((payload) => payload.equals(data))).toEqual(new Array(10).fill(true))
      expect(client.error).toBe('')
    }
  })

  /** Reads whole messages of a client as they come, and hands each to `take`. */
  function follow(client: Client, take: (text: string) => void) {
    let rest = Buffer.alloc(0)
    return () => {
      rest = Buffer.concat([rest, client.drain()])
      let at = 0
      while (rest.length - at >= 4 && rest.length - at - 4 >= rest.readUInt32BE(at)) {
        const end = at + 4 + rest.readUInt32BE(at)
        take(rest.toString('latin1', at + 4, end))
        at = end
      }
      rest = rest.subarray(at)
    }
  }

  it.each([
    { way: 'send', broadcasts: false, chunkBytes: 65_536, count: 3000, filler: 200 },
    { way: 'send and broadcast', broadcasts: true, chunkBytes: 65_536, count: 3000, filler: 200 },
    { way: 'long messages', broadcasts: false, chunkBytes: 4096, count: 150, filler: 20_000 },
  ])('keeps the order of each sending thread under load: $way', async (load) => {
    const { broadcasts, chunkBytes, count } = load
    const test = await start({ chunkBytes, maxBackpressure: 64 * MIB, arenaBytes: 192 * MIB })
    const peers = await joinMany(test, 4)
    const ids = peers.map(({ id }) => id)
    const filler = 'abcdefghij'.repeat(load.filler / 10)
    const streams = THREADS.map((worker) => {
      return test.order('stream', { ids, count, burst: 20, filler, broadcasts }, worker)
    })
    const fromMain = (async () => {
      for (let number = 0; number < count; number++) {
        const text = `main ${number} ${filler.slice(0, (number * 37) % (filler.length + 1))}`
        if (broadcasts && number % 2 === 1) {
          expect(test.server.broadcast(text).queued).toBe(ids.length)
        } else {
          for (const id of ids) expect(test.server.send(id, text)).toBe('queued')
        }
        if (number % 20 === 19) await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const next = peers.map(() => ({ main: 0, [FIRST]: 0, [SECOND]: 0 }) as Record<string, number>)
    const readers = peers.map(({ client }, at) => {
      return follow(client, (text) => {
        const [thread, number, filled] = text.split(' ')
        const expected = next[at][thread]
        const length = (expected * 37) % (filler.length + 1)
        if (Number(number) !== expected || filled !== filler.slice(0, length)) {
          throw new Error(`got '${text.slice(0, 60)}' instead of ${thread} ${expected}`)
        }
        next[at][thread]++
      })
    })
    await fromMain
    await Promise.all(streams)
    await test.until('every message', () => {
      for (const read of readers) read()
      return next.every((counts) => Object.values(counts).every((each) => each === count))
    })
    expect(test.seen('error')).toEqual([])
    expect(test.count('sendDropped')).toBe(0)
    await expectNothingLeft(test, peers)
  })

  it('keeps messages of several chunks whole while other threads send', async () => {
    const test = await start({
      chunkBytes: 4096,
      maxBackpressure: 128 * MIB,
      arenaBytes: 320 * MIB,
    })
    const [peer] = await joinMany(test, 1)
    const count = 60
    const filler = 'abcdefghij'.repeat(40_000)
    const streams = THREADS.map((worker) => {
      const fields = { ids: [peer.id], count, burst: 1, filler, broadcasts: false, whole: true }
      return test.order('stream', fields, worker)
    })
    for (let number = 0; number < count; number++) {
      expect(test.server.send(peer.id, `main ${number} ${filler}`)).toBe('queued')
      await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(streams)
    let seen = 0
    const read = follow(peer.client, (text) => {
      const at = text.lastIndexOf(' ') + 1
      if (text.slice(at) !== filler) throw new Error(`message ${seen} is a mixture`)
      seen++
    })
    await test.until('every message', () => {
      read()
      return seen === 3 * count
    })
    await expectNothingLeft(test, [peer])
  })

  describe('broadcast', () => {
    type Give = (test: TestServer, data: string, options?: object) => Promise<unknown>
    const givers: [string, Give][] = [
      ['main', async (test, data, options) => test.server.broadcast(data, options)],
      [FIRST, (test, data, options) => test.order('broadcast', { data, options }, FIRST)],
    ]

    /** Exactly these hear it; the others answer before it could come. */
    async function expectHeard(peers: readonly Peer[], hearing: readonly Peer[], data: string) {
      for (const { client } of hearing) expect((await client.hear()).toString()).toBe(data)
      for (const { client } of peers) expect(await client.ask('nothing more')).toBe('nothing more')
    }

    it.each(givers)('from %s reaches whom it is meant for, and counts', async (_, give) => {
      const test = await start()
      const peers = await joinMany(test, 6)
      const ids = peers.map(({ id }) => id)
      const none = { queued: 0, full: 0, closed: 0, dropped: 0 }
      expect(await give(test, 'all')).toEqual({ ...none, queued: 6 })
      await expectHeard(peers, peers, 'all')
      expect(await give(test, 'all again', { to: 'all' })).toEqual({ ...none, queued: 6 })
      await expectHeard(peers, peers, 'all again')
      expect(await give(test, 'some', { to: ids.slice(0, 3) })).toEqual({ ...none, queued: 3 })
      await expectHeard(peers, peers.slice(0, 3), 'some')
      for (const except of ids) {
        expect(await give(test, 'but one', { except })).toEqual({ ...none, queued: 5 })
        await expectHeard(
          peers,
          peers.filter(({ id }) => id !== except),
          'but one',
        )
        expect(await give(test, 'but one', { to: ids, except })).toEqual({ ...none, queued: 5 })
        await expectHeard(
          peers,
          peers.filter(({ id }) => id !== except),
          'but one',
        )
      }
      const gone = peers.slice(0, 2)
      for (const { client } of gone) client.end()
      await test.until('two to be gone', () => test.server.monitor.snapshot().sessions === 4)
      expect(await give(test, 'left', { to: ids })).toEqual({ ...none, queued: 4, closed: 2 })
      await expectHeard(peers.slice(2), peers.slice(2), 'left')
      expect(await give(test, 'left')).toEqual({ ...none, queued: 4 })
      await expectHeard(peers.slice(2), peers.slice(2), 'left')
      expect(await give(test, 'nobody', { to: [] })).toEqual(none)
      await expectNothingLeft(test, peers)
    })

    it.each(givers)('from %s takes only the sessions of a listener', async (_, give) => {
      const test = await start()
      const peers = await joinMany(test, 4)
      const shorts: Peer[] = []
      for (let at = 0; at < 4; at++) shorts.push(await join(test, 'short'))
      const none = { queued: 0, full: 0, closed: 0, dropped: 0 }
      const hear = async (client: Client) =>
        (await client.take((await client.take(1))[0])).toString()
      expect(await give(test, 'main only', { listener: 'main' })).toEqual({ ...none, queued: 4 })
      await expectHeard(peers, peers, 'main only')
      expect(await give(test, 'short only', { listener: 'short' })).toEqual({ ...none, queued: 4 })
      for (const { client } of shorts) expect(await hear(client)).toBe('short only')
      expect(await give(test, 'both')).toEqual({ ...none, queued: 8 })
      for (const { client } of shorts) expect(await hear(client)).toBe('both')
      await expectHeard(peers, peers, 'both')
      const ids = [...peers, ...shorts].map(({ id }) => id)
      const counts = await give(test, 'chosen', { to: ids, listener: 'short' })
      for (const { client } of shorts) expect(await hear(client)).toBe('chosen')
      await expectHeard(peers, [], '')
      expect(counts).toEqual({ ...none, queued: 4 })
      await expectNothingLeft(test, [...peers, ...shorts])
    })

    it('with an old id as the exception leaves nobody out', async () => {
      const test = await start({ maxSessions: 2 })
      const [first, second] = await joinMany(test, 2)
      first.client.end()
      await test.until('one to be gone', () => test.server.monitor.snapshot().sessions === 1)
      const third = await join(test)
      const counts = test.server.broadcast('everyone', { except: first.id })
      expect(counts).toMatchObject({ queued: 2 })
      await expectHeard([second, third], [second, third], 'everyone')
    })

    it('with a predicate reaches sessions of this thread only', async () => {
      const test = await start()
      const peers = await joinMany(test, 6)
      for (const { id, worker } of peers) await test.order('tag', { id, value: 1 }, worker)
      const [chosen] = on(peers, FIRST)
      await test.order('tag', { id: chosen.id, value: 2 }, FIRST)
      const counts = await test.order('broadcast', { data: 'two', where: 2 }, FIRST)
      expect(counts).toMatchObject({ queued: 1 })
      await expectHeard(peers, [chosen], 'two')
      const own = on(peers, SECOND)
      expect(await test.order('broadcast', { data: 'one', where: 1 }, SECOND)).toMatchObject({
        queued: own.length,
      })
      await expectHeard(peers, own, 'one')
      expect(test.server.broadcast('main has none', { where: () => true }).queued).toBe(0)
      await expectHeard(peers, [], '')
    })

    it.each(givers)('from %s is written once, for all threads', async (_, give) => {
      const test = await start({
        update: { eager: true, threads: 3 },
        arenaBytes: 8 * MIB,
        receiveBuffers: 16,
        receiveBufferSize: 4096,
      })
      const peers = await joinMany(test, 150)
      const data = 'x'.repeat(60_000)
      // One for each recipient is more than the arena has.
      expect(peers.length * data.length).toBeGreaterThan(8 * MIB)
      for (const left of [peers, peers.slice(1)]) {
        const except = left === peers ? {} : { listener: 'main', except: peers[0].id }
        expect(await give(test, data, except)).toMatchObject({ queued: left.length, dropped: 0 })
        for (const { client } of left) expect((await client.hear()).toString()).toBe(data)
      }
      await expectNothingLeft(test, peers)
    })

    it('says who is full', async () => {
      const test = await start({ maxBackpressure: 100_000 })
      const peers = await joinMany(test, 2)
      const [reading] = peers
      const stalled = await Client.connect(test.port(), { paused: true })
      await test.next('join', {}, 2)
      let counts = { queued: 3, full: 0 }
      for (let at = 0; counts.full === 0 && at < 5000; at++) {
        counts = test.server.broadcast(pattern(20_000))
        for (const { client } of peers) await client.hear()
      }
      expect(counts).toEqual({ queued: 2, full: 1, closed: 0, dropped: 0 })
      expect(await reading.client.ask('still')).toBe('still')
      stalled.socket.destroy()
    })

    it('too long for some framing throws, and costs no memory', async () => {
      const test = await start({ arenaBytes: 24 * MIB, receiveBuffers: 64 })
      const peer = await join(test)
      const short = await join(test, 'short')
      const data = pattern(60_000)
      for (let at = 0; at < 1000; at++) {
        expect(() => test.server.broadcast(data, { listener: 'short' })).toThrow(
          expect.objectContaining({ code: 'ERR_PAYLOAD_TOO_LONG' }),
        )
      }
      expect(test.server.broadcast(data, { listener: 'main' })).toMatchObject({ queued: 1 })
      expect((await peer.client.hear()).equals(data)).toBe(true)
      await expectNothingLeft(test, [peer, short])
    })
  })

  it('posts between all threads', async () => {
    const test = await start()
    const value = { text: 'ä', bytes: [1, 2, 3], deep: { list: [null, true] } }
    for (const worker of THREADS) {
      await test.order('echo', { from: other(worker), value }, worker)
      const answer = await test.next('answer', { thread: other(worker) })
      expect(answer.result).toEqual({ value, via: worker })
      expect(answer.sender).toBe(worker)
    }
    for (const wrong of ['worker3', 'worker0', 'nobody', '']) {
      expect(() => test.server.post(wrong, value)).toThrow(
        expect.objectContaining({ code: 'ERR_ARGUMENT' }),
      )
    }
  })

  it('survives connections that leave while every thread sends to them', async () => {
    const test = await start()
    const filler = 'x'.repeat(500)
    for (let round = 0; round < 15; round++) {
      const peers = await joinMany(test, 6)
      const ids = peers.map(({ id }) => id)
      const streams = THREADS.map((worker) => {
        return test.order(
          'stream',
          {
            ids,
            count: 200,
            burst: 10,
            filler,
            broadcasts: false,
          },
          worker,
        )
      })
      for (let at = 0; at < 60; at++) {
        test.server.broadcast(filler)
        if (at % 10 === 9) {
          const { client } = peers[Math.floor(at / 10)]
          if (at % 20 === 9) client.reset()
          else client.end()
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
      await Promise.all(streams)
      for (const { client } of peers) await client.untilClosed()
    }
    await expectNothingLeft(test, [])
  })
})
