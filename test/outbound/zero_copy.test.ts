// What: tests of gathers that the kernel reads where they lie: what is held until their notifications, and what is not.
// Flow: sender, zero_copy -> a scripted driver that notifies late -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { Counter, IoStatus, NOTIFICATIONS_MAX } from '../../src/layout/layout.ts'
import type { ZeroCopy } from '../../src/server/options.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'
import {
  assertPristine,
  checkStream,
  LATER,
  makeRig,
  OWNER,
  type OwnerOptions,
  payloadOf,
  type Rig,
  type Send,
} from '../helpers/unit_sender.ts'

/** 64 chunks: the kernel may have 8 of them for a thread, 2 for a session. */
function rigOf(zeroCopy: ZeroCopy, options: OwnerOptions = {}, chunkCount = 64) {
  const memory = unitMemory(
    { zeroCopy, poison: true, arenaBytes: 8_388_608 },
    { chunkCount, nodesPerThread: 256 },
  )
  const rig = makeRig({ memory, maxBackpressure: 100_000, wantsSent: false, ...options })
  const [a, b, c] = [0, 1, 2].map((slot) => rig.owner.open(slot))
  const count = (counter: Counter) => rig.owner.arena.counters[counter]
  return { ...rig, rig, a, b, c, count }
}

function notifyAll({ owner }: Rig, isCopied = false): void {
  for (const send of [...owner.reads.keys()]) owner.notify(send, isCopied)
  owner.rest()
}

function finish(rig: Rig): void {
  rig.owner.drainAll()
  while (rig.owner.reads.size > 0) notifyAll(rig)
  for (const session of rig.owner.everyone) {
    checkStream(session)
    expect(session.notifications).toBe(0)
    expect(session.heldBlocks).toBe(0)
  }
  assertPristine(rig)
}

const numbers = (sends: readonly Send[]) => sends.map(({ number }) => number)

describe('which gathers', () => {
  it('of so many bytes, and none below', () => {
    const { rig, owner, a, count } = rigOf({ minBytes: 100 })
    owner.send(a, payloadOf(OWNER, 0, 97))
    owner.rest()
    owner.send(a, payloadOf(OWNER, 1, 98))
    owner.rest()
    expect(numbers(owner.sends)).toEqual([-1, 0])
    expect(count(Counter.ZERO_COPY_SENDS)).toBe(1)
    finish(rig)
  })

  it('none where it is off', () => {
    const { rig, owner, a } = rigOf('off')
    owner.send(a, payloadOf(OWNER, 0, 5000))
    owner.rest()
    expect(numbers(owner.sends)).toEqual([-1])
    finish(rig)
  })

  it('not what has overflowed: it is copied already', () => {
    const { rig, owner, a } = rigOf({ minBytes: 100 })
    owner.policy = (send) => (send.now ? { taken: 60 } : LATER)
    owner.send(a, payloadOf(OWNER, 0, 500))
    owner.rest()
    expect(numbers(owner.sends)).toEqual([0, -1])
    finish(rig)
  })
})

