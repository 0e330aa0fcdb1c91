// What: stopping without loss, and starts that fail with one clear sentence and leave nothing behind.
// Flow: this -> server.listen(), server.stop() -> node:net clients, reports of life.mjs.
// Thread: the test's; the servers' workers.

import { readdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer as createNetServer } from 'node:net'
import { createServer, lengthPrefix, type OverlappedError, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { drivers, worlds } from '../helpers/drivers.ts'
import { Client, disconnectAfterEach, frame, pattern, unframe } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, TestServer, until } from '../helpers/e2e_server.ts'

const MIB = 2 ** 20
const lp4 = lengthPrefix({ bytes: 4, maxPayloadLength: MIB })

disconnectAfterEach()
stopAfterEach()

const listeners = [{ name: 'main', port: 0, framing: lp4 }]

describe.each(worlds)('$driver, mode $mode', (world) => {
  const base: ServerOptions = { ...world, handler: handler('life'), listeners }
  const start = (options: Partial<ServerOptions> = {}) => startServer({ ...base, ...options })

  describe('stop', () => {
    it.each([1, 2])('flushes what was sent, ends every stream, %i workers', async (workers) => {
      // A slow machine, or a sanitizer, must not run into it.
      const closeTimeout = 60_000
      const memory = { maxBackpressure: 16 * MIB, arenaBytes: 320 * MIB }
      const test = await start({ workers, closeTimeout, ...memory })
      const data = pattern(MIB)
      const clients: Client[] = []
      for (let at = 0; at < 6; at++) {
        const paused = at % 2 === 0
        const client = await Client.connect(test.port(), { paused })
        const { id, from } = await test.next('join', {}, at)
        test.tell({ do: 'send', id, data, times: 8 }, from)
        clients.push(client)
      }
      await test.until('every send', () => test.seen('send').length === 6)
      const stopped = test.stop(50_000)
      for (const client of clients) client.resume()
      for (const client of clients) {
        const payloads = unframe(await client.rest())
        expect(payloads.map((payload) => payload.equals(data))).toEqual(new Array(8).fill(true))
        expect(client.ended).toBe(true)
        expect(client.error).toBe('')
      }
      await stopped
      expect(test.seen('leave').map(({ reason }) => reason)).toEqual(
        new Array(6).fill('serverStop'),
      )
      expect(
        test
          .seen('stop')
          .map(({ thread }) => thread)
          .sort(),
      ).toEqual(world.mode === 'worker' ? ['worker1', 'worker2'].slice(0, workers) : ['update1'])
      for (const { from } of test.seen('stop')) {
        const ofThread = test.reports.filter((report) => report.from === from)
        expect(ofThread.at(-1)?.type).toBe('stop')
      }
    })

    it('flushes what main sent right before', async () => {
      for (let round = 0; round < 5; round++) {
        const test = await start({ workers: 2 })
        const clients: Client[] = []
        for (let at = 0; at < 4; at++) clients.push(await Client.connect(test.port()))
        const { id } = await test.next('join', {}, 3)
        expect(test.server.broadcast('the last')).toMatchObject({ queued: 4 })
        expect(test.server.send(id as number, 'to you')).toBe('queued')
        const stopped = test.stop()
        const heard = await Promise.all(clients.map(async (client) => unframe(await client.rest())))
        await stopped
        expect(heard.every(([first]) => first?.toString() === 'the last')).toBe(true)
        expect(heard.flat().filter((payload) => payload.toString() === 'to you')).toHaveLength(1)
      }
    })

    it('answers what had been received', async () => {
      const test = await start()
      const client = await Client.connect(test.port(), { allowHalfOpen: true })
      const messages = Array.from({ length: 50 }, (_, at) => pattern(1000, at + 1))
      client.say(...messages)
      await test.until('all to be received', () => test.count('messagesIn') === 50)
      const stopped = test.stop()
      await client.untilEnded()
      client.end()
      await stopped
      expect(client.drain().equals(Buffer.concat(messages.map(frame)))).toBe(true)
    })

    it('frees the port', async () => {
      const test = await start()
      const port = test.port()
      const client = await Client.connect(port)
      expect(await client.ask('first')).toBe('first')
      await test.stop()
      await client.untilClosed()
      const refused = new Client(port)
      await refused.untilClosed()
      expect(refused.error).toBe('ECONNREFUSED')
      const again = await start({ listeners: [{ name: 'main', port, framing: lp4 }] })
      expect(again.port()).toBe(port)
      expect(await (await Client.connect(port)).ask('second')).toBe('second')
    })

    it('can be asked for twice, and again later', async () => {
      const test = await start()
      const client = await Client.connect(test.port())
      expect(await client.ask('hello')).toBe('hello')
      await Promise.all([test.stop(), test.stop()])
      await test.server.closed
      await test.stop()
      expect(test.seen('stop')).toHaveLength(1)
      expect(test.seen('leave')).toHaveLength(1)
    })

    it('resets after drainTimeout who never closes', async () => {
      const test = await start({ closeTimeout: 60_000 })
      const client = await Client.connect(test.port(), { allowHalfOpen: true })
      expect(await client.ask('hello')).toBe('hello')
      // Time enough for every thread that has to be asked before FIN goes out.
      await test.server.stop({ drainTimeout: 2_000 })
      expect(test.seen('leave')).toMatchObject([{ reason: 'serverStop' }])
      await client.untilEnded()
      await test.until('the reset', () => {
        if (!client.closed) client.write('x')
        return client.closed
      })
      expect(['ECONNRESET', 'EPIPE']).toContain(client.error)
    })

    it('resets after drainTimeout who never reads', async () => {
      const test = await start({ closeTimeout: 60_000, maxBackpressure: 32 * MIB })
      const client = await Client.connect(test.port(), { paused: true })
      const { id } = await test.next('join')
      test.tell({ do: 'send', id, data: pattern(MIB), times: 16 })
      await test.next('send')
      await test.server.stop({ drainTimeout: 200 })
      expect(test.seen('leave')).toMatchObject([{ reason: 'serverStop' }])
      client.resume()
      expect(await client.rest()).not.toHaveLength(16 * (MIB + 4))
    })

    it('ends sessions that are paused, and takes no new ones', async () => {
      const test = await start()
      const paused = await Client.connect(test.port())
      const { id } = await test.next('join')
      test.tell({ do: 'pause', id })
      await test.next('pause')
      paused.say('never delivered')
      const port = test.port()
      await test.stop()
      await paused.untilClosed()
      expect(test.seen('leave')).toMatchObject([{ reason: 'serverStop', messages: 0 }])
      const late = new Client(port)
      await late.untilClosed()
      expect(late.error).toBe('ECONNREFUSED')
    })

    it('leaves no descriptor open', async () => {
      const open = () => readdirSync('/proc/self/fd').length
      const once = async () => {
        const test = await start({ workers: 2 })
        const clients = await Promise.all(
          Array.from({ length: 5 }, () => Client.connect(test.port())),
        )
        for (const client of clients) expect(await client.ask('hello')).toBe('hello')
        await test.stop()
        for (const client of clients) await client.untilClosed()
      }
      await once()
      const before = open()
      for (let round = 0; round < 5; round++) await once()
      await until('descriptors to be closed', () => open() <= before)
    })

    it('makes everything but stop() an error', async () => {
      const test = await start()
      await test.stop()
      const uses: (() => unknown)[] = [
        () => test.server.info(),
        () => test.server.monitor,
        () => test.server.send(1048576, 'x'),
        () => test.server.close(1048576),
        () => test.server.broadcast('x'),
        () => test.server.prepare('x'),
        () => test.server.open(1),
        () => test.server.post('worker1', 'x'),
      ]
      for (const use of uses) {
        expect(use).toThrow(expect.objectContaining({ code: 'ERR_SERVER_STATE' }))
      }
      await expect(test.server.listen()).rejects.toMatchObject({ code: 'ERR_SERVER_STATE' })
    })

    it('while listen() is under way waits for it', async () => {
      const test = new TestServer({ ...base, handler: handler('starting'), data: {} })
      const listening = test.server.listen()
      await test.next('starting')
      const stopped = test.stop()
      await listening
      await stopped
      await test.server.closed
      expect(test.seen('stopping')).toHaveLength(1)
    })

    it('before listen() is harmless', async () => {
      const test = new TestServer(base)
      await test.stop()
      await test.server.closed
      await expect(test.server.listen()).rejects.toMatchObject({ code: 'ERR_SERVER_STATE' })
    })
  })
})

