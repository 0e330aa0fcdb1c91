// What: runtime.connect(): protocols given in the call, failures of every kind, time limits, abort, reconnecting, stop.
// Flow: orders from main -> outbound.mjs -> node:net peers and servers of ours -> this.
// Thread: the test's; the servers' workers and update threads.

import { delimiter, lengthPrefix, raw, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'
import {
  CLOSED_PORT,
  endPeersAfterEach,
  NO_NAME,
  Peer,
  silentPort,
  UNREACHABLE_HOST,
} from '../helpers/outbound_peer.ts'

const lp4 = lengthPrefix({ bytes: 4 })
/** Longer than any test. */
const LONG_MS = 100_000

stopAfterEach()
endPeersAfterEach()

/** Where content runs, and so where connect() is called. */
const modes = [
  { mode: 'worker', threads: ['worker1', 'worker2'] },
  { mode: 'update', threads: ['update1', 'update2', 'update3'] },
  { mode: 'send', threads: ['update1'] },
] as const

let keys = 0

/** Has a thread connect; resolves with its report, `connected` or `failed`. */
async function connect(test: TestServer, options: object, thread?: string) {
  const key = ++keys
  test.tell({ do: 'connect', key, framing: lp4, host: '127.0.0.1', ...options }, thread)
  return test.until(`an end of connect ${key}`, () =>
    [...test.seen('connected', { key }), ...test.seen('failed', { key })].at(0),
  )
}

/** The same where it must be connected; resolves with the session's id. */
async function connected(test: TestServer, options: object, thread?: string): Promise<number> {
  const report = await connect(test, options, thread)
  expect(report).toMatchObject({ type: 'connected' })
  return report.id as number
}

const nothingLeft = (test: TestServer) =>
  test.until('no session to be left', () => test.server.monitor.snapshot().sessions === 0)

const places = drivers.flatMap((driver) => modes.map((place) => ({ driver, ...place })))

describe.each(places)('$driver, mode $mode', ({ driver, mode, threads }) => {
  const where: Partial<ServerOptions> =
    mode === 'worker'
      ? { driver }
      : { driver, mode, update: { eager: true, threads: threads.length } }

  /** A server that only connects; its handler is outbound.mjs. */
  const start = (options: Partial<ServerOptions> = {}) =>
    startServer({ ...where, handler: handler('outbound'), ...options })

  const startEcho = () =>
    startServer({
      ...where,
      handler: handler('outbound'),
      listeners: [
        { name: 'lp4', port: 0, framing: lp4 },
        { name: 'lines', port: 0, framing: delimiter({ bytes: '\r\n' }) },
      ],
    })

  /** What Wine has not is not even skipped (missing.mjs). */
  const itIfHad = driver === 'iocp' ? () => {} : it

  describe('a protocol that is given in the call', () => {
    it('talks to another server of this process, which sees its framing', async () => {
      const echo = await startEcho()
      const test = await start()
      const framings = { lp4, lines: delimiter({ bytes: '\r\n' }) }
      for (const [name, framing] of Object.entries(framings)) {
        const port = echo.port(name)
        const id = await connected(test, { framing, port, data: { name } })
        expect(await test.next('join', { id })).toMatchObject({ listener: '', data: { name } })
        for (const text of ['echo', `echo ${'long '.repeat(10_000)}`]) {
          test.tell({ do: 'send', id, data: text })
          await test.next('recv', { id, text })
          await echo.next('recv', { text })
        }
        test.tell({ do: 'close', id })
        expect(await test.next('leave', { id })).toMatchObject({ reason: 'localClose' })
      }
      expect(test.count('connected')).toBe(2)
      expect(test.seen('error')).toEqual([])
      await nothingLeft(test)
    })

    it('is one protocol for all sessions with the same framing, handler and options', async () => {
      const peer = await Peer.start()
      const test = await start()
      const { host, port } = peer
      for (let at = 0; at < 300; at++) {
        const id = await connected(test, { host, port, framing: lp4, closeMode: 'reset' })
        test.tell({ do: 'close', id })
      }
      await nothingLeft(test)
    })

    it('is refused by name when the runtime has no room for another one', async () => {
      const peer = await Peer.start()
      const test = await start({ outbound: [{ name: 'declared', framing: raw() }] })
      const { host, port } = peer
      const different = (at: number) => lengthPrefix({ bytes: 4, maxPayloadLength: at + 1 })
      for (let at = 1; at < 256; at++) {
        const id = await connected(test, { host, port, framing: different(at) })
        test.tell({ do: 'terminate', id })
      }
      for (const framing of [different(256), different(257)]) {
        expect(await connect(test, { host, port, framing })).toMatchObject({
          code: 'ERR_PROTOCOL_TABLE_FULL',
          message: expect.stringContaining('all 256 protocols'),
        })
      }
      await connected(test, { host, port, framing: different(255) })
      await connected(test, { host, port, framing: undefined, protocol: 'declared' })
    })

    it('has the handler that the call names: started before, ticking, stopped after', async () => {
      const peer = await Peer.start()
      const test = await start()
      const other = String(handler('outbound_other'))
      const { host, port } = peer
      const calls = [lp4, raw(), raw()].map((framing) =>
        connect(test, { host, port, framing, handler: other }),
      )
      await test.next('starting', { module: 'other' })
      calls.push(connect(test, { host, port, framing: lp4, handler: other }))
      // Heard by a handler that is in its onStart, behind the last call.
      test.tell({ do: 'nothing' })
      await test.next('heard', { module: 'other', action: 'nothing' })
      expect(test.seen('join')).toEqual([])
      expect(peer.connections).toEqual([])
      test.tell({ do: 'goOn' })
      for (const report of await Promise.all(calls)) expect(report.type).toBe('connected')
      await test.next('join', { module: 'other' }, 3)
      await test.next('tick', { module: 'other' }, 1)
      await test.next('bytes', { bytes: 9 })
      await test.next('bytes', { bytes: 5 })
      for (const nth of [0, 1, 2, 3]) {
        const connection = await peer.connection(nth)
        await test.until(`hello ${nth}`, () => connection.bytes.length >= 5)
      }
      const own = test.reports.filter(({ module }) => module === 'other')
      const types = own.map(({ type }) => type)
      expect(types[0]).toBe('starting')
      expect(types.indexOf('start')).toBeLessThan(types.indexOf('join'))
      expect(test.seen('start', { module: 'other' })).toHaveLength(1)
      await test.stop()
      expect(test.seen('leave', { module: 'other' })).toHaveLength(4)
      expect(test.reports.filter(({ module }) => module === 'other').at(-1)?.type).toBe('stop')
    })

    it('needs a handler that can be loaded', async () => {
      const test = await startServer({
        ...where,
        outbound: [{ name: 'named', framing: raw(), handler: handler('outbound') }],
      })
      const port = CLOSED_PORT
      expect(await connect(test, { port })).toMatchObject({
        code: 'ERR_OPTION_TYPE',
        message: expect.stringContaining('the server has no handler either'),
      })
      const missing = String(handler('there_is_none'))
      for (let again = 0; again < 2; again++) {
        expect(await connect(test, { port, handler: missing })).toMatchObject({
          code: 'ERR_HANDLER_LOAD',
        })
      }
      const plain = String(handler('bad_plain'))
      expect(await connect(test, { port, handler: plain })).toMatchObject({
        code: 'ERR_HANDLER_SHAPE',
      })
    })

    it('is known to other threads, which send with its framing', async () => {
      const peer = await Peer.start()
      const test = await start({ workers: 2, outbound: [{ name: 'named', framing: raw() }] })
      const { host, port } = peer
      const framings = [
        [
          lengthPrefix({ bytes: 4, endian: 'little', offset: 3, includesHeader: true }),
          '0000000a000000616263',
        ],
        [
          delimiter({ bytes: 'end of the line!' }),
          `616263${Buffer.from('end of the line!').toString('hex')}`,
        ],
        [delimiter({ bytes: '\n', strip: false }), '616263'],
        [raw(), '616263'],
      ] as const
      for (const [at, [framing, hex]] of framings.entries()) {
        const id = await connected(test, { host, port, framing, noDelay: false })
        const connection = await peer.connection(at)
        const frames = (count: number) =>
          test.until(
            `${count} frames of ${framing.kind}`,
            () => connection.bytes.length >= (count * hex.length) / 2,
          )
        expect(test.server.send(id, 'abc')).toBe('queued')
        await frames(1)
        test.tell({ do: 'sendById', id, data: 'abc' }, threads.at(-1))
        await frames(2)
        expect(test.server.broadcast('abc', { to: [id] })).toMatchObject({ queued: 1 })
        await frames(3)
        expect(test.server.broadcast('abc').queued).toBe(at + 1)
        await frames(4)
        expect(connection.bytes.toString('hex')).toBe(hex.repeat(4))
      }
      expect(test.server.broadcast('abc', { listener: 'named' }).queued).toBe(0)
    })
  })

  describe('fails with a code', () => {
    it('where nobody listens, where there is no way, where there is no name', async () => {
      const test = await start()
      expect(await connect(test, { port: CLOSED_PORT })).toMatchObject({
        code: 'ERR_CONNECT_REFUSED',
        message: 'connect(): 127.0.0.1:1 was not reached: nobody listens there',
        name: 'OverlappedError',
      })
      expect(await connect(test, { host: UNREACHABLE_HOST, port: 9 })).toMatchObject({
        code: 'ERR_CONNECT_UNREACHABLE',
        message: `connect(): ${UNREACHABLE_HOST}:9 was not reached: there is no way to it`,
      })
      expect(await connect(test, { host: NO_NAME, port: 9 })).toMatchObject({
        code: 'ERR_NAME_NOT_FOUND',
        message: `connect(): ${NO_NAME}:9: the name cannot be resolved (ENOTFOUND)`,
        why: 'ENOTFOUND',
      })
      expect(test.count('connectFailed')).toBe(2)
      expect(test.seen('join')).toEqual([])
      expect(test.seen('leave')).toEqual([])
      await nothingLeft(test)
    })

    it('when nobody answers in time, and the slot is free again', async () => {
      const port = await silentPort()
      const test = await start({ maxSessions: 1 })
      // Less time than was given, or none at all, if the call has waited for its turn before.
      const said = new RegExp(
        `^connect\\(\\): 127.0.0.1:${port} (did not answer|was not reached) in \\d+ ms$`,
      )
      let dialled = 0
      for (let again = 0; again < 3; again++) {
        const { code, message } = await connect(test, { port, timeout: 50 })
        expect(code).toBe('ERR_CONNECT_TIMED_OUT')
        const [, how] = said.exec(message as string) ?? []
        expect(how).toBeDefined()
        if (how === 'did not answer') dialled++
      }
      expect(test.count('endedConnectFailed')).toBe(dialled)
      await nothingLeft(test)
    })

    it('when its signal is aborted: before, while it connects, never after', async () => {
      const port = await silentPort()
      const peer = await Peer.start()
      const test = await start({ maxSessions: 1 })
      expect(await connect(test, { port, abortAtOnce: true })).toMatchObject({
        code: 'ERR_CONNECT_ABORTED',
        why: 'at once',
      })
      const pending = connect(test, { port, timeout: LONG_MS, abortable: true })
      await test.until('the slot to be taken', () => test.server.monitor.snapshot().sessions === 1)
      test.tell({ do: 'abort', key: keys })
      expect(await pending).toMatchObject({ code: 'ERR_CONNECT_ABORTED', why: 'enough' })
      await nothingLeft(test)
      const id = await connected(test, { host: peer.host, port: peer.port, abortable: true })
      test.tell({ do: 'abort', key: keys })
      test.tell({ do: 'send', id, data: 'still here' })
      const { socket } = await peer.connection()
      await test.until('the message', () => peer.connections[0].bytes.length === 14)
      socket.end()
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'peerClosed' })
    })

    it('when every slot is taken', async () => {
      const peer = await Peer.start()
      const test = await start({ maxSessions: 2 })
      const { host, port } = peer
      const first = await connected(test, { host, port })
      await connected(test, { host, port })
      expect(await connect(test, { host, port })).toMatchObject({
        code: 'ERR_SESSION_TABLE_FULL',
        message: expect.stringContaining('all of its 2 sessions'),
      })
      test.tell({ do: 'close', id: first })
      await test.next('leave', { id: first })
      await test.until('a free slot', () => test.server.monitor.snapshot().sessions === 1)
      await connected(test, { host, port })
    })

    it('when the server stops meanwhile', async () => {
      const port = await silentPort()
      const test = await start({ workers: 2 })
      const waiting = { minDelay: LONG_MS, maxDelay: LONG_MS, jitter: 0 }
      for (const thread of threads) {
        const order = { do: 'connect', framing: lp4, host: '127.0.0.1' }
        test.tell({ ...order, key: 'on its way', port, timeout: LONG_MS }, thread)
        test.tell({ ...order, key: 'waits', port: CLOSED_PORT, reconnect: waiting }, thread)
      }
      await test.until('connections on their way, and waits', () => {
        const { sessions } = test.server.monitor.snapshot()
        return sessions === threads.length && test.seen('attempt').length === threads.length
      })
      for (const attempt of test.seen('attempt'))
        expect(attempt).toMatchObject({ attempt: 1, retryInMs: LONG_MS })
      await test.stop()
      for (const from of threads) {
        for (const key of ['on its way', 'waits'])
          expect(test.seen('failed', { key, from })).toMatchObject([{ code: 'ERR_SERVER_STATE' }])
        expect(test.seen('stop', { from })).toHaveLength(1)
      }
      expect(test.seen('join')).toEqual([])
    })

    it('where the arguments are wrong, and on main', async () => {
      const test = await start({ outbound: [{ name: 'named', framing: raw() }] })
      const port = CLOSED_PORT
      for (const [options, code, message] of [
        [{ port: 0 }, 'ERR_OPTION_RANGE', 'connect() port is 0; it must be'],
        [{ port, timeout: 2 ** 31 }, 'ERR_OPTION_RANGE', 'connect() timeout is 2147483648'],
        [{ port, host: '' }, 'ERR_OPTION_RANGE', "connect() host is ''"],
        [{ port, timout: 5 }, 'ERR_OPTION_UNKNOWN', 'the nearest known one is timeout'],
        [
          { port, framing: { kind: 'lines' } },
          'ERR_OPTION_RANGE',
          'connect() options.framing.kind',
        ],
        [{ port, protocol: 'named' }, 'ERR_ARGUMENT', 'given protocol and framing'],
        [{ port, framing: undefined }, 'ERR_ARGUMENT', 'given neither protocol nor framing'],
        [
          { port, framing: undefined, protocol: 'other' },
          'ERR_ARGUMENT',
          "there is no protocol 'other'",
        ],
        [
          { port, reconnect: { minDelay: 0 } },
          'ERR_OPTION_RANGE',
          'connect() reconnect.minDelay is 0',
        ],
        [{ port, signal: {} }, 'ERR_OPTION_TYPE', 'connect() signal is {}'],
      ] as const) {
        expect(await connect(test, options)).toMatchObject({
          code,
          message: expect.stringContaining(message),
        })
      }
      await expect(test.server.connect({ framing: lp4, host: '127.0.0.1', port })).rejects.toThrow(
        'connect() was called on main; sessions belong to the threads that run content',
      )
    })
  })

  describe('reconnecting', () => {
    const quick = { minDelay: 1, maxDelay: 20 }

    itIfHad('goes on until somebody listens, and again after the peer was restarted', async () => {
      const peer = await Peer.start()
      const { host, port } = peer
      await peer.stop()
      const test = await start({
        data: { connectInStart: { host, port, framing: lp4, reconnect: quick, data: 'client' } },
      })
      const third = await test.next('attempt', {}, 2)
      expect(third).toMatchObject({
        code: 'ERR_CONNECT_REFUSED',
        host,
        port,
        attempt: 3,
        data: 'client',
      })
      expect(test.seen('connected')).toEqual([])
      await peer.listen()
      const first = await test.next('connected', { key: 'start' })
      expect(await test.next('join')).toMatchObject({ id: first.id, data: 'client' })
      const { socket } = await peer.connection()
      socket.write(Buffer.from('00000004736f6d65', 'hex'))
      await test.next('recv', { text: 'some' })
      const before = test.seen('attempt').length
      await peer.stop()
      await test.next('leave', { id: first.id })
      await test.next('attempt', {}, before + 1)
      // Delays and the count of attempts have begun anew.
      expect(test.seen('attempt')[before]).toMatchObject({ attempt: 1 })
      await peer.listen()
      const second = await test.next('join', {}, 1)
      expect(second.id).not.toBe(first.id)
      expect(second.data).toBe('client')
      expect(test.seen('connected')).toHaveLength(1)
      test.tell({ do: 'send', id: second.id, data: 'x' })
      await test.until('its message', () => peer.connections.at(-1)?.bytes.length === 5)
    })

    itIfHad(
      'brings the sessions of each thread back to it, with what it keeps for them',
      async () => {
        const peer = await Peer.start()
        const { host, port } = peer
        const test = await start({ workers: 2 })
        const ids = new Map<string, number>()
        for (const thread of threads) {
          const options = { host, port, reconnect: quick, data: { thread } }
          ids.set(thread, await connected(test, options, thread))
          expect(await test.next('join', { from: thread })).toMatchObject({ data: { thread } })
        }
        await peer.stop()
        for (const from of threads) {
          await test.next('leave', { id: ids.get(from), from })
          await test.next('attempt', { from, code: 'ERR_CONNECT_REFUSED' }, 1)
        }
        const before = peer.connections.length
        await peer.listen()
        for (const thread of threads) {
          const join = await test.next('join', { from: thread }, 1)
          expect(join).toMatchObject({ data: { thread } })
          expect(join.id).not.toBe(ids.get(thread))
          test.tell({ do: 'send', id: join.id, data: thread }, thread)
          expect((await test.next('sent', { from: thread })).result).toBe('queued')
        }
        const texts = () =>
          peer.connections.slice(before).map(({ bytes }) => bytes.subarray(4).toString())
        await test.until('what each of them says', () => {
          return texts().sort().join() === [...threads].sort().join()
        })
        expect(test.seen('error')).toEqual([])
      },
    )

    it.each(['close', 'terminate'])('is over after session.%s()', async (end) => {
      const peer = await Peer.start()
      const { host, port } = peer
      const test = await start()
      const id = await connected(test, { host, port, reconnect: quick })
      test.tell({ do: end, id })
      await test.next('leave', { id })
      // A second client takes longer than the first one would to come back.
      const later = await connected(test, { host, port, reconnect: quick })
      const { socket } = await peer.connection(1)
      socket.destroy()
      await test.next('leave', { id: later })
      await test.next('join', {}, 2)
      expect(test.count('connected')).toBe(3)
    })

    it('is over after so many attempts, and by its signal', async () => {
      const test = await start()
      const port = CLOSED_PORT
      expect(await connect(test, { port, reconnect: { ...quick, attempts: 3 } })).toMatchObject({
        code: 'ERR_CONNECT_REFUSED',
      })
      const reports = test.seen('attempt')
      expect(reports.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
      expect(reports.map(({ retryInMs }) => retryInMs === null)).toEqual([false, false, true])
      const waiting = { minDelay: LONG_MS, maxDelay: LONG_MS }
      const pending = connect(test, { port, abortable: true, reconnect: waiting })
      await test.next('attempt', {}, 3)
      test.tell({ do: 'abort', key: keys })
      expect(await pending).toMatchObject({ code: 'ERR_CONNECT_ABORTED' })
    })
  })
})
