// What: the driver contract: connections come one by one, are attached or refused, and end with their listener.
// Flow: peers that connect -> a driver -> ACCEPT completions -> this.
// Thread: the test's; the driver's.

import { describe, expect } from 'vitest'
import { CompletionKind, SEND_FLAG_NOW, SubmissionOp } from '../../src/layout/layout.ts'
import { conforms, openPlace, placeDrivers } from './conform.ts'
import { BIG_BYTES, entryOf, type Place } from './place.ts'

const STORM = 200

const acceptsOf = (place: Place) => place.owner.ofKind(CompletionKind.ACCEPT)

describe.each(placeDrivers)('%s', (driver) => {
  const conform = conforms(driver)

  conform(
    'A10: a connection is accepted once, and shows its handle from ATTACH to CLOSE',
    {},
    async (place) => {
      const session = { slot: 3, generation: 1 }
      const peer = await place.knock()
      const token = await place.accepted()
      place.begin(session)
      expect(place.handleOf(3)).toBe(0)
      await place.owner.submit(entryOf(SubmissionOp.ATTACH, session, token))
      expect(place.handleOf(3)).toBeGreaterThan(0)
      expect(place.peerPortOf(3)).toBe(peer.port)
      await place.leave(session)
      await place.until('the end of the stream', () => peer.ended)
      expect(peer.isReset).toBe(false)
      await place.expectTrace(session, {})
      expect(acceptsOf(place).length).toBe(1)
    },
  )

  conform('A10: a connection that is refused is reset', {}, async (place) => {
    const peers = [await place.knock(), await place.knock()]
    const tokens = [await place.accepted(), await place.accepted()]
    await place.owner.submit([SubmissionOp.REFUSE, tokens[0]])
    await place.until('one to be reset', () => peers.some(({ isReset }) => isReset))
    await place.settle()
    expect(peers.filter(({ isReset }) => isReset).length).toBe(1)
    await place.owner.submit([SubmissionOp.REFUSE, tokens[1]])
    await place.until('both to be reset', () => peers.every(({ isReset }) => isReset))
    expect(acceptsOf(place).length).toBe(2)
  })

  conform('A10: a storm of connections: each is accepted once', {}, async (place) => {
    const peers = await Promise.all(Array.from({ length: STORM }, () => place.knock()))
    const tokens: number[] = []
    while (tokens.length < STORM) tokens.push(await place.accepted())
    expect(new Set(tokens).size).toBe(STORM)
    for (const token of tokens) await place.owner.submitLater([SubmissionOp.REFUSE, token])
    await place.until('all to be reset', () => peers.every(({ isReset }) => isReset))
    await place.settle()
    expect(acceptsOf(place).length).toBe(STORM)
  })

  conform('A10: closing the listener ends accepting, and nothing else', {}, async (place) => {
    const session = { slot: 0, generation: 1 }
    const peer = await place.join(session)
    await place.owner.closeListeners()
    await place.knock()
    await place.settle()
    expect(acceptsOf(place).length).toBe(1)
    peer.write(Buffer.from('still here'))
    expect((await place.hears(session, 10)).toString()).toBe('still here')
    await place.expectTrace(session, { receiving: ['RECV 10'] })
  })

  conform('A11: what is accepted has the send buffer of its listener', {}, async (place) => {
    const session = { slot: 0, generation: 1 }
    const taken: number[] = []
    const small = await openPlace(driver, { sendBufferBytes: 1 }, 1)
    try {
      for (const each of [place, small]) {
        await each.join(session, { isPaused: true })
        const entry = each.send(session, SEND_FLAG_NOW, 0, BIG_BYTES)
        taken.push((await each.sendOne(each.owner, session, entry)).result)
      }
    } finally {
      await small.destroy()
    }
    expect(taken[1]).toBeGreaterThan(0)
    expect(taken[1]).toBeLessThan(taken[0] / 2)
  })
})
