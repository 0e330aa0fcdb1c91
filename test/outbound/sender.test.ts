// What: tests of the send path: exact bytes in order, whatever the socket takes, and everything given back.
// Flow: sender -> a scripted driver -> the peer's stream -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { Encoder } from '../../src/framing/encode.ts'
import { delimiter } from '../../src/framing/framing.ts'
import {
  COUNTER_NAMES,
  Counter,
  IO_RELEASED,
  IoStatus,
  SESSION_IO_COUNT,
  SESSION_QUEUED_BYTES,
  SESSION_SEND_FLAG,
  THREAD_PARKED,
} from '../../src/layout/layout.ts'
import { receiveBufferBlock } from '../../src/outbound/references.ts'
import {
  assertPristine,
  checkStream,
  frameOf,
  LATER,
  makeRig,
  OWNER,
  type Owner,
  payloadOf,
  type Rig,
  type Send,
} from '../helpers/unit_sender.ts'

/** Sessions 0, 1, 2 of the owner. */
function rigOf(options: Parameters<typeof makeRig>[0] = {}) {
  const rig = makeRig(options)
  const [a, b, c] = [0, 1, 2].map((slot) => rig.owner.open(slot))
  const count = (counter: Counter) => rig.owner.arena.counters[counter]
  return { ...rig, rig, a, b, c, count }
}

/** The socket takes `first` bytes, then nothing until it is told. */
function stall(owner: Owner, first: number): void {
  owner.policy = (send) => (send.now ? { taken: Math.min(first, send.bytes) } : LATER)
}

function finish(rig: Rig): void {
  rig.owner.drainAll()
  for (const session of rig.owner.everyone) checkStream(session)
  assertPristine(rig)
}

const lengths = (send: Send) => send.slices.map(([, length]) => length)

describe('own sends', () => {
  it('arrive as framed, in order, and leave nothing behind', () => {
    const { rig, owner, a, b } = rigOf()
    for (let i = 0; i < 10; i++) {
      expect(owner.send(i % 3 === 0 ? b : a, payloadOf(OWNER, i, 3 + 5 * i))).toBe(true)
    }
    expect(a.bufferedBytes).toBe([...(a.accepted.get(OWNER) ?? [])].flatMap((f) => [...f]).length)
    owner.rest()
    expect(a.events).toContain('sentAll')
    finish(rig)
  })

  it('of one turn that lie behind one another are one slice', () => {
    const { rig, owner, a } = rigOf()
    for (let i = 0; i < 5; i++) owner.send(a, payloadOf(OWNER, i, 10))
    owner.rest()
    expect(owner.sends.map(lengths)).toEqual([[60]])
    expect(owner.sends[0].now).toBe(true)
    expect(a.events).toEqual(['sent 60', 'sentAll'])
    finish(rig)
  })

  it('are separate slices when another session came between', () => {
    const { rig, owner, a, b } = rigOf()
    for (const session of [a, b, a, a]) owner.send(session, payloadOf(OWNER, 1, 10))
    owner.rest()
    const bySlot = (slot: number) => owner.sends.filter((s) => s.slot === slot).map(lengths)
    expect(bySlot(0)).toEqual([[12, 24]])
    expect(bySlot(1)).toEqual([[12]])
    finish(rig)
  })

  it('do not become one across chunks or turns', () => {
    const { rig, owner, a } = rigOf()
    owner.send(a, payloadOf(OWNER, 0, 4000))
    owner.send(a, payloadOf(OWNER, 1, 200))
    owner.rest()
    owner.send(a, payloadOf(OWNER, 2, 10))
    owner.rest()
    expect(owner.sends.map(lengths)).toEqual([[4002, 202], [12]])
    finish(rig)
  })

  it('of an empty payload are a header', () => {
    const { rig, owner, a } = rigOf()
    expect(owner.sender.writeOwn(a, new Uint8Array(0), 0, 0)).toBe(true)
    owner.drainAll()
    expect([...a.stream]).toEqual([0, 0])
    assertPristine(rig)
  })

  it('write headers and trailers of their framing, short and long payloads alike', () => {
    const { rig, owner } = rigOf()
    const lines = owner.open(3, new Encoder(delimiter({ bytes: '\r\n' })))
    const source = Uint8Array.from({ length: 9000 }, (_, i) => 32 + (i % 90))
    const expected: number[] = []
    for (const [start, length] of [
      [0, 5],
      [7, 31],
      [7, 32],
      [0, 9000],
      [3, 8990],
    ]) {
      expect(owner.sender.writeOwn(lines, source, start, length)).toBe(true)
      expected.push(...source.subarray(start, start + length), 13, 10)
    }
    owner.drainAll()
    expect([...lines.stream]).toEqual(expected)
    assertPristine(rig)
  })

  it('take their bytes from the arena itself', () => {
    const { rig, owner, a } = rigOf()
    const payload = payloadOf(OWNER, 0, 100)
    const at = owner.bufferStart(3)
    owner.arena.bytes.set(payload, at)
    expect(owner.sender.writeOwn(a, owner.arena.bytes, at, 100)).toBe(true)
    a.accept(OWNER, frameOf(payload))
    finish(rig)
  })

  it('longer than a chunk go out in pieces, between their neighbours', () => {
    const { rig, owner, a } = rigOf()
    for (const [i, length] of [10, 4094, 4095, 10_000, 20_000, 10].entries())
      expect(owner.send(a, payloadOf(OWNER, i, length))).toBe(true)
    finish(rig)
    expect(a.stream.length).toBe(10 + 4094 + 4095 + 10_000 + 20_000 + 10 + 12)
  })

  it('are counted by the slices of their gathers', () => {
    const { rig, owner, a, b, count } = rigOf({ maxGather: 64 })
    const wanted = [1, 2, 3, 4, 5, 8, 9, 32]
    for (const slices of wanted) {
      for (let i = 0; i < slices; i++) {
        owner.send(a, payloadOf(OWNER, 0, 10))
        // Between two of them, so that they are no one slice.
        if (i < slices - 1) owner.share([b], payloadOf(OWNER, 0, 10))
      }
      owner.rest()
    }
    const toA = owner.sends.filter(({ slot }) => slot === a.slot).map(({ slices }) => slices.length)
    expect(toA).toEqual(wanted)
    const buckets = (slices: readonly number[]) => {
      const counts = Array.from({ length: 11 }, () => 0)
      for (const of of slices) counts[Math.ceil(Math.log2(of))]++
      return counts
    }
    const counted = Array.from({ length: 11 }, (_, i) =>
      count((Counter.GATHERS_TO1 + i) as Counter),
    )
    expect(counted).toEqual(buckets(owner.sends.map(({ slices }) => slices.length)))
    expect(count(Counter.GATHERS)).toBe(owner.sends.length)
    expect(COUNTER_NAMES[Counter.GATHERS_TO1 + 10]).toBe('gathersTo1024')
    finish(rig)
  })

  it('are taken in gathers of at most maxGather slices, one after the other', () => {
    const { rig, owner, a, b } = rigOf({ maxGather: 4 })
    for (let i = 0; i < 11; i++) {
      owner.send(a, payloadOf(OWNER, i, 10))
      owner.send(b, payloadOf(OWNER, i, 10))
    }
    owner.rest()
    const slices = owner.sends.filter(({ slot }) => slot === 0).map((send) => send.slices.length)
    expect(slices).toEqual([4, 4, 3])
    expect(a.events.filter((event) => event === 'sentAll')).toHaveLength(1)
    finish(rig)
  })

  it('mark the thread as having work, until it is done', () => {
    const { rig, owner, a } = rigOf()
    expect(owner.pending).toBe(false)
    owner.send(a, payloadOf(OWNER, 0, 10))
    expect(owner.pending).toBe(true)
    owner.rest()
    expect(owner.pending).toBe(false)
    finish(rig)
  })
})

