// What: tests of a send thread's turn: one gather for each session and flush, what follows after completions, reports.
// Flow: send_turn with production sender and send side, a scripted driver -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { CONTROL_SENT_WANTED, Counter, JobKind } from '../../src/layout/layout.ts'
import { SendThread } from '../helpers/unit_send_thread.ts'
import { checkStream, LATER, Producer, payloadOf } from '../helpers/unit_sender.ts'

const SESSIONS = 8
const MESSAGES = 6

function setup(options: ConstructorParameters<typeof SendThread>[0] = {}) {
  const lane = new SendThread(options)
  const sessions = Array.from({ length: SESSIONS }, (_, slot) => lane.open(slot, slot & 1))
  const producers = [0, 2, lane.arena.plan.updateFirst, lane.arena.plan.updateFirst + 1].map(
    (thread) => new Producer(lane.memory, thread),
  )
  const count = (counter: Counter) => lane.arena.counters[counter]
  return { lane, sessions, producers, count }
}

describe('a flush', () => {
  it('is one gather for each session, whoever has queued how much [FLUSH-1]', () => {
    const { lane, sessions, producers, count } = setup({ maxGather: 4 * MESSAGES })
    for (let flush = 1; flush <= 5; flush++) {
      for (let number = 0; number < MESSAGES; number++) {
        for (const producer of producers) {
          for (const session of sessions)
            producer.send(session, payloadOf(producer.thread, flush * MESSAGES + number, 40))
        }
      }
      for (const producer of producers) producer.publish()
      lane.turn()
      lane.wait()
      expect(count(Counter.FLUSHES)).toBe(flush)
      expect(count(Counter.GATHERS)).toBe(flush * SESSIONS)
      const slots = lane.sends.splice(0).map(({ slot }) => slot)
      expect(slots.sort()).toEqual(sessions.map(({ slot }) => slot))
      lane.turn()
    }
    // Each message is a slice, as other sessions came between.
    expect(count(Counter.GATHER_SLICES)).toBe(5 * MESSAGES * producers.length * SESSIONS)
    for (const session of sessions) checkStream(session)
  })

  it('with an interval takes what came before its end: what comes meanwhile waits', () => {
    const { lane, sessions, producers, count } = setup()
    const [main] = producers
    // Each completion is wanted at once, so that a turn has several rounds.
    lane.arena.words[CONTROL_SENT_WANTED] = 1
    let isDue = true
    lane.isFlush = () => {
      const was = isDue
      isDue = false
      return was
    }
    let number = 0
    const sendAll = () => {
      for (const session of sessions) main.send(session, payloadOf(0, number, 40))
      number++
    }
    lane.policy = (send) => {
      // While the flush goes out, main goes on.
      if (lane.sends.length % SESSIONS === 0) sendAll()
      return send.bytes
    }
    sendAll()
    for (let flush = 1; flush <= 3; flush++) {
      isDue = true
      for (let turns = 0; turns < 4; turns++) lane.turn()
      expect(count(Counter.FLUSHES)).toBe(flush)
      expect(count(Counter.GATHERS)).toBe(flush * SESSIONS)
    }
    lane.policy = ({ bytes }) => bytes
    lane.isFlush = () => true
    lane.rest()
    for (const session of sessions) checkStream(session)
  })

  it('has maxGather slices at most, the rest follows when they are completed [SENDFLAG-4]', () => {
    const { lane, sessions, producers, count } = setup({ maxGather: 4 })
    const [main] = producers
    for (let number = 0; number < 10; number++) {
      for (const session of sessions) main.send(session, payloadOf(0, number, 40))
    }
    lane.policy = () => LATER
    lane.turn()
    lane.wait()
    for (const slices of [4, 4, 2]) {
      const flights = [...lane.flights]
      expect(flights.map((send) => send.slices.length)).toEqual(sessions.map(() => slices))
      // Not before: turns alone bring nothing.
      lane.turn()
      lane.wait()
      expect(lane.flights).toEqual(flights)
      for (const send of flights) lane.complete(send)
      lane.turn()
      lane.wait()
    }
    expect(lane.flights).toEqual([])
    expect(count(Counter.FLUSHES)).toBe(1)
    expect(count(Counter.GATHERS)).toBe(3 * SESSIONS)
    for (const session of sessions) checkStream(session)
  })
})

describe('onSend', () => {
  it('is told the bytes of each gather, headers among them, once a handler wants it', () => {
    const { lane, sessions, producers } = setup()
    const [main] = producers
    const consumer = lane.consumer(0)
    const hear = () => {
      let bytes = 0
      consumer.look()
      while (consumer.advance()) {
        expect([consumer.kind, consumer.slot]).toEqual([JobKind.SENT, 0])
        bytes += consumer.second
      }
      consumer.consumed()
      return bytes
    }
    main.send(sessions[0], payloadOf(0, 0, 40))
    lane.rest()
    expect(hear()).toBe(0)
    lane.arena.words[CONTROL_SENT_WANTED] = 1
    for (const [at, length] of [3, 100, 9000].entries())
      main.send(sessions[0], payloadOf(0, 1 + at, length))
    // A part is taken at once, the rest from the heap.
    lane.policy = ({ bytes, slices }) =>
      slices.some(([offset]) => offset >= lane.arena.plan.heapByteAt)
        ? bytes
        : Math.min(bytes, 5000)
    lane.rest()
    expect(hear()).toBe(3 + 100 + 9000 + 3 * 2)
    checkStream(sessions[0])
  })
})
