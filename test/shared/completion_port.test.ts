// What: tests of the completion port: in one thread each rule alone, then with real threads.
// Flow: completion_port -> this; helpers/port_thread.mjs in workers and in Piscina.
// Thread: main, and workers of its own.

import { once } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { afterEach, describe, expect, it } from 'vitest'
import { PORT_HASH, PORT_HEAD, PORT_TAIL } from '../../src/layout/layout.ts'
import { CompletionPort, type CompletionPortOptions } from '../../src/shared/completion_port.ts'
import { errorOf } from '../helpers/error_of.ts'
import { root } from '../tidy/files.ts'

const THREAD = pathToFileURL(join(root, 'test/helpers/port_thread.mjs'))
/** Of the work that helpers/port_thread.mjs does. */
const SPIN = 1
const BLOCK = 2

/** Ports of so many threads, all in this one. */
function ports(count: number, options: CompletionPortOptions = {}): CompletionPort[] {
  const first = CompletionPort.create({ threads: 8, concurrency: 2, capacity: 4, ...options })
  return [
    first,
    ...Array.from({ length: count - 1 }, (_, i) => CompletionPort.open(first.handle, i + 1)),
  ]
}

/** Waits without sleeping: from then on it can be chosen. */
function waits(port: CompletionPort): void {
  expect(port.get(0, true)).toBe('timeout')
}

function value(port: CompletionPort): number | string {
  const entry = port.get(0)
  return typeof entry === 'string' ? entry : entry.value
}

describe('the queue', () => {
  it('hands out what was posted, first in, first out [PORT-1]', () => {
    const [poster, taker] = ports(2)
    for (const value of [1, -2, 2 ** 31 - 1]) expect(poster.post(-(2 ** 31), value)).toBe('posted')
    expect(poster.snapshot().queued).toBe(3)
    expect(taker.get()).toEqual({ key: -(2 ** 31), value: 1, bytes: new Uint8Array(0), from: 0 })
    expect([value(taker), value(taker), value(taker)]).toEqual([-2, 2 ** 31 - 1, 'timeout'])
  })

  it('is bounded for each thread that posts [PORT-6]', () => {
    const [first, second, taker] = ports(3, { capacity: 2 })
    expect([first.post(0, 1), first.post(0, 2), first.post(0, 3)]).toEqual([
      'posted',
      'posted',
      'full',
    ])
    expect(second.post(0, 4)).toBe('posted')
    expect(value(taker)).toBe(1)
    expect([first.post(0, 5), first.post(0, 6)]).toEqual(['posted', 'full'])
    expect([2, 4, 5].map(() => value(taker))).toEqual([2, 4, 5])
  })

  it('goes on for many rounds of its cells, also past 2^32 entries', () => {
    const [poster, taker] = ports(2, { threads: 2, capacity: 3 })
    for (let i = 0; i < 100; i++) {
      expect(poster.post(0, i)).toBe('posted')
      expect(value(taker)).toBe(i)
    }
    // Eight cells: as they are when all numbers before were used.
    const words = new Int32Array(poster.handle.memory)
    const cellsAt = words[8]
    for (let cell = 0; cell < 8; cell++) words[cellsAt + cell] = -16
    words[PORT_HEAD] = words[PORT_TAIL] = -8
    for (let i = 0; i < 40; i++) {
      expect([poster.post(0, i), poster.post(0, i + 1)]).toEqual(['posted', 'posted'])
      expect([value(taker), value(taker)]).toEqual([i, i + 1])
    }
  })

  it('takes payloads: a longer one takes several entries [PORT-6]', () => {
    const [poster, taker] = ports(2, { capacity: 4, payloadBytes: 5 })
    expect(poster.payloadBytesMax).toBe(32)
    const payload = Uint8Array.from({ length: 20 }, (_, i) => i + 1)
    expect(poster.post(1, 1, payload)).toBe('posted')
    expect(poster.post(1, 2, payload)).toBe('full')
    expect(poster.post(1, 2, payload.subarray(0, 8))).toBe('posted')
    expect(taker.get()).toMatchObject({ value: 1, bytes: payload })
    expect(taker.get()).toMatchObject({ value: 2, bytes: payload.subarray(0, 8) })
    for (let i = 0; i < 10; i++) {
      const bytes = payload.subarray(0, 2 * i)
      expect(poster.post(i, i, bytes)).toBe('posted')
      expect(taker.get()).toMatchObject({ value: i, bytes })
    }
  })

  it('hands out several at once', () => {
    const [poster, taker] = ports(2)
    for (let i = 0; i < 4; i++) poster.post(0, i)
    const values = (max: number) => {
      const entries = taker.getMany(max, 0)
      return typeof entries === 'string' ? entries : entries.map((entry) => entry.value)
    }
    expect([values(3), values(3), values(3)]).toEqual([[0, 1, 2], [3], 'timeout'])
  })
})

