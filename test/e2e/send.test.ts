// What: mode send: every send is a send thread's; order, lanes, moves, ends of sessions, full queues, stop.
// Flow: node:net clients -> workers -> send.mjs in update threads -> send threads -> clients; counters, reports.
// Thread: the test's; the servers' workers, update and send threads.

import { lengthPrefix, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import {
  Client,
  disconnectAfterEach,
  frame,
  join,
  pattern,
  unframe,
} from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'

const MIB = 2 ** 20
const lp4 = lengthPrefix({ bytes: 4, maxPayloadLength: MIB })
const SIZES = [1, 64, 1000, 2048, 2049, 9000, 32_765, 60_000, 5]

disconnectAfterEach()
stopAfterEach()

/** Connections, whose sessions have joined; in no order. */
async function joinMany(test: TestServer, count: number) {
  const clients = await Promise.all(
    Array.from({ length: count }, () => Client.connect(test.port())),
  )
  await test.until('every join', () => test.seen('join').length === count)
  return { clients, ids: test.seen('join').map(({ id }) => id as number) }
}

/** What the send thread has flushed so far. */
function flushed(test: TestServer) {
  const { threads } = test.server.monitor.snapshot()
  const send1 = threads.find(({ name }) => name === 'send1')
  const { flushes, gathers, gatherSlices, shortSends } = send1?.counters ?? {}
  return { flushes, gathers, gatherSlices, shortSends }
}

/** Messages `thread number` of several threads: each thread's are there, in its order. */
function expectOrders(messages: readonly Buffer[], counts: Readonly<Record<string, number>>): void {
  const next: Record<string, number> = {}
  for (const message of messages) {
    const [thread, number] = message.toString().split(' ')
    next[thread] ??= 0
    if (Number(number) !== next[thread]) throw new Error(`${message} is not ${next[thread]}`)
    next[thread]++
  }
  expect(next).toEqual(counts)
}

/** Bytes of messages `thread 0` to `thread count - 1`, framed, with `pad` more bytes each. */
function bytesOf(thread: string, count: number, pad = 0): number {
  let bytes = 0
  for (let number = 0; number < count; number++) bytes += frame(`${thread} ${number}`).length + pad
  return bytes
}

/** Gathered sends, by thread. */
function gathers(test: TestServer): Record<string, number> {
  const { threads } = test.server.monitor.snapshot()
  return Object.fromEntries(threads.map(({ name, counters }) => [name, counters.gathers]))
}

/** No worker has sent anything. */
function expectNoneOfWorkers(test: TestServer): void {
  const counted = gathers(test)
  let sends = 0
  for (const [name, count] of Object.entries(counted)) {
    if (name.startsWith('send')) sends += count
    else expect([name, count]).toEqual([name, 0])
  }
  expect(sends).toBeGreaterThan(0)
}

describe.each(drivers)('%s', (driver) => {
  const start = (options: Partial<ServerOptions> = {}) =>
    startServer({
      driver,
      mode: 'send',
      workers: 2,
      handler: handler('send'),
      update: { threads: 2, eager: true },
      listeners: [
        { name: 'plain', port: 0, framing: lp4 },
        { name: 'reset', port: 0, framing: lp4, closeMode: 'reset' },
      ],
      maxBackpressure: 8 * MIB,
      ...options,
    })

  it.each([0, 5])('echoes every byte, flushInterval %i; no worker sends', async (flushInterval) => {
    const test = await start({ send: { flushInterval } })
    await Promise.all(
      Array.from({ length: 24 }, async (_, at) => {
        const client = await Client.connect(test.port())
        const stream = Buffer.concat(
          SIZES.map((_, index) => {
            const bytes = pattern(SIZES[(index + at) % SIZES.length], 1 + at * 100 + index)
            bytes[0] = 0
            return frame(bytes)
          }),
        )
        client.write(stream)
        expect((await client.take(stream.length)).equals(stream)).toBe(true)
        client.socket.end(frame('last'))
        expect(await client.rest()).toEqual(frame('last'))
        expect(client.error).toBe('')
      }),
    )
    await test.until('every leave', () => test.seen('leave').length === 24)
    for (const leave of test.seen('leave')) expect(leave.reason).toBe('peerClosed')
    expectNoneOfWorkers(test)
  })

  it('keeps the order of each thread that sends: two update threads and main', async () => {
    const test = await start()
    const peers = [await join(test), await join(test), await join(test)]
    const ids = peers.map(({ id }) => id)
    const count = 400
    for (const thread of ['update1', 'update2']) test.tell({ ids, count }, thread)
    for (let number = 0; number < count; number++) {
      for (const id of ids) expect(test.server.send(id, `main ${number}`)).toBe('queued')
      if (number % 8 === 7) await new Promise((resolve) => setImmediate(resolve))
    }
    for (const { client } of peers) {
      const next: Record<string, number> = { main: 0, update1: 0, update2: 0 }
      for (let at = 0; at < 3 * count; at++) {
        const [from, number] = (await client.hear()).toString().split(' ')
        expect(Number(number)).toBe(next[from]++)
      }
      expect(next).toEqual({ main: count, update1: count, update2: count })
    }
    const { queued } = test.server.broadcast('to all', { to: 'all' })
    expect(queued).toBe(3)
    for (const { client } of peers) expect((await client.hear()).toString()).toBe('to all')
    expectNoneOfWorkers(test)
  })

  it('a flush is one gather for each session, whatever was queued from where', async () => {
    const sessions = 64
    const count = 100
    const test = await start({ send: { flushInterval: 500 }, maxGather: 1024 })
    const { clients, ids } = await joinMany(test, sessions)
    const before = flushed(test)
    for (const thread of ['update1', 'update2']) test.tell({ ids, count }, thread)
    for (let number = 0; number < count; number++) {
      for (const id of ids) expect(test.server.send(id, `main ${number}`)).toBe('queued')
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    const counts = { main: count, update1: count, update2: count }
    let bytes = 0
    for (const thread of Object.keys(counts)) bytes += bytesOf(thread, count)
    for (const client of clients) expectOrders(unframe(await client.take(bytes)), counts)
    const after = flushed(test)
    const flushes = after.flushes - before.flushes
    const gathers = after.gathers - before.gathers
    expect(after.shortSends).toBe(0)
    // Many messages to a flush: main alone would have brought one for each number.
    expect(flushes).toBeGreaterThan(0)
    expect(flushes).toBeLessThan(count)
    expect(gathers).toBeGreaterThanOrEqual(sessions)
    expect(gathers).toBeLessThanOrEqual(sessions * flushes)
    expect(after.gatherSlices - before.gatherSlices).toBeGreaterThanOrEqual(count * sessions)
    expectNoneOfWorkers(test)
  })

  it('a gather has maxGather slices at most, what is more follows it', async () => {
    const sessions = 32
    const [count, maxGather] = [10, 4]
    const test = await start({ send: { flushInterval: 500 }, maxGather })
    const { clients, ids } = await joinMany(test, sessions)
    const before = flushed(test)
    for (let number = 0; number < count; number++) {
      for (const id of ids) expect(test.server.send(id, `main ${number}`)).toBe('queued')
    }
    for (const client of clients) {
      expectOrders(unframe(await client.take(bytesOf('main', count))), { main: count })
    }
    const after = flushed(test)
    const flushes = after.flushes - before.flushes
    const gathers = after.gathers - before.gathers
    // Each message of main is a slice. A flush that came in the middle may have left one gather short.
    expect(after.gatherSlices - before.gatherSlices).toBe(count * sessions)
    const least = Math.ceil(count / maxGather)
    expect(gathers).toBeGreaterThanOrEqual(sessions * least)
    expect(gathers).toBeLessThanOrEqual(sessions * (least + flushes - 1))
    expectNoneOfWorkers(test)
  })

  it('a lane under load keeps order and loses nothing; its thread sends', async () => {
    const test = await start({ send: { lanes: 2 } })
    const { client } = await join(test)
    const bytes: Buffer[] = []
    const answers: Buffer[] = []
    for (let number = 0; number < 600; number++) {
      const message = Buffer.from(`${number} ${'x'.repeat((number * 37) % 3000)}`)
      bytes.push(frame(message))
      answers.push(frame(message))
      if (number % 20 === 10) bytes.push(frame(`!lane ${(number / 10) % 3}`))
    }
    client.write(Buffer.concat(bytes))
    const wanted = Buffer.concat(answers)
    expect((await client.take(wanted.length)).equals(wanted)).toBe(true)
    client.say('!lane 2')
    expect(await client.ask('in lane 2')).toBe('in lane 2')
    const before = gathers(test)
    for (let round = 0; round < 50; round++) expect(await client.ask(`${round}`)).toBe(`${round}`)
    const after = gathers(test)
    expect(after.send3 - before.send3).toBe(50)
    expect([after.send1, after.send2]).toEqual([before.send1, before.send2])
    expect(await client.ask('!lane 3')).toBe(
      'error ERR_ARGUMENT: useLane(3): it must be from 0 to 2',
    )
    expect(await client.ask('!lane 0.5')).toContain('useLane(0.5)')
    expectNoneOfWorkers(test)
  })

  it('lanes there and back while three threads send: the order of each stays', async () => {
    const rounds = 8
    const pad = ` ${'x'.repeat(500)}`
    const test = await start({
      send: { lanes: 2 },
      listeners: [{ port: 0, framing: lp4, sendBufferBytes: 64 * 1024 }],
      arenaBytes: 128 * MIB,
    })
    const { client, id } = await join(test)
    const stop = new Int32Array(new SharedArrayBuffer(4))
    for (const thread of ['update1', 'update2']) test.tell({ ids: [id], stop, pad }, thread)
    let number = 0
    const sendSome = async () => {
      for (let n = 0; n < 64; n++)
        if (test.server.send(id, `main ${number}${pad}`) === 'queued') number++
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (let round = 1; round <= rounds; round++) {
      const lane = round % 3
      const sentThere = () => gathers(test)[`send${lane + 1}`]
      const before = sentThere()
      // Its peer does not read: much waits in the lane that it is to leave.
      client.socket.pause()
      const overflowed = test.count('overflowBytes')
      while (test.count('overflowBytes') === overflowed) await sendSome()
      client.say(`!lane ${lane}`)
      await test.next('lane', {}, round - 1)
      for (let n = 0; n < 4; n++) await sendSome()
      client.resume()
      await test.until('its sends to go on there', () => sentThere() > before)
      await sendSome()
    }
    Atomics.store(stop, 0, 1)
    const counts: Record<string, number> = { main: number }
    for (const from of ['update1', 'update2'])
      counts[from] = (await test.next('sent', { from })).count as number
    let bytes = 0
    for (const [thread, count] of Object.entries(counts)) {
      expect(count).toBeGreaterThan(0)
      bytes += bytesOf(thread, count, pad.length)
    }
    expectOrders(unframe(await client.take(bytes)), counts)
    expect(await client.ask('nothing else')).toBe('nothing else')
    expectNoneOfWorkers(test)
  })

  it('ends: close, terminate, reset, the peer resets while it is sent to', async () => {
    // Less than what makes the heap of a send thread end the longest queue, whatever a socket takes.
    const test = await start({ maxBackpressure: 4 * MIB })
    const closed = await join(test)
    closed.client.say('one', '!close')
    expect(unframe(await closed.client.rest()).map(String)).toEqual(['one', 'last'])
    expect(closed.client.error).toBe('')
    expect(await test.next('leave', { id: closed.id })).toMatchObject({ reason: 'localClose' })

    const reset = await join(test, 'reset')
    reset.client.say('one', '!close')
    await reset.client.untilClosed()
    expect(await test.next('leave', { id: reset.id })).toMatchObject({ reason: 'localClose' })

    const terminated = await join(test, undefined, { paused: true })
    terminated.client.say('!fill 100000', '!terminate')
    expect(await test.next('leave', { id: terminated.id })).toMatchObject({
      reason: 'localTerminate',
    })

    const gone = await join(test, undefined, { paused: true })
    gone.client.say('!fill 100000')
    await test.until('its queue to be full', () => test.count('sendFull') >= 2)
    gone.client.reset()
    expect(await test.next('leave', { id: gone.id })).toMatchObject({ reason: 'peerReset' })
    expect(test.server.send(gone.id, 'nobody')).toBe('closed')
    expectNoneOfWorkers(test)
  })

  it('full: onDrain comes when there is room again', async () => {
    const test = await start({ maxBackpressure: 12 * MIB, arenaBytes: 192 * MIB })
    const { client, id } = await join(test, undefined, { paused: true })
    client.say('!fill 100000')
    await test.until('its queue to be full', () => test.count('sendFull') > 0)
    await test.until('its socket to be full', () => test.count('overflowBytes') > 0)
    client.resume()
    const { filled } = await test.next('drain', { id })
    for (let at = 0; at < Number(filled); at++) expect((await client.hear()).length).toBe(100_000)
    expect(await client.ask('empty')).toBe('empty')
    expect(test.seen('drain')).toHaveLength(1)
  })

  it('under pressure the longest queue is reset', async () => {
    const test = await start({ arenaBytes: 48 * MIB, maxBackpressure: 64 * MIB })
    const other = await join(test)
    const deaf = await join(test, undefined, { paused: true })
    for (let round = 0; test.seen('leave', { id: deaf.id }).length === 0; round++) {
      test.server.send(deaf.id, pattern(60_000, round + 1))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(test.seen('leave', { id: deaf.id })).toMatchObject([{ reason: 'overflow' }])
    expect(await other.client.ask('still here')).toBe('still here')
  })

  it.each(['update', 'send'] as const)(
    'MOVE-1: moves under load in mode %s, in order and whole',
    async (mode) => {
      const test = await start({ mode, update: { threads: 2, eager: true } })
      const { client, id, worker } = await join(test)
      const there = worker === 'update1' ? 'update2' : 'update1'
      const bytes: Buffer[] = []
      const answers: Buffer[] = []
      let moves = 0
      for (let number = 0; number < 400; number++) {
        const message = Buffer.from(`${number} ${'y'.repeat((number * 53) % 3000)}`)
        bytes.push(frame(message))
        answers.push(frame(message))
        if (number % 40 !== 20) continue
        bytes.push(frame(`!move ${moves++ % 2 === 0 ? there : worker}`))
      }
      client.write(Buffer.concat(bytes))
      const wanted = Buffer.concat(answers)
      expect((await client.take(wanted.length)).equals(wanted)).toBe(true)
      await test.next('moved', { id })
      const moved = test.seen('moved', { id })
      expect(moved.length).toBeGreaterThan(0)
      for (const [at, one] of moved.entries()) {
        expect(one.groups).toEqual(['all'])
        expect([one.before, one.from]).toEqual(at % 2 === 0 ? [worker, there] : [there, worker])
        if (at > 0) expect(Number(one.count)).toBeGreaterThan(Number(moved[at - 1].count))
      }
      // The last move may not be over: what was received before it is answered where it was.
      let answer = 'moving'
      while (answer === 'moving') answer = await client.ask('!poison')
      expect(answer).toContain('error DataCloneError')
      expect(await client.ask('!move update9')).toContain("error ERR_ARGUMENT: moveTo('update9')")
      client.end()
      expect(await test.next('leave', { id })).toMatchObject({ reason: 'peerClosed' })
      expect(test.seen('leave', { id })).toHaveLength(1)
    },
  )

  it('stop under load: what was queued arrives', async () => {
    const test = await start({ send: { flushInterval: 2, lanes: 1 } })
    const peers = await Promise.all(
      Array.from({ length: 16 }, async () => ({ client: await Client.connect(test.port()) })),
    )
    await test.until('every join', () => test.seen('join').length === 16)
    const ids = test.seen('join').map(({ id }) => id as number)
    for (const [at, { client }] of peers.entries()) client.say(`!lane ${at % 2}`)
    let queued = 0
    for (let number = 0; number < 50; number++) {
      for (const id of ids) if (test.server.send(id, `${number}`) === 'queued') queued++
    }
    await test.stop()
    const streams = await Promise.all(peers.map(({ client }) => client.rest()))
    const heard = streams.map((stream) => unframe(stream).map(Number))
    for (const numbers of heard) expect(numbers).toEqual(numbers.map((_, at) => at))
    expect(heard.reduce((sum, numbers) => sum + numbers.length, 0)).toBe(queued)
    expect(queued).toBe(50 * 16)
  })
})
