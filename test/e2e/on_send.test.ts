// What: onSend in modes update and send: in the content's thread, and its bytes are all that was sent, headers included.
// Flow: node:net clients -> on_send.mjs in update threads -> bytes at clients, sums, counters.
// Thread: the test's; the servers' threads.

import { lengthPrefix } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { disconnectAfterEach, join, type Peer } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'

const MIB = 2 ** 20
const HEADER_BYTES = 4
const PEERS = 10
/** Many small ones, some that fill a chunk, some that are longer. */
const ORDERS: readonly (readonly [bytes: number, times: number])[] = [
  [1, 300],
  [2000, 50],
  [65_000, 3],
  [300_000, 2],
]
/** The same of broadcasts; a longer one than a chunk is written for each recipient. */
const BROADCASTS: readonly (readonly [bytes: number, times: number])[] = [
  [100, 20],
  [20_000, 5],
  [100_000, 2],
]

disconnectAfterEach()
stopAfterEach()

interface Sum {
  readonly bytes: number
  readonly calls: number
  readonly wrong: number
}

async function sumsOf(test: TestServer): Promise<Record<string, Sum>> {
  const all = await Promise.all(
    ['update1', 'update2'].map((thread) => test.order('sums', {}, thread)),
  )
  return Object.assign({}, ...all)
}

const framedBytes = (list: typeof ORDERS) =>
  list.reduce((sum, [bytes, times]) => sum + (HEADER_BYTES + bytes) * times, 0)

describe.each(
  (['update', 'send'] as const).flatMap((mode) => drivers.map((driver) => ({ mode, driver }))),
)('$mode $driver', ({ mode, driver }) => {
  it('sums up to what each peer gets: small, large, shared, through a full socket', async () => {
    const test = await startServer({
      driver,
      mode,
      workers: 2,
      handler: handler('on_send'),
      update: { threads: 2, eager: true },
      ...(mode === 'send' && { send: { lanes: 1 } }),
      listeners: [{ port: 0, framing: lengthPrefix({ bytes: 4, maxPayloadLength: MIB }) }],
      maxBackpressure: 8 * MIB,
      arenaBytes: 128 * MIB,
    })
    const peers: Peer[] = []
    // The first one does not read at first.
    for (let at = 0; at < PEERS; at++) peers.push(await join(test, undefined, { paused: at === 0 }))
    for (const { client } of peers) client.say(...ORDERS.map((order) => order.join(' ')))
    for (const [bytes, times] of BROADCASTS) {
      for (const thread of ['update1', 'update2'])
        await test.order('broadcast', { bytes, times }, thread)
      for (let n = 0; n < times; n++) {
        const { queued } = test.server.broadcast(Buffer.alloc(bytes, 'm'), { to: 'all' })
        expect(queued).toBe(PEERS)
      }
    }
    const [{ client: slow, id: slowId }] = peers
    for (let n = 0; n < 40; n++)
      expect(test.server.send(slowId, Buffer.alloc(100_000, 's'))).toBe('queued')
    await test.until('its socket to be full', () => test.count('overflowBytes') > 0)
    slow.resume()

    const shared = framedBytes(ORDERS) + 3 * framedBytes(BROADCASTS)
    const bytesOf = (id: number) =>
      id === slowId ? shared + 40 * (HEADER_BYTES + 100_000) : shared
    for (const { client, id } of peers) await client.take(bytesOf(id))
    const isTold = (sums: Record<string, Sum>) =>
      peers.every(({ id }) => sums[id].bytes >= bytesOf(id))
    while (!isTold(await sumsOf(test))) await new Promise((resolve) => setImmediate(resolve))

    const sums = await sumsOf(test)
    let [bytes, calls] = [0, 0]
    for (const { client, id } of peers) {
      expect(sums[id]).toMatchObject({ bytes: bytesOf(id), wrong: 0 })
      expect(client.received).toBe(bytesOf(id))
      bytes += sums[id].bytes
      calls += sums[id].calls
    }
    expect(test.count('bytesOut')).toBe(bytes)
    expect(calls).toBeGreaterThanOrEqual(PEERS)
    // A gather is told once, several in one where a ring was full.
    expect(calls).toBeLessThanOrEqual(test.count('gathers'))
  })
})