describe('who runs', () => {
  it('the latest of those who wait is chosen [PORT-3]', () => {
    const [poster, first, second, third] = ports(4)
    for (const port of [first, second, third]) waits(port)
    expect(poster.snapshot().waiting).toEqual([3, 2, 1])
    poster.post(0, 1)
    expect(poster.snapshot()).toMatchObject({ waiting: [2, 1], released: [3] })
    expect(value(third)).toBe(1)
    waits(third)
    poster.post(0, 2)
    expect(poster.snapshot()).toMatchObject({ waiting: [2, 1], released: [3] })
    expect(value(third)).toBe(2)
  })

  it('no more than concurrency at once [PORT-4]', () => {
    const [poster, first, second, third] = ports(4)
    for (const port of [first, second, third]) waits(port)
    for (let i = 0; i < 3; i++) poster.post(0, i)
    expect(poster.snapshot()).toMatchObject({ waiting: [1], released: [2, 3], queued: 3 })
    expect([value(third), value(second), value(first)]).toEqual([0, 1, 'timeout'])
    // Who comes back goes on itself.
    expect(value(third)).toBe(2)
  })

  it('a thread that gets nothing within its time runs on nothing', () => {
    const [poster, taker] = ports(2, { concurrency: 1 })
    expect(value(taker)).toBe('timeout')
    expect(poster.snapshot()).toMatchObject({ waiting: [], released: [], paused: [] })
    poster.post(0, 1)
    expect(value(taker)).toBe(1)
    expect(value(taker)).toBe('timeout')
    expect(poster.snapshot().released).toEqual([])
  })

  it('another one for a thread that blocks [PORT-5]', () => {
    const [poster, first, second] = ports(3, { concurrency: 1 })
    poster.post(0, 1)
    expect(value(first)).toBe(1)
    waits(second)
    poster.post(0, 2)
    expect(poster.snapshot()).toMatchObject({ waiting: [2], released: [1] })
    first.block()
    first.block()
    expect(poster.snapshot()).toMatchObject({ waiting: [], released: [2], paused: [1] })
    expect(value(second)).toBe(2)
    first.unblock()
    expect(poster.snapshot().paused).toEqual([1])
    first.unblock()
    expect(poster.snapshot()).toMatchObject({ released: [1, 2], paused: [] })
  })

  it('nobody new while there are too many; who comes back first stands back [PORT-5]', () => {
    const [poster, first, second, third] = ports(4, { concurrency: 1 })
    poster.post(0, 1)
    expect(value(first)).toBe(1)
    first.block()
    poster.post(0, 2)
    expect(value(second)).toBe(2)
    first.unblock()
    waits(third)
    poster.post(0, 3)
    expect(poster.snapshot()).toMatchObject({ waiting: [3], released: [1, 2], queued: 1 })
    // Its place goes to the one that runs without: the entry stays.
    waits(second)
    expect(poster.snapshot()).toMatchObject({ waiting: [2, 3], released: [1], queued: 1 })
    expect(value(first)).toBe(3)
    waits(first)
    expect(poster.snapshot()).toMatchObject({ waiting: [1, 2, 3], released: [], queued: 0 })
  })

  it('who is back takes a place that is free', () => {
    const [poster, first, second] = ports(3, { concurrency: 1 })
    poster.post(0, 1)
    expect(value(first)).toBe(1)
    first.block()
    poster.post(0, 2)
    expect(value(second)).toBe(2)
    second.block()
    first.unblock()
    second.unblock()
    second.block()
    first.leave()
    second.unblock()
    waits(second)
    expect(poster.snapshot()).toMatchObject({ waiting: [2], released: [] })
    poster.post(0, 3)
    expect(value(second)).toBe(3)
  })
})

describe('entries for one thread', () => {
  it('are found by it alone, oldest first, and come back to who posted them [PORT-9]', () => {
    const [first, second, third] = ports(3, { capacity: 2, payloadBytes: 4 })
    expect(second.postTo(2, 1, 5, Uint8Array.of(1, 2))).toBe('posted')
    expect(second.postTo(2, 1, 6)).toBe('posted')
    expect(second.postTo(2, 1, 7)).toBe('full')
    expect(first.postTo(2, 1, 8)).toBe('posted')
    expect([first.takeDirect(), second.takeDirect()]).toEqual([[], []])
    const got = third.takeDirect()
    expect(got.map(({ value, from }) => [value, from])).toEqual([
      [5, 1],
      [6, 1],
      [8, 0],
    ])
    expect(got[0].bytes).toEqual(Uint8Array.of(1, 2))
    expect([second.postTo(2, 0, 1), second.postTo(2, 0, 1)]).toEqual(['posted', 'posted'])
    third.leave()
    expect([second.postTo(2, 0, 1), second.postTo(7, 0, 1)]).toEqual(['gone', 'gone'])
    expect([second.post(0, 1), second.post(0, 1), second.keyOf(1)]).toEqual(['posted', 'posted', 1])
  })
})

