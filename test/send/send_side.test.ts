// What: tests of the send side: what update threads are told through full rings, whose queue goes, what lanes keep.
// Flow: send_side, with production senders and job rings -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  Counter,
  JobKind,
  SESSION_CONTENT,
  SESSION_REQUEST,
  SESSION_REQUEST_OVERFLOW,
  SESSION_STATE,
  SessionState,
  THREAD_DOORBELL,
  THREAD_LOCAL_PENDING,
} from '../../src/layout/layout.ts'
import { SendThread } from '../helpers/unit_send_thread.ts'
import { checkStream, LATER, Producer, payloadOf } from '../helpers/unit_sender.ts'

const CAPACITY = 4
const { SENT, DRAIN } = JobKind

/** Sessions 0 and 1 have their content in the first update thread, 2 and 3 in the second one. */
function setup() {
  const lane = new SendThread({ jobRingCapacity: CAPACITY })
  const { arena, side } = lane
  const { words } = arena
  const sessions = [0, 1, 2, 3].map((slot) => lane.open(slot, slot >>> 1))
  const consumers = [0, 1].map((update) => lane.consumer(update))
  /** Everything that an update thread is told, and what it has of it is given back. */
  const hear = (update: number) => {
    const consumer = consumers[update]
    const records: number[][] = []
    consumer.look()
    while (consumer.advance())
      records.push([consumer.kind, consumer.slot, consumer.first, consumer.second])
    return { records, isRung: consumer.consumed() }
  }
  const sent = (slot: number, bytes: number) => side.sent(side.outboxOf(slot), bytes)
  const drained = (slot: number) => side.drained(side.outboxOf(slot))
  /** Fills the ring to an update thread with what one of its sessions has sent. */
  const fill = (update: number, records = CAPACITY) => {
    for (let i = 0; i < records; i++) sent(2 * update, 1)
    side.publish()
  }
  const full = (update: number, records = CAPACITY) =>
    Array.from({ length: records }, () => [SENT, 2 * update, 1, 1])
  const isPending = () => {
    const at = arena.threadAt(arena.thread) + THREAD_LOCAL_PENDING
    const was = words[at] !== 0
    words[at] = 0
    return was
  }
  return { lane, arena, words, side, sessions, hear, sent, drained, fill, full, isPending }
}

