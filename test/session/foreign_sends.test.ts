// What: tests of sends to sessions of other threads: how often a session is looked at, and that nothing gets past that.
// Flow: foreign_sends over a sender with turns -> an owner with a scripted driver -> this.
// Thread: main; threads of the runtime are objects that take turns.

import { describe, expect, it, vi } from 'vitest'
import { Encoder } from '../../src/framing/encode.ts'
import { raw } from '../../src/framing/framing.ts'
import { SESSION_QUEUED_BYTES, SESSION_STATE, SessionState } from '../../src/layout/layout.ts'
import type * as Atomic from '../../src/shared/atomics.ts'
import { ProtocolTable } from '../../src/shared/protocol_table.ts'
import { Random } from '../helpers/unit_memory.ts'
import {
  assertPristine,
  checkStream,
  encoder,
  type FakeSession,
  frameOf,
  makeRig,
  payloadOf,
} from '../helpers/unit_sender.ts'

/** Loads of this word are counted. */
const looks = vi.hoisted(() => ({ at: -1, count: 0 }))

vi.mock('../../src/shared/atomics.ts', async (importOriginal) => {
  const real = await importOriginal<typeof Atomic>()
  const load: typeof real.load = (words, at) => {
    if (at === looks.at) looks.count++
    return real.load(words, at)
  }
  return { ...real, load }
})

const { ForeignSends } = await import('../../src/session/foreign_sends.ts')

const MAX_BACKPRESSURE = 1000
const HEADER_BYTES = 2

/** Sessions 0, 1, 2 of the owner, and what another worker sends to them. */
function setup() {
  const rig = makeRig({ maxBackpressure: MAX_BACKPRESSURE })
  const { owner, other } = rig
  const { arena, table, sender, thread } = other
  const { words } = arena
  const protocols = new ProtocolTable(arena, [encoder])
  const foreign = new ForeignSends(arena, table, sender, protocols, MAX_BACKPRESSURE)
  const sessions = [0, 1, 2].map((slot) => {
    const session = owner.open(slot)
    words[session.at + SESSION_STATE] = SessionState.OPEN
    return session
  })
  let sequence = 0
  const send = (session: FakeSession, length: number) => {
    const payload = payloadOf(thread, sequence++, length)
    const slot = table.pin(session.id)
    const result = foreign.writeMessage(slot, encoder, payload, 0, payload.length)
    table.unpin(slot)
    if (result === 'queued') session.accept(thread, frameOf(payload))
    return result
  }
  const finish = () => {
    other.publish()
    owner.drainAll()
    for (const session of owner.everyone) checkStream(session)
    assertPristine(rig)
  }
  const queuedBytes = ({ at, slot }: FakeSession) =>
    words[at + SESSION_QUEUED_BYTES] + sender.openBytes(slot)
  return { owner, other, words, sender, foreign, sessions, send, finish, queuedBytes }
}

/** How often `act` looks whether this session takes more. */
function looksAt({ at }: FakeSession, act: () => void): number {
  looks.at = at + SESSION_STATE
  looks.count = 0
  act()
  looks.at = -1
  return looks.count
}

describe('messages to a session of another thread', () => {
  it('that go into an open slice need no look of their own', () => {
    const { owner, other, sessions, send, finish } = setup()
    const [a] = sessions
    const sendMany = () => {
      for (let i = 0; i < 20; i++) expect(send(a, 10)).toBe('queued')
    }
    // One begins the slice, and one learns what waits beside it.
    expect(looksAt(a, sendMany)).toBe(2)
    other.publish()
    owner.rest()
    expect(looksAt(a, sendMany)).toBe(2)
    other.publish()
    owner.rest()
    expect(owner.sends.map(({ slices }) => slices.map(([, length]) => length))).toEqual([
      [20 * (HEADER_BYTES + 10)],
      [20 * (HEADER_BYTES + 10)],
    ])
    finish()
  })

  it('are refused after the look that finds it closed, at the latest with the next slice', () => {
    const { other, words, sessions, send, finish } = setup()
    const [a] = sessions
    expect([send(a, 10), send(a, 10)]).toEqual(['queued', 'queued'])
    words[a.at + SESSION_STATE] = SessionState.CLOSING
    // It goes where the slice goes.
    expect(send(a, 10)).toBe('queued')
    other.publish()
    expect(send(a, 10)).toBe('closed')
    finish()
  })

  it('are looked at again where they could be more than maxBackpressure', () => {
    const { sessions, send, finish, queuedBytes } = setup()
    const [a] = sessions
    const frameBytes = HEADER_BYTES + 98
    for (let i = 0; i < 9; i++) expect(send(a, 98)).toBe('queued')
    expect(looksAt(a, () => expect(send(a, 98)).toBe('queued'))).toBe(0)
    expect(queuedBytes(a)).toBe(10 * frameBytes)
    expect(looksAt(a, () => expect(send(a, 98)).toBe('full'))).toBe(1)
    expect(queuedBytes(a)).toBe(10 * frameBytes)
    finish()
  })

  it('do not take what waits for one session for what waits for another', () => {
    const { other, sessions, send, finish, queuedBytes } = setup()
    const [a, b] = sessions
    for (let i = 0; i < 5; i++) expect(send(b, 170)).toBe('queued')
    other.publish()
    // Nothing waits for this one, and that is known while its slice is open.
    expect([send(a, 10), send(a, 10), send(a, 10)]).toEqual(['queued', 'queued', 'queued'])
    expect([send(b, 100), send(b, 100)]).toEqual(['queued', 'full'])
    expect(queuedBytes(b)).toBe(5 * (HEADER_BYTES + 170) + HEADER_BYTES + 100)
    finish()
  })

  it('that are empty leave the slice of another session open, and what is known of that', () => {
    const { foreign, other, sessions, send, finish } = setup()
    const [a, b] = sessions
    for (let i = 0; i < 5; i++) expect(send(a, 170)).toBe('queued')
    other.publish()
    expect([send(a, 10), send(a, 10)]).toEqual(['queued', 'queued'])
    expect(foreign.writeMessage(b.slot, new Encoder(raw()), new Uint8Array(0), 0, 0)).toBe('queued')
    expect([send(a, 80), send(a, 80)]).toEqual(['queued', 'full'])
    finish()
  })

  it.each(Array.from({ length: 40 }, (_, at) => at + 1))(
    'have the outcome that they have when each looks, and arrive: seed %i',
    (seed) => {
      /** Results, and how often a session was looked at. */
      const run = (each: boolean) => {
        const { owner, other, sender, sessions, send, finish } = setup()
        const random = new Random(seed)
        const results: string[] = []
        let looked = 0
        owner.policy = (one) => ({ taken: Math.ceil(one.bytes / (1 + random.below(3))) })
        for (let step = 0; step < 300; step++) {
          const kind = random.below(100)
          // Mostly the same one again, so that slices grow.
          const session = sessions[kind < 70 ? 0 : random.below(3)]
          if (kind < 90) {
            if (each) sender.openQueued = -1
            const length = 3 + random.below(random.pick([20, 200, 1500]))
            looked += looksAt(session, () => results.push(send(session, length)))
          } else if (kind < 95) other.publish()
          else owner.rest()
        }
        finish()
        return { results, looked }
      }
      const [short, long] = [run(false), run(true)]
      expect(short.results).toEqual(long.results)
      expect(new Set(short.results)).toEqual(new Set(['queued', 'full']))
      expect(short.looked).toBeLessThan(long.looked)
    },
  )
})