describe('the end', () => {
  it('hands out what was posted before, then says so to everybody [PORT-7]', () => {
    const [poster, first, second] = ports(3)
    waits(second)
    poster.post(0, 1)
    poster.post(0, 2)
    poster.close()
    expect(poster.snapshot().isClosed).toBe(true)
    expect(poster.post(0, 3)).toBe('closed')
    expect([value(second), value(first), value(first), value(second)]).toEqual([
      1,
      2,
      'closed',
      'closed',
    ])
    expect(first.getMany(4)).toBe('closed')
    poster.close()
    expect(poster.snapshot()).toMatchObject({ waiting: [], released: [], queued: 0 })
  })

  it('ends waits that nothing will come for', () => {
    const [poster, first, second] = ports(3)
    waits(first)
    poster.post(0, 1)
    waits(second)
    poster.close()
    expect(poster.snapshot().waiting).toEqual([2])
    expect(value(first)).toBe(1)
    expect(poster.snapshot().waiting).toEqual([])
    expect(second.get()).toBe('closed')
  })

  it('gives the number of who leaves to the next one, with its entries', () => {
    const [poster, first] = ports(2, { threads: 2, capacity: 1 })
    expect(poster.post(0, 1)).toBe('posted')
    poster.leave()
    poster.leave()
    const next = CompletionPort.open(first.handle)
    expect([next.thread, next.post(0, 2)]).toEqual([0, 'full'])
    expect(value(first)).toBe(1)
    expect(next.post(0, 2)).toBe('posted')
  })
})

describe('misuse', () => {
  const code = (run: () => unknown) => (errorOf(run) as { code?: string }).code

  it('is refused with a sentence', () => {
    const [port, other] = ports(2, { threads: 2 })
    expect(errorOf(() => port.post(0.5, 0)).message).toContain('was given 0.5 as key')
    expect(errorOf(() => port.post(0, 2 ** 31)).message).toContain(
      'as value; it takes a whole number',
    )
    expect(errorOf(() => port.post(0, 0, new Uint8Array(1))).message).toContain(
      'a payload of 1 bytes',
    )
    expect(errorOf(() => port.get(-1)).message).toContain('was given -1 as timeoutMs')
    expect(errorOf(() => port.getMany(0)).message).toContain('was given 0 as max')
    expect(errorOf(() => port.abandon(0)).message).toContain('which is this thread')
    expect(errorOf(() => CompletionPort.create({ threads: 0 })).message).toContain('0 as threads')
    expect(
      errorOf(() => CompletionPort.create({ payloadBytes: 2 ** 20, capacity: 65_536 })).message,
    ).toContain('a completion port has at most')
    expect(code(() => CompletionPort.open({ memory: new SharedArrayBuffer(8) }))).toBe(
      'ERR_ARGUMENT',
    )
    expect(code(() => CompletionPort.open(port.handle))).toBe('ERR_PORT_THREADS')
    expect(code(() => port.block())).toBe('ERR_PORT_STATE')
    expect(code(() => port.unblock())).toBe('ERR_PORT_STATE')
    port.post(0, 0)
    expect(value(other)).toBe(0)
    other.block()
    expect(code(() => other.get())).toBe('ERR_PORT_STATE')
    other.leave()
    for (const use of [() => other.get(), () => other.post(0, 0), () => other.close()])
      expect(code(use)).toBe('ERR_PORT_STATE')
    new Int32Array(port.handle.memory)[PORT_HASH]++
    expect(code(() => CompletionPort.open(port.handle))).toBe('ERR_LAYOUT_MISMATCH')
  })

  it('is not a default: 0 is one per core', () => {
    const port = CompletionPort.create()
    expect(port.snapshot().concurrency).toBeGreaterThan(0)
  })
})

