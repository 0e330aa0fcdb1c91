// What: the driver contract: what is cancelled completes once, as cancelled or as what it came to before.
// Flow: CANCEL, CLOSE -> a driver -> CANCELLED completions -> this.
// Thread: the test's; the driver's.

import { describe, expect } from 'vitest'
import {
  CLOSE_FLAG_RESET,
  CompletionKind,
  HANDLE_LOST,
  SubmissionOp,
} from '../../src/layout/layout.ts'
import { pattern } from '../helpers/e2e_client.ts'
import { conforms, placeDrivers } from './conform.ts'
import { entryOf, type Peer, type Place, type Session } from './place.ts'

const session: Session = { slot: 1, generation: 3 }
const { RECV, PAUSE, CANCEL } = SubmissionOp
const SMALL = { sendBufferBytes: 1 }

const ask = (place: Place, ...ops: number[]) =>
  place.owner.submit(...ops.map((op) => entryOf(op, session)))
const lastOf = (place: Place) => place.traceOf(session).receiving.at(-1)

describe.each(placeDrivers)('%s', (driver) => {
  const conform = conforms(driver)

  conform('A14: a receive', {}, async (place) => {
    const peer = await place.join(session)
    await place.settle()
    await ask(place, CANCEL)
    await place.expectTrace(session, { receiving: ['RECV CANCELLED'] })
    await place.leave(session)
    await place.until('the end of the stream', () => peer.ended)
  })

  conform('A14: a receive that is begun again later', {}, async (place) => {
    const peer = await place.join(session)
    await ask(place, CANCEL)
    await place.until('the cancelled receive', () => lastOf(place) === 'RECV CANCELLED')
    peer.write(pattern(100))
    await place.settle()
    await ask(place, RECV)
    peer.end()
    await place.expectTrace(session, {
      receiving: ['RECV CANCELLED', 'RECV 100', 'RECV END_OF_STREAM'],
    })
  })

  conform('A14: a paused receive', {}, async (place) => {
    await place.join(session)
    await ask(place, PAUSE)
    await place.until('PAUSED', () => lastOf(place) === 'PAUSED')
    await ask(place, CANCEL)
    await place.expectTrace(session, { receiving: ['PAUSED', 'RECV CANCELLED'] })
    await place.leave(session)
  })

  conform('A14: a receive that is being paused; PAUSED may be left out', {}, async (place) => {
    await place.join(session)
    await place.settle()
    await ask(place, PAUSE, CANCEL)
    await place.until('the cancelled receive', () => lastOf(place) === 'RECV CANCELLED')
    await place.settle()
    const receiving = place.traceOf(session).receiving.filter((line) => line !== 'PAUSED')
    expect(receiving).toEqual(['RECV CANCELLED'])
    await place.leave(session)
  })

  conform('A14: a receive that waits for a buffer', {}, async (place) => {
    const buffers = place.arena.plan.recvBuffersPerWorker
    const other = { slot: 0, generation: 1 }
    const hog = await place.join(other)
    await place.owner.keepBuffers(true)
    // A byte each, which no receive can split.
    for (let taken = 1; taken <= buffers; taken++) {
      hog.write(Buffer.of(taken))
      await place.hears(other, taken)
    }
    const peer = await place.join(session)
    peer.write(pattern(10))
    await place.settle()
    await ask(place, CANCEL)
    await place.expectTrace(session, { receiving: ['RECV CANCELLED'] })
    await place.leave(session, CLOSE_FLAG_RESET)
    await place.owner.keepBuffers(false)
    await place.owner.giveBuffers(buffers)
    hog.write(Buffer.of(0))
    await place.hears(other, buffers + 1)
  })

  conform('A14: a send that waits for room, and the receive beside it', SMALL, async (place) => {
    const peer = await place.join(session, { isPaused: true })
    const filled = await place.fillSocket(place.owner, session)
    const taken = await place.cancelSend(place.owner, session, filled)
    await place.expectTrace(session, {
      receiving: ['RECV CANCELLED'],
      sending: ['SEND CANCELLED 0'],
    })
    peer.resume()
    await place.until('bytes', () => peer.received.length >= taken)
    expect(peer.received.equals(place.sentBytes(0, taken))).toBe(true)
    await place.leave(session, CLOSE_FLAG_RESET)
    await place.until('the reset', () => peer.isReset)
  })

  conform('A14: nothing, where nothing is pending', {}, async (place) => {
    const peer = await place.join(session, { receives: false })
    await ask(place, CANCEL)
    await place.expectTrace(session, {})
    await ask(place, RECV)
    peer.end()
    await place.expectTrace(session, { receiving: ['RECV END_OF_STREAM'] })
    await ask(place, CANCEL)
    await place.expectTrace(session, { receiving: ['RECV END_OF_STREAM'] })
  })

  conform('A2: what was over before its cancel completes once all the same', {}, async (place) => {
    const peer = await place.join(session)
    await place.owner.hold()
    peer.write(pattern(100))
    peer.end()
    await place.settlePeers()
    place.owner.release()
    await ask(place, CANCEL)
    await place.until('the end of the receive', () => {
      return ['RECV CANCELLED', 'RECV END_OF_STREAM'].includes(lastOf(place) ?? '')
    })
    await place.settle()
    const ends = place.owner.ofKind(CompletionKind.RECV, session).filter(({ result }) => {
      return result === 0
    })
    expect(ends.length).toBe(1)
    expect(place.receivedOf(session).length % 100).toBe(0)
    await place.leave(session)
  })

  conform('A2: a slot is used again as soon as it is closed', {}, async (place) => {
    for (let generation = 1; generation <= 20; generation++) {
      const current = { slot: 0, generation }
      const peer = await place.join(current)
      peer.write(pattern(10, generation))
      expect((await place.hears(current, 10)).equals(pattern(10, generation))).toBe(true)
      if (generation % 3 === 0) peer.end()
      else await place.owner.submit(entryOf(CANCEL, current))
      const end = generation % 3 === 0 ? 'RECV END_OF_STREAM' : 'RECV CANCELLED'
      await place.until('the end', () => place.traceOf(current).receiving.includes(end))
      await place.leave(current, generation % 2 === 0 ? CLOSE_FLAG_RESET : 0)
    }
    for (let generation = 1; generation <= 20; generation++) {
      const end = generation % 3 === 0 ? 'RECV END_OF_STREAM' : 'RECV CANCELLED'
      await place.expectTrace({ slot: 0, generation }, { receiving: ['RECV 10', end] })
    }
  })

  conform('A5: a driver that is closed ends everything that is pending', SMALL, async (place) => {
    const peers: Peer[] = []
    const at = (slot: number) => ({ slot, generation: 1 })
    peers.push(await place.join(at(0)))
    peers.push(await place.join(at(1), { receives: false }))
    peers.push(await place.join(at(2)))
    await place.owner.submit(entryOf(PAUSE, at(2)))
    peers.push(await place.join(at(3), { isPaused: true }))
    const taken = await place.fillSocket(place.owner, at(3))
    await place.owner.submit(place.send(at(3), 0, taken, 1000))
    peers.push(await place.knock())
    await place.accepted()
    place.isTornDown = true
    await place.owner.close()
    for (let slot = 0; slot <= 3; slot++) expect(place.handleOf(slot)).toBe(HANDLE_LOST)
    for (const peer of peers) peer.resume()
    await place.until('all to be closed', () => {
      return peers.every(({ ended, isReset }) => ended || isReset)
    })
  })
})
