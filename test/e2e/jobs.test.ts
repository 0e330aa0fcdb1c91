// What: job threads: results come back to who asked, errors keep what they are, whoever blocks is replaced, the end.
// Flow: clients and main -> runtime.jobs of content threads -> job threads -> clients, main.
// Thread: the test's; the servers' threads.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { lengthPrefix, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { type MessageCounts, messages } from '../helpers/count_messages.ts'
import { drivers } from '../helpers/drivers.ts'
import { disconnectAfterEach, join, type Peer } from '../helpers/e2e_client.ts'
import { handler, listenOnly, startServer, stopAfterEach } from '../helpers/e2e_server.ts'

disconnectAfterEach()
stopAfterEach()

const MIB = 2 ** 20
const module = handler('jobs_module')
const framing = lengthPrefix({ bytes: 4, maxPayloadLength: MIB })

function optionsFor(options: Partial<ServerOptions> = {}): ServerOptions {
  return {
    handler: handler('jobs'),
    listeners: [{ name: 'main', port: 0, framing }],
    jobs: { module, threads: 3, concurrency: 2 },
    ...options,
  }
}

interface Outcome {
  readonly status: string
  readonly value?: unknown
  readonly code?: string
  readonly message?: string
  readonly thread: string
}

/** What main has sent and heard. */
function since(before: MessageCounts): MessageCounts {
  const { sent, heard, bells } = messages
  return { sent: sent - before.sent, heard: heard - before.heard, bells: bells - before.bells }
}

/** Whoever blocks goes on. */
function open(words: SharedArrayBuffer): void {
  Atomics.store(new Int32Array(words), 0, 1)
  Atomics.notify(new Int32Array(words), 0)
}

const quiet = { isQuiet: true }

const ask = async ({ client }: Peer, name: string, args: unknown = {}, more: object = {}) =>
  JSON.parse(await client.ask(JSON.stringify({ name, args, ...more }))) as Outcome

