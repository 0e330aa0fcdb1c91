// What: send, close, broadcast, pin and post from every kind of thread, also to sessions that leave; order under load.
// Flow: orders of main -> any_thread.mjs, any_thread_jobs.mjs, this -> node:net clients -> this.
// Thread: the test's, which is main; content threads and job threads of the servers.

import { lengthPrefix, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { actions, BOARD_BYTES, end, textOf } from '../helpers/any_thread.mjs'
import { drivers } from '../helpers/drivers.ts'
import { Client, disconnectAfterEach, join, type Peer, unframe } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'
import { expectNothingLost, snapshot } from '../helpers/table_snapshot.ts'

const MIB = 2 ** 20
const SESSIONS = 32

disconnectAfterEach()
stopAfterEach()

type Act = (order: { readonly do: string; readonly [field: string]: unknown }) => Promise<unknown>
type Do = (runtime: unknown, order: object) => unknown

const modes = ['worker', 'update', 'send'] as const

describe.each(drivers.flatMap((driver) => modes.map((mode) => ({ driver, mode }))))(
  '$driver, mode $mode',
  ({ driver, mode }) => {
    const content = mode === 'worker' ? ['worker1', 'worker2'] : ['update1', 'update2']

    const start = (options: Partial<ServerOptions> = {}) =>
      startServer({
        driver,
        mode,
        update: { eager: true, threads: 2 },
        workers: 2,
        maxSessions: SESSIONS,
        handler: handler('any_thread'),
        listeners: [{ port: 0, framing: lengthPrefix({ bytes: 4, maxPayloadLength: MIB }) }],
        jobs: { module: handler('any_thread_jobs'), threads: 2, concurrency: 2 },
        data: new SharedArrayBuffer(BOARD_BYTES),
        ...options,
      })

    /** Has each kind of thread act: both that run content, two job threads, main. */
    function actors(test: TestServer): Record<string, Act> {
      const { server } = test
      const inContent = (thread: string): Act => {
        return ({ do: action, ...fields }) => test.order(action, fields, thread)
      }
      return {
        [content[0]]: inContent(content[0]),
        [content[1]]: inContent(content[1]),
        job: (order) => server.jobs.run('act', order),
        main: async (order) => (actions as unknown as Record<string, Do>)[order.do](server, order),
      }
    }

    async function joinMany(test: TestServer, count: number): Promise<Peer[]> {
      const peers: Peer[] = []
      for (let at = 0; at < count; at++) peers.push(await join(test))
      return peers
    }

    /** Nothing can be sent to it any more. */
    const untilGone = (test: TestServer, id: number) =>
      test.until('it to be closed', () => test.server.send(id, '') === 'closed')

    it('every thread sends, broadcasts, pins, posts and closes', async () => {
      const test = await start()
      for (const [thread, act] of Object.entries(actors(test))) {
        const peers = await joinMany(test, 4)
        const ids = peers.map(({ id }) => id)
        const hearAll = async (text: string) => {
          for (const { client } of peers) expect(String(await client.hear())).toBe(text)
        }
        for (const id of ids) expect(await act({ do: 'send', id, data: 'one' })).toBe('queued')
        await hearAll('one')
        for (const options of [{}, { to: ids }, { to: { group: 'all' } }]) {
          const counts = { queued: 4, full: 0, closed: 0, dropped: 0 }
          expect(await act({ do: 'broadcast', data: 'many', options })).toEqual(counts)
          await hearAll('many')
        }
        for (const id of ids) {
          const found = { isOpen: true, tag: 7, hasAmount: true, sent: 'queued' }
          const after = { again: 'ERR_PIN_RELEASED', isOpenAfter: false }
          expect(await act({ do: 'pinOnce', id, data: 'pinned' })).toEqual({ ...found, ...after })
        }
        await hearAll('pinned')
        for (const to of content) {
          const before = test.seen('hello').length
          const message = { do: 'hello' }
          expect(await act({ do: 'post', to, message })).toBe('posted')
          const { sender, from } = await test.next('hello', {}, before)
          expect(from).toBe(to)
          expect(String(sender).replace(/^job[12]$/, 'job')).toBe(thread)
        }
        for (const { id, client } of peers) {
          expect(await act({ do: 'close', id })).toBe(true)
          await client.untilClosed()
          expect(await test.next('leave', { id })).toMatchObject({ reason: 'localClose' })
          expect(await act({ do: 'close', id })).toBe(false)
          expect(await act({ do: 'send', id, data: 'late' })).toBe('closed')
          expect(await act({ do: 'pinOnce', id, data: 'late' })).toBe('undefined')
        }
        const counts = { queued: 0, full: 0, closed: 4, dropped: 0 }
        expect(await act({ do: 'broadcast', data: 'late', options: { to: ids } })).toEqual(counts)
      }
      expect(test.seen('error')).toEqual([])
    })

    it('posts to threads that hear nobody are refused', async () => {
      const { server } = await start()
      for (const to of ['job1', 'send1', 'acceptor', 'nobody'])
        expect(() => server.post(to, 1)).toThrow(
          new RegExp(`post\\(\\) to '${to}'; there are 'main'`),
        )
    })

    it('keeps the order of each sending thread under load', async () => {
      const test = await start({ maxBackpressure: 64 * MIB, arenaBytes: 192 * MIB })
      const peers = await joinMany(test, 6)
      const ids = peers.map(({ id }) => id)
      const act = actors(test)
      // Wine takes twenty times as long for each.
      const count = driver === 'iocp' ? 200 : 800
      const streams = { a: content[0], b: content[1], c: 'job', d: 'job', e: 'main' }
      const running = Object.entries(streams).map(([name, thread]) =>
        act[thread]({ do: 'stream', name, ids, count, burst: 20 }),
      )
      const next = peers.map(() => new Map(Object.keys(streams).map((name) => [name, 0])))
      const reading = peers.map(async ({ client }, at) => {
        for (let left = count * 5; left > 0; left--) {
          const text = String(await client.hear())
          const name = text.slice(0, 1)
          const number = next[at].get(name) as number
          expect(text).toBe(textOf(name, number))
          next[at].set(name, number + 1)
        }
      })
      expect(await Promise.all(running)).toEqual([count, count, count, count, count])
      await Promise.all(reading)
      expect(test.count('sendDropped')).toBe(0)
      expect(test.seen('error')).toEqual([])
    })

    it('sessions that come and go meanwhile: nobody throws, nothing leaks', async () => {
      const test = await start({ maxBackpressure: MIB })
      const act = actors(test)
      const names = ['a', 'b', 'c', 'd', 'e']
      const threads = [content[0], content[1], 'job', 'job', 'main']
      const strike = () => {
        end(test.server, false)
        return threads.map((thread, at) => act[thread]({ do: 'blows', name: names[at] }))
      }
      // Every thread has its chunk, and every slot was used: what stays for good is there.
      const first = await joinMany(test, SESSIONS)
      const warmUp = strike()
      for (const { client } of first) await client.hear().catch(() => {})
      for (const { client } of first) client.end()
      for (const { client } of first) await client.untilClosed()
      end(test.server)
      await Promise.all(warmUp)
      const before = await snapshot(test)
      const blows = strike()
      const lane = async (number: number) => {
        for (let round = 0; round < 6; round++) {
          const client = await Client.connect(test.port())
          client.say(`hello ${number}`)
          // What comes is a whole message of somebody, or our own.
          const text = await client.hear().then(String, () => '')
          const [name, at] = text.split(' ')
          if (names.includes(name)) expect(text).toBe(textOf(name, Number(at)))
          else expect(['', `hello ${number}`]).toContain(text)
          const isReset = round % 3 === 0
          if (isReset) client.reset()
          else client.end()
          const rest = await client.rest()
          if (!isReset && client.error === '')
            for (const payload of unframe(rest)) expect(payload.length).toBeGreaterThan(0)
        }
      }
      await Promise.all(Array.from({ length: 8 }, (_, number) => lane(number)))
      end(test.server)
      const outcomes = (await Promise.all(blows)) as Record<string, number>[]
      const allowed =
        /^(send|pin|broadcast) (queued|full|closed)$|^close (true|false)$|^pin undefined$/
      const seen = new Set(outcomes.flatMap((each) => Object.keys(each)))
      expect([...seen].filter((outcome) => !allowed.test(outcome))).toEqual([])
      for (const outcome of ['send queued', 'send closed', 'pin undefined', 'close false'])
        expect([...seen]).toContain(outcome)
      await expectNothingLost(test, before)
      // Reports come later than counts.
      await test.until('every leave', () => test.seen('leave').length >= test.count('joined'))
      expect(test.seen('error')).toEqual([])
      expect(test.seen('leave')).toHaveLength(test.seen('join').length)
    })

    it.each(['main', 'first', 'second'])(
      'a pin keeps onLeave from being called: %s',
      async (who) => {
        const test = await start()
        const act = actors(test)[who === 'main' ? who : content[who === 'first' ? 0 : 1]]
        const { id, client } = await join(test)
        expect(await act({ do: 'pin', id })).toBe('pinned')
        client.end()
        await untilGone(test, id)
        // Others come and go meanwhile, in each thread.
        for (const other of await joinMany(test, 4)) {
          other.client.end()
          await test.next('leave', { id: other.id })
        }
        expect(test.seen('leave', { id })).toEqual([])
        expect(await act({ do: 'send', id, data: 'late' })).toBe('closed')
        const heldAt = await act({ do: 'unpin', id })
        expect((await test.next('leave', { id })).stamped).toBeGreaterThan(heldAt as number)
        expect(await act({ do: 'pin', id })).toBe('undefined')
      },
    )

    it('a pin of a job thread keeps onLeave from being called, too', async () => {
      const test = await start()
      const { id, client } = await join(test)
      const held = test.server.jobs.run('hold', { id })
      await test.next('held', { id })
      client.end()
      await untilGone(test, id)
      const [other] = await joinMany(test, 1)
      other.client.end()
      await test.next('leave', { id: other.id })
      expect(test.seen('leave', { id })).toEqual([])
      end(test.server)
      const heldAt = (await held) as number
      expect((await test.next('leave', { id })).stamped).toBeGreaterThan(heldAt)
    })

    it('a pin that is never let go does not keep the server from stopping', async () => {
      const test = await start()
      const { id, client } = await join(test)
      expect(test.server.pin(id)?.isOpen).toBe(true)
      await test.stop(50)
      await client.untilClosed()
      expect(test.seen('leave', { id })).toHaveLength(1)
    })
  },
)
