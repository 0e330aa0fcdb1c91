// What: the driver contract: gathers of every size go out whole and in order, wait for room, and fail by the peer's reset.
// Flow: SEND, SHUTDOWN, CLOSE -> a driver -> what peers read, SEND completions -> this.
// Thread: the test's; the driver's.

import { describe, expect } from 'vitest'
import {
  CLOSE_FLAG_RESET,
  CompletionKind,
  GATHER_MAX,
  IoStatus,
  SEND_FLAG_LAZY,
  SEND_FLAG_NOW,
  SubmissionOp,
} from '../../src/layout/layout.ts'
import { pattern } from '../helpers/e2e_client.ts'
import { conforms, placeDrivers } from './conform.ts'
import { type Entry, entryOf, type Peer, type Place, type Session } from './place.ts'

const session: Session = { slot: 4, generation: 9 }
const HOWS = { waits: 0, now: SEND_FLAG_NOW, lazily: SEND_FLAG_NOW | SEND_FLAG_LAZY }
const SMALL = { sendBufferBytes: 1 }
/** A length for each slice: 1 to 3 bytes, so that the longest gather fits the smallest socket. */
const sliceLengths = (count: number) => Array.from({ length: count }, (_, nth) => 1 + (nth % 3))

const sum = (lengths: readonly number[]) => lengths.reduce((total, length) => total + length, 0)

async function expectReceived(place: Place, peer: Peer, bytes: Buffer): Promise<void> {
  await place.until(`${bytes.length} bytes`, () => peer.received.length >= bytes.length)
  expect(peer.received.equals(bytes)).toBe(true)
}

