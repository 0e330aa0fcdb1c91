// What: tests of pins: a session that is held from outside, its words, and what is left when the pin goes.
// Flow: SessionPin over a unit memory -> this.
// Thread: the test's; the owner is another thread of the memory.

import { describe, expect, it } from 'vitest'
import {
  IO_RELEASED,
  SESSION_GENERATION,
  SESSION_IO_COUNT,
  SESSION_QUEUED_BYTES,
  SESSION_STATE,
  SessionState,
  THREAD_RELEASE_HEAD,
} from '../../src/layout/layout.ts'
import type { Sendable } from '../../src/session/handler.ts'
import { SessionPin } from '../../src/session/pin.ts'
import { open, release } from '../../src/shared/io_count.ts'
import { makeSessionId } from '../../src/shared/session_id.ts'
import { errorOf } from '../helpers/error_of.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

const SLOT = 3
const GENERATION = 7
const OWNER = 1

function setup() {
  const memory = unitMemory()
  const { arena, table } = memory.thread(0)
  const { words } = arena
  const at = arena.sessionAt(SLOT)
  words[at + SESSION_GENERATION] = GENERATION
  words[at + SESSION_STATE] = SessionState.OPEN
  open(words, at + SESSION_IO_COUNT)
  const id = makeSessionId(SLOT, GENERATION)
  const calls: unknown[][] = []
  const home = {
    send: (to: number, data: Sendable) => {
      calls.push(['send', to, data])
      return 'queued' as const
    },
    close: (of: number) => {
      calls.push(['close', of])
      return true
    },
    unpinned: (slot: number) => table.unpin(slot),
  }
  expect(table.pin(id)).toBe(SLOT)
  const released = () => words[arena.threadAt(OWNER) + THREAD_RELEASE_HEAD]
  return { pin: new SessionPin(home, arena, id, SLOT), words, at, id, calls, released }
}

describe('a pin', () => {
  it('shows the words of its session', () => {
    const { pin, words, at, id } = setup()
    expect(pin.id).toBe(id)
    expect(pin.isOpen).toBe(true)
    words[at + SESSION_QUEUED_BYTES] = 12
    expect(pin.bufferedAmount).toBe(12)
    pin.tag = -5
    expect(pin.tag).toBe(-5)
    words[at + SESSION_STATE] = SessionState.CLOSING
    expect(pin.isOpen).toBe(false)
  })

  it('sends and closes by its id', () => {
    const { pin, id, calls } = setup()
    expect(pin.send('x')).toBe('queued')
    expect(pin.close()).toBe(true)
    expect(calls).toEqual([
      ['send', id, 'x'],
      ['close', id],
    ])
  })

  it('keeps its session from being released, and hands the slot over when it was the last [IOCOUNT-3]', () => {
    const { pin, words, at, released } = setup()
    expect(release(words, at + SESSION_IO_COUNT)).toBe(false)
    expect(words[at + SESSION_IO_COUNT]).toBe(1)
    expect(released()).toBe(0)
    pin.unpin()
    expect(words[at + SESSION_IO_COUNT]).toBe(IO_RELEASED)
    expect(released()).toBe(SLOT + 1)
  })

  it.each([
    ['unpin', (pin: SessionPin) => pin.unpin()],
    ['send', (pin: SessionPin) => pin.send('x')],
    ['close', (pin: SessionPin) => pin.close()],
    ['tag', (pin: SessionPin) => pin.tag],
    [
      'tag =',
      (pin: SessionPin) => {
        pin.tag = 1
      },
    ],
    ['bufferedAmount', (pin: SessionPin) => pin.bufferedAmount],
  ])('refuses %s after it went, and counts nothing twice', (_, use) => {
    const { pin, words, at, id } = setup()
    pin.unpin()
    const error = errorOf(() => use(pin))
    expect(error.code).toBe('ERR_PIN_RELEASED')
    expect(error.message).toContain(String(id))
    expect(pin.isOpen).toBe(false)
    expect(words[at + SESSION_IO_COUNT]).toBe(1)
  })
})
