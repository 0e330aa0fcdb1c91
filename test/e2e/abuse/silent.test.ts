// What: peers that say nothing: ten thousand that are silent, a thousand that never end their stream, or never begin.
// Flow: abuse_client.c -> a server -> snapshots before and after, counters by reason.
// Thread: the test's; the servers' workers; child processes of peers.

import { lengthPrefix, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { Abuse, endAbuseAfterEach } from '../../helpers/abuse_client.ts'
import { startUsedServer } from '../../helpers/abuse_server.ts'
import { drivers } from '../../helpers/drivers.ts'
import { stopAfterEach } from '../../helpers/e2e_server.ts'
import {
  expectNothingLost,
  inspect,
  snapshot,
  tellAll,
  turnChunks,
} from '../../helpers/table_snapshot.ts'

const SILENT = 10_000
const STUBBORN = 1_000
const HEALTHY = 8
const CHUNK_BYTES = 65_536
/** Long enough for the peers to hear of the end before the reset, however busy the machine is. */
const TIMEOUT_MS = 1_500

endAbuseAfterEach()
stopAfterEach()

describe.each(drivers)('%s', (driver) => {
  const start = (maxSessions: number, options: Partial<ServerOptions> = {}) =>
    startUsedServer({
      driver,
      listeners: [{ port: 0, framing: lengthPrefix() }],
      maxSessions,
      chunkBytes: CHUNK_BYTES,
      ...options,
    })

  it(`${SILENT} silent connections hold no buffer, and others are served`, async () => {
    const { test, before } = await start(SILENT + HEALTHY)
    const silent = new Abuse('hold', test.port(), { count: SILENT })
    await silent.ready()
    const sessions = () => test.server.monitor.snapshot().sessions
    await test.until('all to be sessions', () => sessions() === SILENT)
    const states = await inspect(test)
    await inspect(test)
    expect(test.count('buffersUsed')).toBe(0)
    expect(states.map(({ heapBytes, nodesOut }) => heapBytes + nodesOut)).toEqual([0, 0])
    const healthy = new Abuse('echo', test.port(), { count: HEALTHY })
    // Every one of them is answered.
    await healthy.ready()
    const heard = test.count('messagesIn')
    await test.until('echoes', () => test.count('messagesIn') > heard + 1_000)
    expect(await healthy.end()).toMatchObject({ faults: 0, resets: 0 })
    expect(sessions()).toBeGreaterThanOrEqual(SILENT)
    await silent.drop()
    expect(await silent.end()).toMatchObject({ connected: SILENT, fins: 0, resets: 0 })
    await turnChunks(test, CHUNK_BYTES)
    await expectNothingLost(test, before)
    expect(test.count('left')).toBe(test.count('joined'))
  })

  it(`${STUBBORN} peers that never send FIN are reset after closeTimeout`, async () => {
    const { test, before } = await start(STUBBORN, { closeTimeout: TIMEOUT_MS })
    const joined = test.count('joined') + STUBBORN
    const peers = new Abuse('hold', test.port(), { count: STUBBORN })
    await test.until('all to be sessions', () => test.count('joined') === joined)
    await tellAll(test, { do: 'close' })
    await test.until('all to end', () => test.count('endedCloseTimeout') === STUBBORN)
    // The resets are on their way to the peers when the sessions have ended here.
    await snapshot(test)
    expect(await peers.end()).toMatchObject({ fins: STUBBORN, resets: STUBBORN })
    await expectNothingLost(test, before)
  })

  it(`${STUBBORN} peers that say nothing are closed after firstMessageTimeout`, async () => {
    const { test, before } = await start(STUBBORN, {
      closeTimeout: TIMEOUT_MS,
      firstMessageTimeout: 2 * TIMEOUT_MS,
    })
    const ended = test.count('endedFirstMessageTimeout')
    const peers = new Abuse('hold', test.port(), { count: STUBBORN })
    await peers.ready()
    await test.until('all to end', () => {
      return test.count('endedFirstMessageTimeout') === ended + STUBBORN
    })
    // The resets are on their way to the peers when the sessions have ended here.
    await snapshot(test)
    expect(await peers.end()).toMatchObject({ fins: STUBBORN, resets: STUBBORN })
    await expectNothingLost(test, before)
  })
})
