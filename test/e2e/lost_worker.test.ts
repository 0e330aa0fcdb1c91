// What: a worker or an update thread that dies, also while it holds pins and flags of others: the server says so, stops, and nothing hangs.
// Flow: lost.mjs, fatal.mjs, fixtures_lost.mjs in a child process -> server.closed, stop(), exit codes.
// Thread: the test's; the servers' workers; children.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { lengthPrefix } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { Client, disconnectAfterEach, join } from '../helpers/e2e_client.ts'
import { expectLost, handler, listenOnly, stopAfterEach } from '../helpers/e2e_server.ts'

const fixture = fileURLToPath(new URL('./fixtures_lost.mjs', import.meta.url))
/** Servers that lose a worker at a random moment, one after another. */
const ROUNDS = 8

interface Peer {
  readonly client: Client
  readonly id: number
}

disconnectAfterEach()
stopAfterEach()

describe.each(drivers)('%s', (driver) => {
  it.each(['a pin', 'a flag', 'both'])(
    'a worker that dies holding %s of another',
    async (holding) => {
      const test = await listenOnly({
        driver,
        workers: 2,
        handler: handler('lost'),
        listeners: [{ port: 0, framing: lengthPrefix({ bytes: 4 }) }],
        drainTimeout: 200,
      })
      const clients = [await Client.connect(test.port()), await Client.connect(test.port())]
      const { id } = await test.next('join', { from: 'worker1' })
      await test.next('join', { from: 'worker2' })
      test.tell({ id, holding }, 'worker2')
      await expectLost(test)
      expect(test.count('endedWorkerLost')).toBe(1)
      await test.server.stop()
      // The survivor ended by itself, with every event that is due.
      expect(test.seen('leave')).toMatchObject([{ id, reason: 'serverStop', from: 'worker1' }])
      expect(test.seen('stop')).toMatchObject([{ thread: 'worker1' }])
      for (const client of clients) await client.untilClosed()
    },
  )

  it.each(['nothing', 'both'])('an update thread that dies holding %s', async (holding) => {
    const test = await listenOnly({
      driver,
      mode: 'update',
      workers: 2,
      update: { threads: 2, eager: true },
      handler: handler('lost'),
      listeners: [{ port: 0, framing: lengthPrefix({ bytes: 4 }) }],
      drainTimeout: 200,
    })
    const clients = [await Client.connect(test.port()), await Client.connect(test.port())]
    const { id, from } = await test.next('join')
    await test.next('join', {}, 1)
    test.tell({ id, holding }, from)
    await expectLost(test)
    await test.server.stop()
    for (const client of clients) await client.untilClosed()
  })

  /** Two update threads with a session each. */
  async function updateThreads() {
    const test = await listenOnly({
      driver,
      mode: 'update',
      workers: 2,
      update: { threads: 2, eager: true },
      handler: handler('fatal'),
      listeners: [{ port: 0, framing: lengthPrefix({ bytes: 4 }) }],
      drainTimeout: 200,
    })
    const peers = new Map<string, Peer>()
    while (peers.size < 2) {
      const { client, id, worker } = await join(test)
      if (peers.has(worker)) client.end()
      else peers.set(worker, { client, id })
    }
    const [victim, survivor] = ['update1', 'update2'].map((name) => peers.get(name))
    return { test, victim: victim as Peer, survivor: survivor as Peer }
  }

  it.each([
    ['exit', /^update1 was lost: /],
    ['throw', /^update1 was lost: thrown in a timer/],
    ['reject', /^update1 was lost: an unhandled rejection/],
  ])('an update thread that ends by %s', async (how, sentence) => {
    const { test, victim, survivor } = await updateThreads()
    victim.client.say(how)
    await expectLost(test, sentence)
    await test.server.stop()
    // Sessions of the other thread end with every event that is due; nobody is left who could call those of this one.
    expect(test.seen('leave', { id: survivor.id })).toMatchObject([{ reason: 'serverStop' }])
    expect(test.seen('leave', { id: victim.id })).toEqual([])
    expect(test.seen('stop').map(({ from }) => from)).toEqual(['update2'])
    await survivor.client.untilClosed()
    await victim.client.untilClosed()
  })

  it('an update thread that spins for ever: sessions of others are served, stop() ends it', async () => {
    const { test, victim, survivor } = await updateThreads()
    victim.client.say('spin')
    for (let round = 0; round < 50; round++) {
      expect(await survivor.client.ask(`round ${round}`)).toBe(`round ${round}`)
      // What is sent to a session does not pass the thread that has its content.
      expect(test.server.send(victim.id, `sent ${round}`)).toBe('queued')
      expect((await victim.client.hear()).toString()).toBe(`sent ${round}`)
    }
    await test.server.stop()
    await test.server.closed
    expect(test.seen('leave', { id: survivor.id })).toMatchObject([{ reason: 'serverStop' }])
    expect(test.seen('leave', { id: victim.id })).toEqual([])
    await survivor.client.untilClosed()
    await victim.client.untilClosed()
  })

  it(`${ROUNDS} servers that lose a worker at a random moment stop, and leave nothing open`, async () => {
    const child = spawn(process.execPath, [fixture, driver, String(ROUNDS)])
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        output += data
      })
    }
    const code = await new Promise((resolve) => child.on('close', resolve))
    expect({ code, output }).toEqual({ code: 0, output: `${ROUNDS} lost, 0 descriptors left\n` })
  })
})