describe('with real threads', () => {
  const workers: Worker[] = []
  const pools: Piscina[] = []
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.terminate()))
    await Promise.all(pools.splice(0).map((pool) => pool.destroy()))
  })

  const start = (port: CompletionPort, batch = 1): Worker => {
    const worker = new Worker(THREAD, { workerData: { handle: port.handle, batch } })
    workers.push(worker)
    return worker
  }
  const result = async (
    worker: Worker,
  ): Promise<{ taken: number; thread: number; bytes: number }> => (await once(worker, 'message'))[0]

  /** Lets other threads run until something is so. */
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
  }

  it('a trickle of jobs stays on as many threads as may run [PORT-3]', async () => {
    const port = CompletionPort.create({ threads: 9, concurrency: 2 })
    const all = Array.from({ length: 8 }, () => start(port))
    const results = all.map(result)
    await until(() => port.snapshot().waiting.length === 8)
    const jobs = 2000
    for (let i = 0; i < jobs; i++) {
      // Two at a time are on their way, as two may run.
      await until(() => port.snapshot().queued + port.snapshot().released.length < 2)
      expect(port.post(SPIN, 1000)).toBe('posted')
    }
    port.close()
    const taken = (await Promise.all(results)).map((each) => each.taken).sort((a, b) => b - a)
    expect(taken.reduce((sum, count) => sum + count)).toBe(jobs)
    expect(taken[0] + taken[1]).toBeGreaterThanOrEqual(0.95 * jobs)
  })

  it('all jobs are done, once, however many threads post and block', async () => {
    const port = CompletionPort.create({
      threads: 8,
      concurrency: 2,
      capacity: 64,
      payloadBytes: 8,
    })
    const all = [start(port), start(port, 4), start(port), start(port, 64)]
    const results = all.map(result)
    const posters = [port, CompletionPort.open(port.handle), CompletionPort.open(port.handle)]
    let bytes = 0
    for (let i = 0; i < 3000; i++) {
      const poster = posters[i % 3]
      const payload = new Uint8Array(i % 33)
      const key = i % 50 === 0 ? BLOCK : SPIN
      await until(() => poster.post(key, key === BLOCK ? 1 : 100, payload) === 'posted')
      bytes += payload.length
    }
    port.close()
    const done = await Promise.all(results)
    expect(done.reduce((sum, { taken }) => sum + taken, 0)).toBe(3000)
    expect(done.reduce((sum, each) => sum + each.bytes, 0)).toBe(bytes)
    expect(port.snapshot()).toMatchObject({ queued: 0, waiting: [], released: [], paused: [] })
  })

  it('more threads than concurrency work when they block [PORT-5]', async () => {
    const port = CompletionPort.create({ threads: 5, concurrency: 1 })
    const results = Array.from({ length: 4 }, () => result(start(port)))
    await until(() => port.snapshot().waiting.length === 4)
    for (let i = 0; i < 4; i++) port.post(BLOCK, 1000)
    await until(() => port.snapshot().paused.length === 4)
    port.close()
    expect((await Promise.all(results)).map(({ taken }) => taken)).toEqual([1, 1, 1, 1])
  })

  it('several ports from Piscina workers, by their handles', async () => {
    const pool = new Piscina({
      filename: THREAD.href,
      minThreads: 4,
      maxThreads: 4,
      atomics: 'disabled',
    })
    pools.push(pool)
    const files = CompletionPort.create({ threads: 3, concurrency: 1 })
    const sums = CompletionPort.create({ threads: 3, concurrency: 2 })
    const tasks = [files, files, sums, sums].map(({ handle }) => pool.run({ handle }))
    for (let i = 0; i < 100; i++) {
      expect(files.post(BLOCK, 1)).toBe('posted')
      for (let j = 0; j < 5; j++) expect(sums.post(SPIN, 100)).toBe('posted')
    }
    files.close()
    sums.close()
    const taken = (await Promise.all(tasks)).map((each) => each.taken)
    expect([taken[0] + taken[1], taken[2] + taken[3]]).toEqual([100, 500])
  })

  it('a thread that is terminated holds nobody up once it is given up [PORT-8]', async () => {
    const port = CompletionPort.create({ threads: 3, concurrency: 1, capacity: 2 })
    const lost = start(port)
    await until(() => port.snapshot().waiting.length === 1)
    // As good as for ever: it is in the middle of it when it ends.
    expect(port.post(SPIN, 2 ** 31 - 1)).toBe('posted')
    await until(() => port.snapshot().queued === 0 && port.snapshot().released.length === 1)
    const [thread] = port.snapshot().released
    const survivor = start(port)
    const survived = result(survivor)
    await until(() => port.snapshot().waiting.length === 1)
    expect(port.post(SPIN, 1)).toBe('posted')
    expect(port.snapshot().waiting).toHaveLength(1)
    await lost.terminate()
    port.abandon(thread)
    port.close()
    expect((await survived).taken).toBe(1)
    expect(port.snapshot()).toMatchObject({ released: [], waiting: [] })
  })

  it('a thread that is terminated while it waits is not chosen [PORT-8]', async () => {
    const port = CompletionPort.create({ threads: 3, concurrency: 1 })
    const survivor = start(port)
    const survived = result(survivor)
    await until(() => port.snapshot().waiting.length === 1)
    const lost = start(port)
    await until(() => port.snapshot().waiting.length === 2)
    const [latest] = port.snapshot().waiting
    await lost.terminate()
    port.abandon(latest)
    for (let i = 0; i < 10; i++) port.post(SPIN, 1)
    port.close()
    expect((await survived).taken).toBe(10)
  })
})