describe('the flag and the count', () => {
  it('are not touched by what the owner sends: its one count covers that', () => {
    const { rig, owner, a } = rigOf()
    const { words } = owner.arena
    const seen: number[][] = []
    const look = () => seen.push([words[a.at + SESSION_SEND_FLAG], words[a.at + SESSION_IO_COUNT]])
    owner.policy = (send) => {
      look()
      return { taken: send.bytes }
    }
    owner.send(a, payloadOf(OWNER, 0, 10))
    look()
    owner.rest()
    look()
    expect(seen).toEqual([
      [0, 1],
      [0, 1],
      [0, 1],
    ])
    finish(rig)
  })

  it('go from who won the flag to the owner, which clears it and drops the count [SENDFLAG-1]', () => {
    const { rig, owner, main, a } = rigOf()
    const { words } = owner.arena
    const look = () => [words[a.at + SESSION_SEND_FLAG], words[a.at + SESSION_IO_COUNT]]
    const seen: number[][] = []
    owner.policy = (send) => {
      seen.push(look())
      return { taken: send.bytes }
    }
    main.send(a, payloadOf(0, 0, 10))
    expect(look()).toEqual([1, 2])
    owner.rest()
    expect(seen).toEqual([[0, 1]])
    finish(rig)
  })

  it('keep a session that ended until its sends are out, and release it then', () => {
    const { rig, owner, a } = rigOf()
    stall(owner, 5)
    owner.send(a, payloadOf(OWNER, 0, 50))
    owner.turn()
    owner.end(a)
    expect(a.released).toBe(false)
    expect(owner.arena.words[a.at + SESSION_IO_COUNT]).toBe(1)
    owner.drainAll()
    expect(a.events.slice(-2)).toEqual(['sentAll', 'released'])
    checkStream(a, true)
    assertPristine(rig)
  })

  it('tell idle from quiet', () => {
    const { rig, owner, main, a, b } = rigOf()
    const { sender } = owner
    const states = () => [sender.idle(a), sender.quiet(a)]
    expect(states()).toEqual([true, true])
    stall(owner, 5)
    owner.send(a, payloadOf(OWNER, 0, 50))
    expect(states()).toEqual([false, false])
    owner.send(b, payloadOf(OWNER, 0, 50))
    expect(states()).toEqual([false, false])
    owner.turn()
    expect(states()).toEqual([false, false])
    owner.drainAll()
    expect(states()).toEqual([true, true])
    main.send(a, payloadOf(0, 0, 50))
    expect(states()).toEqual([false, true])
    owner.drainAll()
    expect(states()).toEqual([true, true])
    finish(rig)
  })
})

