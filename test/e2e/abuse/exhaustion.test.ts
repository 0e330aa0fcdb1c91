// What: what can run out, does: slots, descriptors, chunks, heap, receive buffers, backlog; refused, counted, and over.
// Flow: abuse_client.c -> a small server -> counters while it lasts, normal service and snapshots afterwards.
// Thread: the test's; the servers' workers; child processes of peers.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer as createNetServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { lengthPrefix, type SendBuffer, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { Abuse, endAbuseAfterEach } from '../../helpers/abuse_client.ts'
import { startUsedServer } from '../../helpers/abuse_server.ts'
import { drivers } from '../../helpers/drivers.ts'
import { Client, disconnectAfterEach } from '../../helpers/e2e_client.ts'
import { stopAfterEach, type TestServer } from '../../helpers/e2e_server.ts'
import {
  chunks,
  expectNothingLost,
  type Snapshot,
  tellAll,
  turnChunks,
} from '../../helpers/table_snapshot.ts'

const KIB = 1024
const CHUNK_BYTES = 4 * KIB
const SLOTS = 100
const HEALTHY = 8
/** Descriptors that the process has left where it must run out of them. */
const SPARE = 16
/** Little enough for a few hundred peers to use it up. */
const SMALL_ARENA = 4 * KIB * KIB
const SMALL_BUFFER = 4_608
const RECEIVE_BUFFERS = 16

/** Descriptors of a process that has few: enough to start. */
const FEW = 200

const cli = fileURLToPath(new URL('../../../dist/src/cli/main.js', import.meta.url))
const framing = lengthPrefix()

/** Connections that found a full backlog, of the whole machine: netstat(8), TcpExt. */
function listenOverflows(): number {
  const lines = readFileSync('/proc/net/netstat', 'utf8').split('\n')
  const [names, values] = lines.filter((line) => line.startsWith('TcpExt:'))
  return Number(values.split(' ')[names.split(' ').indexOf('ListenOverflows')])
}

endAbuseAfterEach()
disconnectAfterEach()
stopAfterEach()

