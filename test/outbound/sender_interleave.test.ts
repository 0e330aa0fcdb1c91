// What: one thread interrupted by another before each of its atomic operations in turn: nothing lost, all given back.
// Flow: atomics.ts with a hook -> sender on two or three threads -> streams and pristine memory.
// Thread: main; the other threads run where the hook says.

import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  assertPristine,
  checkStream,
  type FakeSession,
  LATER,
  makeRig,
  OWNER,
  payloadOf,
  type Rig,
} from '../helpers/unit_sender.ts'

const hook = vi.hoisted(() => ({ before: null as (() => void) | null }))

vi.mock('../../src/shared/atomics.ts', async (importActual) => {
  const actual = (await importActual()) as Record<string, (...args: unknown[]) => unknown>
  const hooked = (operation: (...args: unknown[]) => unknown) => {
    return (...args: unknown[]) => {
      hook.before?.()
      return operation(...args)
    }
  }
  return Object.fromEntries(Object.entries(actual).map(([name, f]) => [name, hooked(f)]))
})

afterEach(() => {
  hook.before = null
})

/** More atomic operations than any of these scenarios has. */
const OPERATIONS_MAX = 400

type Session = FakeSession
interface Scenario {
  prepare?(rig: Rig, a: Session, b: Session): void
  run(rig: Rig, a: Session, b: Session): void
  interrupt(rig: Rig, a: Session, b: Session): void
  readonly wantsSent?: boolean
}

/** Runs the scenario once for each place where it can be interrupted; returns how many there were. */
function explore({ prepare, run, interrupt, wantsSent = true }: Scenario): number {
  for (let place = 1; place < OPERATIONS_MAX; place++) {
    const rig = makeRig({ wantsSent })
    const [a, b] = [rig.owner.open(0), rig.owner.open(1)]
    prepare?.(rig, a, b)
    let operations = 0
    hook.before = () => {
      if (++operations !== place) return
      const { before } = hook
      hook.before = null
      interrupt(rig, a, b)
      hook.before = before
    }
    run(rig, a, b)
    hook.before = null
    if (operations < place) return place - 1
    try {
      rig.main.publish()
      rig.other.publish()
      rig.owner.drainAll()
      for (const session of [a, b]) checkStream(session)
      for (const session of [a, b]) rig.owner.end(session)
      rig.owner.drainAll()
      for (const session of [a, b]) expect(session.released).toBe(true)
      assertPristine(rig)
    } catch (error) {
      throw new Error(`interrupted before operation ${place}: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }
  throw new Error('there are more operations than OPERATIONS_MAX')
}

const sendFrom = (thread: 'main' | 'other', length: number) => (rig: Rig, a: Session) => {
  const producer = rig[thread]
  producer.send(a, payloadOf(producer.thread, a.accepted.get(producer.thread)?.length ?? 0, length))
  producer.publish()
}

const stall = ({ owner }: Rig, a: Session): void => {
  owner.policy = (send) => (send.now ? { taken: 3 } : LATER)
  owner.send(a, payloadOf(OWNER, 0, 50))
  owner.turn()
}

describe('the owner, interrupted by a foreign send', () => {
  it.each([true, false])('while it sends (prompt completions: %s)', (wantsSent) => {
    const places = explore({
      wantsSent,
      run: ({ owner }, a) => {
        owner.send(a, payloadOf(OWNER, 0, 20))
        owner.rest()
      },
      interrupt: sendFrom('main', 30),
    })
    expect(places).toBeGreaterThan(5)
  })

  it('while it takes what another thread has queued', () => {
    const places = explore({
      prepare: sendFrom('other', 10),
      run: ({ owner }) => owner.rest(),
      interrupt: sendFrom('main', 30),
    })
    expect(places).toBeGreaterThan(5)
  })

  it('while a stalled socket goes on', () => {
    const places = explore({
      prepare: (rig, a) => stall(rig, a),
      run: ({ owner }, a) => {
        owner.send(a, payloadOf(OWNER, 1, 20))
        owner.turn()
        owner.drainAll()
      },
      interrupt: sendFrom('main', 30),
    })
    expect(places).toBeGreaterThan(5)
  })

  it('while a session ends', () => {
    const places = explore({
      run: ({ owner }, a) => {
        owner.send(a, payloadOf(OWNER, 0, 20))
        owner.turn()
        owner.end(a)
        owner.rest()
      },
      interrupt: sendFrom('main', 30),
    })
    expect(places).toBeGreaterThan(5)
  })

  it('while a session is terminated', () => {
    const places = explore({
      prepare: (rig, a) => stall(rig, a),
      run: ({ owner }, a) => {
        owner.terminate(a)
        owner.rest()
      },
      interrupt: sendFrom('main', 30),
    })
    expect(places).toBeGreaterThan(3)
  })
})

describe('a foreign send, interrupted', () => {
  it.each([
    ['short', 20],
    ['long', 9000],
  ])('%s, by the owner', (_, length) => {
    const places = explore({
      run: sendFrom('main', length),
      interrupt: ({ owner }, a) => {
        owner.rest()
        owner.send(a, payloadOf(OWNER, 0, 20))
        owner.rest()
      },
    })
    expect(places).toBeGreaterThan(5)
  })

  it.each([
    ['short', 20],
    ['long', 9000],
  ])('%s, by a third thread', (_, length) => {
    const places = explore({
      run: sendFrom('main', length),
      interrupt: sendFrom('other', 30),
    })
    expect(places).toBeGreaterThan(5)
  })

  it.each(['end', 'terminate'] as const)('by the %s of its session', (how) => {
    const places = explore({
      run: (rig, a, b) => {
        sendFrom('main', 20)(rig, a)
        rig.main.share([a, b], payloadOf(0, 1, 20))
        rig.main.publish()
      },
      interrupt: ({ owner }, a) => {
        owner[how](a)
        owner.rest()
      },
    })
    expect(places).toBeGreaterThan(10)
  })
})
