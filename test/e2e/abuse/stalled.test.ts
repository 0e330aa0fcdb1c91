// What: peers that do not read: with a slice each, sending for ever, under broadcasts; and ended while they blast.
// Flow: abuse_client.c -> a server -> chunks, heaps and counters while it lasts, snapshots before and after.
// Thread: the test's; the servers' workers; child processes of peers.

import { lengthPrefix, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { Abuse, endAbuseAfterEach } from '../../helpers/abuse_client.ts'
import { startUsedServer } from '../../helpers/abuse_server.ts'
import { drivers } from '../../helpers/drivers.ts'
import { stopAfterEach, type TestServer } from '../../helpers/e2e_server.ts'
import {
  chunks,
  expectNothingLost,
  inspect,
  tellAll,
  turnChunks,
} from '../../helpers/table_snapshot.ts'

const KIB = 1024
const MIB = KIB * KIB
const CHUNK_BYTES = 64 * KIB
const STALLED = 1_000
const HEALTHY = 8
const SLICE_BYTES = 16
/** Sockets that take little, so that it is soon that they take nothing. */
const SMALL_BUFFER = 4_608
const MAX_BACKPRESSURE = MIB
/** First byte of what healthy peers know not to be an echo. */
const FOREIGN = 0xee

endAbuseAfterEach()
stopAfterEach()

describe.each(drivers)('%s', (driver) => {
  async function start(options: Partial<ServerOptions> = {}) {
    const { test, before } = await startUsedServer({
      driver,
      listeners: [
        { name: 'healthy', port: 0, framing: lengthPrefix() },
        { name: 'stalled', port: 0, framing: lengthPrefix(), sendBufferBytes: SMALL_BUFFER },
      ],
      maxSessions: STALLED + HEALTHY,
      maxBackpressure: MAX_BACKPRESSURE,
      chunkBytes: CHUNK_BYTES,
      ...options,
    })
    const healthy = new Abuse('echo', test.port('healthy'), { count: HEALTHY })
    await test.until('all to be sessions', () => {
      return test.count('joined') === STALLED + 2 * HEALTHY
    })
    return { test, before, healthy }
  }

  /** Healthy peers go on, and none of their messages was refused. */
  async function expectHealthy(test: TestServer, healthy: Abuse) {
    const heard = test.count('messagesIn')
    await test.until('echoes', () => test.count('messagesIn') > heard + 1_000)
    const { faults, resets, fins, answered } = await healthy.end()
    expect({ faults, resets, fins }).toEqual({ faults: 0, resets: 0, fins: 0 })
    expect(answered.filter((count) => count === 0)).toEqual([])
  }

  const heapBytes = async (test: TestServer) =>
    (await inspect(test)).reduce((total, state) => total + state.heapBytes, 0)

  it(`${STALLED} stalled peers with one small slice each hold no chunk`, async () => {
    const { test, before, healthy } = await start()
    const joined = test.count('joined') + STALLED
    const peers = new Abuse('hold', test.port('stalled'), { count: STALLED, rcvbuf: SMALL_BUFFER })
    await test.until('all to be sessions', () => test.count('joined') === joined)
    const filler = Buffer.alloc(2 * KIB, FOREIGN)
    let full = 0
    while (full < STALLED) {
      const fills = await tellAll(test, { do: 'fill', listener: 'stalled', data: filler })
      full = fills.reduce((total, fill) => total + (fill.full as number), 0)
    }
    // More chunks than there are: a slice that kept its chunk would use them up.
    expect(before.chunksFree).toBeLessThan(STALLED)
    const heapFilled = await heapBytes(test)
    const data = Buffer.alloc(SLICE_BYTES, FOREIGN)
    const order = { do: 'sendApart', listener: 'stalled', data, chunkBytes: CHUNK_BYTES }
    const counts = (await tellAll(test, order)).map((report) => report.counts)
    expect(counts).toEqual([{ queued: STALLED / 2 }, { queued: STALLED / 2 }])
    // The same from a thread that owns none of them.
    let queued = 0
    for (const { ids } of await tellAll(test, { do: 'ids', listener: 'stalled' })) {
      for (const id of ids as number[]) {
        // A worker that did not get its core has not copied yet what waits for it.
        await test.until('some to be free', () => chunks().free > before.chunksFree / 2)
        if (test.server.send(id, data) === 'queued') queued++
        test.server.prepare(new Uint8Array(CHUNK_BYTES / 2)).release()
        test.server.prepare(new Uint8Array(CHUNK_BYTES / 2)).release()
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    expect(queued).toBe(STALLED)
    // One open chunk per thread is all that is not free.
    await test.until('chunks to be free', () => chunks().free >= before.chunksFree)
    // What they hold instead is planned: at most two of the smallest blocks more for each.
    expect((await heapBytes(test)) - heapFilled).toBeLessThanOrEqual(STALLED * 2 * KIB)
    expect([test.count('sendFull'), test.count('sendDropped')]).toEqual([0, 0])
    await expectHealthy(test, healthy)
    expect(test.count('endedOverflow')).toBe(0)
    await peers.drop()
    await peers.end()
    await turnChunks(test, CHUNK_BYTES)
    await expectNothingLost(test, before)
  })

  it('a peer that never reads while it sends for ever costs maxBackpressure', async () => {
    const { test, before, healthy } = await start()
    const peer = new Abuse('blast', test.port('stalled'), {
      count: 1,
      size: 500,
      rcvbuf: SMALL_BUFFER,
    })
    await peer.ready()
    await test.until('a lot to be received', () => test.count('bytesIn') > 64 * MIB)
    expect(test.count('sendFull')).toBeGreaterThan(0)
    const held = await heapBytes(test)
    expect(held).toBeGreaterThan(MAX_BACKPRESSURE / 2)
    // Blocks are powers of two.
    expect(held).toBeLessThanOrEqual(2 * MAX_BACKPRESSURE)
    await expectHealthy(test, healthy)
    await peer.drop()
    await peer.end()
    await turnChunks(test, CHUNK_BYTES)
    await expectNothingLost(test, before)
  })

  it('a peer that never reads a broadcast is told full; the others get all of it', async () => {
    const { test, before, healthy } = await start()
    const joined = test.count('joined') + 1
    const peer = new Abuse('hold', test.port('stalled'), { count: 1, rcvbuf: SMALL_BUFFER })
    await test.until('it to be a session', () => test.count('joined') === joined)
    const data = Buffer.alloc(500, FOREIGN)
    const rounds = 16
    const times = 250
    const sum = { queued: 0, full: 0, closed: 0, dropped: 0 }
    for (let round = 0; round < rounds; round++) {
      // One worker's broadcast, then main's: to everyone, of every thread.
      test.tell({ do: 'broadcast', data, times })
      const { counts } = await test.next('broadcast', {}, round)
      for (const [name, count] of Object.entries(counts as typeof sum))
        sum[name as keyof typeof sum] += count
      const ofMain = test.server.broadcast(data)
      for (const [name, count] of Object.entries(ofMain)) sum[name as keyof typeof sum] += count
      for (let most = 1; most > 0; ) {
        const unsent = await tellAll(test, { do: 'unsent', listener: 'healthy' })
        most = Math.max(...unsent.map((report) => report.most as number))
      }
    }
    const all = rounds * (times + 1)
    expect(sum).toMatchObject({ closed: 0, dropped: 0 })
    expect(sum.full).toBeGreaterThan(0)
    // Refused were only messages to the one that does not read.
    expect(sum.queued + sum.full).toBe(all * (HEALTHY + 1))
    expect(sum.full).toBeLessThanOrEqual(all)
    expect(sum.queued - HEALTHY * all).toBeGreaterThanOrEqual(MAX_BACKPRESSURE / 502 - 1)
    expect(await heapBytes(test)).toBeLessThanOrEqual(2 * MAX_BACKPRESSURE)
    await expectHealthy(test, healthy)
    await peer.drop()
    await peer.end()
    await turnChunks(test, CHUNK_BYTES)
    await expectNothingLost(test, before)
  })

  it.each(['close', 'terminate'])('peers that blast can be ended by %s', async (how) => {
    const { test, before, healthy } = await start({ closeTimeout: 300, arenaBytes: 256 * MIB })
    const count = 40
    const [joined, left] = [test.count('joined') + count, test.count('left') + count]
    const peers = new Abuse('blast', test.port('stalled'), { count, size: 500, reads: 1 })
    await test.until('all to be sessions', () => test.count('joined') === joined)
    await test.until('a lot to be received', () => test.count('bytesIn') > 16 * MIB)
    await tellAll(test, { do: how, listener: 'stalled' })
    await test.until('all to end', () => test.count('left') === left)
    expect(test.count('sendDropped')).toBe(0)
    await expectHealthy(test, healthy)
    const { resets, fins } = await peers.end()
    expect(resets + fins).toBe(count)
    await turnChunks(test, CHUNK_BYTES)
    await expectNothingLost(test, before)
  })
})