describe.each(drivers)('%s', (driver) => {
  const start = (options: Partial<ServerOptions> = {}) =>
    startUsedServer({
      driver,
      listeners: [{ name: 'main', port: 0, framing, sendBufferBytes: SMALL_BUFFER }],
      maxSessions: SLOTS,
      chunkBytes: CHUNK_BYTES,
      ...options,
    })

  /** As many as there are slots are served, and then nothing is missing. */
  async function expectRecovery(test: TestServer, before: Snapshot) {
    await test.until('the abuse to be over', () => test.server.monitor.snapshot().sessions === 0)
    const heard = test.count('messagesIn')
    const [dropped, full] = [test.count('sendDropped'), test.count('sendFull')]
    const peers = new Abuse('echo', test.port(), { count: HEALTHY })
    // Every one of them is answered.
    await peers.ready()
    await test.until('echoes', () => test.count('messagesIn') > heard + 500)
    expect(await peers.end()).toMatchObject({ faults: 0, resets: 0 })
    expect([test.count('sendDropped'), test.count('sendFull')]).toEqual([dropped, full])
    await turnChunks(test, CHUNK_BYTES)
    await expectNothingLost(test, before)
    expect(test.seen('error')).toEqual([])
  }

  /** Descriptors are those of this process too: they are free when the workers have closed theirs. */
  async function whenFree<T>(open: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await open()
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
  }

  it('a full table resets who comes, counts it, and serves again', async () => {
    const { test, before } = await start()
    const peers = new Abuse('hold', test.port(), { count: SLOTS + 50 })
    await peers.ready()
    await test.until('the refusals', () => test.count('tableFull') === 50)
    expect(test.server.monitor.snapshot().sessions).toBe(SLOTS)
    await peers.drop()
    expect(await peers.end()).toMatchObject({ connected: SLOTS + 50, resets: 50, fins: 0 })
    await expectRecovery(test, before)
  })

  it('a slot that a worker took first is refused by the worker, and counted', async () => {
    const other = createNetServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    const { port } = other.address() as AddressInfo
    const { test, before } = await start({
      workers: 1,
      maxSessions: 1,
      outbound: [{ name: 'out', framing }],
    })
    const gate = new Int32Array(new SharedArrayBuffer(4))
    test.tell({ do: 'connectAfter', gate, port })
    await test.next('gated')
    // The kernel makes the connection; the worker finds it after it has taken its slot for the other one.
    const late = await Client.connect(test.port())
    Atomics.store(gate, 0, 1)
    Atomics.notify(gate, 0)
    await late.untilClosed()
    expect(late.error).toBe('ECONNRESET')
    await test.until('the refusal', () => test.count('endedTableFull') === 1)
    await test.until('the outbound session', () => test.count('connected') === 1)
    test.tell({ do: 'terminate' })
    await test.until('its end', () => test.server.monitor.snapshot().sessions === 0)
    await new Promise((resolve) => other.close(resolve))
    const client = await Client.connect(test.port())
    client.write(Buffer.from([0, 2, 1, 2]))
    expect([...(await client.take(4))]).toEqual([0, 2, 1, 2])
    client.end()
    await client.untilClosed()
    await turnChunks(test, CHUNK_BYTES)
    await expectNothingLost(test, before)
  })

  it('without descriptors accepting waits, is counted, and goes on when some are free', async () => {
    // A multishot accept has the limit of the moment in which it was submitted.
    const { test, before } = await start({
      maxSessions: 2 * SLOTS,
      ioUringWithout: ['multishotAccept'],
    })
    const first = await Client.connect(test.port())
    const peers = new Abuse('hold', test.port(), {
      count: SLOTS,
      limit_pid: process.pid,
      spare: SPARE,
    })
    try {
      await peers.ready()
      await test.until('the lack', () => test.count('acceptStarved') > 2)
      expect(test.server.monitor.snapshot().sessions).toBeLessThan(SLOTS)
      // Who was there is served.
      first.write(Buffer.from([0, 2, 1, 2]))
      expect([...(await first.take(4))]).toEqual([0, 2, 1, 2])
      // Descriptors are free again, though no more than there were.
      await peers.drop()
      const next = await whenFree(() => Client.connect(test.port()))
      next.write(Buffer.from([0, 2, 3, 4]))
      expect([...(await next.take(4))]).toEqual([0, 2, 3, 4])
      for (const client of [first, next]) {
        client.end()
        await client.untilClosed()
      }
    } finally {
      peers.restoreLimit()
      await peers.end()
    }
    await expectRecovery(test, before)
  })

  it('without chunks messages are dropped, which is counted, until some are free', async () => {
    const { test, before } = await start()
    const hoards = await tellAll(test, { do: 'hoard', bytes: CHUNK_BYTES / 2 })
    expect(hoards.map(({ code }) => code)).toEqual(['ERR_MEMORY_PLAN', 'ERR_MEMORY_PLAN'])
    const peers = new Abuse('blast', test.port(), { count: HEALTHY, size: 500, reads: 1 })
    await test.until('drops', () => test.count('sendDropped') > 1_000)
    expect(() => test.server.prepare(new Uint8Array(CHUNK_BYTES / 2))).toThrow(
      expect.objectContaining({ code: 'ERR_MEMORY_PLAN' }),
    )
    await peers.drop()
    await peers.end()
    await tellAll(test, { do: 'releaseHoard' })
    await expectRecovery(test, before)
  })

  it('what main releases is free at once', async () => {
    const { test, before } = await start()
    const buffers: SendBuffer[] = []
    expect(() => {
      for (;;) buffers.push(test.server.prepare(new Uint8Array(CHUNK_BYTES / 2)))
    }).toThrow(expect.objectContaining({ code: 'ERR_MEMORY_PLAN' }))
    expect(chunks().free).toBe(0)
    for (const buffer of buffers.reverse()) buffer.release()
    expect(chunks().free).toBe(before.chunksFree)
    await expectNothingLost(test, before)
  })

  it('without heap for what is unsent the longest queues are reset', async () => {
    const { test, before } = await start({
      arenaBytes: SMALL_ARENA,
      receiveBuffers: RECEIVE_BUFFERS,
    })
    const peers = new Abuse('blast', test.port(), { count: 40, size: 500, rcvbuf: SMALL_BUFFER })
    await test.until('the longest queues to go', () => test.count('endedOverflow') > 10)
    await peers.drop()
    await peers.end()
    await expectRecovery(test, before)
  })

  it('without heap for what has begun to arrive sessions are reset', async () => {
    const { test, before } = await start({
      arenaBytes: SMALL_ARENA,
      receiveBuffers: RECEIVE_BUFFERS,
    })
    // Each says that 65,535 bytes will come, and sends 40,000 of them.
    const peers = new Abuse('hold', test.port(), { count: SLOTS, partial: 40_000 })
    await test.until('resets', () => test.count('endedOverflow') > 10)
    await peers.drop()
    await peers.end()
    await expectRecovery(test, before)
  })

  it('without receive buffers everybody waits for a turn, and gets it', async () => {
    const count = 200
    const { test, before } = await start({ receiveBuffers: RECEIVE_BUFFERS, maxSessions: count })
    const peers = new Abuse('echo', test.port(), { count, size: 600 })
    await peers.ready()
    await test.until('the lack', () => test.count('buffersStarved') > 10)
    const heard = test.count('messagesIn')
    await test.until('echoes', () => test.count('messagesIn') > heard + 50 * count)
    const { faults, resets, answered } = await peers.end()
    expect({ faults, resets }).toEqual({ faults: 0, resets: 0 })
    expect(answered.filter((answers) => answers < 10)).toEqual([])
    await expectRecovery(test, before)
  })

  it('a process that began with few descriptors serves again when some are free', async () => {
    const flags = ['start', '--port', '0', '--workers', '1', '--driver', driver]
    const child = spawn('sh', [
      '-c',
      `ulimit -n ${FEW} && exec "$@"`,
      'sh',
      process.execPath,
      cli,
      ...flags,
    ])
    const line = await new Promise<string>((resolve) => {
      child.stdout.once('data', (data) => resolve(String(data)))
    })
    const port = Number(/:(\d+) /.exec(line)?.[1])
    const peers = new Abuse('hold', port, { count: 2 * FEW })
    await peers.ready()
    await peers.drop()
    await peers.end()
    const client = await Client.connect(port)
    client.write(Buffer.from([0, 2, 1, 2]))
    expect([...(await client.take(4))]).toEqual([0, 2, 1, 2])
    child.kill('SIGTERM')
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0)
  })

  it('storms on a short backlog end in normal service', async () => {
    const { test, before } = await start({
      maxSessions: 1_000,
      closeTimeout: 300,
      listeners: [
        { name: 'main', port: 0, framing },
        { name: 'short', port: 0, framing, backlog: 16 },
      ],
    })
    const overflows = listenOverflows()
    const peers = new Abuse('storm', test.port('short'), { count: 5_000, at_once: 100 })
    expect(await peers.report()).toMatchObject({ opened: 5_000, faults: 0 })
    expect(listenOverflows()).toBeGreaterThan(overflows)
    await expectRecovery(test, before)
  })
})