describe('what content is told', () => {
  it('goes to the update thread that runs it, which is rung', () => {
    const { arena, words, side, hear, sent, drained } = setup()
    const bellOf = (update: number) =>
      words[arena.threadAt(arena.plan.updateFirst + update) + THREAD_DOORBELL]
    sent(0, 100)
    drained(1)
    expect(hear(0).records).toEqual([])
    side.publish()
    expect([bellOf(0), bellOf(1)]).toEqual([1, 0])
    sent(2, 7)
    drained(2)
    side.publish()
    expect([bellOf(0), bellOf(1)]).toEqual([1, 1])
    expect(hear(0)).toEqual({
      records: [
        [SENT, 0, 1, 100],
        [DRAIN, 1, 1, 0],
      ],
      isRung: false,
    })
    expect(hear(1).records).toEqual([
      [SENT, 2, 1, 7],
      [DRAIN, 2, 1, 0],
    ])
  })

  it('sums up while the ring is full: one entry for each session, in their order [TOLD-1]', () => {
    const { side, hear, sent, drained, fill, full, isPending } = setup()
    fill(0)
    for (let i = 0; i < 1000; i++) {
      sent(1, 10)
      sent(0, 3)
      if (i % 100 === 0) side.publish()
    }
    drained(1)
    drained(1)
    side.publish()
    expect(isPending()).toBe(false)
    // It has said that it waits, so that it is rung.
    expect(hear(0)).toEqual({ records: full(0), isRung: true })
    side.publish()
    expect(hear(0)).toEqual({
      records: [
        [SENT, 1, 1, 10_000],
        [DRAIN, 1, 1, 0],
        [SENT, 0, 1, 3000],
      ],
      isRung: false,
    })
    side.publish()
    expect(hear(0).records).toEqual([])
  })

  it('is not held up by the full ring of another update thread [TOLD-1]', () => {
    const { side, hear, sent, drained, fill, full } = setup()
    fill(0)
    sent(0, 5)
    drained(1)
    side.publish()
    sent(2, 6)
    drained(3)
    side.publish()
    expect(hear(1)).toEqual({
      records: [
        [SENT, 2, 1, 6],
        [DRAIN, 3, 1, 0],
      ],
      isRung: false,
    })
    // The other way round: what comes behind what waits goes on, too.
    fill(1)
    sent(2, 1)
    sent(3, 2)
    expect(hear(0)).toEqual({ records: full(0), isRung: true })
    side.publish()
    expect(hear(0).records).toEqual([
      [SENT, 0, 1, 5],
      [DRAIN, 1, 1, 0],
    ])
    expect(hear(1)).toEqual({ records: full(1), isRung: true })
    side.publish()
    expect(hear(1).records).toEqual([
      [SENT, 2, 1, 1],
      [SENT, 3, 1, 2],
    ])
  })

  it('of a session that finds room for a part is told once, the rest later', () => {
    const { side, hear, sent, drained, fill, full } = setup()
    fill(0, CAPACITY - 1)
    sent(1, 9)
    drained(1)
    side.publish()
    expect(hear(0).records).toEqual([...full(0, CAPACITY - 1), [SENT, 1, 1, 9]])
    side.publish()
    expect(hear(0).records).toEqual([[DRAIN, 1, 1, 0]])
    side.publish()
    expect(hear(0).records).toEqual([])
  })

  it('goes behind what waits for the same ring, though there is room by now', () => {
    const { side, hear, sent, fill } = setup()
    fill(0)
    sent(1, 4)
    side.publish()
    hear(0)
    sent(0, 8)
    side.publish()
    expect(hear(0).records).toEqual([
      [SENT, 1, 1, 4],
      [SENT, 0, 1, 8],
    ])
  })

  it('has a turn at once where there is room by the time that it says it waits [JOBRING-4]', () => {
    const { lane, side, hear, sent, full, isPending } = setup()
    for (let i = 0; i < CAPACITY; i++) sent(0, 1)
    sent(1, 4)
    const { waker } = lane
    const ringBell = waker.ringBell.bind(waker)
    // The update thread is that quick.
    waker.ringBell = (thread) => {
      ringBell(thread)
      expect(hear(0)).toEqual({ records: full(0), isRung: false })
    }
    isPending()
    side.publish()
    expect(isPending()).toBe(true)
    waker.ringBell = ringBell
    side.publish()
    expect(hear(0).records).toEqual([[SENT, 1, 1, 4]])
  })

  it('follows a session that moves to another update thread [MOVE-1]', () => {
    const { words, arena, sessions, side, hear, sent, fill } = setup()
    fill(0)
    sent(1, 4)
    side.publish()
    words[sessions[1].at + SESSION_CONTENT] = arena.plan.updateFirst + 1
    side.publish()
    expect(hear(1).records).toEqual([[SENT, 1, 1, 4]])
    hear(0)
    side.publish()
    expect(hear(0).records).toEqual([])
  })

  it('goes on where a session comes back to its lane, in one entry [TOLD-1]', () => {
    const { side, hear, sent, drained, fill } = setup()
    fill(0)
    for (let round = 0; round < 20; round++) {
      sent(1, 2)
      if (round === 3) drained(1)
      side.publish()
      side.left(side.outboxOf(1))
    }
    hear(0)
    side.publish()
    expect(hear(0).records).toEqual([
      [SENT, 1, 1, 40],
      [DRAIN, 1, 1, 0],
    ])
  })

  it('is forgotten when the slot is another session by then', () => {
    const { lane, side, hear, sent, drained, fill } = setup()
    fill(0)
    sent(1, 2)
    drained(1)
    side.publish()
    side.left(side.outboxOf(1))
    lane.open(1, 0, 2)
    sent(1, 30)
    hear(0)
    side.publish()
    expect(hear(0).records).toEqual([[SENT, 1, 2, 30]])
  })

  it('may be more bytes than a record can say', () => {
    const { side, hear, sent, fill } = setup()
    fill(0)
    for (let i = 0; i < 3; i++) sent(1, 2 ** 30)
    side.publish()
    hear(0)
    side.publish()
    expect(hear(0).records).toEqual([
      [SENT, 1, 1, 2 ** 31 - 1],
      [SENT, 1, 1, 2 ** 30 + 1],
    ])
  })
})