describe.each(drivers)('%s', (driver) => {
  const base: ServerOptions = { driver, handler: handler('life'), listeners }
  const start = (options: Partial<ServerOptions> = {}) => startServer({ ...base, ...options })

  describe('a start that fails', () => {
    /** listen() rejects with this code and one sentence; what it took is free again. */
    async function expectFailure(options: Partial<ServerOptions>, code: string, sentence: RegExp) {
      const server = createServer({ ...base, arenaBytes: 64 * MIB, workers: 1, ...options })
      const error = await server.listen().then(
        () => server.stop().then(() => undefined),
        (reason: OverlappedError) => reason,
      )
      expect(error).toMatchObject({ name: 'OverlappedError', code })
      expect(error?.message).toMatch(sentence)
      expect(error?.message).not.toContain('\n')
      expect(() => server.info()).toThrow(expect.objectContaining({ code: 'ERR_SERVER_STATE' }))
      await server.stop()
    }

    const at = (host: string, port: number) => ({
      listeners: [{ name: 'game', host, port, framing: lp4 }],
    })

    it('names the port in use', async () => {
      const other = createNetServer().listen(0, '127.0.0.1')
      await new Promise((resolve) => other.once('listening', resolve))
      const { port } = other.address() as AddressInfo
      await expectFailure(
        at('127.0.0.1', port),
        'ERR_ADDRESS_IN_USE',
        new RegExp(`'game'.*127\\.0\\.0\\.1:${port}`),
      )
      await new Promise((resolve) => other.close(resolve))
      const test = await start(at('127.0.0.1', port))
      expect(await (await Client.connect(test.port())).ask('free')).toBe('free')
    })

    it('names the port that another server of ours has, and leaves that alone', async () => {
      const test = await start()
      const port = test.port()
      await expectFailure(at('127.0.0.1', port), 'ERR_ADDRESS_IN_USE', new RegExp(`:${port}`))
      expect(await (await Client.connect(port)).ask('still here')).toBe('still here')
    })

    it('frees the listeners that did listen', async () => {
      const test = await start()
      const other = createNetServer().listen(0, '127.0.0.1')
      await new Promise((resolve) => other.once('listening', resolve))
      const { port } = other.address() as AddressInfo
      await new Promise((resolve) => other.close(resolve))
      const both = [
        { name: 'first', port, framing: lp4 },
        { name: 'second', port: test.port(), framing: lp4 },
      ]
      await expectFailure({ listeners: both }, 'ERR_ADDRESS_IN_USE', /'second'/)
      const client = new Client(port)
      await client.untilClosed()
      expect(client.error).toBe('ECONNREFUSED')
    })

    it.each([
      ['192.0.2.1', 'ERR_ADDRESS_UNAVAILABLE', /'game'.*192\.0\.2\.1/],
      ['no-such-host.invalid', 'ERR_ADDRESS_UNAVAILABLE', /'game'.*no-such-host\.invalid/],
    ])('names the host: %s', (host, code, sentence) => expectFailure(at(host, 0), code, sentence))

    /** Whether the system lets this process bind ports below ip_unprivileged_port_start. */
    async function firstForbiddenPort(): Promise<number> {
      const start = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
      if (start === 0) return 0
      const probe = createNetServer()
      const code = await new Promise<string>((resolve) => {
        probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
        probe.listen(start - 1, '127.0.0.1', () => probe.close(() => resolve('')))
      })
      return code === 'EACCES' ? start - 1 : 0
    }

    it('names a privileged port, where the system forbids it; else it listens there', async () => {
      const forbidden = await firstForbiddenPort()
      if (forbidden > 0) {
        const sentence = new RegExp(`:${forbidden}`)
        return expectFailure(at('127.0.0.1', forbidden), 'ERR_PERMISSION', sentence)
      }
      // Not the same in every run: two may share a machine.
      const port = 900 + Math.floor(Math.random() * 124)
      const test = await start(at('127.0.0.1', port))
      expect(await (await Client.connect(port)).ask('root may')).toBe('root may')
      expect(test.port()).toBe(port)
    })

    it.each([
      ['no_such_file', 'ERR_HANDLER_LOAD', /no_such_file\.mjs/],
      ['bad_throws', 'ERR_HANDLER_LOAD', /bad_throws\.mjs.*no configuration/],
      ['bad_plain', 'ERR_HANDLER_SHAPE', /bad_plain\.mjs.*defineHandler/],
      ['bad_shape', 'ERR_HANDLER_SHAPE', /bad_shape\.mjs.*onRecieve/],
      ['bad_value', 'ERR_HANDLER_SHAPE', /bad_value\.mjs.*onRecv.*string/],
    ])('names the handler: %s', (name, code, sentence) =>
      expectFailure({ handler: handler(name) }, code, sentence),
    )

    it('names the handler of the listener that has the wrong one', () => {
      const wrong = [
        ...listeners,
        { name: 'b', port: 0, framing: lp4, handler: handler('bad_plain') },
      ]
      return expectFailure({ listeners: wrong, workers: 2 }, 'ERR_HANDLER_SHAPE', /bad_plain/)
    })

    it('says what onStart rejected with', () =>
      expectFailure({ handler: handler('bad_start') }, 'ERR_WORKER_LOST', /no database/))

    describe('with an onStart that never ends', () => {
      const stuck = (data: object) =>
        new TestServer({ ...base, handler: handler('starting'), workers: 2, data })

      it('is given up when stop() has waited for drainTimeout', async () => {
        const test = stuck({ worker1: 'never', worker2: 'ends' })
        const listening = expect(test.server.listen()).rejects.toMatchObject({
          code: 'ERR_SERVER_STATE',
          message: expect.stringContaining('onStart of some thread had not ended 50 ms later'),
        })
        await test.next('starting', { from: 'worker1' })
        await test.stop(50)
        await listening
        await test.server.closed
        // Only who has started is stopped.
        expect(test.seen('stopping', { from: 'worker1' })).toEqual([])
      })

      it('fails when another one rejects', async () => {
        const test = stuck({ worker1: 'never', worker2: 'rejects' })
        await expect(test.server.listen()).rejects.toMatchObject({
          code: 'ERR_WORKER_LOST',
          message: expect.stringContaining('worker2 was lost: no database'),
        })
        await test.stop()
      })

      it('fails when a thread is lost that had started', async () => {
        const test = stuck({ worker1: 'never', worker2: 'ends' })
        const lost = { code: 'ERR_WORKER_LOST', message: expect.stringContaining('worker2') }
        const failed = expect(test.server.listen()).rejects.toMatchObject(lost)
        await test.next('starting', { from: 'worker2' })
        test.tell({}, 'worker2')
        await failed
        await expect(test.server.closed).rejects.toMatchObject(lost)
        await test.stop()
      })
    })

    it('says when listen() is called twice', async () => {
      const test = await start()
      await expect(test.server.listen()).rejects.toMatchObject({ code: 'ERR_SERVER_STATE' })
      expect(await (await Client.connect(test.port())).ask('undisturbed')).toBe('undisturbed')
    })

    it('says when the memory does not suffice', () =>
      expectFailure(
        { arenaBytes: 17 * MIB, workers: 4 },
        'ERR_MEMORY_PLAN',
        /arenaBytes is 17825792/,
      ))
  })
})