describe('short sends', () => {
  it.each([0, 1, 2, 59, 60, 119])('%i of 120 bytes: the rest overflows, and follows', (taken) => {
    const { rig, owner, a, b, count } = rigOf()
    stall(owner, taken)
    owner.send(a, payloadOf(OWNER, 0, 58))
    owner.share([a], payloadOf(OWNER, 1, 58))
    owner.turn()
    expect(owner.sends.map(({ now }) => now)).toEqual([true, false])
    expect(owner.sends[1].bytes).toBe(120 - taken)
    expect(a.bufferedBytes).toBe(120 - taken)
    expect(a.waiting).toBe(true)
    expect(count(Counter.SHORT_SENDS)).toBe(1)
    expect(count(Counter.OVERFLOW_BYTES)).toBe(120 - taken)
    // The chunk went although the bytes wait.
    owner.sender.settle()
    owner.sender.writer.retire()
    expect(owner.sender.writer.pool.freeCount()).toBe(owner.arena.plan.chunkCount)
    owner.send(b, payloadOf(OWNER, 9, 20))
    finish(rig)
    expect(count(Counter.BYTES_OUT)).toBe(142)
  })

  it('are followed by what is queued meanwhile, in order', () => {
    const { rig, owner, main, a, b } = rigOf()
    stall(owner, 7)
    for (let i = 0; i < 30; i++) {
      owner.send(a, payloadOf(OWNER, i, 20 + i))
      owner.send(b, payloadOf(OWNER, i, 20))
      if (i % 4 === 0) main.send(a, payloadOf(0, i, 30))
      main.publish()
      owner.turn()
    }
    expect(a.waiting).toBe(true)
    expect(a.waitFirst).toBe(0)
    finish(rig)
  })

  it('take what others queued along, so that their chunks do not wait for the socket', () => {
    const { rig, owner, main, a, b } = rigOf()
    const { pool } = owner.sender.writer
    const all = pool.freeCount()
    stall(owner, 5)
    owner.send(a, payloadOf(OWNER, 0, 50))
    owner.turn()
    main.send(a, payloadOf(0, 0, 50))
    main.publish()
    main.sender.writer.retire()
    owner.send(a, payloadOf(OWNER, 1, 50))
    owner.send(b, payloadOf(OWNER, 1, 50))
    owner.turn()
    owner.sender.writer.retire()
    expect(pool.freeCount()).toBe(all)
    expect(a.bufferedBytes).toBe(47 + 52 + 52)
    finish(rig)
  })

  it('may go on being short: each wait takes a part', () => {
    const { rig, owner, a } = rigOf()
    stall(owner, 1)
    owner.send(a, payloadOf(OWNER, 0, 5000))
    owner.rest()
    for (let turns = 0; owner.later.length > 0; turns++) {
      expect(turns).toBeLessThan(100)
      const [send] = owner.later
      if (turns === 3) owner.send(a, payloadOf(OWNER, 1, 700))
      owner.complete(send, { taken: Math.min(send.bytes, 100 + 37 * turns) })
      owner.rest()
    }
    finish(rig)
  })

  it('let a wait take nothing', () => {
    const { rig, owner, a } = rigOf()
    stall(owner, 1)
    owner.send(a, payloadOf(OWNER, 0, 50))
    owner.rest()
    owner.complete(owner.later[0], { taken: 0 })
    owner.rest()
    expect(owner.later).toHaveLength(1)
    expect(owner.later[0].bytes).toBe(51)
    finish(rig)
  })

  it('gather overflow blocks by maxGather too', () => {
    const { rig, owner, a } = rigOf({ maxGather: 2 })
    stall(owner, 0)
    for (let i = 0; i < 12; i++) {
      owner.send(a, payloadOf(OWNER, i, 1000))
      owner.turn()
    }
    const blocks = a.overflow?.blocks.length ?? 0
    expect(blocks).toBeGreaterThan(2)
    finish(rig)
    for (const send of owner.sends) expect(send.slices.length).toBeLessThanOrEqual(2)
  })

  it('give receive buffers back at once', () => {
    const { rig, owner, a } = rigOf()
    stall(owner, 3)
    owner.echo(a, [payloadOf(OWNER, 0, 50), payloadOf(OWNER, 1, 60)])
    owner.turn()
    expect([...owner.bufferReferences].every((count) => count === 0)).toBe(true)
    finish(rig)
  })
})

describe('sends while a gather is on its way', () => {
  // Completions of one drain: handlers run between them, and queue more for the same session.
  it('from a handler before its completion do not touch it', () => {
    const { rig, owner, a, b } = rigOf()
    stall(owner, 5)
    owner.send(a, payloadOf(OWNER, 0, 50))
    owner.turn()
    const [wait] = owner.later
    // As RECV of a and RECV of b, then the SEND of a, in one drain.
    owner.send(a, payloadOf(OWNER, 1, 50))
    owner.send(b, payloadOf(OWNER, 2, 50))
    owner.policy = (send) => ({ taken: send.bytes })
    owner.complete(wait, { taken: wait.bytes })
    owner.rest()
    finish(rig)
  })

  it('from onSend and onDrain do not touch it', () => {
    const { rig, owner, a, b } = rigOf()
    let more = 6
    const sendMore = () => {
      if (more-- <= 0) return
      owner.send(a, payloadOf(OWNER, more, 50))
      owner.send(b, payloadOf(OWNER, more, 50))
    }
    owner.handlers = { sent: sendMore, drained: sendMore }
    a.wantsDrain = true
    owner.send(a, payloadOf(OWNER, 9, 50))
    owner.rest()
    finish(rig)
  })
})