describe('until its notification', () => {
  it('a gather holds its chunks, and the next one goes', () => {
    const { rig, owner, a } = rigOf({ minBytes: 1000 })
    const { pool, chunkBytes } = owner.sender.writer
    const before = pool.freeCount()
    for (let i = 0; i < 2; i++) {
      // Of a chunk's length each, so that every one has its own.
      owner.send(a, payloadOf(OWNER, i, chunkBytes - 2))
      owner.rest()
    }
    expect(owner.reads.size).toBe(2)
    expect(a.stream.length).toBe(2 * chunkBytes)
    expect(a.bufferedBytes).toBe(0)
    owner.sender.writer.retire()
    expect(pool.freeCount()).toBe(before - 2)
    const [first, second] = owner.reads.keys()
    // In any order.
    owner.notify(second)
    owner.sender.settle()
    expect(pool.freeCount()).toBe(before - 1)
    owner.notify(first)
    owner.sender.settle()
    expect(pool.freeCount()).toBe(before)
    finish(rig)
  })

  it('a gather of many slices of a chunk holds it once, and gives nodes back', () => {
    const { rig, owner, a, b, main } = rigOf({ minBytes: 100 }, { maxGather: 16 })
    const nodes = owner.sender.freeNodes()
    for (let i = 0; i < 10; i++) {
      owner.send(a, payloadOf(OWNER, 2 * i, 20))
      owner.send(b, payloadOf(OWNER, 2 * i + 1, 3))
    }
    owner.rest()
    expect(owner.sends[0].slices.length).toBe(10)
    expect(a.heldBlocks).toBe(1)
    expect(owner.sender.freeNodes()).toBe(nodes - 1)
    expect(main.sender.freeNodes()).toBe(main.arena.plan.nodesPerThread)
    finish(rig)
  })

  it('an echo holds its receive buffer', () => {
    const { rig, owner, a } = rigOf({ minBytes: 50 })
    owner.echo(a, [payloadOf(OWNER, 0, 60)])
    owner.rest()
    expect(owner.bufferReferences[0]).toBe(1)
    notifyAll(rig)
    expect(owner.bufferReferences[0]).toBe(0)
    finish(rig)
  })

  it('a gather that was taken in part holds what it refers to; the rest is copied', () => {
    const { rig, owner, a } = rigOf({ minBytes: 100 })
    owner.policy = (send) => (send.now ? { taken: 60 } : LATER)
    owner.send(a, payloadOf(OWNER, 0, 500))
    owner.rest()
    expect(a.overflow?.bytes).toBe(442)
    expect(a.heldBlocks).toBe(1)
    finish(rig)
  })

  it('a gather of which nothing was taken holds nothing', () => {
    const { rig, owner, a, count } = rigOf({ minBytes: 100 })
    owner.policy = (send) => (send.now ? { taken: 0 } : LATER)
    owner.send(a, payloadOf(OWNER, 0, 500))
    owner.rest()
    expect(a.notifications).toBe(1)
    expect(a.heldBlocks).toBe(0)
    expect(count(Counter.ZERO_COPY_SENDS)).toBe(0)
    finish(rig)
  })

  it('a driver that has copied holds nothing, and nothing is notified', () => {
    const { rig, owner, a } = rigOf({ minBytes: 100 })
    owner.policy = (send) => ({ taken: send.bytes, copies: true })
    owner.send(a, payloadOf(OWNER, 0, 500))
    owner.rest()
    expect([a.notifications, a.heldBlocks]).toEqual([0, 0])
    finish(rig)
  })

  it('the session has a count, when it ends and when it is terminated', () => {
    const { rig, owner, a, b } = rigOf({ minBytes: 100 })
    for (const session of [a, b]) owner.send(session, payloadOf(OWNER, 0, 500))
    owner.rest()
    owner.end(a)
    owner.terminate(b)
    owner.rest()
    expect([a.released, b.released]).toEqual([false, false])
    for (const send of [...owner.reads.keys()]) owner.notify(send)
    owner.rest()
    expect([a.released, b.released]).toEqual([true, true])
    finish(rig)
  })

  it('a send that fails holds nothing, and its notification is awaited', () => {
    const { rig, owner, a } = rigOf({ minBytes: 100 })
    owner.policy = () => ({ status: IoStatus.RESET, taken: 0 })
    owner.send(a, payloadOf(OWNER, 0, 500))
    owner.rest()
    expect(a.heldBlocks).toBe(0)
    expect(a.released).toBe(false)
    notifyAll(rig)
    expect(a.released).toBe(true)
    finish(rig)
  })
})

describe('limits', () => {
  it('of a session: a quarter of what its thread may have; then it copies', () => {
    const { rig, owner, a, b, count } = rigOf({ minBytes: 1000 })
    const { chunkBytes } = owner.sender.writer
    const send = (session: typeof a) => {
      owner.send(session, payloadOf(OWNER, owner.sends.length, chunkBytes - 2))
      owner.rest()
    }
    for (let i = 0; i < 3; i++) send(a)
    expect(numbers(owner.sends)).toEqual([0, 1, -1])
    expect(count(Counter.ZERO_COPY_LIMITED)).toBe(1)
    send(b)
    expect(owner.sends[3].number).toBe(0)
    const [first] = owner.reads.keys()
    owner.notify(first)
    send(a)
    expect(owner.sends[4].number).toBe(0)
    finish(rig)
  })

  it('of a thread: a quarter of the chunks, shared with the other threads that submit', () => {
    const { rig, owner } = rigOf({ minBytes: 1000 })
    const { chunkBytes } = owner.sender.writer
    const sessions = [owner.sessions.get(0), ...[3, 4, 5, 6].map((slot) => owner.open(slot))]
    for (const session of sessions) {
      for (let i = 0; i < 2; i++) {
        owner.send(session as never, payloadOf(OWNER, i, chunkBytes - 2))
        owner.rest()
      }
    }
    expect(numbers(owner.sends).filter((number) => number !== -1).length).toBe(8)
    finish(rig)
  })

  it('a chunk that many sessions are sent counts once', () => {
    const { rig, owner } = rigOf({ minBytes: 100 })
    const sessions = [0, 1, 2].map((slot) => owner.sessions.get(slot)) as never[]
    for (let round = 0; round < 6; round++) {
      expect(owner.share(sessions, payloadOf(OWNER, round, 200))).toBe(3)
      owner.rest()
      if (round % 2 === 1) notifyAll(rig)
    }
    expect(numbers(owner.sends).includes(-1)).toBe(false)
    finish(rig)
  })

  it('of the notifications of a session', () => {
    const { rig, owner, a } = rigOf({ minBytes: 10 }, {}, 600)
    for (let i = 0; i <= NOTIFICATIONS_MAX; i++) {
      owner.send(a, payloadOf(OWNER, i, 20))
      owner.rest()
    }
    const all = Array.from({ length: NOTIFICATIONS_MAX }, (_, number) => number)
    expect(numbers(owner.sends)).toEqual([...all, -1])
    finish(rig)
  })
})