describe.each(placeDrivers)('%s', (driver) => {
  const conform = conforms(driver)

  for (const [how, flags] of Object.entries(HOWS)) {
    conform(`D4: gathers of 1 to ${GATHER_MAX} slices (${how})`, {}, async (place) => {
      const peer = await place.join(session)
      const counts = [1, 2, 3, 16, 17, 64, 500, GATHER_MAX - 1, GATHER_MAX]
      let sent = 0
      for (const count of counts) {
        const lengths = sliceLengths(count)
        const entry = place.send(session, flags, sent, ...lengths)
        const { status, result } = await place.sendOne(place.owner, session, entry)
        sent += sum(lengths)
        expect({ status, result }).toEqual({ status: IoStatus.OK, result: sum(lengths) })
        await expectReceived(place, peer, place.sentBytes(0, sent))
      }
      await place.expectTrace(session, { sending: [`SEND OK ${sent}`] })
    })
  }

  conform('D4: slices go out in the order of the gather, not of the memory', {}, async (place) => {
    const peer = await place.join(session)
    const places = [900, 100, 500, 300, 700, 0]
    const pairs = places.flatMap((start, nth) => [place.arena.plan.chunkByteAt + start, nth + 1])
    const head = SubmissionOp.SEND | (SEND_FLAG_NOW << 8) | (places.length << 16)
    await place.sendOne(place.owner, session, entryOf(head, session, 21, ...pairs))
    const parts = places.map((start, nth) => place.sentBytes(start, nth + 1))
    await expectReceived(place, peer, Buffer.concat(parts))
    await place.expectTrace(session, { sending: ['SEND OK 21'] })
  })

  conform('A2: each send completes once, many sessions at a time', {}, async (place) => {
    const rounds = 20
    const joined = await place.joinMany(8)
    const flags = Object.values(HOWS)
    for (let round = 0; round < rounds; round++) {
      const entries: Entry[] = joined.map(({ session }, nth) =>
        place.send(session, flags[(round + nth) % flags.length], 10 * round, 4, 6),
      )
      if (round % 2 === 0) await place.owner.submit(...entries)
      else await place.owner.submitLater(...entries)
      for (const { session } of joined)
        await place.completion(place.owner, session, CompletionKind.SEND, round)
    }
    for (const { session, peer } of joined) {
      await expectReceived(place, peer, place.sentBytes(0, 10 * rounds))
      await place.expectTrace(session, { sending: [`SEND OK ${10 * rounds}`] })
    }
    expect(place.owner.ofKind(CompletionKind.SEND).length).toBe(rounds * joined.length)
  })

  conform('a gather without bytes takes none', {}, async (place) => {
    const peer = await place.join(session)
    for (const flags of Object.values(HOWS)) {
      for (const lengths of [[0], [0, 0, 0]]) {
        const entry = place.send(session, flags, 0, ...lengths)
        const { status, result } = await place.sendOne(place.owner, session, entry)
        expect({ status, result }).toEqual({ status: IoStatus.OK, result: 0 })
      }
    }
    await place.sendOne(place.owner, session, place.send(session, SEND_FLAG_NOW, 0, 0, 5, 0, 5, 0))
    await expectReceived(place, peer, place.sentBytes(0, 10))
    await place.expectTrace(session, { sending: ['SEND OK 10'] })
  })

  conform('SEND_FLAG_NOW completes with what a stalled peer has room for', SMALL, async (place) => {
    const peer = await place.join(session, { isPaused: true })
    const taken = await place.fillSocket(place.owner, session)
    expect(taken).toBeGreaterThan(0)
    peer.resume()
    await expectReceived(place, peer, place.sentBytes(0, taken))
    const entry = place.send(session, SEND_FLAG_NOW, taken, 100)
    await place.sendOne(place.owner, session, entry)
    await expectReceived(place, peer, place.sentBytes(0, taken + 100))
    await place.expectTrace(session, { sending: ['SEND OK 100'] })
  })

  conform('A3: a send waits for room while receiving goes on', SMALL, async (place) => {
    const more = 100_000
    const peer = await place.join(session, { isPaused: true })
    const filled = await place.fillSocket(place.owner, session)
    let taken = filled
    let heard = 0
    while (taken < filled + more) {
      const entry = place.send(session, 0, taken, filled + more - taken)
      const completion = place.sendOne(place.owner, session, entry)
      if (heard < 1000) {
        peer.write(pattern(100))
        heard += 100
        await place.hears(session, heard)
      }
      peer.resume()
      const { status, result } = await completion
      expect(status).toBe(IoStatus.OK)
      expect(result).toBeGreaterThan(0)
      taken += result
    }
    await expectReceived(place, peer, place.sentBytes(0, taken))
    await place.expectTrace(session, { receiving: [`RECV ${heard}`], sending: [`SEND OK ${more}`] })
  })

  conform(
    'SHUTDOWN ends the stream behind what was taken, for sending alone',
    {},
    async (place) => {
      const peer = await place.join(session)
      await place.sendOne(place.owner, session, place.send(session, SEND_FLAG_NOW, 0, 800))
      await place.owner.submit(entryOf(SubmissionOp.SHUTDOWN, session))
      await place.until('the end of the stream', () => peer.ended)
      expect(peer.received.equals(place.sentBytes(0, 800))).toBe(true)
      peer.write(pattern(50))
      peer.end()
      await place.expectTrace(session, {
        receiving: ['RECV 50', 'RECV END_OF_STREAM'],
        sending: ['SEND OK 800'],
      })
      await place.leave(session)
      expect(peer.isReset).toBe(false)
    },
  )

  conform('CLOSE ends the stream behind what was taken', {}, async (place) => {
    const peer = await place.join(session, { receives: false })
    await place.sendOne(place.owner, session, place.send(session, SEND_FLAG_NOW, 0, 800))
    await place.leave(session)
    await place.until('the end of the stream', () => peer.ended)
    expect(peer.received.equals(place.sentBytes(0, 800))).toBe(true)
    expect(peer.isReset).toBe(false)
  })

  conform('CLOSE with CLOSE_FLAG_RESET resets', {}, async (place) => {
    const peer = await place.join(session, { receives: false })
    await place.sendOne(place.owner, session, place.send(session, SEND_FLAG_NOW, 0, 100))
    await expectReceived(place, peer, place.sentBytes(0, 100))
    await place.leave(session, CLOSE_FLAG_RESET)
    await place.until('the reset', () => peer.isReset)
    await place.expectTrace(session, { sending: ['SEND OK 100'] })
  })

  conform('A6: a send after a reset that was heard', { resets: true }, async (place) => {
    const peer = await place.join(session)
    peer.reset()
    await place.expectTrace(session, { receiving: ['RECV RESET'] })
    for (const flags of Object.values(HOWS))
      await place.sendOne(place.owner, session, place.send(session, flags, 0, 10, 20))
    await place.expectTrace(session, {
      receiving: ['RECV RESET'],
      sending: ['SEND RESET 0', 'SEND RESET 0', 'SEND RESET 0'],
    })
    await place.leave(session)
  })

  conform(
    'A6: a send that waits for room hears of a reset',
    { ...SMALL, resets: true },
    async (place) => {
      const peer = await place.join(session, { isPaused: true })
      const taken = await place.fillSocket(place.owner, session)
      const failure = place.sendUntilFailure(place.owner, session, taken)
      await place.settle()
      peer.reset()
      await failure
      await place.until('the receive to end', () => place.traceOf(session).receiving.length > 0)
      await place.settle()
      const { receiving, sending } = place.traceOf(session)
      // What the system made room for before was sent.
      expect(sending.at(-1)).toBe('SEND RESET 0')
      // A system may tell a reset to one of the two alone.
      expect(['RECV RESET', 'RECV END_OF_STREAM']).toEqual(expect.arrayContaining([...receiving]))
      expect(receiving.length).toBe(1)
    },
  )
})