describe('the heap of a send thread', () => {
  it('under pressure loses the longest queue, whose owner hears of it; others go on [HEAP-3]', () => {
    const lane = new SendThread({ heapBytesPerWorker: 65_536 })
    const { arena, heap } = lane
    const { words } = arena
    const main = new Producer(lane.memory, 0)
    const sessions = [0, 1, 2, 3].map((slot) => lane.open(slot))
    const [short, long, middle, healthy] = sessions
    // What the sockets do not take waits in the heap.
    lane.policy = ({ slot, bytes, slices }) => {
      if (slot === healthy.slot) return bytes
      return slices.some(([offset]) => offset >= arena.plan.heapByteAt) ? LATER : 0
    }
    const isAsked = (slot: number) =>
      (words[sessions[slot].at + SESSION_REQUEST] & SESSION_REQUEST_OVERFLOW) !== 0
    let number = 0
    const grow = (session: typeof short) => {
      main.send(session, payloadOf(0, number++, 1022))
      lane.rest()
    }
    for (let i = 0; i < 8; i++) grow(short)
    for (let i = 0; i < 24; i++) grow(long)
    for (let i = 0; i < 16; i++) grow(middle)
    expect([0, 1, 2, 3].map(isAsked)).toEqual([false, false, false, false])
    const usedBytes = heap.usedBytes
    expect(usedBytes).toBeLessThanOrEqual((heap.capacityBytes * 7) / 8)
    // All three in one flush: who goes is no room yet when the others are copied.
    for (let i = 0; i < 4; i++) {
      for (const session of [short, long, middle, healthy])
        main.send(session, payloadOf(0, number++, 1022))
    }
    lane.rest()
    expect([0, 1, 2, 3].map(isAsked)).toEqual([false, true, false, false])
    expect(lane.controls.filter((told) => told.startsWith('cancel'))).toEqual(['cancel 1'])
    // Its owner has not ended it yet, and the memory is there already.
    expect(heap.usedBytes).toBeLessThan(usedBytes)
    // What comes for it is dropped, and gives back what it refers to.
    const before = arena.counters[Counter.GATHERS]
    grow(long)
    expect(arena.counters[Counter.GATHERS]).toBe(before)
    lane.policy = ({ bytes }) => bytes
    while (lane.flights.length > 0) {
      for (const send of [...lane.flights]) lane.complete(send)
      lane.rest()
    }
    for (const session of [short, middle, healthy]) checkStream(session)
    expect(heap.usedBytes).toBe(0)
  })

  it('that is lost ends no stream, though the session comes again before its owner has reset it', () => {
    const lane = new SendThread({ heapBytesPerWorker: 65_536 })
    const { arena, side } = lane
    const main = new Producer(lane.memory, 0)
    const session = lane.open(0)
    lane.policy = ({ slices }) =>
      slices.some(([offset]) => offset >= arena.plan.heapByteAt) ? LATER : 0
    main.send(session, payloadOf(0, 0, 1000))
    main.publish()
    lane.rest()
    arena.words[session.at + SESSION_STATE] = SessionState.CLOSING
    side.overflowed(side.outboxOf(0))
    lane.rest()
    expect(lane.controls).toEqual(['borrow 0', 'cancel 0', 'giveBack 0'])
    main.send(session, payloadOf(0, 1, 1000))
    main.publish()
    lane.rest()
    expect(lane.controls.slice(3)).toEqual(['borrow 0', 'giveBack 0'])
    expect(session.pieces).toEqual([])
  })
})