describe('lazy completions', () => {
  it('are for those whose completion nobody waits for', () => {
    const { rig, owner, a, b, c } = rigOf({ wantsSent: false })
    b.wantsDrain = true
    c.prompt = true
    for (const session of [a, b, c]) owner.send(session, payloadOf(OWNER, 0, 10))
    owner.turn()
    owner.turn()
    expect(owner.sends.map(({ slot, lazy }) => [slot, lazy]).toSorted()).toEqual([
      [0, true],
      [1, false],
      [2, false],
    ])
    finish(rig)
  })

  it('let the thread sleep, with flag and count held', () => {
    const { rig, owner, a } = rigOf({ wantsSent: false })
    owner.send(a, payloadOf(OWNER, 0, 10))
    owner.turn()
    owner.submit()
    expect(owner.heldSends).toBe(1)
    expect(owner.mustNotSleep).toBe(false)
    expect(a.sending).toBe(true)
    finish(rig)
  })

  it('do not keep what another thread pushes meanwhile [FLUSH-3]', () => {
    const { rig, memory, owner, main, a } = rigOf({ wantsSent: false })
    owner.send(a, payloadOf(OWNER, 0, 10))
    owner.turn()
    owner.submit()
    owner.arena.words[owner.arena.threadAt(OWNER) + THREAD_PARKED] = 1
    main.send(a, payloadOf(0, 0, 10))
    main.publish()
    expect(memory.signals).toEqual([OWNER])
    expect(owner.mustNotSleep).toBe(true)
    finish(rig)
  })

  it('of a send that was short are no lazy ones', () => {
    const { rig, owner, a } = rigOf({ wantsSent: false })
    stall(owner, 4)
    owner.send(a, payloadOf(OWNER, 0, 10))
    owner.turn()
    owner.submit()
    expect(owner.sends[0].lazy).toBe(true)
    expect(owner.heldSends).toBe(0)
    expect(owner.mustNotSleep).toBe(true)
    finish(rig)
  })

  it('do not hold up the end of a session', () => {
    const { rig, owner, a } = rigOf({ wantsSent: false })
    owner.send(a, payloadOf(OWNER, 0, 10))
    owner.turn()
    owner.submit()
    owner.end(a)
    expect(owner.mustNotSleep).toBe(true)
    finish(rig)
    expect(a.released).toBe(true)
  })
})

describe('back pressure', () => {
  it('tells of room when half of it is free, once', () => {
    const { rig, owner, a } = rigOf({ maxBackpressure: 1000 })
    stall(owner, 0)
    owner.send(a, payloadOf(OWNER, 0, 998))
    owner.turn()
    a.wantsDrain = true
    for (const taken of [499, 1, 300]) {
      expect(a.events).not.toContain('drained')
      if (taken === 300) break
      owner.complete(owner.later[0], { taken })
      owner.turn()
      if (taken === 1) break
    }
    expect(a.events.filter((event) => event === 'drained')).toHaveLength(1)
    expect(a.bufferedBytes).toBe(500)
    expect(a.wantsDrain).toBe(false)
    finish(rig)
    expect(a.events.filter((event) => event === 'drained')).toHaveLength(1)
  })

  it('tells nothing of sends to who did not ask', () => {
    const { rig, owner, a } = rigOf({ wantsSent: false })
    owner.send(a, payloadOf(OWNER, 0, 10))
    owner.rest()
    expect(a.events).toEqual(['sentAll'])
    finish(rig)
  })
})

