// What: models of send threads: pushes beside the end of a session, lanes, full sockets, what is given back and when.
// Flow: worker.ts, sender.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import { SESSION_LANE_WANTED, SESSION_SENDER } from '../../../src/layout/layout.ts'
import { store } from '../../../src/shared/atomics.ts'
import type { Scenario } from '../explore.ts'
import { Peer, type Step } from '../native.ts'
import { check } from '../ops.ts'
import { ModelSender } from '../sender.ts'
import { checkAsleep, checkPristine, Ledger, ModelMain, ModelWorker, restAll } from '../worker.ts'
import { type Sizes, World } from '../world.ts'

/** Words outside of the plan, one per send thread: its sockets are writable again. */
const WRITABLE = 0

/** A message of so many bytes, what ends the session, or the lane that it is to be sent through. */
type Act = number | 'close' | 'terminate' | 'lane 1' | 'lane 2' | 'lane 3'

interface SendThreadOptions {
  readonly sizes?: Sizes
  readonly lanes?: number
  readonly maxGather?: number
  /** What the socket takes of each send that does not wait. */
  readonly script?: readonly Step[]
  readonly resetsOnClose?: boolean
  /** What main has done when the threads start: handed over, not yet taken. */
  readonly before?: readonly Act[]
  /** By then it is with the driver, and not yet completed. */
  readonly isSubmitted?: boolean
  /** What main has done after that. */
  readonly later?: readonly Act[]
  /** What the owner and main do. */
  readonly own?: readonly ('close' | 'terminate')[]
  readonly main?: readonly Act[]
  /** The last wish comes before somebody takes the slot. */
  readonly isGranted?: boolean
  /** The peer ends its stream before the worker waits for the first time. */
  readonly isEnded?: boolean
  /** A connection waits to be accepted as soon as the session's handle is closed: it gets the slot. */
  readonly hasSuccessor?: boolean
  /** Turns of the owner and of each send thread beside the others, the rest follows; not given: they sleep and work. */
  readonly ownerTurns?: number
  readonly laneTurns?: readonly number[]
}

