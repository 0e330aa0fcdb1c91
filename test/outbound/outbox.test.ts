// What: tests of the send side of a session at its start, and of when it sends.
// Flow: outbox -> this.
// Thread: main.

import { expect, it } from 'vitest'
import { encoder, FakeSession } from '../helpers/unit_sender.ts'

it('starts empty, idle and alive', () => {
  const outbox = new FakeSession(3, 9, 100, 2, encoder)
  expect([outbox.slot, outbox.generation, outbox.at, outbox.protocol]).toEqual([3, 9, 100, 2])
  expect(outbox.encoder).toBe(encoder)
  expect(outbox.sending).toBe(false)
  expect([outbox.bufferedBytes, outbox.foreignBytes, outbox.waitCount]).toEqual([0, 0, 0])
  expect([outbox.overflow, outbox.sendDead, outbox.wantsDrain]).toEqual([null, false, false])
})

it('is sending while something is in flight or waits', () => {
  const outbox = new FakeSession(0, 1, 0, 0, encoder)
  outbox.flightFirst = 4
  expect(outbox.sending).toBe(true)
  outbox.flightFirst = 0
  outbox.waiting = true
  expect(outbox.sending).toBe(true)
  outbox.waiting = false
  expect(outbox.sending).toBe(false)
  outbox.waitFirst = 5
  expect(outbox.sending).toBe(true)
})
