// What: workers that rest between two looks at their sockets: what gathers, what ends a rest at once, floods, ends.
// Flow: node:net clients, main, update threads, a channel into workers -> receive_interval.mjs -> counters, reports.
// Thread: the test's; the servers' workers and update threads.

import { setTimeout as sleep } from 'node:timers/promises'
import { BroadcastChannel } from 'node:worker_threads'
import { lengthPrefix, type ServerOptions } from 'overlapped'
import { afterEach, describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { disconnectAfterEach, join, pattern } from '../helpers/e2e_client.ts'
import {
  handler,
  listenOnly,
  startServer,
  stopAfterEach,
  type TestServer,
} from '../helpers/e2e_server.ts'

const MIB = 2 ** 20
/** The longest one: whatever waited for its end in each of some rounds would not come in time. */
const INTERVAL_MS = 1000
const ROUNDS = 20
/** Longer than a worker's timer for deadlines takes to come again; each of its visits may end a rest. */
const SWEEP_MS = 500
/** Turns of connections that come, and of what Node does by itself. */
const OTHER_TURNS = 20
const MESSAGES = 200
const PAUSE_MS = 5

interface Heard {
  readonly answer?: string
  readonly number?: number
}

disconnectAfterEach()
stopAfterEach()

let channel: BroadcastChannel | null = null
afterEach(() => {
  channel?.close()
  channel = null
})

/** Asks a worker over a channel, which libuv brings. */
function listen(test: TestServer) {
  const heard: Heard[] = []
  const opened = new BroadcastChannel('receive_interval.test')
  channel = opened
  opened.onmessage = (event) => heard.push((event as { data: Heard }).data)
  return async (ask: string, number: number) => {
    opened.postMessage({ ask, number })
    await test.until(`the answer to ${ask} ${number}`, () =>
      heard.some((each) => each.answer === ask && each.number === number),
    )
  }
}

describe.each(drivers)('%s', (driver) => {
  const options = (receiveInterval: number): ServerOptions => ({
    driver,
    mode: 'update',
    workers: 1,
    handler: handler('receive_interval'),
    listeners: [{ port: 0, framing: lengthPrefix({ bytes: 4, maxPayloadLength: MIB }) }],
    // Eager: what was received is handled at once, so that nothing but the interval is waited for.
    update: { eager: true, receiveInterval },
  })
  const start = (receiveInterval: number) => startServer(options(receiveInterval))

  const turns = (test: TestServer) => test.server.monitor.snapshot().threads[1].counters.turns

  it('what comes within an interval is received by one look [REST-1]', async () => {
    const test = await start(INTERVAL_MS)
    const { client } = await join(test)
    const before = { turns: turns(test), wakes: test.count('wakesSent') }
    const begunMs = performance.now()
    for (let number = 0; number < MESSAGES; number++) {
      client.say(`message ${number}`)
      await sleep(PAUSE_MS)
    }
    client.say('last')
    expect(await test.next('last')).toMatchObject({ messages: MESSAGES + 1 })
    const passedMs = performance.now() - begunMs
    const ended = Math.ceil(passedMs / SWEEP_MS) + test.count('wakesSent') - before.wakes
    // What ends a rest may find nothing: then the next message is received at once, and a rest follows.
    const most = Math.ceil(passedMs / INTERVAL_MS) + 2 * ended + OTHER_TURNS
    expect(turns(test) - before.turns).toBeLessThanOrEqual(most)
    expect(most).toBeLessThan(MESSAGES)
  })

  it('without an interval each message is received when it comes', async () => {
    const test = await start(0)
    const { client } = await join(test)
    const before = turns(test)
    for (let number = 1; number <= MESSAGES; number++) {
      client.say('message')
      await test.until('it to be received', () => test.count('messagesIn') === number)
    }
    expect(turns(test) - before).toBeGreaterThanOrEqual(MESSAGES)
  })

  it.each(['main', 'update1'])('what %s sends leaves while the worker rests', async (from) => {
    const test = await start(INTERVAL_MS)
    const { client, id } = await join(test)
    const begunMs = performance.now()
    for (let round = 0; round < ROUNDS; round++) {
      // It is received by a look, after which the worker rests.
      client.say('message')
      const text = `${from} ${round}`
      if (from === 'main') expect(test.server.send(id, text)).toBe('queued')
      else test.tell({ id, text })
      expect((await client.hear()).toString()).toBe(text)
    }
    expect(performance.now() - begunMs).toBeLessThan((ROUNDS * INTERVAL_MS) / 2)
    client.say('last')
    expect(await test.next('last')).toMatchObject({ messages: ROUNDS + 1 })
  })

  it.each(['message', 'timers'])('libuv runs while the worker rests: %s', async (what) => {
    const test = await start(INTERVAL_MS)
    const { client } = await join(test)
    const ask = listen(test)
    const begunMs = performance.now()
    for (let round = 0; round < ROUNDS; round++) {
      client.say('message')
      await ask(what, round)
    }
    expect(performance.now() - begunMs).toBeLessThan((ROUNDS * INTERVAL_MS) / 2)
    client.say('last')
    expect(await test.next('last')).toMatchObject({ messages: ROUNDS + 1 })
  })

  it('connections are accepted after a rest at the latest, also by a worker among several', async () => {
    const test = await startServer({ ...options(INTERVAL_MS), workers: 2 })
    for (let round = 0; round < 6; round++) {
      const { client } = await join(test)
      client.say('message')
    }
    await test.until('every message', () => test.count('messagesIn') === 6)
  })

  it('a flood does not wait for an interval after each receive buffer', async () => {
    const test = await start(INTERVAL_MS)
    const { client } = await join(test)
    // As many receive buffers and more as the test may take seconds.
    const payload = pattern(MIB / 2)
    for (let sent = 0; sent < 16; sent++) client.say(payload)
    client.say('last')
    expect(await test.next('last')).toMatchObject({ messages: 17, bytes: 8 * MIB + 4 })
  })

  it('stop() ends a rest, and what was received is handled', async () => {
    const test = await start(INTERVAL_MS)
    const { client, id } = await join(test)
    client.say('message', 'message')
    await test.until('a rest to begin', () => test.count('messagesIn') === 2)
    await test.stop()
    expect(test.seen('leave', { id })).toMatchObject([{ reason: 'serverStop', messages: 2 }])
    await client.untilClosed()
  })

  it('a worker that ends while it rests is lost, and nothing hangs', async () => {
    const test = await listenOnly(options(INTERVAL_MS))
    const { client } = await join(test)
    const ask = listen(test)
    await ask('message', 0)
    client.say('message')
    await test.until('a rest to begin', () => test.count('messagesIn') === 1)
    channel?.postMessage({ ask: 'exit' })
    await expect(test.server.closed).rejects.toMatchObject({ code: 'ERR_WORKER_LOST' })
    await test.server.stop()
    await client.untilClosed()
  })
})
