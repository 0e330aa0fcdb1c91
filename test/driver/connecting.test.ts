// What: the driver contract: connections from here are made, or fail for a reason that can be told apart.
// Flow: CONNECT -> a driver -> CONNECT completions, bytes both ways -> this.
// Thread: the test's; the driver's.

import { describe, expect } from 'vitest'
import { CompletionKind, SEND_FLAG_NOW, SubmissionOp } from '../../src/layout/layout.ts'
import { pattern } from '../helpers/e2e_client.ts'
import { CLOSED_PORT, endPeersAfterEach, UNREACHABLE_HOST } from '../helpers/outbound_peer.ts'
import { conforms, placeDrivers } from './conform.ts'
import { entryOf, type Place, type Session } from './place.ts'

const HOST = '127.0.0.1'

const sessionOf = (generation: number): Session => ({ slot: 5, generation })

async function connect(
  place: Place,
  session: Session,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  place.begin(session)
  const token = await place.owner.prepareConnect(host, port)
  await place.owner.submit(entryOf(SubmissionOp.CONNECT, session, token))
}

/** It fails with this status, as often as it is tried, and the slot is free each time. */
async function expectFailure(
  place: Place,
  to: { readonly host: string; readonly port: number },
  status: string,
): Promise<void> {
  for (let generation = 1; generation <= 3; generation++) {
    await connect(place, sessionOf(generation), to)
    await place.expectTrace(sessionOf(generation), { sending: [`CONNECT ${status}`] })
    await place.leave(sessionOf(generation))
  }
}

endPeersAfterEach()

describe.each(placeDrivers)('%s', (driver) => {
  const conform = conforms(driver)

  conform('A13: a connection is made, and is like any other', {}, async (place) => {
    for (let generation = 1; generation <= 5; generation++) {
      const session = sessionOf(generation)
      const destination = await place.listen()
      await connect(place, session, destination)
      await place.completion(place.owner, session, CompletionKind.CONNECT, 0)
      expect(place.handleOf(session.slot)).toBeGreaterThan(0)
      const peer = await destination.peer()
      await place.owner.submit(entryOf(SubmissionOp.RECV, session))
      peer.write(pattern(2000))
      expect((await place.hears(session, 2000)).equals(pattern(2000))).toBe(true)
      await place.sendOne(place.owner, session, place.send(session, SEND_FLAG_NOW, 0, 300, 400))
      await place.until('bytes', () => peer.received.length === 700)
      expect(peer.received.equals(place.sentBytes(0, 700))).toBe(true)
      peer.end()
      await place.expectTrace(session, {
        receiving: ['RECV 2000', 'RECV END_OF_STREAM'],
        sending: ['CONNECT OK', 'SEND OK 700'],
      })
      await place.leave(session)
      await place.until('the end of the stream', () => peer.ended)
      expect(peer.isReset).toBe(false)
    }
  })

  conform('A6: where nobody listens it is refused', { connects: 'refused' }, (place) =>
    expectFailure(place, { host: HOST, port: CLOSED_PORT }, 'REFUSED'),
  )

  conform('A13: an address without a way is unreachable', {}, (place) =>
    expectFailure(place, { host: UNREACHABLE_HOST, port: CLOSED_PORT }, 'UNREACHABLE'),
  )

  conform(
    'A6: a connection that the system gives up has timed out',
    { connects: 'timedOut' },
    (place) => expectFailure(place, { host: HOST, port: CLOSED_PORT }, 'TIMED_OUT'),
  )

  conform('A14: a connection that nobody answers is cancelled', {}, async (place) => {
    const port = await place.silentPort()
    for (let generation = 1; generation <= 3; generation++) {
      const session = sessionOf(generation)
      await connect(place, session, { host: HOST, port })
      await place.settle()
      expect(place.traceOf(session).sending).toEqual([])
      await place.owner.submit(entryOf(SubmissionOp.CANCEL, session))
      await place.expectTrace(session, { sending: ['CONNECT CANCELLED'] })
      await place.leave(session)
    }
  })
})
