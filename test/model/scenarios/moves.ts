// What: models of sessions that move between update threads: what their peers send, their ends, what is told of sends.
// Flow: worker.ts, update.ts, sender.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import { SESSION_QUEUED_BYTES } from '../../../src/layout/layout.ts'
import type { CloseReasonName, Handler } from '../../../src/session/handler.ts'
import type { Scenario } from '../explore.ts'
import { Peer } from '../native.ts'
import { check } from '../ops.ts'
import { ModelSender } from '../sender.ts'
import { Mail, ModelUpdate } from '../update.ts'
import {
  checkAsleep,
  checkPristine,
  frame,
  MAX_BACKPRESSURE,
  ModelMain,
  ModelWorker,
  payloads,
  restAll,
} from '../worker.ts'
import { World } from '../world.ts'

/** Words outside of the plan: a session is on its way to the update threads; sockets are writable. */
const MAIL = 2
const WRITABLE = 4
const NAMES = ['update1', 'update2'] as const

type Who = 'owner' | 'old' | 'new' | 'sender'

interface MoveOptions {
  /** What the peer sends at first, one byte each, in one receive buffer; content asks to move at the first one. */
  readonly sends: readonly number[]
  /** What it sends while receiving is paused for the move: too early for that, and behind it. */
  readonly late?: readonly number[]
  readonly after?: readonly number[]
  /** It ends its stream: behind what it sends at first; when the threads start; when receiving pauses. */
  readonly ends?: 'first' | 'soon' | 'late'
  /** At the first message it sends until it is told `full`, before it asks to move. */
  readonly fills?: boolean
  /** It sends each message back. */
  readonly answers?: boolean
  /** It pauses at this message. */
  readonly pausesAt?: number
  /** What it does when it has come to the new thread. */
  readonly onMove?: 'send' | 'back' | 'resume'
  readonly main?: 'close'
  readonly own?: 'terminate'
  readonly isSentElsewhere?: boolean
  readonly jobRingCapacity?: number
  /** Who has worked, one after the other, when the threads start; content in the old thread has asked by then, or not. */
  readonly before: readonly Who[]
  /** Turns of each beside one another; the rest follows. Not given: they sleep and work. */
  readonly turns?: Partial<Record<Who, number>>
  readonly hears: readonly number[]
  /** How many of them in the thread that it leaves. */
  readonly heardThere?: number
  readonly gets?: readonly number[]
  readonly moves?: number
  readonly leaves?: CloseReasonName
}