describe.each(drivers)('%s', (driver) => {
  describe.each(['worker', 'update', 'send'] as const)('mode %s', (mode) => {
    const start = (options: Partial<ServerOptions> = {}) =>
      startServer(optionsFor({ driver, mode, ...options }))

    it('a result comes back to the thread that asked', async () => {
      const test = await start({ data: 'shared' })
      const peer = await join(test)
      const content = mode === 'worker' ? 'worker1' : 'update1'
      expect(await ask(peer, 'add', { a: 2, b: 3 })).toMatchObject({ value: 5, thread: content })
      expect(await ask(peer, 'later', { ms: 1, value: [1] })).toMatchObject({ value: [1] })
      const { value } = await ask(peer, 'thread')
      expect(value).toMatchObject({ data: 'shared' })
      expect((value as { thread: string }).thread).toMatch(/^job[123]$/)
    })

    it('hundreds at once come back, each to its own', async () => {
      const test = await start()
      const { client } = await join(test)
      const asked = Array.from({ length: 300 }, (_, a) => ({ name: 'add', args: { a, b: 1000 } }))
      client.say(...asked.map((each) => JSON.stringify(each)))
      const values: unknown[] = []
      for (let i = 0; i < asked.length; i++)
        values.push(JSON.parse(String(await client.hear())).value)
      expect(values.sort()).toEqual(asked.map(({ args }) => args.a + 1000).sort())
      expect(test.count('jobsRun')).toBe(300)
      expect(test.count('jobsFailed')).toBe(0)
    })

    it('takes no messages between threads', async () => {
      const test = await start({ update: { eager: true } })
      const peers = [await join(test), await join(test)]
      const rounds = async (count: number) => {
        for (let round = 0; round < count; round++)
          for (const peer of peers)
            expect(await ask(peer, 'add', { a: round, b: 1 }, quiet)).toMatchObject({
              value: round + 1,
            })
      }
      await rounds(10)
      const before = { ...messages }
      await rounds(100)
      expect(messages).toEqual(before)
      // That the counter counts: a report is one.
      await ask(peers[0], 'add', { a: 1, b: 1 })
      await test.next('job')
      expect(since(before)).toEqual({ sent: 0, heard: 1, bells: 0 })
    })

    it('is dropped when its session had left before', async () => {
      const test = await start()
      const [peer, other] = [await join(test), await join(test)]
      peer.client.end()
      await test.next('leave', { id: peer.id })
      const outcome = await ask(other, 'add', { a: 1, b: 2 }, { bound: peer.id })
      expect(outcome).toMatchObject({ status: 'rejected', code: 'ERR_SESSION_GONE' })
      await expect(
        test.server.jobs.run('add', { a: 1, b: 2 }, { session: peer.id }),
      ).rejects.toMatchObject({ code: 'ERR_SESSION_GONE' })
      expect(test.count('jobsDropped')).toBe(2)
    })

    it('is dropped, and counted, when its session has left', async () => {
      const words = new SharedArrayBuffer(4)
      const test = await start({ data: words })
      const { client } = await join(test)
      const args = { ms: 60_000 }
      client.say(JSON.stringify({ name: 'block', args, isBound: true, isClosed: true }))
      await test.next('leave')
      open(words)
      expect(await test.next('job')).toMatchObject({ code: 'ERR_SESSION_GONE', status: 'rejected' })
      expect(test.count('jobsDropped')).toBe(1)
    })
  })

  const start = (options: Partial<ServerOptions> = {}) =>
    startServer(optionsFor({ driver, ...options }))

  it('main asks, too', async () => {
    const { server } = await start()
    const all = Array.from({ length: 50 }, (_, a) => server.jobs.run('add', { a, b: 1 }))
    expect(await Promise.all(all)).toEqual(all.map((_, a) => a + 1))
    const big = { text: 'grüße'.repeat(50_000), when: new Date(5), bytes: new Uint8Array(9) }
    expect(await server.jobs.run('echo', big)).toEqual(big)
    expect(await server.jobs.run('echo')).toBe(undefined)
  })

  it('an error keeps name, message, stack and code', async () => {
    const test = await start()
    const error = (await test.server.jobs
      .run('fail', { message: 'so' })
      .catch((error: unknown) => error)) as Error
    expect(error).toMatchObject({ name: 'RangeError', message: 'so', code: 'E_TEST' })
    expect(error.stack).toContain('jobs_module.mjs')
    await expect(test.server.jobs.run('reject')).rejects.toBe('no error')
    const peer = await join(test)
    expect(await ask(peer, 'fail', { message: 'x' })).toMatchObject({
      message: 'x',
      code: 'E_TEST',
    })
    expect(test.count('jobsFailed')).toBe(3)
  })

  it('what cannot be is refused with a sentence', async () => {
    const words = new SharedArrayBuffer(4)
    const test = await start({ data: words, jobs: { module, threads: 1, queue: 16 } })
    const { server } = test
    const failed = (name: string, args?: unknown, options = {}) =>
      server.jobs.run(name, args, options).catch(({ code, message }) => `${code}: ${message}`)
    expect(await failed('nothing')).toMatch(
      /^ERR_JOB_UNKNOWN: .*'nothing'; the jobs module has 'add'/,
    )
    expect(await failed('echo', () => {})).toMatch(/^ERR_ARGUMENT: .*v8.serialize/)
    expect(await failed('closure')).toMatch(/could not be cloned/)
    expect(await failed('add', {}, { session: 7 })).toMatch(/^ERR_ARGUMENT: .*a session id/)
    expect(await failed('echo', new Uint8Array(20_000))).toMatch(/^ERR_PAYLOAD_TOO_LONG: .*16384/)
    expect(await failed('long', { bytes: 20_000 })).toMatch(/^ERR_PAYLOAD_TOO_LONG: .*16384/)
    expect(await failed('nested')).toMatch(/^ERR_SERVER_STATE: .*in a job thread/)
    expect(() => server.jobs.blocking(() => 1)).toThrow('outside of a job')
    const blocked = failed('block', { ms: 60_000 })
    await test.until('it to block', () => server.monitor.snapshot().jobs?.paused.length === 1)
    const asked = Array.from({ length: 40 }, (_, a) => failed('add', { a, b: 0 }))
    open(words)
    await blocked
    const many = await Promise.all(asked)
    expect(many.slice(0, 16)).toEqual(Array.from({ length: 16 }, (_, a) => a))
    for (const each of many.slice(16)) expect(each).toMatch(/^ERR_JOBS_FULL/)
  })

  it('says so where there are no job threads', async () => {
    const { jobs: _, ...options } = optionsFor({ driver })
    const { server } = await startServer(options)
    await expect(server.jobs.run('add')).rejects.toThrow('its option jobs names their module')
    expect(() => server.jobs.blocking(() => 1)).toThrow('its option jobs')
  })

  it('a job that blocks is replaced [PORT-5]', async () => {
    const words = new SharedArrayBuffer(4)
    const test = await start({ data: words, jobs: { module, threads: 3, concurrency: 1 } })
    const blocked = [1, 2].map(() => test.server.jobs.run('block', { ms: 60_000 }))
    await test.until('two to block', () => test.server.monitor.snapshot().jobs?.paused.length === 2)
    expect(await test.server.jobs.run('add', { a: 1, b: 1 })).toBe(2)
    const waiting = test.server.jobs.run('later', { ms: 20, value: 'done' })
    expect(await waiting).toBe('done')
    open(words)
    await Promise.all(blocked)
    const { jobs } = test.server.monitor.snapshot()
    expect(jobs).toMatchObject({ concurrency: 1, paused: [], queued: 0 })
  })

  it('a job can send, and use files', async () => {
    const test = await start()
    const peer = await join(test)
    expect(await test.server.jobs.run('send', { id: peer.id, text: 'hello' })).toBe('queued')
    expect(String(await peer.client.hear())).toBe('hello')
    const folder = mkdtempSync(joinPath(tmpdir(), 'overlapped-'))
    try {
      const args = { path: joinPath(folder, 'file'), text: 'in a file' }
      expect(await ask(peer, 'file', args)).toMatchObject({ value: 'in a file' })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('main alone is told when its bell rings, once for what has come meanwhile', async () => {
    const { server } = await start()
    const add = (a: number) => server.jobs.run('add', { a, b: 0 })
    await add(0)
    const before = { ...messages }
    const count = 200
    expect(await Promise.all(Array.from({ length: count }, (_, a) => add(a)))).toHaveLength(count)
    const { sent, heard, bells } = since(before)
    expect(sent).toBe(0)
    expect(heard).toBe(bells)
    expect(bells).toBeGreaterThan(0)
    expect(bells).toBeLessThanOrEqual(count)
  })

  it('stop() runs into drainTimeout: what is left is rejected', async () => {
    const words = new SharedArrayBuffer(4)
    const options = { driver, data: words, jobs: { module, threads: 1 } }
    const test = await listenOnly(optionsFor(options))
    const peer = await join(test)
    const asked = [
      test.server.jobs.run('block', { ms: 600_000 }),
      ...[1, 2, 3].map((value) => test.server.jobs.run('later', { ms: 1, value })),
    ]
    peer.client.say(JSON.stringify({ name: 'add', args: { a: 1, b: 1 } }))
    await test.until('one to block', () => test.server.monitor.snapshot().jobs?.paused.length === 1)
    const settled = Promise.allSettled(asked)
    await test.stop(50)
    for (const outcome of await settled)
      expect(outcome).toMatchObject({ reason: { code: 'ERR_SERVER_STATE' } })
    await peer.client.untilClosed()
    expect(test.seen('leave', { id: peer.id })).toHaveLength(1)
  })

  it('a job thread that ends ends the server; the others finish what is in the queue', async () => {
    const test = await listenOnly(
      optionsFor({ driver, jobs: { module, threads: 2, concurrency: 1 } }),
    )
    const dies = test.server.jobs.run('exit').catch(({ code }) => code)
    const others = [1, 2, 3].map((value) => test.server.jobs.run('later', { ms: 1, value }))
    await expect(test.server.closed).rejects.toMatchObject({ code: 'ERR_WORKER_LOST' })
    await test.server.stop()
    expect(await Promise.all(others)).toEqual([1, 2, 3])
    expect(await dies).toBe('ERR_SERVER_STATE')
  })

  it('stop() waits for the jobs in the queue', async () => {
    const test = await listenOnly(optionsFor({ driver, jobs: { module, threads: 1 } }))
    const all = Array.from({ length: 10 }, (_, value) =>
      test.server.jobs.run('later', { ms: 2, value }),
    )
    await test.stop()
    expect(await Promise.all(all)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('a module that is none is refused when the server starts', async () => {
    const listen = (name: string) =>
      listenOnly(optionsFor({ driver, jobs: { module: handler(name) } })).then(
        () => '',
        ({ code }) => code,
      )
    expect(await listen('no_such_file')).toBe('ERR_JOBS_LOAD')
    expect(await listen('bad_plain')).toBe('ERR_JOBS_SHAPE')
  })
})
