// What: the driver contract: bytes and ends come once and in order, paused or not, however few buffers there are.
// Flow: peers that write and leave -> a driver -> RECV, PAUSED and PEER_GONE completions -> this.
// Thread: the test's; the driver's.

import { describe, expect } from 'vitest'
import {
  CompletionKind,
  Counter,
  SEND_FLAG_NOW,
  SubmissionOp,
  THREAD_COMPLETION_HEAD,
  THREAD_COMPLETION_TAIL,
} from '../../src/layout/layout.ts'
import { load } from '../../src/shared/atomics.ts'
import { pattern } from '../helpers/e2e_client.ts'
import { conforms, placeDrivers } from './conform.ts'
import { entryOf, OWNER, type Place, type Session } from './place.ts'

const session: Session = { slot: 2, generation: 7 }
const { RECV, PAUSE, SHUTDOWN } = SubmissionOp
const BUFFERS = 16
/** Sessions of a place with many; most of them can have no buffer. */
const MANY = 24
const manySessions = { maxSessions: 2 * MANY }
/** A completion ring of 64 entries, and a submission area that fits it. */
const RING = { cuts: { completionCapacity: 64, submissionWords: 60 }, batch: 8 }
const RING_BUFFERS = 128
/** Every driver keeps some room: for a batch, or for what one event can add. */
const RING_IS_FULL = 40

const ask = (place: Place, op: number) => place.owner.submit(entryOf(op, session))
const lastOf = (place: Place) => place.traceOf(session).receiving.at(-1)

async function pause(place: Place): Promise<void> {
  const before = place.owner.ofKind(CompletionKind.PAUSED, session).length
  await ask(place, PAUSE)
  await place.completion(place.owner, session, CompletionKind.PAUSED, before)
}

