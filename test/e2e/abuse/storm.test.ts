// What: storms of connections that reset at a random byte, while main sends to ids that are gone: nothing is lost.
// Flow: abuse_client.c -> a server with two workers -> snapshots of everything before and after.
// Thread: the test's; the servers' workers; a child process of peers.

import { lengthPrefix, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { Abuse, endAbuseAfterEach } from '../../helpers/abuse_client.ts'
import { drivers } from '../../helpers/drivers.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../../helpers/e2e_server.ts'
import { expectNothingLost, snapshot, turnChunks } from '../../helpers/table_snapshot.ts'

const CONNECTS = 50_000
const AT_ONCE = 1_100
const HITS = 10_000
/** Storms until so many were seen; of each at least one in 20. */
const STORMS_MAX = 20
/** Dead connections wait for their turn beside the live ones, so there are more slots than these. */
const MAX_SESSIONS = 4_096
const CHUNK_BYTES = 4_096
/** Ids that main sends to between two looks at what else there is to do. */
const SENDS_PER_TURN = 200
/** A frame that the peers know from an echo by its first byte. */
const FOREIGN = Buffer.from([0xee, 1, 2, 3, 4, 5, 6, 7])

endAbuseAfterEach()
stopAfterEach()

/** Sends from main, a thread that owns none of them, to ids old and new until the storm is over. */
async function sendToIds(test: TestServer, isOver: () => boolean) {
  const results: Record<string, number> = {}
  const ids: number[] = []
  for (let taken = 0, turn = 0; !isOver(); turn++) {
    for (; taken < test.reports.length; taken++) {
      const { type, ids: joined } = test.reports[taken]
      if (type === 'ids') ids.push(...(joined as number[]))
    }
    for (let sent = 0; sent < SENDS_PER_TURN && ids.length > 0; sent++) {
      // Half of them among the newest, which may be dying right now.
      const back = Math.floor(
        Math.random() * (sent % 2 === 0 ? Math.min(600, ids.length) : ids.length),
      )
      const id = ids[ids.length - 1 - back]
      const result =
        turn % 16 === 15 && sent === 0
          ? `close ${test.server.close(id)}`
          : test.server.send(id, FOREIGN)
      results[result] = (results[result] ?? 0) + 1
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  return results
}

describe.each(drivers)('%s', (driver) => {
  const options: ServerOptions = {
    driver,
    workers: 2,
    handler: handler('abuse'),
    listeners: [{ port: 0, framing: lengthPrefix() }],
    maxSessions: MAX_SESSIONS,
    chunkBytes: CHUNK_BYTES,
  }

  async function storm(test: TestServer, count: number, seed: number) {
    const peers = new Abuse('storm', test.port(), { count, at_once: AT_ONCE, waits: 1, seed })
    await peers.ready()
    const first = test.server.monitor.snapshot().sessions
    peers.go()
    let over = false
    const [results, report] = await Promise.all([
      sendToIds(test, () => over),
      peers.report().finally(() => {
        over = true
      }),
    ])
    return { first, results, report }
  }

  it(`${CONNECTS} connects, ${AT_ONCE} at once, reset at a random byte`, async () => {
    const test = await startServer(options)
    // Every slot is used once and every pool is warm; then it is counted what there is.
    await storm(test, 3 * MAX_SESSIONS, 1)
    await turnChunks(test, CHUNK_BYTES)
    const before = await snapshot(test)
    const joinedBefore = test.count('joined')

    const { first, results, report } = await storm(test, CONNECTS, 2)
    expect(report).toMatchObject({ opened: CONNECTS, connected: CONNECTS, faults: 0 })
    expect(first).toBe(AT_ONCE)
    // Both kinds of ids were sent to.
    expect(results.closed).toBeGreaterThan(1_000)
    expect(results.queued).toBeGreaterThan(0)

    await turnChunks(test, CHUNK_BYTES)
    await expectNothingLost(test, before)
    // A third of them waits for an echo before it resets; others may be gone before they were accepted.
    expect(test.count('joined') - joinedBefore).toBeGreaterThan(CONNECTS / 4)
    expect(test.count('left')).toBe(test.count('joined'))
    expect(test.seen('error')).toEqual([])

    // Every slot can be used again, all at once.
    const peers = new Abuse('echo', test.port(), { count: MAX_SESSIONS })
    await peers.ready()
    await test.until('a full table', () => test.server.monitor.snapshot().sessions === MAX_SESSIONS)
    expect((await peers.end()).faults).toBe(0)
    await expectNothingLost(test, before)
  })

  it.each([1, 2])('a reset right behind a byte is always heard, workers: %i', async (workers) => {
    // Without a message there is no answer, whose send would fail.
    const test = await startServer({ ...options, workers })
    // Who is reset while still in the backlog is never seen.
    for (let storm = 0; test.count('joined') < HITS; storm++) {
      expect(storm).toBeLessThan(STORMS_MAX)
      const peers = new Abuse('hit', test.port(), { count: HITS })
      expect(await peers.report()).toMatchObject({ connected: HITS, sent: HITS })
    }
    await test.until('all to leave', () => test.server.monitor.snapshot().sessions === 0)
    expect(test.count('endedPeerReset')).toBe(test.count('joined'))
  })
})
