// What: groups across threads: members, capacity, broadcasts while sessions come and go, what onLeave sees.
// Flow: orders from main -> groups.mjs on two workers, or on three update threads -> node:net clients -> this.
// Thread: the test's; main of the server is the same thread; the server's other threads.

import { lengthPrefix, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { worlds } from '../helpers/drivers.ts'
import { disconnectAfterEach, join, type Peer, unframe } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'

const lp4 = lengthPrefix({ bytes: 4 })
const none = { queued: 0, full: 0, closed: 0, dropped: 0 }

/** A membership, with what each stream had begun and ended around its ends. */
interface Stay {
  readonly joined: string
  readonly left: boolean
  readonly endedBefore: readonly number[]
  readonly begunAfter: readonly number[]
  readonly endedThen: readonly number[]
  readonly begunAtLast: readonly number[]
}

disconnectAfterEach()
stopAfterEach()

const counts = (words: number) => new Int32Array(new SharedArrayBuffer(4 * words))

describe.each(worlds)('$driver, mode $mode', ({ driver, mode }) => {
  /** Those that run content. */
  const THREADS = mode === 'worker' ? ['worker1', 'worker2'] : ['update1', 'update2', 'update3']
  /** The digit of each. */
  const ALL = THREADS.map((thread) => thread.slice(-1)).join('')
  /** Streams of broadcasts: main, and one on each of them. */
  const STREAMS = 1 + THREADS.length

  function start(options: Partial<ServerOptions> = {}) {
    const data = { begun: counts(STREAMS), ended: counts(STREAMS), staying: counts(1) }
    return startServer({
      driver,
      mode,
      update: { eager: true, threads: 3 },
      workers: 2,
      handler: handler('groups'),
      listeners: [
        { name: 'main', port: 0, framing: lp4 },
        { name: 'other', port: 0, framing: lp4 },
      ],
      data,
      ...options,
    })
  }

  async function joinMany(test: TestServer, count: number, listener = 'main'): Promise<Peer[]> {
    const peers: Peer[] = []
    for (let at = 0; at < count; at++) peers.push(await join(test, listener))
    return peers
  }

  /** Nothing is left of any session or group. */
  async function expectNothingLeft(test: TestServer, peers: readonly Peer[]) {
    for (const { client } of peers) client.end()
    for (const { client } of peers) await client.untilClosed()
    await test.until('no session to be left', () => test.server.monitor.snapshot().sessions === 0)
    expect(test.server.monitor.snapshot().groups).toBe(0)
    expect(test.seen('error')).toEqual([])
    await test.stop()
  }

  /** Each peer hears its text, in any number of messages; threads are in no order to one another. */
  async function expectHeard(peers: readonly Peer[], texts: readonly string[]) {
    for (const [at, { client }] of peers.entries()) {
      let text = ''
      while (text.length < texts[at].length) text += (await client.hear()).toString()
      expect([...text].sort().join('')).toBe([...texts[at]].sort().join(''))
    }
  }

  /** And nothing else has come when the connection ends. */
  async function expectNothingMore(test: TestServer, peers: readonly Peer[]) {
    for (const { client } of peers) client.end()
    for (const { client } of peers) expect((await client.rest()).toString()).toBe('')
    await expectNothingLeft(test, peers)
  }

  it('reaches members on every thread, from every thread', async () => {
    const test = await start()
    const peers = await joinMany(test, 6)
    const other = await joinMany(test, 2, 'other')
    const room = { to: { group: 'room' } }
    expect(test.server.broadcast('x', room)).toEqual(none)
    expect(test.server.group('room')).toBe(undefined)
    for (const { id, worker } of [...peers.slice(0, 4), ...other]) {
      expect(await test.order('join', { id, group: 'room' }, worker)).toBe('joined')
      expect(await test.order('join', { id, group: 'room' }, worker)).toBe('joined')
    }
    expect(test.server.group('room')).toEqual({ members: 6, capacity: 0 })
    expect(test.server.monitor.snapshot().groups).toBe(1)
    expect(new Set(peers.slice(0, 4).map(({ worker }) => worker)).size).toBe(THREADS.length)

    expect(test.server.broadcast('m', room)).toEqual({ ...none, queued: 6 })
    for (const thread of THREADS) {
      expect(await test.order('info', { group: 'room' }, thread)).toEqual({
        members: 6,
        capacity: 0,
      })
      const order = { data: thread.slice(-1), options: room }
      expect(await test.order('broadcast', order, thread)).toEqual({ ...none, queued: 6 })
    }
    const except = { ...room, except: peers[0].id }
    expect(test.server.broadcast('e', except)).toEqual({ ...none, queued: 5 })
    for (const thread of THREADS) {
      const order = { data: 'E', options: except }
      expect(await test.order('broadcast', order, thread)).toEqual({ ...none, queued: 5 })
    }
    expect(test.server.broadcast('l', { ...room, listener: 'other' })).toEqual({
      ...none,
      queued: 2,
    })
    // A predicate sees sessions of its own thread only.
    await test.order('tag', { id: peers[1].id, value: 5 }, peers[1].worker)
    for (const thread of THREADS) {
      const order = { data: 'w', options: room, where: 5 }
      const queued = peers[1].worker === thread ? 1 : 0
      expect(await test.order('broadcast', order, thread)).toEqual({ ...none, queued })
    }
    expect(test.server.broadcast('w', { ...room, where: () => true })).toEqual(none)

    const heard = `m${ALL}`
    const after = `${heard}e${'E'.repeat(THREADS.length)}`
    // The first one was the exception.
    await expectHeard(peers, [heard, `${after}w`, after, after, '', ''])
    await expectHeard(other, [`${after}l`, `${after}l`])

    const [first] = peers
    expect(await test.order('leave', { id: first.id, group: 'room' }, first.worker)).toBe(true)
    expect(await test.order('leave', { id: first.id, group: 'room' }, first.worker)).toBe(false)
    expect(test.server.broadcast('z', room)).toEqual({ ...none, queued: 5 })
    await expectHeard([...peers, ...other], ['', 'z', 'z', 'z', '', '', 'z', 'z'])
    for (const { id, worker } of [...peers.slice(1, 4), ...other])
      expect(await test.order('leave', { id, group: 'room' }, worker)).toBe(true)
    await expectNothingMore(test, [...peers, ...other])
  })

  it("takes any name, also 'all', and refuses what is none", async () => {
    const test = await start()
    const [first, second] = await joinMany(test, 2)
    for (const group of ['all', 'é'.repeat(32), '__proto__']) {
      const { id, worker } = first
      expect(await test.order('join', { id, group }, worker)).toBe('joined')
      const queued = { ...none, queued: 1 }
      expect(test.server.broadcast('1', { to: { group } })).toEqual(queued)
    }
    const groups = await test.order('groups', { id: first.id }, first.worker)
    expect(groups).toEqual(['all', 'é'.repeat(32), '__proto__'])
    expect(test.server.broadcast('2')).toEqual({ ...none, queued: 2 })
    await expectHeard([first, second], ['1112', '2'])
    const said = 'it must be text of 1 to 64 bytes of UTF-8'
    for (const group of ['', 'x'.repeat(65), '\ud800', 5] as string[]) {
      const { id, worker } = first
      expect(await test.order('join', { id, group }, worker)).toContain(`ERR_ARGUMENT the group is`)
      for (const use of [
        () => test.server.broadcast('x', { to: { group } }),
        () => test.server.group(group),
      ]) {
        expect(use).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
        expect(use).toThrow(said)
      }
    }
    const refused = { id: first.id, group: 'room', options: { capacity: 0.5 } }
    expect(await test.order('join', refused, first.worker)).toContain('capacity is 0.5')
    await expectNothingLeft(test, [first, second])
  })

  it('holds no more members than its capacity, on all threads together', async () => {
    const test = await start({ groups: { max: 2, capacity: 7 } })
    const peers = await joinMany(test, 20)
    const eachWorker = (action: string, fields: object) =>
      Promise.all(THREADS.map((worker) => test.order(action, fields, worker)))
    for (let round = 0; round < 10; round++) {
      const results = (await eachWorker('joinAll', { group: 'room' })).flat()
      expect(results.filter((result) => result === 'joined')).toHaveLength(7)
      expect(results.filter((result) => result === 'full')).toHaveLength(13)
      expect(test.server.group('room')).toEqual({ members: 7, capacity: 7 })
      const left = (await eachWorker('leaveAll', { group: 'room' })).flat()
      expect(left.filter(Boolean)).toHaveLength(7)
      expect(test.server.group('room')).toBe(undefined)
    }
    expect(test.count('groupFull')).toBe(130)
    const wide = { group: 'wide', options: { capacity: 12 } }
    const results = (await eachWorker('joinAll', wide)).flat()
    expect(results.filter((result) => result === 'joined')).toHaveLength(12)
    const [{ id, worker }] = peers
    expect(await test.order('join', { id, group: 'second' }, worker)).toBe('joined')
    expect(await test.order('join', { id, group: 'third' }, worker)).toBe('exhausted')
    expect(test.count('groupsExhausted')).toBe(1)
    await expectNothingLeft(test, peers)
  })

  it('is left at onLeave', async () => {
    const test = await start()
    const peers = await joinMany(test, 4)
    for (const { id, worker } of peers) {
      for (const group of ['room', 'hall'])
        expect(await test.order('join', { id, group }, worker)).toBe('joined')
    }
    for (const [at, { client, id }] of peers.entries()) {
      client.end()
      const left = peers.length - at - 1
      expect(await test.next('leave', { id })).toMatchObject({
        groups: ['room', 'hall'],
        info: left === 0 ? undefined : { members: left, capacity: 0 },
        counts: { ...none, queued: left },
        joined: 'closed',
        left: false,
      })
      expect(test.server.group('hall')).toEqual(
        left === 0 ? undefined : { members: left, capacity: 0 },
      )
    }
    await expectNothingLeft(test, peers)
  })

  if (mode === 'update')
    it('goes with a session that moves', async () => {
      const test = await start({ update: { threads: 2, eager: true } })
      const peers = await joinMany(test, 4)
      for (const { id, worker } of peers)
        expect(await test.order('join', { id, group: 'room' }, worker)).toBe('joined')
      const [{ id, worker }] = peers
      const to = worker === 'update1' ? 'update2' : 'update1'
      expect(await test.order('move', { id, to }, worker)).toBe(true)
      const moved = await test.next('moved', { id })
      expect(moved).toMatchObject({ from: to, left: worker, groups: ['room'] })
      const room = { to: { group: 'room' } }
      expect(test.server.broadcast('m', room)).toEqual({ ...none, queued: 4 })
      for (const thread of ['update1', 'update2']) {
        const order = { data: thread.slice(-1), options: room }
        expect(await test.order('broadcast', order, thread)).toEqual({ ...none, queued: 4 })
      }
      // A predicate sees sessions of its own thread only, and this one is there now.
      await test.order('tag', { id, value: 5 }, to)
      for (const thread of ['update1', 'update2']) {
        const order = { data: 'w', options: room, where: 5 }
        const queued = thread === to ? 1 : 0
        expect(await test.order('broadcast', order, thread)).toEqual({ ...none, queued })
      }
      await expectHeard(peers, ['m12w', 'm12', 'm12', 'm12'])
      expect(await test.order('leave', { id, group: 'room' }, to)).toBe(true)
      expect(test.server.group('room')).toEqual({ members: 3, capacity: 0 })
      await expectNothingLeft(test, peers)
    })

  it('gets every message between join and leave, once, in the order of each thread', async () => {
    const data = { begun: counts(STREAMS), ended: counts(STREAMS), staying: counts(1) }
    const test = await start({ data })
    const peers = await joinMany(test, 12)
    data.staying[0] = THREADS.length
    const rounds = 30
    const streams = THREADS.map((worker, at) =>
      test.order('stream', { stream: at + 1, group: 'room' }, worker),
    )
    // Or nobody might speak while somebody stays.
    await test.until('every stream to run', () =>
      THREADS.every((_, at) => Atomics.load(data.begun, at + 1) > 0),
    )
    const stays = THREADS.map((worker) => test.order('stays', { group: 'room', rounds }, worker))
    for (let number = 0; Atomics.load(data.staying, 0) > 0; number++) {
      Atomics.add(data.begun, 0, 1)
      const { full, dropped } = test.server.broadcast(`0 ${number}`, { to: { group: 'room' } })
      expect(full + dropped).toBe(0)
      Atomics.add(data.ended, 0, 1)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(streams)
    const told = new Map<number, Stay[]>()
    for (const each of await Promise.all(stays))
      for (const { id, stays: own } of each as { id: number; stays: Stay[] }[]) told.set(id, own)
    expect(told.size).toBe(12)
    let must = 0
    for (const { client, id } of peers) {
      const own = told.get(id) as Stay[]
      expect(own).toHaveLength(rounds)
      for (const { joined, left } of own) expect([joined, left]).toEqual(['joined', true])
      client.end()
      const texts = unframe(await client.rest()).map((payload) => payload.toString())
      for (let stream = 0; stream < STREAMS; stream++) {
        const numbers = texts
          .map((text) => text.split(' ').map(Number))
          .filter(([from]) => from === stream)
          .map(([, number]) => number)
        for (let at = 1; at < numbers.length; at++)
          expect(numbers[at], 'in order, once').toBeGreaterThan(numbers[at - 1])
        const came = new Set(numbers)
        const may = new Set<number>()
        for (const { endedBefore, begunAfter, endedThen, begunAtLast } of own) {
          // Begun after join() had returned, ended before leave() was called.
          for (let n = begunAfter[stream]; n < endedThen[stream]; n++) {
            expect(came.has(n), `${n} of stream ${stream}`).toBe(true)
            must++
          }
          // Neither ended before join() was called nor begun after leave() had returned.
          for (let n = endedBefore[stream]; n < begunAtLast[stream]; n++) may.add(n)
        }
        expect(numbers.filter((number) => !may.has(number))).toEqual([])
      }
    }
    expect(must).toBeGreaterThan(0)
    await expectNothingLeft(test, peers)
  })

  it('is sent to while its members come from everywhere and end', async () => {
    const data = { begun: counts(STREAMS), ended: counts(STREAMS), staying: counts(1) }
    const test = await start({ data: { ...data, crowd: 'crowd' }, maxSessions: 40 })
    data.staying[0] = 1
    const streams = THREADS.map((worker, at) =>
      test.order('stream', { stream: at + 1, group: 'crowd' }, worker),
    )
    const resident = await join(test)
    const ran = new Set<string>()
    for (let round = 0; round < 12; round++) {
      const peers = await joinMany(test, 8)
      for (const { worker } of peers) ran.add(worker)
      for (const [at, { client }] of peers.entries()) {
        await client.hear()
        if (at % 2 === 0) client.end()
        else client.reset()
      }
      for (const { client } of peers) await client.untilClosed()
    }
    expect(ran).toEqual(new Set(THREADS))
    Atomics.store(data.staying, 0, 0)
    const sent = (await Promise.all(streams)) as number[]
    await test.until('one session to be left', () => {
      return test.server.monitor.snapshot().sessions === 1
    })
    expect(test.server.group('crowd')).toEqual({ members: 1, capacity: 0 })
    resident.client.end()
    const texts = unframe(await resident.client.rest()).map(String)
    for (const [at, count] of sent.entries()) {
      const numbers = texts
        .filter((text) => text.startsWith(`${at + 1} `))
        .map((text) => Number(text.split(' ')[1]))
      // From the first one on, all of them.
      expect(numbers).toEqual(Array.from(numbers, (_, i) => numbers[0] + i))
      expect(numbers.at(-1)).toBe(count - 1)
    }
    await expectNothingLeft(test, [resident])
  })
})