function move(name: string, options: MoveOptions): Scenario {
  const {
    sends,
    late = [],
    after = [],
    ends,
    fills = false,
    answers = false,
    pausesAt,
    onMove,
    main,
    own,
  } = options
  const { isSentElsewhere = false, jobRingCapacity = 8, before, turns, hears } = options
  const limit = fills ? 6 : MAX_BACKPRESSURE
  /** It may end before it asks. */
  const isEndedEarly = own === 'terminate' && !before.includes('old')
  const world = new World({
    updates: 2,
    senders: isSentElsewhere ? 1 : 0,
    sessionsPerWorker: 1,
    // One for each that sends, and one that waits.
    chunkCount: 6,
    jobRingCapacity,
  })
  const { words } = world
  const queuedAt = world.arena(0).sessionAt(0) + SESSION_QUEUED_BYTES
  return {
    name,
    invariants: ['MOVE-1', ...(fills ? ['DRAIN-1'] : [])],
    words,
    build() {
      world.reset()
      const worker = new ModelWorker(world, 1, { maxBackpressure: limit, writable: WRITABLE })
      const senders = isSentElsewhere
        ? [new ModelSender(world, 2, worker, { maxBackpressure: limit, writable: WRITABLE })]
        : []
      const mainThread = new ModelMain(world)
      const mail = new Mail(world, MAIL)
      const heard: number[][] = [[], []]
      let home = -1
      let [joins, moves, leaves, drains, fulls] = [0, 0, 0, 0, 0]
      let leftBy: CloseReasonName | null = null
      // Of a handler: nobody else hears it.
      let failure: string | null = null
      const handlerAt = (here: number): Handler => {
        const isHere = () => check(home === here, 'MOVE-1: events come where its content is')
        return {
          onJoin() {
            joins++
            home = here
          },
          onMove(session, from) {
            moves++
            check(
              from === NAMES[1 - here] && home === 1 - here,
              'MOVE-1: it comes from where it was',
            )
            home = here
            if (onMove === 'send') session.send(Uint8Array.of(50))
            if (onMove === 'resume') session.resume()
            if (onMove === 'back' && moves === 1)
              check(session.moveTo(NAMES[1 - here]), 'MOVE-1: it may go on at once')
          },
          onRecv(session, packet) {
            isHere()
            const byte = packet.u8(0)
            heard[here].push(byte)
            if (answers) session.send(packet)
            if (byte === 1) {
              if (fills) {
                // Four bytes with their header, of six that may wait.
                check(session.send(Uint8Array.of(7, 7, 7)) === 'queued', 'nothing waits yet')
                check(session.send(Uint8Array.of(8, 8, 8)) === 'full', 'no more may wait')
                fulls++
              }
              const isAsked = session.moveTo(NAMES[1 - here])
              check(isAsked || isEndedEarly, 'MOVE-1: it may ask')
              check(!session.moveTo(NAMES[1 - here]), 'MOVE-1: once at a time')
            }
            if (byte === pausesAt) session.pause()
          },
          onDrain() {
            isHere()
            // Read without a thread: what waits was not more in any order of what its owner does next.
            const queued = Atomics.load(words, queuedAt)
            check(2 * queued <= limit, 'DRAIN-1: half may wait when onDrain comes')
            drains++
          },
          onError(error) {
            failure ??= String(error)
          },
          onLeave(_, reason) {
            isHere()
            leaves++
            leftBy = reason
          },
        }
      }
      const updates: ModelUpdate[] = []
      for (const index of [0, 1]) {
        const handler = handlerAt(index)
        updates.push(new ModelUpdate(world, handler, { maxBackpressure: limit, index, mail }))
      }
      const all = { owner: worker, old: updates[0], new: updates[1], sender: senders[0] }
      const framed = (bytes: readonly number[]) =>
        bytes.length === 0 ? [] : [bytes.flatMap((byte) => frame(Uint8Array.of(byte)))]
      const peer = new Peer([], framed(sends), ends === 'first')
      peer.late = framed(late)
      peer.after = framed(after)
      peer.isEndedLate = ends === 'late'
      const session = worker.accept(peer)
      for (const who of before) all[who].rest()
      if (ends === 'soon') worker.driver.endPeer(session.slot, session.generation)
      const mainThreads: Record<string, () => void> = {
        main() {
          mainThread.runtime.close(session.id)
        },
      }
      const daemons: Record<string, () => void> = {
        owner() {
          if (own === 'terminate') session.terminate()
          if (turns === undefined) worker.runBriefly()
          else for (let n = turns.owner ?? 0; n > 0; n--) worker.visit()
        },
        old() {
          if (turns === undefined) updates[0].runBriefly()
          else for (let n = turns.old ?? 0; n > 0; n--) updates[0].visit()
        },
        new() {
          if (turns === undefined) updates[1].runBriefly()
          else for (let n = turns.new ?? 0; n > 0; n--) updates[1].visit()
        },
      }
      if (isSentElsewhere) {
        daemons.lane = () => {
          if (turns === undefined) senders[0].runBriefly()
          else for (let n = turns.sender ?? 0; n > 0; n--) senders[0].visit()
        }
      }
      return {
        threads: main === undefined ? {} : mainThreads,
        daemons,
        outcome: () => `${heard[0].join()} ${heard[1].join()} ${leftBy}`,
        check() {
          if (turns !== undefined) restAll([worker], [...senders, ...updates])
          check(failure === null, String(failure))
          checkAsleep(worker)
          for (const update of updates) {
            check(!update.native.hasWork(), 'WAKE-2: a thread with work does not sleep')
            check(!mail.isThere(update.thread), 'MOVE-1: nothing is on its way')
          }
          // Back is where it was first: what it hears there is behind what it heard before.
          const order = heard.flat()
          check(order.join() === hears.join(), `MOVE-1: content heard ${order.join()}`)
          if (options.heardThere !== undefined)
            check(
              heard[0].length === options.heardThere,
              `MOVE-1: ${heard[0].join()} before it left`,
            )
          if (options.gets !== undefined) {
            const got = payloads(peer.bytes)
            check(got.join() === options.gets.join(), `MOVE-1: the peer got ${got.join()}`)
          }
          if (options.moves !== undefined)
            check(moves === options.moves, `MOVE-1: it has moved ${moves} times`)
          const isHeard = fulls === 0 ? drains === 0 : drains > 0 && drains <= fulls
          check(isHeard, `DRAIN-1: full ${fulls} times, ${drains} calls of onDrain`)
          if (options.leaves !== undefined)
            check(leftBy === options.leaves, `MOVE-1: it has left by ${leftBy}`)
          else check(peer.isReceiving, 'MOVE-1: its peer is received from')
          checkPristine([worker], [mainThread, ...senders, ...updates], [...senders, ...updates])
          check(joins === 1 && leaves === 1, 'onLeave once for each onJoin')
          for (const update of updates)
            check(update.content.at(session.slot) === undefined, 'MOVE-1: nobody has it any more')
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  move('move: asked for with messages behind it in the ring, more come', {
    sends: [1, 2],
    late: [3],
    after: [4],
    before: ['owner'],
    turns: { owner: 1, old: 1 },
    hears: [1, 2, 3, 4],
    heardThere: 2,
    moves: 1,
  }),
  move('move: on its way, messages wait, it says something when it comes', {
    sends: [1],
    late: [2],
    after: [3],
    onMove: 'send',
    answers: true,
    before: ['owner', 'old', 'owner'],
    turns: { owner: 1, old: 1, new: 1 },
    hears: [1, 2, 3],
    heardThere: 1,
    gets: [1, 50, 2, 3],
    moves: 1,
  }),
  move('move: all sleep', {
    sends: [1],
    late: [2],
    before: ['owner', 'old', 'owner'],
    hears: [1, 2],
    heardThere: 1,
    moves: 1,
  }),
  move('move: its peer has ended before it asks', {
    sends: [1, 2],
    ends: 'first',
    before: ['owner'],
    turns: { owner: 1, old: 1 },
    hears: [1, 2],
    heardThere: 2,
    moves: 0,
    leaves: 'peerClosed',
  }),
  move('move: its peer ends when it asks', {
    sends: [1],
    ends: 'soon',
    before: ['owner'],
    turns: { owner: 1, old: 1, new: 1 },
    hears: [1],
    heardThere: 1,
    leaves: 'peerClosed',
  }),
  move('move: its peer ends while it is on its way', {
    sends: [1],
    late: [2],
    ends: 'late',
    before: ['owner', 'old'],
    turns: { owner: 2, old: 1, new: 1 },
    hears: [1, 2],
    heardThere: 1,
    moves: 1,
    leaves: 'peerClosed',
  }),
  move('move: main closes it while it is on its way', {
    sends: [1],
    main: 'close',
    before: ['owner', 'old', 'owner'],
    turns: { owner: 1, old: 1, new: 1 },
    hears: [1],
    heardThere: 1,
    moves: 1,
    leaves: 'localClose',
  }),
  move('move: its owner terminates it while it is on its way', {
    sends: [1],
    late: [2],
    own: 'terminate',
    before: ['owner', 'old', 'owner'],
    turns: { owner: 1, old: 1, new: 1 },
    hears: [1],
    heardThere: 1,
    moves: 1,
    leaves: 'localTerminate',
  }),
  move('move: asked for while its owner terminates it', {
    sends: [1],
    own: 'terminate',
    before: ['owner'],
    turns: { owner: 1, old: 1 },
    hears: [1],
    heardThere: 1,
    leaves: 'localTerminate',
  }),
  move('move: the ring has no room for it', {
    sends: [1, 2, 3],
    after: [4],
    jobRingCapacity: 2,
    before: ['owner'],
    turns: { owner: 2, old: 1 },
    hears: [1, 2, 3, 4],
    moves: 1,
  }),
  move('move: there and back', {
    sends: [1],
    after: [2],
    onMove: 'back',
    answers: true,
    before: ['owner', 'old', 'owner', 'old'],
    turns: { owner: 2, new: 1 },
    hears: [1, 2],
    gets: [1, 2],
    moves: 2,
  }),
  move('move: paused with messages that it has not handled', {
    sends: [1, 2, 3],
    after: [4],
    pausesAt: 2,
    onMove: 'resume',
    before: ['owner', 'old', 'owner'],
    turns: { owner: 1, old: 1, new: 1 },
    hears: [1, 2, 3, 4],
    heardThere: 2,
    moves: 1,
  }),
  move('move: it was told full, what waits is sent meanwhile', {
    sends: [1],
    fills: true,
    before: ['owner', 'old'],
    turns: { owner: 2, old: 1, new: 1 },
    hears: [1],
    gets: [7],
    moves: 1,
  }),
  move('move: it was told full, a send thread sends meanwhile', {
    sends: [1],
    fills: true,
    isSentElsewhere: true,
    before: ['owner', 'old', 'owner'],
    turns: { old: 1, new: 1, sender: 1 },
    hears: [1],
    gets: [7],
    moves: 1,
  }),
  move('move: a send thread tells the thread that it has left', {
    sends: [1],
    fills: true,
    isSentElsewhere: true,
    before: ['owner', 'old', 'owner', 'sender'],
    turns: { old: 1, new: 1, sender: 1 },
    hears: [1],
    gets: [7],
    moves: 1,
  }),
]
