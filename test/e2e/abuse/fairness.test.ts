// What: one peer that blasts: its buffers per turn are capped, and the others keep their share.
// Flow: abuse_client.c -> a server whose handler counts buffers by session and turn -> this.
// Thread: the test's; the servers' workers; child processes of peers.

import { lengthPrefix, raw, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { Abuse, endAbuseAfterEach } from '../../helpers/abuse_client.ts'
import { drivers } from '../../helpers/drivers.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../../helpers/e2e_server.ts'

/** What both drivers give a session in one turn: kReadsPerTurn, kBuffersPerTurn. */
const BUFFERS_PER_TURN = 4
/** How far a share may be from the mean of the shares. */
const TOLERANCE = 0.2
const HEALTHY = 16
/** Answers that each healthy peer gets at least before the shares are compared. */
const ANSWERS = 1_000
/** Room for more than one turn's buffers in a busy peer's socket. */
const RECEIVE_BYTES = 212_992
/** Buffers that a busy peer gets before the shares are compared. */
const BUFFERS = 400
/** Stretches of the work, one of which must be even. */
const STRETCHES = 5
/** Turns of such a stretch. */
const TURNS = 300

interface Share {
  readonly listener: string
  readonly buffers: number
  readonly turns: number
  readonly mostInTurn: number
}

endAbuseAfterEach()
stopAfterEach()

async function shares(test: TestServer) {
  const nth = test.seen('shares').length
  // Now and then: who asks takes a core's time from the peers.
  await new Promise((resolve) => setTimeout(resolve, 20))
  test.tell({})
  const report = await test.next('shares', {}, nth)
  return report as unknown as { readonly turns: number; readonly shares: readonly Share[] }
}

/** Those that are further than the tolerance from the mean. */
function uneven(counts: readonly number[]): readonly number[] {
  const mean = counts.reduce((total, count) => total + count, 0) / counts.length
  return counts.filter((count) => Math.abs(count - mean) > TOLERANCE * mean)
}

describe.each(drivers)('%s', (driver) => {
  const start = (options: Partial<ServerOptions> = {}) =>
    startServer({
      driver,
      handler: handler('fair'),
      listeners: [
        { name: 'echo', port: 0, framing: lengthPrefix() },
        { name: 'busy', port: 0, framing: raw(), receiveBufferBytes: RECEIVE_BYTES },
      ],
      ...options,
    })

  it.each<[string, Partial<ServerOptions>]>([
    ['as it is', {}],
    ['without multishot receives', { ioUringWithout: ['multishotRecv'] }],
  ])('a peer that blasts has a cap, the others go on evenly, %s', async (_, options) => {
    const test = await start(options)
    const blaster = new Abuse('blast', test.port('busy'), { count: 1, size: 600, reads: 1 })
    await blaster.ready()
    const healthy = new Abuse('echo', test.port('echo'), { count: HEALTHY })
    await healthy.ready()
    let seen = await shares(test)
    while (!seen.shares.every(({ listener, buffers }) => listener === 'busy' || buffers >= ANSWERS))
      seen = await shares(test)
    // A peer that did not get its core for a while had nothing waiting: then another stretch is looked at.
    const blasted = () => {
      const shares = seen.shares.filter(({ listener }) => listener === 'busy')
      expect(shares).toHaveLength(1)
      return shares[0]
    }
    let isBusy = false
    for (let stretch = 0; stretch < STRETCHES && !isBusy; stretch++) {
      const { turns } = seen
      const own = blasted().turns
      while (seen.turns < turns + TURNS) seen = await shares(test)
      isBusy = blasted().turns - own > (seen.turns - turns) / 2
    }
    const { faults, answered } = await healthy.end()
    expect(faults).toBe(0)
    expect(uneven(answered)).toEqual([])
    // It had something waiting in most turns, and was never given more than its share.
    expect(isBusy).toBe(true)
    expect(blasted().mostInTurn).toBeLessThanOrEqual(BUFFERS_PER_TURN)
    await blaster.end()
  })

  it.each([8, 40])('%i peers that never rest get as much as the one that blasts', async (count) => {
    const test = await start()
    // The first one sends sixteen times as much at once as the others.
    const burst = 4_096
    const peers = new Abuse('blast', test.port('busy'), { count, reads: 1, burst, heavy: 1 })
    await peers.ready()
    let seen = await shares(test)
    while (seen.shares.length < count) seen = await shares(test)
    // A peer that did not get its core for a while had nothing waiting: then another stretch is looked at.
    let off: readonly number[] = []
    for (let stretch = 0; stretch < STRETCHES; stretch++) {
      const before = seen
      const gain = () => seen.shares.map(({ buffers }, at) => buffers - before.shares[at].buffers)
      while (Math.max(...gain()) < BUFFERS) seen = await shares(test)
      off = uneven(gain())
      if (off.length === 0) break
    }
    expect(off).toEqual([])
    await peers.end()
  })
})