describe('foreign sends', () => {
  it('arrive, and are accounted until they are taken', () => {
    const { rig, owner, main, a } = rigOf()
    const { words } = owner.arena
    const queued = () => words[a.at + SESSION_QUEUED_BYTES]
    main.send(a, payloadOf(0, 0, 10))
    main.send(a, payloadOf(0, 1, 20))
    expect(queued()).toBe(34)
    main.publish()
    expect(words[a.at + SESSION_SEND_FLAG]).toBe(1)
    expect(words[a.at + SESSION_IO_COUNT]).toBe(2)
    stall(owner, 4)
    owner.turn()
    expect(words[a.at + SESSION_SEND_FLAG]).toBe(0)
    expect(queued()).toBe(30)
    expect(a.bufferedBytes).toBe(30)
    owner.drainAll()
    expect(queued()).toBe(0)
    finish(rig)
  })

  it('wake the owner when they are published, not before', () => {
    const { rig, memory, owner, main, a } = rigOf()
    owner.arena.words[owner.arena.threadAt(OWNER) + THREAD_PARKED] = 1
    main.send(a, payloadOf(0, 0, 10))
    expect(memory.signals).toEqual([])
    main.publish()
    expect(memory.signals).toEqual([OWNER])
    finish(rig)
  })

  it('become one slice when they lie behind one another, also between pins', () => {
    const { rig, owner, other, a } = rigOf()
    for (let i = 0; i < 5; i++) other.send(a, payloadOf(2, i, 10))
    // The open slice has a pin of its own [SENDLIST-3].
    expect(owner.arena.words[a.at + SESSION_IO_COUNT]).toBe(2)
    other.publish()
    owner.rest()
    expect(owner.sends.map(lengths)).toEqual([[60]])
    finish(rig)
  })

  it('of several threads and the owner keep the order of each', () => {
    const { rig, owner, main, other, a, b } = rigOf()
    for (let i = 0; i < 60; i++) {
      const session = i % 5 === 0 ? b : a
      owner.send(session, payloadOf(OWNER, i, 5))
      main.send(session, payloadOf(0, i, 9))
      other.send(i % 2 === 0 ? a : b, payloadOf(2, i, 7))
      if (i % 3 === 0) main.publish()
      if (i % 7 === 0) other.publish()
      if (i % 4 === 0) owner.turn()
    }
    main.publish()
    other.publish()
    finish(rig)
  })

  it('longer than a chunk arrive in one piece', () => {
    const { rig, owner, main, a } = rigOf()
    expect(main.send(a, payloadOf(0, 0, 10_000))).toBe(true)
    main.publish()
    owner.send(a, payloadOf(OWNER, 0, 10))
    finish(rig)
  })

  it('longer than a chunk are not interrupted by a short one of another thread', () => {
    const { rig, main, other, a } = rigOf()
    // Right after the first piece is on the list, another thread pushes.
    const mark = main.waker.mark.bind(main.waker)
    main.waker.mark = (thread) => {
      main.waker.mark = mark
      mark(thread)
      other.send(a, payloadOf(2, 0, 10))
      other.publish()
    }
    expect(main.send(a, payloadOf(0, 0, 10_000))).toBe(true)
    main.publish()
    finish(rig)
  })

  it('longer than a chunk are not interrupted by the owner', () => {
    const { rig, owner, main, a } = rigOf()
    const mark = main.waker.mark.bind(main.waker)
    main.waker.mark = (thread) => {
      main.waker.mark = mark
      mark(thread)
      owner.rest()
      owner.send(a, payloadOf(OWNER, 0, 10))
      owner.rest()
    }
    expect(main.send(a, payloadOf(0, 0, 10_000))).toBe(true)
    main.publish()
    finish(rig)
  })

  it('that come while a completion is handled go out behind it', () => {
    const { rig, owner, main, a } = rigOf()
    owner.send(a, payloadOf(OWNER, 0, 10))
    owner.handlers = {
      sent: () => {
        if (main.send(a, payloadOf(0, 0, 10))) main.publish()
        owner.handlers = {}
      },
    }
    owner.rest()
    finish(rig)
  })

  it('keep a session whose base is gone, and release it once they are out', () => {
    const { rig, owner, main, a } = rigOf()
    main.send(a, payloadOf(0, 0, 10))
    owner.end(a)
    expect(a.released).toBe(false)
    main.publish()
    owner.drainAll()
    expect(a.released).toBe(true)
    expect(main.send(a, payloadOf(0, 1, 10))).toBe(false)
    checkStream(a, true)
    assertPristine(rig)
  })

  it.each(['main', 'other'] as const)(
    'refused by a full node pool are not accounted: %s',
    (name) => {
      const { rig, owner, a, b } = rigOf({ nodesPerThread: 4 })
      const producer = rig[name]
      const done: boolean[] = []
      for (let i = 0; i < 10; i++)
        done.push(producer.send(i % 2 === 0 ? a : b, payloadOf(producer.thread, i, 10)))
      expect(done).toEqual([...new Array(4).fill(true), ...new Array(6).fill(false)])
      const { words } = owner.arena
      const queued = ({ at, slot }: { at: number; slot: number }) =>
        words[at + SESSION_QUEUED_BYTES] + producer.sender.openBytes(slot)
      expect([a, b].map(queued)).toEqual([24, 24])
      producer.publish()
      owner.drainAll()
      expect(producer.send(a, payloadOf(producer.thread, 10, 10))).toBe(true)
      producer.publish()
      finish(rig)
    },
  )
})

describe('shared buffers', () => {
  it('are sent to many from one place', () => {
    const { rig, owner, main, a, b, c } = rigOf()
    expect(owner.share([a, b, c], payloadOf(OWNER, 0, 100))).toBe(3)
    expect(main.share([a, b, c], payloadOf(0, 0, 100))).toBe(3)
    main.publish()
    owner.rest()
    const places = owner.sends.flatMap((send) => send.slices.map(([offset]) => offset))
    expect(new Set(places).size).toBe(2)
    finish(rig)
  })

  it('keep their place between other sends', () => {
    const { rig, owner, main, a, b } = rigOf()
    for (let i = 0; i < 5; i++) {
      owner.send(a, payloadOf(OWNER, 3 * i, 10))
      owner.share([a, b], payloadOf(OWNER, 3 * i + 1, 20))
      owner.send(a, payloadOf(OWNER, 3 * i + 2, 10))
      main.send(b, payloadOf(0, 3 * i, 10))
      main.share([a, b], payloadOf(0, 3 * i + 1, 20))
      main.send(b, payloadOf(0, 3 * i + 2, 10))
    }
    main.publish()
    finish(rig)
  })

  it('keep their chunk until the last recipient took them', () => {
    const { rig, owner, a, b } = rigOf()
    const free = () => {
      owner.sender.settle()
      return owner.sender.writer.pool.freeCount()
    }
    const all = free()
    owner.share([a, b], payloadOf(OWNER, 0, 100))
    owner.sender.writer.retire()
    expect(free()).toBe(all - 1)
    owner.rest()
    expect(free()).toBe(all)
    finish(rig)
  })

  it('refused by a full node pool give their reference back', () => {
    const { rig, owner, main, a, b, c } = rigOf({ nodesPerThread: 4 })
    expect(owner.share([a, b, c], payloadOf(OWNER, 0, 10))).toBe(3)
    // Something else lies between them: nothing becomes one slice.
    owner.sender.writer.position++
    expect(owner.share([a, b, c], payloadOf(OWNER, 1, 10))).toBe(1)
    expect(main.share([a, b, c, a, b], payloadOf(0, 0, 10))).toBe(4)
    main.publish()
    finish(rig)
  })
})

