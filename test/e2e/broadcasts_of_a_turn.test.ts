// What: several broadcasts to all in one turn: every client gets those that were queued for it, whole, once and in order.
// Flow: orders of main -> handlers/broadcasts_of_a_turn.mjs in one thread -> sessions of all threads -> node:net clients.
// Thread: the test's, which is main; content threads of the servers.

import { type BroadcastResult, lengthPrefix, type ServerOptions } from 'overlapped'
import { afterEach, describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { Client, disconnectAfterEach, join } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'
import { numbered } from '../helpers/pattern.mjs'

const MIB = 2 ** 20
/** More than an audience has room for at first. */
const SESSIONS = 300
/** Number of the last broadcast of a test. */
const END = 1_000_000
/** Most of them lie behind one another; some begin a chunk of 64 KiB. */
const SIZES = [4, 5, 64, 1000, 4, 9000, 60_000, 17, 17, 30_000, 4, 3000, 33_000, 8]
/** Messages from this number on fit no chunk: each session gets its own copy. */
const LONG = 500_000
const LONG_BYTES = 70_000
const sizeOf = (number: number) => (number < LONG ? SIZES[number % SIZES.length] : LONG_BYTES)

interface Step {
  readonly number: number
  readonly size: number
  /** To this session alone. */
  readonly to?: number
  readonly except?: number
}

disconnectAfterEach()
stopAfterEach()

let word = new Int32Array(new SharedArrayBuffer(4))
/** Ends a rest. */
function goOn(): void {
  Atomics.store(word, 0, 2)
  Atomics.notify(word, 0)
}
afterEach(goOn)

const broadcasts = (first: number, count: number, more: Partial<Step> = {}): Step[] =>
  Array.from({ length: count }, (_, at) => ({
    number: first + at,
    size: sizeOf(first + at),
    ...more,
  }))

/** Numbers of the messages up to the one that ends it, each of which is whole. */
async function hearAll(client: Client): Promise<number[]> {
  const numbers: number[] = []
  for (;;) {
    const message = await client.hear()
    const number = message.readUInt32BE(0)
    expect(message.equals(numbered(number, message.length))).toBe(true)
    if (number === END) return numbers
    if (number < END) expect(message).toHaveLength(sizeOf(number))
    numbers.push(number)
  }
}

const numbersOf = (steps: readonly Step[]) => steps.map(({ number }) => number)
const ofEach = (clients: readonly Client[]) => Promise.all(clients.map(hearAll))

const modes = ['worker', 'update', 'send'] as const

describe.each(drivers.flatMap((driver) => modes.map((mode) => ({ driver, mode }))))(
  '$driver, mode $mode',
  ({ driver, mode }) => {
    const start = (options: Partial<ServerOptions> = {}) => {
      word = new Int32Array(new SharedArrayBuffer(4))
      return startServer({
        driver,
        mode,
        update: { eager: true, threads: 2 },
        workers: 2,
        maxSessions: 2 * SESSIONS,
        maxBackpressure: 8 * MIB,
        arenaBytes: 128 * MIB,
        handler: handler('broadcasts_of_a_turn'),
        listeners: [{ port: 0, framing: lengthPrefix({ bytes: 4, maxPayloadLength: MIB }) }],
        data: word.buffer,
        ...options,
      })
    }

    async function connectMany(test: TestServer, count: number): Promise<Client[]> {
      const before = test.seen('join').length
      const connected = Array.from({ length: count }, () => Client.connect(test.port()))
      const clients = await Promise.all(connected)
      await test.until('every join', () => test.seen('join').length === before + count)
      return clients
    }

    const turn = (test: TestServer, steps: readonly (Step | { readonly rests: true })[]) =>
      test.order('turn', { steps }) as Promise<(BroadcastResult | string)[]>

    const toAll = (queued: number) => ({ queued, full: 0, closed: 0, dropped: 0 })

    /** In a turn of its own, by the same thread, so that it comes last to each of `count` sessions. */
    const end = async (test: TestServer, count: number) =>
      expect(await turn(test, [{ number: END, size: 4 }])).toEqual([toAll(count)])

    it('all of them reach all, with what one session gets in between', async () => {
      const test = await start()
      const one = await join(test)
      const left = await join(test)
      const others = await connectMany(test, SESSIONS - 2)
      const first = broadcasts(0, 5)
      const alone = broadcasts(5, 1, { to: one.id })
      const second = broadcasts(6, 20)
      const some = broadcasts(26, 3, { except: left.id })
      const third = broadcasts(29, 4)
      const steps = [first, alone, second, some, third].flat()
      expect(await turn(test, steps)).toEqual([
        ...[...first].fill(toAll(SESSIONS) as never),
        'queued',
        ...[...second].fill(toAll(SESSIONS) as never),
        ...[...some].fill(toAll(SESSIONS - 1) as never),
        ...[...third].fill(toAll(SESSIONS) as never),
      ])
      await end(test, SESSIONS)
      expect(await hearAll(one.client)).toEqual(numbersOf(steps))
      expect(await hearAll(left.client)).toEqual(numbersOf([...first, ...second, ...third]))
      const wanted = numbersOf([...first, ...second, ...some, ...third])
      for (const numbers of await ofEach(others)) expect(numbers).toEqual(wanted)
      expect(test.seen('error')).toEqual([])
    })

    it('who joins between two of them gets the second, and not the first', async () => {
      const test = await start()
      const clients = await connectMany(test, 8)
      const first = broadcasts(0, 3)
      const second = [broadcasts(3, 6), broadcasts(LONG, 1), broadcasts(9, 3)].flat()
      const results = turn(test, [...first, { rests: true }, ...second])
      await test.until('the thread to rest', () => Atomics.load(word, 0) === 1)
      const connected = Array.from({ length: 8 }, () => Client.connect(test.port()))
      const late = await Promise.all(connected)
      // Those that the resting thread is given join when it goes on.
      await test.until('another thread to have one', () => test.seen('join').length > 8)
      goOn()
      const told = await results
      expect(told.slice(0, 3)).toEqual([...first].fill(toAll(8) as never))
      await test.until('every join', () => test.seen('join').length === 8 + late.length)
      await end(test, 8 + late.length)
      for (const numbers of await ofEach(clients))
        expect(numbers).toEqual(numbersOf([...first, ...second]))
      const heardLate = await ofEach(late)
      const wanted = numbersOf(second)
      expect(heardLate).toContainEqual(wanted)
      // One that opens later gets what comes later.
      for (const numbers of heardLate)
        expect(numbers).toEqual(wanted.slice(wanted.length - numbers.length))
      for (const [at, { number }] of second.entries()) {
        const getters = heardLate.filter((numbers) => numbers.includes(number)).length
        expect(told[4 + at]).toEqual(toAll(8 + getters))
      }
    })

    it('who is full gets none of them, and all others do', async () => {
      const test = await start({ maxBackpressure: 256 * 1024 })
      const stalled = await join(test, undefined, { paused: true })
      const others = await connectMany(test, 20)
      // What its socket takes is the system's business; whoever is full in turn after turn, and whose socket has
      // refused something, stays so.
      let filled = 0
      for (let fullTurns = 0; fullTurns < 50; fullTurns++) {
        const number = END + 1 + filled
        const [result] = await turn(test, [{ number, size: 60_000, to: stalled.id }])
        if (result === 'full') {
          if (test.count('overflowBytes') === 0) fullTurns = -1
          continue
        }
        filled++
        fullTurns = -1
      }
      const first = broadcasts(0, 3)
      const alone = broadcasts(3, 1, { to: stalled.id })
      const second = broadcasts(4, 5)
      const steps = [...first, ...alone, ...second]
      const told = await turn(test, steps)
      const isQueued = (result: BroadcastResult | string) =>
        typeof result === 'string' ? result === 'queued' : result.queued === 21
      const got = steps.filter((_, at) => isQueued(told[at]))
      expect(got.length).toBeLessThan(steps.length)
      for (const [at, result] of told.entries()) {
        if (steps[at].to === undefined)
          expect(result).toEqual(isQueued(result) ? toAll(21) : { ...toAll(20), full: 1 })
      }
      stalled.client.resume()
      // What its peer has read counts as queued until the completion is seen, which another thread does in its time.
      let ended: unknown
      do [ended] = await turn(test, [{ number: END, size: 4, to: stalled.id }])
      while (ended === 'full')
      expect(ended).toBe('queued')
      const toOthers = await turn(test, [{ number: END, size: 4, except: stalled.id }])
      expect(toOthers).toEqual([toAll(20)])
      const fillers = Array.from({ length: filled }, (_, at) => END + 1 + at)
      expect(await hearAll(stalled.client)).toEqual([...fillers, ...numbersOf(got)])
      for (const numbers of await ofEach(others))
        expect(numbers).toEqual(numbersOf([...first, ...second]))
    })
  },
)
