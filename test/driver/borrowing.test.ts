// What: the driver contract: a driver sends on sockets that another driver has attached and receives on, up to every end.
// Flow: words for two drivers in threads of their own -> completions, bytes -> this.
// Thread: the test's; an owner and a send thread.

import { closeSync, openSync } from 'node:fs'
import { devNull } from 'node:os'
import { describe, expect } from 'vitest'
import {
  CompletionKind,
  HANDLE_LOST,
  IoStatus,
  SEND_FLAG_LAZY,
  SEND_FLAG_NOW,
  SubmissionOp,
} from '../../src/layout/layout.ts'
import { pattern } from '../helpers/e2e_client.ts'
import { conforms, placeDrivers } from './conform.ts'
import { type Entry, entryOf, type Peer, type Place, type Session } from './place.ts'

const { BORROW, GIVE_BACK, CANCEL, SHUTDOWN } = SubmissionOp
const borrows = { borrows: true, sendBufferBytes: 1 }
const session: Session = { slot: 3, generation: 1 }
const other: Session = { slot: 1, generation: 1 }
/** Sends of a session after which io_uring has its socket in the file table, and some more. */
const MANY_SENDS = 20
const FILES = 8

/** A session that the owner receives on and the sender has borrowed. */
async function lend(place: Place, session: Session, isPaused = false): Promise<Peer> {
  const peer = await place.join(session, { isPaused })
  await place.sender.submit(entryOf(BORROW, session))
  return peer
}

const sends = (place: Place, session: Session, entry: Entry) =>
  place.sendOne(place.sender, session, entry)

async function expectReceived(place: Place, peer: Peer, length: number): Promise<void> {
  await place.until(`${length} bytes`, () => peer.received.length >= length)
  expect(peer.received.equals(place.sentBytes(0, length))).toBe(true)
}

/** Given back; the peer ends its stream, the owner closes. */
async function leave(place: Place, session: Session, peer: Peer): Promise<void> {
  await place.sender.submit(entryOf(GIVE_BACK, session))
  peer.end()
  await place.until('the end', () => {
    return place.traceOf(session).receiving.at(-1) === 'RECV END_OF_STREAM'
  })
  await place.leave(session)
  await place.until('the end of the stream', () => peer.isClosed)
  expect(peer.isReset).toBe(false)
}