describe('what came in a receive buffer', () => {
  it('goes out as it came, from where it lies', () => {
    const { rig, owner, a } = rigOf()
    owner.echo(a, [payloadOf(OWNER, 0, 50), payloadOf(OWNER, 1, 60), payloadOf(OWNER, 2, 70)])
    expect(owner.bufferReferences[0]).toBe(1)
    owner.rest()
    expect(owner.sends.map(({ slices }) => slices)).toEqual([[[owner.bufferStart(0), 186]]])
    expect(owner.bufferReferences[0]).toBe(0)
    finish(rig)
  })

  it('may go to several sessions', () => {
    const { rig, owner, a, b } = rigOf()
    const frame = frameOf(payloadOf(OWNER, 0, 50))
    const at = owner.bufferStart(5)
    owner.retainReceiveBuffer(5)
    owner.arena.bytes.set(frame, at)
    for (const session of [a, b]) {
      owner.sender.appendOwn(session, receiveBufferBlock(5), at, at + frame.length)
      session.accept(OWNER, frame)
    }
    expect(owner.bufferReferences[5]).toBe(3)
    owner.releaseReceiveBuffer(5)
    finish(rig)
  })
})

describe('sends that pend', () => {
  /** Nothing that `a` is sent is taken until it is completed. */
  function pending(options: Parameters<typeof makeRig>[0] = {}) {
    const all = rigOf({ sendsPend: true, maxBackpressure: 1 << 20, ...options })
    const { owner } = all
    owner.policy = (send) => (send.slot === 0 ? LATER : { taken: send.bytes })
    const held = () => owner.bufferReferences.filter((count) => count > 0).length
    return { ...all, held }
  }
  const BUFFERS = 16

  it('leave what waits behind them where it lies, while memory is plenty', () => {
    const { rig, owner, a, held } = pending()
    for (let i = 0; i < BUFFERS / 2 - 1; i++) {
      owner.echo(a, [payloadOf(OWNER, i, 50)])
      owner.turn()
    }
    expect(held()).toBe(BUFFERS / 2 - 1)
    expect(a.overflow).toBe(null)
    finish(rig)
  })

  it('hold half of the receive buffers; what comes then is copied, and stays in order', () => {
    const { rig, owner, a, b, count, held } = pending()
    const messages = 4 * BUFFERS
    for (let i = 0; i < messages; i++) {
      expect(owner.echo(a, [payloadOf(OWNER, i, 50)]), `a buffer for message ${i}`).toBe(true)
      if (i % 2 === 0) owner.send(b, payloadOf(OWNER, i, 10))
      owner.turn()
      expect(held()).toBeLessThanOrEqual(BUFFERS / 2)
    }
    expect(count(Counter.OVERFLOW_BYTES)).toBeGreaterThanOrEqual((messages - BUFFERS / 2 - 1) * 50)
    expect(b.stream.length).toBe((messages / 2) * 12)
    finish(rig)
  })

  it('hold half of them together: then the first send of a session is copied, too', () => {
    const { rig, owner, a, b, c, held } = pending()
    owner.policy = () => LATER
    const sessions = [a, b, c, ...[3, 4, 5, 6].map((slot) => owner.open(slot))]
    for (const session of sessions) {
      owner.echo(session, [payloadOf(OWNER, 0, 50)])
      owner.echo(session, [payloadOf(OWNER, 1, 50)])
      owner.turn()
      expect(held()).toBeLessThanOrEqual(BUFFERS / 2)
    }
    // The fourth came with the last two of the half.
    expect(held()).toBe(BUFFERS / 2 - 2)
    expect(owner.later).toHaveLength(sessions.length)
    finish(rig)
  })

  it('hold half of the chunks', () => {
    const { rig, owner, a, count } = pending({ chunkCount: 8, heapBytesPerWorker: 1 << 17 })
    const { pool } = owner.sender.writer
    for (let i = 0; i < 60; i++) {
      expect(owner.send(a, payloadOf(OWNER, i, 1000))).toBe(true)
      owner.turn()
      expect(pool.freeCount()).toBeGreaterThanOrEqual(3)
    }
    expect(count(Counter.OVERFLOW_BYTES)).toBeGreaterThan(0)
    finish(rig)
  })

  it('that take only a part go on before what was copied behind them', () => {
    const { rig, owner, a } = pending()
    for (let i = 0; i < 2 * BUFFERS; i++) {
      owner.echo(a, [payloadOf(OWNER, i, 50)])
      owner.turn()
    }
    expect(a.overflow?.bytes).toBeGreaterThan(0)
    expect(a.flightFirst).not.toBe(0)
    owner.complete(owner.later[0], { taken: 7 })
    owner.drain()
    expect(a.flightFirst).toBe(0)
    finish(rig)
  })

  it('end with a session that is terminated while copies are behind them', () => {
    const { rig, owner, a, held } = pending()
    for (let i = 0; i < 2 * BUFFERS; i++) {
      owner.echo(a, [payloadOf(OWNER, i, 50)])
      owner.turn()
    }
    owner.terminate(a)
    for (const send of [...owner.later])
      owner.complete(send, { status: IoStatus.CANCELLED, taken: 0 })
    owner.rest()
    expect(held()).toBe(0)
    finish(rig)
    expect(a.released).toBe(true)
  })
})