function sendThread(
  name: string,
  invariants: readonly string[],
  options: SendThreadOptions,
): Scenario {
  const { sizes = {}, lanes: laneCount = 1, maxGather = 4, script = [], before = [] } = options
  const { own = [], main = [], later = [], isEnded = false, hasSuccessor = false } = options
  const { isGranted = false } = options
  const { isSubmitted = false, resetsOnClose = false, ownerTurns, laneTurns } = options
  const world = new World({ senders: laneCount, sessionsPerWorker: 1, ...sizes })
  const { words } = world
  const acts: readonly Act[] = [...before, ...later, ...own, ...main]
  const chosen = acts.filter((one) => String(one).startsWith('lane ')).at(-1)
  const isCut = acts.includes('terminate') || script.includes('fail') || isEnded || own.length > 0
  return {
    name,
    invariants,
    words,
    build() {
      world.reset()
      const worker = new ModelWorker(world, 1, {
        maxGather,
        closeMode: resetsOnClose ? 'reset' : 'graceful',
      })
      const lanes: ModelSender[] = []
      for (let lane = 0; lane < laneCount; lane++) {
        const writable = WRITABLE + lane
        const thread = 2 + lane
        lanes.push(new ModelSender(world, thread, worker, { maxGather, resetsOnClose, writable }))
      }
      const mainThread = new ModelMain(world)
      const session = worker.accept(new Peer(script, [], isEnded))
      const ledger = new Ledger(session)
      const peer = worker.peerOf(session)
      if (hasSuccessor) worker.driver.successor = new Peer()
      /** As ContentSession.useLane(). */
      const useLane = (lane: number) => {
        const { table, sender } = mainThread
        if (!table.pinOpen(session.slot)) return
        store(words, session.at + SESSION_LANE_WANTED, 1 + lane)
        sender.slots.handOver(session.slot)
        table.unpin(session.slot)
        sender.publish()
      }
      const act = (what: readonly Act[]) => {
        const { runtime } = mainThread
        for (const one of what) {
          if (one === 'close') {
            runtime.close(session.id)
          } else if (typeof one === 'number') {
            const payload = ledger.payload(0, one)
            ledger.note(0, payload, runtime.send(session.id, payload))
          } else if (one !== 'terminate') {
            useLane(Number(one.slice('lane '.length)))
          }
        }
      }
      act(before)
      if (isSubmitted) {
        lanes[0].sender.flush()
        lanes[0].native.handOver()
      }
      act(later)
      const threads: Record<string, () => void> = {}
      if (main.length > 0) {
        threads.main = () => {
          act(main)
        }
      }
      const daemons: Record<string, () => void> = {
        owner() {
          for (const one of own) {
            if (one === 'close') session.close()
            else session.terminate()
          }
          if (ownerTurns === undefined) worker.runBriefly()
          else for (let n = 0; n < ownerTurns; n++) worker.visit()
        },
      }
      for (let lane = 0; lane < laneCount; lane++) {
        const turns = laneTurns?.[lane]
        daemons[`lane ${lane + 1}`] = () => {
          if (turns === undefined) lanes[lane].runBriefly()
          else for (let n = 0; n < turns; n++) lanes[lane].visit()
        }
      }
      return {
        threads,
        daemons,
        outcome: () => peer.bytes.join(),
        check() {
          if (ownerTurns !== undefined || laneTurns !== undefined) restAll([worker], lanes)
          for (const lane of lanes) lane.checkAsleep()
          checkAsleep(worker)
          if (peer.waiting !== null) {
            for (let lane = 0; lane < laneCount; lane++)
              store(words, world.outside(WRITABLE + lane), 1)
            restAll([worker], lanes)
          }
          ledger.check(peer, isCut)
          if (chosen !== undefined && !isCut && !acts.includes('close')) {
            // A wish that comes while the flag is held waits for the next message.
            const places = [SESSION_SENDER, SESSION_LANE_WANTED]
            const lanesOf = places.map((place) => `lane ${words[session.at + place] - 1}`)
            check(lanesOf.includes(chosen as string), 'LANE-1: the last wish is granted, or stands')
            if (isGranted) {
              check(lanesOf[0] === chosen, 'LANE-1: a wish goes before a message')
              check(words[session.at + SESSION_LANE_WANTED] === 0, 'LANE-1: it is granted once')
            }
          }
          if (acts.includes('close') || isEnded)
            check(worker.lifecycle.registry.live.length === (hasSuccessor ? 1 : 0), 'it has ended')
          if (acts.includes('close') && !isCut)
            check(peer.shutdowns === (resetsOnClose ? 0 : 1), 'LANE-3: the stream ends once')
          if (hasSuccessor) {
            const next = worker.sessions[worker.sessions.length - 1]
            check(next !== session && next.slot === session.slot, 'the slot was used again')
            check(
              worker.peerOf(next).bytes.length === 0,
              'SENDLIST-3: a message is for its session',
            )
          }
          checkPristine([worker], [mainThread], lanes)
          for (const { heap, driver } of lanes) {
            check(heap.usedBytes === 0, 'HEAP-2: every block of the heap is free')
            check(driver.peers.size === 0, 'LANE-4: every socket is given back')
          }
        },
      }
    },
  }
}

const SEND = ['SENDLIST-2', 'SENDFLAG-1', 'SENDFLAG-2', 'FLUSH-1', 'FLUSH-2', 'FLUSH-3', 'WAKE-2']
const END = ['LANE-3', 'LANE-4', 'IOCOUNT-2', 'IOCOUNT-3', 'IOCOUNT-5']
const LANE = ['LANE-1', 'LANE-2', 'LANE-4', 'SENDLIST-2']

const ZERO_COPY = ['ZEROCOPY-1', 'ZEROCOPY-2', 'ZEROCOPY-3']
/** Everything is sent without a copy; a thread may have a quarter of the chunks with the kernel, a session of that. */
const zeroCopy: Sizes = { zeroCopyBytes: 1, chunkBytes: 16, chunkCount: 64 }

