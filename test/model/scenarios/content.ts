// What: models of content in an update thread: a session from its join to its slot, with a worker, a send thread, main beside.
// Flow: worker.ts, update.ts, sender.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import { SESSION_QUEUED_BYTES } from '../../../src/layout/layout.ts'
import type { CloseReasonName, Handler, Pin } from '../../../src/session/handler.ts'
import type { Scenario } from '../explore.ts'
import { Peer } from '../native.ts'
import { check } from '../ops.ts'
import { ModelSender } from '../sender.ts'
import { ModelUpdate } from '../update.ts'
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

interface ContentOptions {
  /** Messages of the peer, one byte each, in one receive buffer. */
  readonly sends?: readonly number[]
  /** Then the peer ends its stream. */
  readonly isEnded?: boolean
  /** What content does with a message. */
  readonly does?: 'echo' | 'fill' | 'close' | 'pause' | 'throw'
  readonly main?: readonly ('send' | 'close')[]
  readonly maxBackpressure?: number
  readonly jobRingCapacity?: number
  /** The peer gets exactly these payloads, in any order of senders; undefined: it is cut. */
  readonly gets?: readonly number[]
  /** How far it has come when the threads start: handled by the worker; and by its content, too. */
  readonly before?: 'received' | 'handled'
  /** Turns of the owner and of the update thread beside one another; the rest follows at the end. Not given: they sleep and work. */
  readonly ownerTurns?: number
  readonly takerTurns?: number
  /** A send thread sends for the session, with so many turns; not given: its owner does. */
  readonly senderTurns?: number
  /** The owner ends it before its turns. */
  readonly own?: 'terminate'
  /** What the update thread does after its turns, as a timer would; then it goes on. */
  readonly later?: readonly ('resume' | 'fill' | 'pause' | 'close' | 'send' | 'pin' | 'unpin')[]
  /** Why it has left by itself, not because the model ends. */
  readonly leaves?: CloseReasonName
  /** In the end its peer is received from, or not. */
  readonly flows?: boolean
  /** What the handler must have heard of the peer, in order. */
  readonly hears?: readonly number[]
}