describe.each(placeDrivers)('%s', (driver) => {
  const conform = conforms(driver)

  conform('bytes come once and in order, then the end of the stream', {}, async (place) => {
    const peer = await place.join(session)
    const sent = pattern(20_000)
    for (let at = 0; at < sent.length; at += 1700) peer.write(sent.subarray(at, at + 1700))
    peer.end()
    await place.expectTrace(session, { receiving: ['RECV 20000', 'RECV END_OF_STREAM'] })
    expect(place.receivedOf(session).equals(sent)).toBe(true)
    await place.leave(session)
    await place.until('the end of the stream', () => peer.isClosed)
    expect(peer.isReset).toBe(false)
  })

  conform('what came before ATTACH and RECV is not lost', {}, async (place) => {
    const peer = await place.knock()
    peer.write(pattern(300))
    peer.end()
    const token = await place.accepted()
    await place.settle()
    place.begin(session)
    await place.owner.submit(entryOf(SubmissionOp.ATTACH, session, token))
    await place.settle()
    await ask(place, RECV)
    await place.expectTrace(session, { receiving: ['RECV 300', 'RECV END_OF_STREAM'] })
    expect(place.receivedOf(session).equals(pattern(300))).toBe(true)
  })

  // DRIVER-5
  conform('A6: the end of a stream without bytes', {}, async (place) => {
    const peer = await place.join(session)
    peer.end()
    await place.expectTrace(session, { receiving: ['RECV END_OF_STREAM'] })
  })

  conform('A6: a reset, and what was heard before it', { resets: true }, async (place) => {
    const peer = await place.join(session)
    peer.write(pattern(100))
    await place.hears(session, 100)
    peer.reset()
    await place.expectTrace(session, { receiving: ['RECV 100', 'RECV RESET'] })
    await place.leave(session)
  })

  conform(
    'A6: a reset right behind bytes, which it may take with it',
    { resets: true },
    async (place) => {
      const peer = await place.join(session)
      await place.owner.hold()
      peer.write(pattern(100))
      await place.settlePeers()
      peer.reset()
      await place.settlePeers()
      place.owner.release()
      await place.until('the reset', () => lastOf(place) === 'RECV RESET')
      const heard = place.receivedOf(session)
      expect(heard.equals(pattern(100).subarray(0, heard.length))).toBe(true)
      await place.settle()
      expect(lastOf(place)).toBe('RECV RESET')
    },
  )

  conform('half-close: who has ended its stream is still sent to', {}, async (place) => {
    const peer = await place.join(session)
    peer.end()
    await place.until('the end', () => lastOf(place) === 'RECV END_OF_STREAM')
    await place.sendOne(place.owner, session, place.send(session, SEND_FLAG_NOW, 0, 700))
    await place.until('bytes', () => peer.received.length >= 700)
    expect(peer.received.equals(place.sentBytes(0, 700))).toBe(true)
    await ask(place, SHUTDOWN)
    await place.until('the end of the stream', () => peer.ended)
    await place.expectTrace(session, {
      receiving: ['RECV END_OF_STREAM'],
      sending: ['SEND OK 700'],
    })
    await place.leave(session)
    expect(peer.isReset).toBe(false)
  })

  conform('paused, nothing is received; then it goes on where it was', {}, async (place) => {
    const peer = await place.join(session)
    const sent = pattern(1000)
    for (let round = 0; round < 10; round++) {
      await pause(place)
      peer.write(sent.subarray(100 * round, 100 * (round + 1)))
      await place.settle()
      expect(place.receivedOf(session).length).toBe(100 * round)
      await ask(place, RECV)
      await place.hears(session, 100 * (round + 1))
    }
    expect(place.receivedOf(session).equals(sent)).toBe(true)
    const receiving = Array.from({ length: 10 }, () => ['PAUSED', 'RECV 100']).flat()
    await place.expectTrace(session, { receiving })
  })

  conform('paused, it hears that its peer has ended the stream, once', {}, async (place) => {
    const peer = await place.join(session)
    await pause(place)
    peer.end()
    await place.expectTrace(session, { receiving: ['PAUSED', 'PEER_GONE'] })
    await ask(place, RECV)
    await place.expectTrace(session, { receiving: ['PAUSED', 'PEER_GONE', 'RECV END_OF_STREAM'] })
  })

  conform('paused, it hears of the end behind bytes that were not read', {}, async (place) => {
    const peer = await place.join(session)
    await pause(place)
    peer.write(pattern(100))
    peer.end()
    await place.expectTrace(session, { receiving: ['PAUSED', 'PEER_GONE'] })
    await ask(place, RECV)
    await place.expectTrace(session, {
      receiving: ['PAUSED', 'PEER_GONE', 'RECV 100', 'RECV END_OF_STREAM'],
    })
  })

  conform('paused, it hears that its peer has reset, once', { resets: true }, async (place) => {
    const peer = await place.join(session)
    await pause(place)
    peer.reset()
    await place.expectTrace(session, { receiving: ['PAUSED', 'PEER_GONE'] })
    await ask(place, RECV)
    await place.expectTrace(session, { receiving: ['PAUSED', 'PEER_GONE', 'RECV RESET'] })
  })

  conform('whose peer has left before it is paused hears of it, too', {}, async (place) => {
    const peer = await place.join(session)
    await place.owner.hold()
    peer.end()
    await place.settlePeers()
    place.owner.release()
    await ask(place, PAUSE)
    await place.until('the end, or that it comes', () => {
      return ['RECV END_OF_STREAM', 'PEER_GONE'].includes(lastOf(place) ?? '')
    })
    if (lastOf(place) === 'PEER_GONE') await ask(place, RECV)
    await place.until('the end', () => lastOf(place) === 'RECV END_OF_STREAM')
    await place.settle()
    expect(lastOf(place)).toBe('RECV END_OF_STREAM')
  })

  conform('PAUSE of a session that does not receive says nothing', {}, async (place) => {
    const peer = await place.join(session, { receives: false })
    await ask(place, PAUSE)
    await ask(place, RECV)
    await pause(place)
    await ask(place, PAUSE)
    await ask(place, RECV)
    peer.end()
    const receiving = ['PAUSED', 'RECV END_OF_STREAM']
    await place.expectTrace(session, { receiving })
    await ask(place, PAUSE)
    await place.expectTrace(session, { receiving })
  })

  // DRIVER-3
  conform(
    'A15: sessions that wait hold no receive buffer',
    { memory: manySessions },
    async (place) => {
      const joined = await place.joinMany(MANY)
      await place.settle()
      expect(place.owner.buffersUsed).toBe(0)
      for (let round = 1; round <= 3; round++) {
        for (const { peer } of joined) peer.write(Buffer.of(round))
        for (const each of joined) await place.hears(each.session, round)
      }
      for (const each of joined) {
        expect([...place.receivedOf(each.session)]).toEqual([1, 2, 3])
        await place.expectTrace(each.session, { receiving: ['RECV 3'] })
      }
      expect(place.owner.buffersUsed).toBe(0)
    },
  )

  conform(
    'D7: without receive buffers sessions wait, and each that comes back serves one of them',
    { memory: manySessions },
    async (place) => {
      const waiting = 4
      const joined = await place.joinMany(BUFFERS + waiting)
      const late = joined.slice(BUFFERS)
      await place.owner.keepBuffers(true)
      // A byte each, which no receive can split.
      for (const { session, peer } of joined.slice(0, BUFFERS)) {
        peer.write(Buffer.of(session.slot))
        await place.hears(session, 1)
      }
      expect(place.counter(Counter.BUFFERS_STARVED)).toBe(0)
      for (const [nth, { session, peer }] of late.entries()) {
        peer.write(Buffer.of(session.slot))
        await place.until('one more that waits', () => {
          return place.counter(Counter.BUFFERS_STARVED) > nth
        })
      }
      const served = () => late.filter(({ session }) => place.receivedOf(session).length > 0).length
      for (let given = 1; given <= waiting; given++) {
        await place.owner.giveBuffers(1)
        await place.until('one to be served', () => served() === given)
        await place.settle()
        expect(served()).toBe(given)
      }
      await place.owner.keepBuffers(false)
      await place.owner.giveBuffers(BUFFERS)
      for (const { session, peer } of joined) {
        peer.end()
        await place.expectTrace(session, { receiving: ['RECV 1', 'RECV END_OF_STREAM'] })
        expect([...place.receivedOf(session)]).toEqual([session.slot])
      }
      await place.settle()
      expect(place.owner.buffersUsed).toBe(0)
    },
  )

  // DRIVER-4
  conform(
    'D7: a full completion ring: nothing is lost, nor out of order',
    { ...RING, memory: { receiveBuffers: RING_BUFFERS } },
    async (place) => {
      const joined = await place.joinMany(6)
      const word = (field: number) => load(place.arena.words, place.arena.threadAt(OWNER) + field)
      await place.owner.ignore(true)
      for (const [nth, { peer }] of joined.entries()) {
        peer.write(pattern(20_000, nth + 1))
        peer.end()
      }
      await place.until('the ring to be full', () => {
        return word(THREAD_COMPLETION_TAIL) - word(THREAD_COMPLETION_HEAD) >= RING_IS_FULL
      })
      await place.settle()
      await place.owner.ignore(false)
      for (const [nth, { session }] of joined.entries()) {
        await place.expectTrace(session, { receiving: ['RECV 20000', 'RECV END_OF_STREAM'] })
        expect(place.receivedOf(session).equals(pattern(20_000, nth + 1))).toBe(true)
      }
    },
  )
})