export const scenarios: readonly Scenario[] = [
  sendThread('send thread: main sends', SEND, { main: [3] }),
  sendThread('send thread: a completion is late while both sleep, main sends', SEND, {
    before: [3],
    isSubmitted: true,
    main: [3],
  }),
  sendThread('send thread: the socket is full, main sends', [...SEND, 'HEAP-2'], {
    before: [6],
    script: [3],
    main: [3],
    laneTurns: [2],
    ownerTurns: 0,
  }),
  sendThread('send thread: main sends and closes', [...SEND, ...END], {
    main: [3, 'close'],
    ownerTurns: 1,
    laneTurns: [1],
  }),
  sendThread('send thread: a send completes, main has sent and closed', [...SEND, ...END], {
    before: [3],
    isSubmitted: true,
    later: [3, 'close'],
    ownerTurns: 1,
    laneTurns: [1],
  }),
  sendThread('send thread: a send completes, main closes', [...SEND, ...END], {
    before: [3],
    isSubmitted: true,
    main: ['close'],
    ownerTurns: 1,
    laneTurns: [1],
  }),
  sendThread('send thread: the area has no room for what is given back', END, {
    sizes: { submissionWords: 8 },
    main: ['close'],
    ownerTurns: 1,
    laneTurns: [1],
  }),
  sendThread('send thread: the owner closes, main sends', [...SEND, ...END], {
    own: ['close'],
    main: [3],
    ownerTurns: 1,
    laneTurns: [1],
  }),
  sendThread('send thread: the owner closes while a message waits, both sleep', END, {
    before: [3],
    own: ['close'],
  }),
  sendThread('send thread: a close is a reset, main sends before', [...SEND, ...END], {
    resetsOnClose: true,
    main: [3, 'close'],
    ownerTurns: 1,
    laneTurns: [1],
  }),
  sendThread('send thread: the owner terminates, a send waits', [...END, 'HEAP-2'], {
    before: [6],
    script: [3],
    isSubmitted: true,
    own: ['terminate'],
    ownerTurns: 1,
    laneTurns: [1],
  }),
  sendThread('send thread: the owner terminates, main sends, the slot is used again', END, {
    own: ['terminate'],
    main: [3],
    hasSuccessor: true,
    ownerTurns: 1,
    laneTurns: [1],
  }),
  sendThread('send thread: a send fails, main sends', END, {
    script: ['fail'],
    before: [3],
    main: [3],
    ownerTurns: 1,
    laneTurns: [1],
  }),
  sendThread('send thread: the peer ends, main sends', [...SEND, ...END], {
    isEnded: true,
    main: [3],
    ownerTurns: 1,
    laneTurns: [1],
  }),
  sendThread(
    'send thread: zero copy, main closes before the notification',
    [...END, ...ZERO_COPY],
    {
      sizes: zeroCopy,
      before: [3],
      isSubmitted: true,
      main: ['close'],
      ownerTurns: 1,
      laneTurns: [1],
    },
  ),
  sendThread('send thread: zero copy, the owner terminates', [...END, ...ZERO_COPY], {
    sizes: zeroCopy,
    before: [3],
    isSubmitted: true,
    own: ['terminate'],
    ownerTurns: 1,
    laneTurns: [1],
  }),
  sendThread('lane: chosen before a notification has come', [...SEND, ...LANE, ...ZERO_COPY], {
    lanes: 2,
    sizes: zeroCopy,
    before: [3],
    isSubmitted: true,
    main: ['lane 2', 3],
    ownerTurns: 0,
    laneTurns: [1, 1],
  }),
  sendThread('lane: main sends, chooses another lane, sends', [...SEND, ...LANE], {
    lanes: 2,
    main: [3, 'lane 2', 3],
    ownerTurns: 0,
    laneTurns: [1, 1],
  }),
  sendThread('lane: chosen before the slot is taken, main sends', [...SEND, ...LANE], {
    lanes: 2,
    before: [3, 'lane 2'],
    main: [3],
    isGranted: true,
    ownerTurns: 0,
    laneTurns: [1, 1],
  }),
  sendThread('lane: chosen before anything was sent', [...LANE, ...END], {
    lanes: 2,
    main: ['lane 2', 'close'],
    ownerTurns: 1,
    laneTurns: [1, 0],
  }),
  sendThread('lane: a gather is in flight, another waits', [...SEND, ...LANE], {
    lanes: 2,
    maxGather: 1,
    before: [3, 3, 3],
    isSubmitted: true,
    main: ['lane 2'],
    ownerTurns: 0,
    laneTurns: [1, 1],
  }),
  sendThread('lane: chosen and chosen back, a gather is in flight', [...SEND, ...LANE], {
    lanes: 2,
    maxGather: 1,
    before: [3, 3, 3],
    isSubmitted: true,
    later: ['lane 2'],
    main: ['lane 1'],
    ownerTurns: 0,
    laneTurns: [1, 1],
  }),
  sendThread('lane: the socket is full', [...SEND, ...LANE, 'HEAP-2'], {
    lanes: 2,
    before: [6],
    script: [3],
    isSubmitted: true,
    main: ['lane 2', 3],
    ownerTurns: 0,
    laneTurns: [1, 1],
  }),
  sendThread('lane: the owner terminates', [...LANE, ...END], {
    lanes: 2,
    before: [3],
    own: ['terminate'],
    main: ['lane 2'],
    ownerTurns: 0,
    laneTurns: [1, 0],
  }),
]
