// What: the driver contract: a wait brings many completions or one, ends for a wake, and not for nothing.
// Flow: peers, other threads -> a driver's wait -> turns -> this.
// Thread: the test's; the driver's.

import { describe, expect } from 'vitest'
import { CompletionKind, SEND_FLAG_NOW } from '../../src/layout/layout.ts'
import { pattern } from '../helpers/e2e_client.ts'
import { conforms, placeDrivers } from './conform.ts'

const SESSIONS = 8
const BELLS = 20

describe.each(placeDrivers)('%s', (driver) => {
  const conform = conforms(driver)

  for (const batch of [1, 64]) {
    conform(`A4: waits that take up to ${batch}, when many wait`, { batch }, async (place) => {
      const joined = await place.joinMany(SESSIONS)
      await place.settle()
      for (let round = 1; round <= 3; round++) {
        await place.owner.hold()
        for (const { peer } of joined) peer.write(pattern(100, round))
        await place.settlePeers()
        place.owner.release()
        for (const { session } of joined) await place.hears(session, 100 * round)
      }
      for (const { session, peer } of joined) {
        peer.end()
        await place.expectTrace(session, { receiving: ['RECV 300', 'RECV END_OF_STREAM'] })
      }
      const turns = place.owner.ofKind(CompletionKind.RECV).map(({ turn }) => turn)
      if (batch > 1) expect(new Set(turns).size).toBeLessThan(turns.length)
    })
  }

  conform('A5: a wake ends a wait that nothing else ends', {}, async (place) => {
    const session = { slot: 0, generation: 1 }
    await place.join(session)
    for (let bell = 1; bell <= BELLS; bell++) {
      await place.until('the thread to sleep', () => place.owner.isParked)
      place.owner.ring()
      await place.until('an answer', () => place.owner.bells === bell)
    }
    await place.expectTrace(session, {})
  })

  conform('what is handed over with the wait completes by itself', {}, async (place) => {
    const session = { slot: 0, generation: 1 }
    const peer = await place.join(session)
    for (let round = 0; round < 10; round++) {
      await place.until('the thread to sleep', () => place.owner.isParked)
      await place.owner.submitLater(place.send(session, SEND_FLAG_NOW, 10 * round, 10))
      await place.completion(place.owner, session, CompletionKind.SEND, round)
    }
    await place.until('bytes', () => peer.received.length === 100)
    expect(peer.received.equals(place.sentBytes(0, 100))).toBe(true)
    await place.expectTrace(session, { sending: ['SEND OK 100'] })
  })
})