describe('failed sends', () => {
  it.each([
    ['at once', true],
    ['while they wait', false],
  ])('%s: the session hears of it once, and what is queued goes', (_, atOnce) => {
    const { rig, owner, main, a, b } = rigOf()
    owner.policy = (send) => {
      if (send.slot !== 0) return { taken: send.bytes }
      if (atOnce) return { status: IoStatus.RESET, taken: 0 }
      return send.now ? { taken: 1 } : LATER
    }
    for (let i = 0; i < 6; i++) {
      owner.send(a, payloadOf(OWNER, i, 100))
      owner.send(b, payloadOf(OWNER, i, 100))
    }
    main.send(a, payloadOf(0, 0, 100))
    main.publish()
    owner.turn()
    for (const send of [...owner.later]) owner.complete(send, { status: IoStatus.RESET, taken: 0 })
    owner.rest()
    expect(a.events.filter((event) => event.startsWith('failed'))).toEqual(['failed 2'])
    expect(a.sendDead).toBe(true)
    main.send(a, payloadOf(0, 1, 100))
    main.publish()
    owner.rest()
    owner.end(a)
    finish(rig)
    expect(a.released).toBe(true)
    expect(b.stream.length).toBe(6 * 102)
  })
})

describe('kill', () => {
  it.each(['open slice', 'waiting nodes', 'a list of others', 'a stalled socket'])(
    'drops %s',
    (what) => {
      const { rig, owner, main, a, b } = rigOf()
      if (what === 'a stalled socket') stall(owner, 3)
      if (what !== 'a list of others') owner.send(a, payloadOf(OWNER, 0, 100))
      if (what === 'waiting nodes') owner.send(b, payloadOf(OWNER, 0, 100))
      if (what === 'a list of others') {
        main.send(a, payloadOf(0, 0, 100))
        main.publish()
      }
      if (what === 'a stalled socket') {
        owner.turn()
        owner.send(a, payloadOf(OWNER, 1, 100))
        owner.echo(a, [payloadOf(OWNER, 2, 100)])
        main.share([a, b], payloadOf(0, 0, 100))
        main.publish()
      }
      owner.terminate(a)
      owner.drainAll()
      expect(a.released).toBe(true)
      expect(a.stream.length).toBe(what === 'a stalled socket' ? 3 : 0)
      finish(rig)
    },
  )

  it('of an idle session is nothing but a mark', () => {
    const { rig, owner, a } = rigOf()
    owner.sender.kill(a)
    expect(a.sendDead).toBe(true)
    expect(owner.pending).toBe(false)
    owner.end(a)
    expect(owner.arena.words[a.at + SESSION_IO_COUNT]).toBe(IO_RELEASED)
    owner.rest()
    finish(rig)
  })

  it('twice is once', () => {
    const { rig, owner, a } = rigOf()
    owner.send(a, payloadOf(OWNER, 0, 100))
    owner.sender.kill(a)
    owner.sender.kill(a)
    owner.terminate(a)
    owner.rest()
    finish(rig)
  })
})

describe('exhaustion', () => {
  it('of nodes refuses sends, and changes nothing for what is queued', () => {
    const { rig, owner, a, b } = rigOf({ nodesPerThread: 4 })
    const done: boolean[] = []
    for (let i = 0; i < 10; i++) done.push(owner.send(i % 2 ? a : b, payloadOf(OWNER, i, 10)))
    expect(done.filter(Boolean)).toHaveLength(4)
    expect(a.bufferedBytes + b.bufferedBytes).toBe(48)
    owner.rest()
    expect(owner.send(a, payloadOf(OWNER, 10, 10))).toBe(true)
    finish(rig)
  })

  it('of chunks refuses sends, short, shared and long', () => {
    const { rig, owner, main, a, b } = rigOf({ chunkCount: 4 })
    expect(main.send(b, payloadOf(0, 0, 4000))).toBe(true)
    expect(owner.send(a, payloadOf(OWNER, 0, 10_000))).toBe(true)
    expect(owner.send(a, payloadOf(OWNER, 1, 10_000))).toBe(false)
    expect(owner.share([a], payloadOf(OWNER, 1, 4000))).toBe(-1)
    expect(main.send(b, payloadOf(0, 1, 4000))).toBe(false)
    expect(main.send(b, payloadOf(0, 1, 9000))).toBe(false)
    expect(main.share([b], payloadOf(0, 1, 4000))).toBe(-1)
    main.publish()
    owner.rest()
    expect(owner.send(a, payloadOf(OWNER, 1, 10_000))).toBe(true)
    finish(rig)
  })

  it('in the middle of a long message sends nothing of it', () => {
    for (const cuts of [{ chunkCount: 4 }, { nodesPerThread: 3 }]) {
      const { rig, owner, main, a } = rigOf(cuts)
      expect(owner.send(a, payloadOf(OWNER, 0, 30_000))).toBe(false)
      expect(main.send(a, payloadOf(0, 0, 30_000))).toBe(false)
      expect(a.bufferedBytes).toBe(0)
      expect(owner.arena.words[a.at + SESSION_QUEUED_BYTES]).toBe(0)
      main.publish()
      owner.rest()
      expect(a.stream).toHaveLength(0)
      expect(owner.send(a, payloadOf(OWNER, 0, 100))).toBe(true)
      finish(rig)
    }
  })

  it('of nodes leaves nothing behind that a later turn would have to send', () => {
    const { rig, owner, other, a, b, c } = rigOf({ nodesPerThread: 2 })
    for (const session of [a, b]) expect(other.send(session, payloadOf(2, 0, 10))).toBe(true)
    expect(other.send(c, payloadOf(2, 0, 10))).toBe(false)
    other.publish()
    // Whatever send() took is with its owner now, also if this thread never has another turn.
    owner.drainAll()
    finish(rig)
  })

  it('of the area puts the rest off to the next round', () => {
    const { rig, owner } = rigOf({ submissionWords: 16 })
    for (let slot = 3; slot < 7; slot++) owner.open(slot)
    const sessions = [...owner.sessions.values()]
    for (let i = 0; i < 6; i++)
      for (const session of sessions) owner.send(session, payloadOf(OWNER, i, 20))
    owner.rest()
    expect(owner.sends.length).toBeGreaterThan(sessions.length)
    finish(rig)
  })

  it('of the area while a socket is stalled loses nothing', () => {
    const { rig, owner } = rigOf({ submissionWords: 16 })
    for (let slot = 3; slot < 7; slot++) owner.open(slot)
    stall(owner, 5)
    for (let i = 0; i < 6; i++) {
      for (const session of owner.sessions.values()) owner.send(session, payloadOf(OWNER, i, 20))
      owner.turn()
    }
    finish(rig)
  })
})