export function content(
  name: string,
  invariants: readonly string[],
  options: ContentOptions,
): Scenario {
  const {
    does = 'echo',
    sends = [],
    isEnded = false,
    main = [],
    maxBackpressure,
    jobRingCapacity = 8,
    senderTurns,
  } = options
  const limit = maxBackpressure ?? MAX_BACKPRESSURE
  const isSentElsewhere = senderTurns !== undefined
  const world = new World({
    updates: 1,
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
    invariants,
    words,
    build() {
      world.reset()
      const worker = new ModelWorker(world, 1, { maxBackpressure })
      const senders = isSentElsewhere
        ? [new ModelSender(world, 2, worker, { maxBackpressure: limit })]
        : []
      const mainThread = new ModelMain(world)
      const heard: number[] = []
      let [joins, leaves, drains, fulls] = [0, 0, 0, 0]
      let leftBy: CloseReasonName | null = null
      // Of a handler: nobody else hears it.
      let failure: string | null = null
      let isPaused = false
      const handler: Handler = {
        onJoin() {
          check(joins === leaves, 'one session after the other')
          joins++
        },
        onRecv(session, packet) {
          check(joins === leaves + 1, 'between onJoin and onLeave')
          const byte = packet.u8(0)
          heard.push(byte)
          check(!isPaused, 'a paused session hears nothing')
          if (does === 'fill') {
            // Four bytes with their header, of six that may wait.
            check(session.send(Uint8Array.of(7, 7, 7)) === 'queued', 'nothing waits yet')
            check(session.send(Uint8Array.of(8, 8, 8)) === 'full', 'no more may wait')
            fulls++
            return
          }
          if (does === 'throw') throw new Error('of a handler')
          session.send(packet)
          if (does === 'close') session.close()
          if (does === 'pause' && byte === 1) {
            isPaused = true
            session.pause()
          }
        },
        onDrain() {
          // Read without a thread: what waits was not more in any order of what its owner does next.
          const queued = Atomics.load(words, queuedAt)
          check(does !== 'fill' || 2 * queued <= limit, 'DRAIN-1: half may wait when onDrain comes')
          drains++
        },
        onError(error) {
          if (does !== 'throw') failure ??= String(error)
        },
        onLeave(_, reason) {
          leaves++
          leftBy = reason
          check(leaves === joins, 'onLeave once for each onJoin')
          check(worker.lifecycle.registry.live.length === 1, 'the slot is kept until onLeave')
        },
      }
      const update = new ModelUpdate(world, handler, { maxBackpressure })
      const said = sends.flatMap((byte) => frame(Uint8Array.of(byte)))
      const peer = new Peer([], said.length > 0 ? [said] : [], isEnded)
      const session = worker.accept(peer)
      const { id } = session
      if (options.before !== undefined) worker.rest()
      if (options.before === 'handled') update.rest()
      let pin: Pin | undefined
      const { ownerTurns, takerTurns, later = [] } = options
      const act = (what: string) => {
        const own = update.content.at(session.slot)
        if (what === 'resume') {
          isPaused = false
          own?.resume()
        }
        if (what === 'pause') own?.pause()
        if (what === 'close') own?.close()
        if (what === 'send') own?.send(Uint8Array.of(9))
        if (what === 'pin') pin = update.runtime.pin(id)
        if (what === 'unpin') pin?.unpin()
        if (what === 'fill') {
          if (own?.send(Uint8Array.of(7, 7, 7)) === 'full') fulls++
          if (own?.send(Uint8Array.of(8)) === 'full') fulls++
        }
      }
      const mainThreads: Record<string, () => void> = {
        main() {
          for (const what of main) {
            if (what === 'send') mainThread.runtime.send(id, Uint8Array.of(99))
            else mainThread.runtime.close(id)
          }
        },
      }
      const senderThreads: Record<string, () => void> = {
        lane() {
          for (let n = senderTurns ?? 0; n > 0; n--) senders[0].visit()
        },
      }
      return {
        threads: main.length > 0 ? mainThreads : {},
        daemons: {
          ...(isSentElsewhere ? senderThreads : {}),
          owner() {
            if (options.own === 'terminate') session.terminate()
            if (ownerTurns === undefined) worker.runBriefly()
            else for (let n = 0; n < ownerTurns; n++) worker.visit()
          },
          taker() {
            if (takerTurns !== undefined) for (let n = 0; n < takerTurns; n++) update.turn()
            for (const what of later) act(what)
            if (takerTurns === undefined) update.runBriefly()
          },
        },
        check() {
          if (ownerTurns !== undefined || takerTurns !== undefined)
            restAll([worker], [...senders, update])
          check(failure === null, String(failure))
          checkAsleep(worker)
          check(!update.native.hasWork(), 'WAKE-2: a thread with work does not sleep')
          if (options.hears !== undefined)
            check(heard.join() === options.hears.join(), `content heard ${heard.join()}`)
          if (options.gets !== undefined) {
            const got = payloads(peer.bytes)
            check(got.join() === options.gets.join(), `the peer got ${got.join()}`)
          }
          const isHeard = fulls === 0 ? drains === 0 : drains > 0 && drains <= fulls
          check(isHeard, `DRAIN-1: full ${fulls} times, ${drains} calls of onDrain`)
          if (options.leaves !== undefined)
            check(leftBy === options.leaves, `REQUEST-1: it has left by ${leftBy}`)
          if (options.flows !== undefined)
            check(
              peer.isReceiving === options.flows,
              'REQUEST-1: its peer is received from, or not',
            )
          if (isEnded) check(leaves === 1, 'the session has left')
          checkPristine([worker], [mainThread, ...senders, update], [...senders, update])
          check(joins === 1 && leaves === 1, 'onLeave once for each onJoin')
        },
      }
    },
  }
}

/** Content was told `full` of what is sent by now. Its owner takes the slot; beside it content is told again, or main sends. */
function wishes(name: string, beside: 'wish' | 'send'): Scenario {
  const world = new World({ updates: 1, sessionsPerWorker: 1, chunkCount: 6 })
  return {
    name,
    invariants: ['DRAIN-1', 'SENDFLAG-2'],
    words: world.words,
    build() {
      world.reset()
      let drains = 0
      const handler: Handler = {
        onDrain() {
          drains++
        },
      }
      const worker = new ModelWorker(world, 1)
      const update = new ModelUpdate(world, handler)
      const mainThread = new ModelMain(world)
      const session = worker.accept()
      restAll([worker], [update])
      const { slot, id } = session
      const wish = () => {
        check(update.table.pin(id) === slot, 'an open session is pinned')
        update.sender.slots.wantDrain(slot)
        update.table.unpin(slot)
        update.sender.publish()
      }
      wish()
      return {
        threads: {
          other() {
            if (beside === 'wish') wish()
            else mainThread.runtime.send(id, Uint8Array.of(9))
          },
          owner() {
            worker.runOnce()
          },
        },
        outcome: () => String(drains),
        check() {
          // The turn that the flush was part of ends: content is shown what was put for it.
          worker.turn()
          restAll([worker], [update])
          check(drains > 0, 'DRAIN-1: who was told full has its onDrain')
          check(drains <= (beside === 'wish' ? 2 : 1), `DRAIN-1: ${drains} calls of onDrain`)
          checkPristine([worker], [mainThread, update], [update])
        },
      }
    },
  }
}

const RING = ['JOBRING-1', 'JOBRING-2', 'JOBRING-3', 'JOBRING-4', 'BELL-1']
const END = ['SESSION-3', 'IOCOUNT-3', 'REQUEST-1', 'REQUEST-2']

export const LIFE = [...RING, ...END]

export const scenarios: readonly Scenario[] = [
  content('content: an answer waits, its peer has ended, both sleep', LIFE, {
    sends: [1],
    isEnded: true,
    hears: [1],
    gets: [1],
    before: 'handled',
  }),
  content('content: a message is answered, its peer has ended', LIFE, {
    sends: [1],
    isEnded: true,
    hears: [1],
    gets: [1],
    before: 'received',
    ownerTurns: 2,
    takerTurns: 1,
  }),
  content('content: it closes a session that has more to say', LIFE, {
    sends: [1, 2],
    does: 'close',
    hears: [1],
    gets: [1],
    before: 'received',
    ownerTurns: 2,
    takerTurns: 1,
  }),
  content('content: it has closed a session, both sleep', LIFE, {
    sends: [1, 2],
    does: 'close',
    hears: [1],
    gets: [1],
    before: 'handled',
  }),
  content('content: main sends, the peer has ended', LIFE, {
    sends: [1],
    main: ['send'],
    hears: [1],
    before: 'handled',
    isEnded: true,
    ownerTurns: 1,
    takerTurns: 1,
  }),
  content('content: main sends and closes', LIFE, {
    sends: [1],
    main: ['send', 'close'],
    hears: [1],
    before: 'handled',
    ownerTurns: 1,
    takerTurns: 1,
  }),
  content('content: main closes', LIFE, {
    sends: [1],
    main: ['close'],
    before: 'handled',
    ownerTurns: 2,
    takerTurns: 1,
  }),
  content('content: more messages than the ring has room for, the peer has ended', LIFE, {
    sends: [1, 2],
    hears: [1, 2],
    gets: [1, 2],
    before: 'received',
    isEnded: true,
    jobRingCapacity: 2,
    ownerTurns: 1,
    takerTurns: 1,
  }),
  content('content: the ring has room for one, the peer has ended', LIFE, {
    sends: [1],
    hears: [1],
    gets: [1],
    before: 'received',
    isEnded: true,
    jobRingCapacity: 1,
    ownerTurns: 1,
    takerTurns: 1,
  }),
  content('content: it pauses and resumes, messages are in the ring, the peer has ended', LIFE, {
    sends: [1, 2],
    hears: [1, 2],
    gets: [1, 2],
    does: 'pause',
    before: 'received',
    isEnded: true,
    ownerTurns: 1,
    takerTurns: 1,
    later: ['resume'],
  }),
  content('content: it pauses and resumes, messages wait for room, the peer has ended', LIFE, {
    sends: [1, 2],
    hears: [1, 2],
    gets: [1, 2],
    does: 'pause',
    before: 'received',
    isEnded: true,
    jobRingCapacity: 2,
    takerTurns: 1,
    ownerTurns: 1,
    later: ['resume'],
  }),
  content('content: it is told full, onDrain comes once, both sleep', [...LIFE, 'DRAIN-1'], {
    sends: [1],
    does: 'fill',
    before: 'received',
    maxBackpressure: 6,
  }),
  content('content: it is told full while what waits is sent, then it says more', ['DRAIN-1'], {
    sends: [1],
    before: 'handled',
    maxBackpressure: 4,
    ownerTurns: 2,
    takerTurns: 0,
    later: ['fill'],
  }),
  wishes('content: it is told full again while its owner takes the first wish', 'wish'),
  wishes('content: it is told full, main sends while its owner takes the wish', 'send'),
  content('content: it pauses and closes, two requests at once', LIFE, {
    before: 'handled',
    ownerTurns: 2,
    takerTurns: 0,
    later: ['pause', 'close'],
    leaves: 'localClose',
  }),
  content('content: it pauses, both sleep', LIFE, {
    before: 'handled',
    later: ['pause'],
    flows: false,
  }),
  content('content: its handler fails', LIFE, {
    sends: [1],
    does: 'throw',
    before: 'received',
    ownerTurns: 1,
    takerTurns: 1,
    leaves: 'handlerError',
  }),
  content('content: it closes, main closes', LIFE, {
    main: ['close'],
    before: 'handled',
    ownerTurns: 1,
    takerTurns: 0,
    later: ['close'],
    leaves: 'localClose',
  }),
]
