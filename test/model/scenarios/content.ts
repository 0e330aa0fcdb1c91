// What: models of content in an update thread: a session from its join to its slot, with a worker, and main beside.
// Flow: worker.ts, update.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import type { Handler } from '../../../src/session/handler.ts'
import type { Scenario } from '../explore.ts'
import { Peer } from '../native.ts'
import { check } from '../ops.ts'
import { ModelUpdate } from '../update.ts'
import { checkAsleep, checkPristine, frame, ModelMain, ModelWorker, restAll } from '../worker.ts'
import { World } from '../world.ts'

interface ContentOptions {
  /** Messages of the peer, one byte each, in one receive buffer. */
  readonly sends?: readonly number[]
  /** Then the peer ends its stream. */
  readonly isEnded?: boolean
  /** What content does with a message. */
  readonly does?: 'echo' | 'fill' | 'close' | 'pause'
  readonly main?: readonly ('send' | 'close')[]
  readonly maxBackpressure?: number
  readonly jobRingCapacity?: number
  /** The peer gets exactly these payloads, in any order of senders; undefined: it is cut. */
  readonly gets?: readonly number[]
  /** onDrain calls. */
  readonly drains?: number
  /** How far it has come when the threads start: handled by the worker; and by its content, too. */
  readonly before?: 'received' | 'handled'
  /** Turns of the owner and of the update thread beside one another; the rest follows at the end. Not given: they sleep and work. */
  readonly ownerTurns?: number
  readonly takerTurns?: number
  /** After its turns the update thread resumes the session, as a timer would; then it goes on. */
  readonly resumes?: boolean
  /** What the handler must have heard of the peer, in order. */
  readonly hears?: readonly number[]
}

/** The payloads in a stream. */
function payloads(bytes: readonly number[]): number[] {
  const found: number[] = []
  for (let at = 0; at < bytes.length; at += 1 + bytes[at]) found.push(bytes[at + 1])
  return found
}

function content(name: string, invariants: readonly string[], options: ContentOptions): Scenario {
  const {
    does = 'echo',
    sends = [],
    isEnded = false,
    main = [],
    maxBackpressure,
    jobRingCapacity = 8,
  } = options
  const world = new World({ updates: 1, sessionsPerWorker: 1, jobRingCapacity })
  const { words } = world
  return {
    name,
    invariants,
    words,
    build() {
      world.reset()
      const worker = new ModelWorker(world, 1, { maxBackpressure })
      const mainThread = new ModelMain(world)
      const heard: number[] = []
      let [joins, leaves, drains] = [0, 0, 0]
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
            return
          }
          session.send(packet)
          if (does === 'close') session.close()
          if (does === 'pause' && byte === 1) {
            isPaused = true
            session.pause()
          }
        },
        onDrain() {
          drains++
        },
        onLeave() {
          leaves++
          check(leaves === joins, 'onLeave once for each onJoin')
          check(worker.lifecycle.registry.live.length === 1, 'the slot is kept until onLeave')
        },
      }
      const update = new ModelUpdate(world, handler, maxBackpressure)
      const peer = new Peer([], [sends.flatMap((byte) => frame(Uint8Array.of(byte)))], isEnded)
      const session = worker.accept(peer)
      const { id } = session
      if (options.before !== undefined) worker.rest()
      if (options.before === 'handled') update.rest()
      const { ownerTurns, takerTurns, resumes = false } = options
      const resume = () => {
        isPaused = false
        update.content.at(session.slot)?.resume()
        update.content.markPending()
      }
      const mainThreads: Record<string, () => void> = {
        main() {
          for (const act of main) {
            if (act === 'send') mainThread.runtime.send(id, Uint8Array.of(99))
            else mainThread.runtime.close(id)
          }
        },
      }
      return {
        threads: main.length > 0 ? mainThreads : {},
        daemons: {
          owner() {
            if (ownerTurns === undefined) worker.runBriefly()
            else for (let n = 0; n < ownerTurns; n++) worker.visit()
          },
          taker() {
            if (takerTurns !== undefined) for (let n = 0; n < takerTurns; n++) update.turn()
            if (resumes) resume()
            if (takerTurns === undefined) update.runBriefly()
          },
        },
        check() {
          if (ownerTurns !== undefined || takerTurns !== undefined) restAll([worker], [update])
          checkAsleep(worker)
          check(!update.native.hasWork(), 'WAKE-2: a thread with work does not sleep')
          if (options.hears !== undefined)
            check(heard.join() === options.hears.join(), `content heard ${heard.join()}`)
          if (options.gets !== undefined) {
            const got = payloads(peer.bytes)
            check(got.join() === options.gets.join(), `the peer got ${got.join()}`)
          }
          if (options.drains !== undefined)
            check(drains === options.drains, `DRAIN-1: ${drains} calls of onDrain`)
          if (isEnded) check(leaves === 1, 'the session has left')
          checkPristine([worker], [mainThread, update], [update])
          check(joins === 1 && leaves === 1, 'onLeave once for each onJoin')
        },
      }
    },
  }
}

const RING = ['JOBRING-1', 'JOBRING-2', 'JOBRING-3', 'JOBRING-4', 'BELL-1']
const END = ['SESSION-3', 'IOCOUNT-3', 'REQUEST-1', 'REQUEST-2']

const LIFE = [...RING, ...END]

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
    resumes: true,
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
    resumes: true,
  }),
  content('content: it is told full, onDrain comes once, both sleep', [...LIFE, 'DRAIN-1'], {
    sends: [1],
    does: 'fill',
    drains: 1,
    before: 'received',
    maxBackpressure: 6,
  }),
]