describe.each(placeDrivers)('%s', (driver) => {
  const conform = conforms(driver)

  conform('sends while the owner receives; lazily, at once, in slices', borrows, async (place) => {
    const peer = await lend(place, session)
    for (let i = 0; i < MANY_SENDS; i++) {
      const flags = i % 2 === 0 ? SEND_FLAG_NOW | SEND_FLAG_LAZY : SEND_FLAG_NOW
      const entry = place.send(session, flags, 100 * i, 50, 30, 20)
      if (i % 3 === 0) await place.sender.submit(entry)
      else await place.sender.submitLater(entry)
      await expectReceived(place, peer, 100 * (i + 1))
      // Ends the wait that the completion of a lazy send is reported after.
      await place.settle()
      await place.completion(place.sender, session, CompletionKind.SEND, i)
      peer.write(pattern(10))
      await place.hears(session, 10 * (i + 1))
    }
    await leave(place, session, peer)
    await place.expectTrace(session, {
      receiving: [`RECV ${10 * MANY_SENDS}`, 'RECV END_OF_STREAM'],
      sending: [`SEND OK ${100 * MANY_SENDS}`],
    })
  })

  conform('waits for room, as often as there is none', borrows, async (place) => {
    const peer = await lend(place, session, true)
    const filled = await place.fillSocket(place.sender, session)
    const end = filled + 100_000
    let heard = 0
    for (let taken = filled; taken < end; ) {
      const completion = sends(place, session, place.send(session, 0, taken, end - taken))
      peer.write(pattern(5))
      heard += 5
      await place.hears(session, heard)
      peer.resume()
      const { status, result } = await completion
      peer.pause()
      expect(status).toBe(IoStatus.OK)
      expect(result).toBeGreaterThan(0)
      taken += result
    }
    peer.resume()
    await expectReceived(place, peer, end)
    await leave(place, session, peer)
  })

  conform('A14: cancels a send that waits, and nothing else', borrows, async (place) => {
    const peer = await lend(place, session, true)
    const otherPeer = await lend(place, other)
    const filled = await place.fillSocket(place.sender, session)
    const taken = await place.cancelSend(place.sender, session, filled)
    await place.sender.submit(entryOf(CANCEL, session), entryOf(CANCEL, other))
    await place.expectTrace(session, { sending: ['SEND CANCELLED 0'] })
    await sends(place, other, place.send(other, SEND_FLAG_NOW, 0, 10))
    await expectReceived(place, otherPeer, 10)
    peer.write(pattern(1))
    otherPeer.write(pattern(2))
    await place.expectTrace(session, { receiving: ['RECV 1'], sending: ['SEND CANCELLED 0'] })
    await place.expectTrace(other, { receiving: ['RECV 2'], sending: ['SEND OK 10'] })
    peer.resume()
    await expectReceived(place, peer, taken)
    await leave(place, session, peer)
    await leave(place, other, otherPeer)
  })

  conform('ends the stream for writing alone', borrows, async (place) => {
    const peer = await lend(place, session)
    await sends(place, session, place.send(session, SEND_FLAG_NOW, 0, 10))
    await place.sender.submit(entryOf(SHUTDOWN, session))
    await place.until('the end of the stream', () => peer.ended)
    await expectReceived(place, peer, 10)
    peer.write(pattern(20))
    await place.hears(session, 20)
    await leave(place, session, peer)
  })

  conform('A6: hears of a reset', { ...borrows, resets: true }, async (place) => {
    const peer = await lend(place, session, true)
    const taken = await place.fillSocket(place.sender, session)
    const failure = place.sendUntilFailure(place.sender, session, taken)
    await place.settle()
    peer.reset()
    expect(await failure).toMatchObject({ status: IoStatus.RESET, result: 0 })
    await place.until('the receive to end', () => place.traceOf(session).receiving.length > 0)
    await place.sender.submit(entryOf(GIVE_BACK, session))
    await place.leave(session)
  })

  conform('A2: the next session of a slot', borrows, async (place) => {
    for (let generation = 1; generation <= 5; generation++) {
      const next = { ...session, generation }
      const peer = await lend(place, next, true)
      const taken = await place.fillSocket(place.sender, next)
      peer.resume()
      await expectReceived(place, peer, taken)
      for (let i = 0; i < MANY_SENDS; i++)
        await sends(place, next, place.send(next, SEND_FLAG_NOW, taken + i, 1))
      await expectReceived(place, peer, taken + MANY_SENDS)
      await leave(place, next, peer)
      await place.expectTrace(next, {
        receiving: ['RECV END_OF_STREAM'],
        sending: [`SEND OK ${MANY_SENDS}`],
      })
    }
  })

  conform(
    'ends with sends that wait, and leaves the sockets to their owner',
    borrows,
    async (place) => {
      const peer = await lend(place, session, true)
      const otherPeer = await lend(place, other)
      const taken = await place.fillSocket(place.sender, session)
      await sends(place, other, place.send(other, SEND_FLAG_NOW, 0, 5))
      await place.sender.submit(place.send(session, 0, taken, 1000))
      place.isTornDown = true
      await place.sender.close()
      await expectReceived(place, otherPeer, 5)
      for (const [each, session_] of [
        [peer, session],
        [otherPeer, other],
      ] as const) {
        each.resume()
        each.write(pattern(3))
        await place.hears(session_, 3)
        each.end()
        await place.until('the end', () => {
          return place.traceOf(session_).receiving.at(-1) === 'RECV END_OF_STREAM'
        })
        await place.leave(session_)
        await place.until('the end of the stream', () => each.isClosed)
      }
    },
  )

  conform('touches no descriptor after its owner has ended', borrows, async (place) => {
    const peer = await lend(place, session)
    const otherPeer = await lend(place, other, true)
    const taken = await place.fillSocket(place.sender, other)
    await place.sender.submit(entryOf(GIVE_BACK, session))
    const waiting = sends(place, other, place.send(other, 0, taken, 100_000))
    place.isTornDown = true
    await place.owner.close()
    expect([place.handleOf(session.slot), place.handleOf(other.slot)]).toEqual([
      HANDLE_LOST,
      HANDLE_LOST,
    ])
    await place.until('the end', () => peer.ended || peer.isReset)
    // They get the descriptors that were closed.
    const files = Array.from({ length: FILES }, () => openSync(devNull, 'r'))
    await place.sender.submit(entryOf(BORROW, session), entryOf(CANCEL, other))
    await waiting
    otherPeer.resume()
    for (const each of [session, other]) {
      for (const flags of [0, SEND_FLAG_NOW, SEND_FLAG_NOW | SEND_FLAG_LAZY]) {
        const { status, result } = await sends(place, each, place.send(each, flags, 0, 10))
        expect({ status, result }).toEqual({ status: IoStatus.RESET, result: 0 })
      }
      await place.sender.submit(entryOf(SHUTDOWN, each), entryOf(GIVE_BACK, each))
    }
    for (const file of files) closeSync(file)
  })
})