describe('the heap under pressure', () => {
  it('ends the session with the longest queue at 7/8', () => {
    const { rig, owner, a, b, c } = rigOf({ heapBytesPerWorker: 65_536 })
    stall(owner, 0)
    const fill = (session: typeof a, messages: number) => {
      for (let i = 0; i < messages && !session.terminated; i++) {
        owner.send(session, payloadOf(OWNER, i, 2000))
        owner.turn()
      }
    }
    fill(a, 12)
    expect(a.terminated).toBe(false)
    fill(b, 9)
    fill(c, 9)
    expect(a.terminated).toBe(true)
    expect(b.terminated || c.terminated).toBe(false)
    finish(rig)
    expect(a.released).toBe(true)
  })

  it('ends one after the other in the order of their queues, the others live [HEAP-3]', () => {
    const { rig, owner, a, b, c } = rigOf({ heapBytesPerWorker: 65_536 })
    const [d, e] = [3, 4].map((slot) => owner.open(slot))
    // The longest one first; neither the oldest nor the newest.
    const all = [c, a, e, b, d]
    stall(owner, 0)
    let number = 0
    const queue = (session: typeof a) => owner.send(session, payloadOf(OWNER, number++, 1022))
    for (const [at, session] of all.entries()) {
      for (let left = 3 * (all.length - at); left > 0; left--) {
        queue(session)
        owner.turn()
      }
    }
    expect(all.some(({ terminated }) => terminated)).toBe(false)
    const ended: number[] = []
    while (ended.length < 3) {
      for (const session of all) queue(session)
      owner.turn()
      const now = all.filter(({ slot, terminated }) => terminated && !ended.includes(slot))
      // All of them were copied in this turn: the room that the first one makes is not there yet.
      expect(now.length).toBeLessThanOrEqual(1)
      ended.push(...now.map(({ slot }) => slot))
    }
    expect(ended).toEqual([c.slot, a.slot, e.slot])
    finish(rig)
    for (const { terminated, stream } of [b, d]) {
      expect(terminated).toBe(false)
      expect(stream.length).toBeGreaterThan(3 * 1024)
    }
    for (const session of [c, a, e]) expect(session.stream.length).toBe(0)
  })

  it('loses nothing of a session that it ends while its list is copied', () => {
    const { rig, owner, a, b } = rigOf({ heapBytesPerWorker: 8192 })
    stall(owner, 0)
    for (let i = 0; i < 3; i++) {
      owner.send(a, payloadOf(OWNER, i, 1900))
      owner.turn()
    }
    expect(a.terminated).toBe(false)
    // Before the completion, in one drain: a message of a waits, its next one is the open slice.
    owner.send(a, payloadOf(OWNER, 3, 1900))
    owner.send(b, payloadOf(OWNER, 3, 10))
    owner.send(a, payloadOf(OWNER, 4, 10))
    owner.complete(owner.later[0], { taken: 0 })
    owner.rest()
    expect(a.events).toContain('pressure')
    finish(rig)
  })

  it('that cannot take a message ends its session, and sends nothing after the gap', () => {
    const { rig, owner, a, b } = rigOf({ heapBytesPerWorker: 6144 })
    owner.policy = (send) => {
      if (send.slot === 1) return { taken: send.bytes }
      return send.now ? { taken: 10 } : LATER
    }
    owner.send(a, payloadOf(OWNER, 0, 20_000))
    owner.send(b, payloadOf(OWNER, 0, 50))
    owner.rest()
    expect(a.events).toContain('exhausted')
    expect(a.sendDead).toBe(true)
    expect(owner.send(a, payloadOf(OWNER, 1, 10))).toBe(false)
    finish(rig)
    expect(b.stream.length).toBe(52)
    expect(a.stream.length).toBeLessThan(20_002)
  })
})