describe('refused', () => {
  it('for lack of memory it is sent again, copied, before what waits', () => {
    const { rig, owner, a, count } = rigOf({ minBytes: 100 }, { maxGather: 1 })
    owner.policy = (send) =>
      send.number === -1 ? { taken: send.bytes } : { status: IoStatus.NO_RESOURCES, taken: 0 }
    const { chunkBytes } = owner.sender.writer
    for (let i = 0; i < 3; i++) owner.send(a, payloadOf(OWNER, i, chunkBytes - 2))
    owner.rest()
    expect(numbers(owner.sends)).toEqual([0, -1, -1, -1])
    expect(count(Counter.ZERO_COPY_REFUSED)).toBe(1)
    expect(a.events).not.toContain('failed')
    // A notification has freed something: it is tried again.
    notifyAll(rig)
    owner.policy = (send) => ({ taken: send.bytes })
    owner.send(a, payloadOf(OWNER, 3, 200))
    owner.rest()
    expect(owner.sends[4].number).toBe(0)
    finish(rig)
  })

  it('where it is not supported it is not tried again', () => {
    const { rig, owner, a, count } = rigOf({ minBytes: 100 })
    owner.policy = (send) =>
      send.number === -1
        ? { taken: send.bytes }
        : { status: IoStatus.NOT_SUPPORTED, taken: 0, copies: true }
    for (let i = 0; i < 3; i++) {
      owner.send(a, payloadOf(OWNER, i, 200))
      owner.rest()
    }
    expect(numbers(owner.sends)).toEqual([0, -1, -1, -1])
    expect(count(Counter.ZERO_COPY_GIVEN_UP)).toBe(1)
    finish(rig)
  })

  it('after the session was terminated it is dropped', () => {
    const { rig, owner, a } = rigOf({ minBytes: 100 })
    owner.policy = () => ({ status: IoStatus.NO_RESOURCES, taken: 0 })
    owner.send(a, payloadOf(OWNER, 0, 500))
    owner.sender.flush()
    owner.submit()
    owner.terminate(a)
    owner.rest()
    expect(owner.sends.length).toBe(1)
    notifyAll(rig)
    expect(a.released).toBe(true)
    finish(rig)
  })
})

describe('auto', () => {
  it('ends for a protocol of which 64 gathers in a row were copied all the same', () => {
    const { rig, owner, a, count } = rigOf('auto', { maxGather: 16 }, 500)
    const big = (index: number) => {
      for (let i = 0; i < 9; i++) owner.send(a, payloadOf(OWNER, 9 * index + i, 4000))
      owner.rest()
    }
    for (let i = 0; i < 63; i++) {
      big(i)
      notifyAll(rig, true)
    }
    // One that was not copied begins the count again.
    big(63)
    notifyAll(rig, false)
    for (let i = 64; i < 129; i++) {
      big(i)
      notifyAll(rig, true)
    }
    expect(numbers(owner.sends).lastIndexOf(0)).toBe(127)
    expect(owner.sends[128].number).toBe(-1)
    expect(count(Counter.ZERO_COPY_COPIED)).toBe(127)
    expect(count(Counter.ZERO_COPY_GIVEN_UP)).toBe(1)
    finish(rig)
  })

  it('does not end where a size was asked for', () => {
    const { rig, owner, a, count } = rigOf({ minBytes: 100 })
    for (let i = 0; i < 70; i++) {
      owner.send(a, payloadOf(OWNER, i, 200))
      owner.rest()
      notifyAll(rig, true)
    }
    expect(numbers(owner.sends)).toEqual(Array.from({ length: 70 }, () => 0))
    expect(count(Counter.ZERO_COPY_GIVEN_UP)).toBe(0)
    finish(rig)
  })
})

describe('seeded', () => {
  const SEEDS = 40

  it(`streams are exact and everything comes back, over ${SEEDS} seeds`, () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new Random(seed)
      const { rig, owner, a, b, c, main, other } = rigOf(
        { minBytes: random.pick([1, 50, 300]) },
        { maxGather: random.pick([1, 3, 16]) },
        random.pick([12, 40]),
      )
      owner.policy = (send) => {
        if (!send.now) return random.chance(50) ? LATER : { taken: random.between(1, send.bytes) }
        if (send.number !== -1 && random.chance(10))
          return { status: IoStatus.NO_RESOURCES, taken: 0, copies: random.chance(50) }
        return { taken: random.chance(70) ? send.bytes : random.below(send.bytes + 1) }
      }
      for (let step = 0; step < 60; step++) {
        const session = random.pick([a, b, c])
        const payload = payloadOf(random.pick([OWNER]), step, random.between(3, 400))
        if (random.chance(60)) owner.send(session, payload)
        else if (random.chance(30)) owner.share([a, b, c], payload)
        else {
          const producer = random.pick([main, other])
          producer.send(session, payloadOf(producer.thread, step, random.between(3, 400)))
          producer.publish()
        }
        if (random.chance(50)) owner.turn()
        for (const send of [...owner.reads.keys()])
          if (random.chance(20) && !owner.isCompleting(send)) owner.notify(send)
        for (const send of [...owner.later])
          if (random.chance(30)) owner.complete(send, { taken: random.between(1, send.bytes) })
      }
      finish(rig)
    }
  })
})
