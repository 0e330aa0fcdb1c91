// What: models of the send path: foreign sends beside the owner's, lazy completions, gathers that fail or are cut.
// Flow: worker.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import type { Framing } from '../../../src/framing/framing.ts'
import { SESSION_QUEUED_BYTES, SESSION_REQUEST_CLOSE } from '../../../src/layout/layout.ts'
import type { Handler } from '../../../src/session/handler.ts'
import type { LiveSession } from '../../../src/session/session.ts'
import { store } from '../../../src/shared/atomics.ts'
import type { Scenario } from '../explore.ts'
import { Peer, type Step } from '../native.ts'
import { check } from '../ops.ts'
import {
  checkAsleep,
  checkPristine,
  encoder,
  frame,
  framing,
  Ledger,
  ModelMain,
  ModelWorker,
} from '../worker.ts'
import { type Sizes, World } from '../world.ts'

/** Word outside of the plan: the socket of the session is writable again. */
const WRITABLE = 0

/** A message of so many bytes, one for everybody, or what ends the session. */
type Act = number | 'broadcast' | 'close' | 'terminate'

interface SendOptions {
  readonly sizes?: Sizes
  readonly maxGather?: number
  /** What the socket takes of each send that does not wait. */
  readonly script?: readonly Step[]
  /** What the owner, main and worker 2 do. */
  readonly own?: readonly Act[]
  readonly main?: readonly Act[]
  readonly other?: readonly Act[]
  /** A second thread like main, which has no turn. */
  readonly second?: readonly Act[]
  /** They are with the driver, and completed, when the threads start. */
  readonly isSubmitted?: boolean
  /** A connection waits to be accepted as soon as the session's handle is closed: it gets the slot. */
  readonly hasSuccessor?: boolean
  /** Sessions beside the one that is sent to. */
  readonly beside?: number
  /** Messages that main has sent before the threads start. */
  readonly before?: readonly number[]
  /** Messages that the owner has sent by then: submitted, the completion is late. */
  readonly late?: readonly number[]
  /** The peer ends its stream before the worker waits for the first time. */
  readonly isEnded?: boolean
  /** A message of the peer, which the handler sends back by reference. */
  readonly echo?: boolean
  /** The socket becomes writable on its own, at any time. */
  readonly isDrained?: boolean
  readonly handler?: Handler
  /** `whole`: with the looks that only save something; `turn`, `once`: one turn or flush, the rest at the end. */
  readonly loop?: 'whole' | 'brief' | 'turn' | 'once' | 'none'
}

const isScriptFailing = (script: readonly Step[]) => script.includes('fail')

function send(name: string, invariants: readonly string[], options: SendOptions): Scenario {
  const { sizes = {}, script = [], own = [], main = [], other = [], echo = false } = options
  const {
    before = [],
    late = [],
    isEnded = false,
    second = [],
    maxGather = 4,
    isDrained = false,
    hasSuccessor = false,
    isSubmitted = false,
    beside = 0,
    loop = 'brief',
  } = options
  const world = new World({ workers: other.length + second.length > 0 ? 2 : 1, ...sizes })
  const { words } = world
  const acts: Act[] = [...own, ...main, ...second, ...other]
  const isEnding =
    isEnded || isScriptFailing(script) || acts.includes('terminate') || acts.includes('close')
  // Its peer may lack the end of what was sent.
  const isCut =
    isScriptFailing(script) ||
    acts.includes('terminate') ||
    (own.includes('close') && main.length > 0)
  return {
    name,
    invariants,
    words,
    build() {
      world.reset()
      const handler: Handler = {
        onRecv(session, packet) {
          session.send(packet)
        },
        ...options.handler,
      }
      const worker = new ModelWorker(world, 1, { maxGather, writable: WRITABLE, handler })
      const secondThread = second.length > 0 ? new ModelMain(world, 2) : null
      const foreign = other.length > 0 ? new ModelWorker(world, 2) : null
      const mainThread = new ModelMain(world)
      const sends = echo ? [frame(Uint8Array.of(9, 0, 25))] : []
      const session = worker.accept(new Peer(script, sends, isEnded))
      const ledger = new Ledger(session)
      if (echo) ledger.accepted.set(9, [0])
      const peer = worker.peerOf(session)
      const ledgers = [ledger]
      for (let i = 0; i < beside; i++) ledgers.push(new Ledger(worker.accept()))
      if (hasSuccessor) worker.driver.successor = new Peer()
      const act = (producer: number, what: readonly Act[], runtime: ModelMain['runtime']) => {
        for (const one of what) {
          if (one === 'terminate') {
            session.terminate()
          } else if (one === 'close') {
            if (runtime.close(session.id)) isCloseAsked = true
          } else if (one === 'broadcast') {
            broadcast(producer, runtime)
          } else {
            const payload = ledger.payload(producer, one)
            const result = runtime.send(session.id, payload)
            check(result === 'queued' || isEnding, `an open session takes a message: ${result}`)
            ledger.note(producer, payload, result)
          }
        }
      }
      let isCloseAsked = false
      /** Broadcasts, and for how many sessions they were queued; for which ones is not said. */
      const toAll: { readonly producer: number; readonly payload: Uint8Array }[] = []
      let queued = 0
      const broadcast = (producer: number, runtime: ModelMain['runtime']) => {
        const payload = ledger.payload(producer)
        toAll.push({ producer, payload })
        const result = runtime.broadcast(payload)
        check(result.queued + result.closed + result.dropped <= ledgers.length, 'each one once')
        for (const known of ledgers) known.mayGet(producer, payload)
        queued += result.queued
      }
      if (late.length > 0) {
        act(1, late, worker.runtime)
        worker.runOnce()
      }
      act(0, before, mainThread.runtime)
      if (isSubmitted) worker.runOnce()
      const threads: Record<string, () => void> = {}
      if (main.length > 0) {
        threads.main = () => {
          act(0, main, mainThread.runtime)
        }
      }
      if (foreign !== null) {
        threads.other = () => {
          act(2, other, foreign.runtime)
          foreign.turn()
        }
      }
      if (secondThread !== null) {
        threads.second = () => {
          act(2, second, secondThread.runtime)
        }
      }
      if (isDrained) {
        threads.network = () => {
          store(words, world.outside(WRITABLE), 1)
          world.signal(1)
        }
      }
      return {
        threads,
        daemons: {
          owner() {
            // As from a promise: the first turn follows because something is pending.
            act(1, own, worker.runtime)
            if (loop === 'whole') worker.run()
            else if (loop === 'turn') worker.turn()
            else if (loop === 'once') worker.runOnce()
            else if (loop === 'brief') worker.runBriefly()
          },
        },
        outcome: () => peer.bytes.join(),
        check() {
          if (loop !== 'whole' && loop !== 'brief') worker.rest()
          checkAsleep(worker)
          if (peer.waiting !== null) {
            checkFull(worker, foreign, mainThread)
            store(words, world.outside(WRITABLE), 1)
            worker.rest()
          }
          check(!isCloseAsked || !session.isOpen, 'REQUEST-1: a request to close is heard')
          if (hasSuccessor) {
            const next = worker.sessions.at(-1) as LiveSession
            check(next !== session, 'IOCOUNT-3: the slot was given back and used again')
            check(next.slot === session.slot, 'it is the same slot')
            check(next.isOpen, 'REQUEST-2: a request is for the session that it was made for')
            // Whatever was for the session before it is none that it may get [SESSION-1].
            const successor = new Ledger(next)
            for (const { producer, payload } of toAll) successor.mayGet(producer, payload)
            ledgers.push(successor)
          }
          let got = 0
          for (const known of ledgers) got += known.check(worker.peerOf(known.session), isCut)
          check(
            isCut ? got <= queued : got === queued,
            'SENDFLAG-2: those get a broadcast for whom it was queued',
          )
          const workers = foreign === null ? [worker] : [worker, foreign]
          checkPristine(workers, secondThread === null ? [mainThread] : [mainThread, secondThread])
        },
      }
    },
  }
}

/**
 * Main has pinned the session and found it open; then the owner ends it. Main goes on to queue a message and to ask
 * for the end, while the owner gives the slot to a connection that waits.
 */
function late(name: string, end: 'close' | 'terminate', acts: readonly ('send' | 'close')[]) {
  const world = new World({ sessionsPerWorker: 1 })
  const { words } = world
  const invariants = [...REQUEST, ...END]
  const scenario: Scenario = {
    name,
    invariants,
    words,
    build() {
      world.reset()
      const worker = new ModelWorker(world, 1)
      const mainThread = new ModelMain(world)
      const { sender, table } = mainThread
      const session = worker.accept()
      worker.driver.successor = new Peer()
      const ledger = new Ledger(session)
      const slot = table.pin(session.id)
      check(slot === session.slot, 'an open session is pinned')
      if (end === 'close') session.close()
      else session.terminate()
      worker.native.handOver()
      return {
        threads: {
          main() {
            for (const act of acts) {
              if (act === 'close') sender.request(slot, SESSION_REQUEST_CLOSE)
              else sender.writeForeign(slot, encoder, ledger.payload(0), 0, 3)
            }
            table.unpin(slot)
            sender.publish()
          },
        },
        daemons: {
          owner() {
            worker.runBriefly()
          },
        },
        check() {
          checkAsleep(worker)
          check(worker.sessions.length === 2, 'IOCOUNT-3: the slot was given back and used again')
          const [, next] = worker.sessions
          check(next.slot === slot, 'it is the same slot')
          check(next.isOpen, 'REQUEST-2: a request is for the session that it was made for')
          check(worker.peerOf(next).bytes.length === 0, 'SENDLIST-3: so is a message')
          checkPristine([worker], [mainThread])
        },
      }
    },
  }
  return scenario
}

/**
 * Two threads do the same to a session that they have pinned, while the owner takes a slot off its flush stack and has
 * a completion that is late. The pins are dropped at the end: those of a call have models of their own.
 */
function beside(name: string, invariants: readonly string[], act: 'send' | 'close') {
  const world = new World({ workers: 2 })
  const { words } = world
  const scenario: Scenario = {
    name,
    invariants,
    words,
    build() {
      world.reset()
      const worker = new ModelWorker(world, 1)
      const producers = [new ModelMain(world), new ModelMain(world, 2)]
      const session = worker.accept()
      const ledger = new Ledger(session)
      const noted = (producer: number) => {
        const payload = ledger.payload(producer)
        ledger.note(producer, payload, 'queued')
        return payload
      }
      check(worker.runtime.send(session.id, noted(1)) === 'queued', 'an open session takes it')
      worker.runOnce()
      check(producers[0].runtime.send(session.id, noted(0)) === 'queued', 'from main, too')
      for (const { table } of producers)
        check(table.pin(session.id) === session.slot, 'an open session is pinned')
      const produce = (producer: number) => {
        const { sender } = producers[producer]
        if (act === 'close') {
          sender.request(session.slot, SESSION_REQUEST_CLOSE)
        } else {
          const payload = noted(2 * producer)
          const { length } = payload
          check(
            sender.writeForeign(session.slot, encoder, payload, 0, length),
            'there is memory for a message',
          )
        }
        sender.publish()
      }
      return {
        threads: {
          main() {
            produce(0)
          },
          second() {
            produce(1)
          },
        },
        daemons: {
          owner() {
            worker.turn()
          },
        },
        check() {
          for (const { table } of producers) table.unpin(session.slot)
          worker.rest()
          checkAsleep(worker)
          check(session.isOpen === (act === 'send'), 'REQUEST-1: a request to close is heard')
          ledger.check(worker.peerOf(session))
          checkPristine([worker], producers)
        },
      }
    },
  }
  return scenario
}

/** Main sends three bytes three times, of which one message may wait, while the owner sends what does. */
function filled(): Scenario {
  const maxBackpressure = 6
  const world = new World()
  const { words } = world
  return {
    name: 'send: main fills what may wait',
    invariants: SEND,
    words,
    build() {
      world.reset()
      const worker = new ModelWorker(world, 1)
      const mainThread = new ModelMain(world, 0, { maxBackpressure })
      const session = worker.accept()
      const ledger = new Ledger(session)
      const results: string[] = []
      return {
        threads: {
          main() {
            for (let left = 3; left > 0; left--) {
              const payload = ledger.payload(0)
              const result = mainThread.runtime.send(session.id, payload)
              ledger.note(0, payload, result)
              results.push(result)
              // Read without a thread: in every order of what the owner does next it is not more.
              const queued = Atomics.load(words, session.at + SESSION_QUEUED_BYTES)
              check(queued <= maxBackpressure, 'no more waits than may')
            }
            check(results[0] === 'queued', 'where nothing waits a message is taken')
          },
        },
        daemons: {
          owner() {
            worker.turn()
          },
        },
        outcome: () => results.join(),
        check() {
          worker.rest()
          ledger.check(worker.peerOf(session))
          checkPristine([worker], [mainThread])
        },
      }
    },
  }
}

/** A length that counts itself. */
const counting: Framing = {
  kind: 'length-prefix',
  bytes: 1,
  endian: 'big',
  offset: 0,
  includesHeader: true,
}

/** Main sends to a session of each of two listeners, whose frames differ. */
function listeners(): Scenario {
  const framings = [framing, counting]
  const world = new World()
  return {
    name: 'send: main sends to sessions of two listeners',
    invariants: SEND,
    words: world.words,
    build() {
      world.reset()
      const worker = new ModelWorker(world, 1, { framings })
      const mainThread = new ModelMain(world, 0, { framings })
      const sessions: LiveSession[] = []
      for (const listener of framings.keys()) sessions.push(worker.accept(new Peer(), listener))
      const payload = Uint8Array.of(7, 8)
      return {
        threads: {
          main() {
            for (const { id } of sessions) mainThread.runtime.send(id, payload)
          },
        },
        daemons: {
          owner() {
            worker.turn()
          },
        },
        check() {
          worker.rest()
          const [first, second] = sessions
          check(worker.peerOf(first).bytes.join() === '2,7,8', 'a session has its own framing')
          check(worker.peerOf(second).bytes.join() === '3,7,8', 'and another one another')
          checkPristine([worker], [mainThread])
        },
      }
    },
  }
}

/** While a socket is full, no chunk is held for it, whoever sent: all of it was copied to the heap. */
function checkFull(worker: ModelWorker, foreign: ModelWorker | null, mainThread: ModelMain): void {
  for (const sender of [worker.sender, mainThread.sender, ...(foreign ? [foreign.sender] : [])]) {
    sender.settle()
    sender.writer.retire()
  }
  const { plan } = worker.core.arena
  check(
    worker.sender.writer.pool.freeCount() === plan.chunkCount,
    'FLUSH-3: what was pushed to a full socket pins no chunk',
  )
}

const REQUEST = ['REQUEST-1', 'REQUEST-2']
const END = [
  'SESSION-1',
  'SESSION-3',
  'IOCOUNT-1',
  'IOCOUNT-2',
  'IOCOUNT-3',
  'IOCOUNT-4',
  'IOCOUNT-5',
]
const SEND = [
  'SENDLIST-1',
  'SENDLIST-2',
  'SENDLIST-3',
  'SENDFLAG-1',
  'SENDFLAG-2',
  'FLUSH-1',
  'FLUSH-2',
  'FLUSH-3',
]

const ZERO_COPY = ['ZEROCOPY-1', 'ZEROCOPY-2', 'ZEROCOPY-3']
/** Everything is sent without a copy; a thread may have a quarter of the chunks with the kernel, a session of that. */
const zeroCopy: Sizes = { zeroCopyBytes: 1, chunkBytes: 16, chunkCount: 32 }

export const scenarios: readonly Scenario[] = [
  send('send: main sends', SEND, { main: [3], loop: 'whole' }),
  send('send: main sends twice', SEND, { main: [3, 3] }),
  send('send: a late completion, and main sends', SEND, {
    own: [3],
    main: [3],
    loop: 'whole',
  }),
  send('send: an echo by reference, and main sends', [...SEND, 'BUFFER-1', 'BUFFER-2'], {
    echo: true,
    main: [3],
  }),
  send('send: a completion is late while the owner sleeps, main sends twice', SEND, {
    late: [3],
    main: [3, 3],
  }),
  filled(),
  listeners(),
  send('send: a worker sends', SEND, { other: [3, 3], loop: 'whole' }),
  send('send: two threads send', SEND, {
    main: [3],
    second: [3],
    loop: 'none',
  }),
  beside('send: two threads send while the owner takes a slot, a completion is late', SEND, 'send'),
  send('send: more than one gather', [...SEND, 'SENDFLAG-3', 'SENDFLAG-4'], {
    before: [3],
    own: [3],
    main: [3],
    maxGather: 1,
  }),
  send('send: a message of several chunks', [...SEND, 'CHUNK-3'], {
    sizes: { chunkBytes: 16, chunkCount: 6 },
    main: [24],
    own: [3],
  }),
  send('send: the socket is full, main sends', [...SEND, 'HEAP-2'], {
    own: [6],
    main: [3],
    script: [3],
  }),
  send('send: the socket is full and drains, main sends', SEND, {
    own: [6],
    main: [3],
    script: [3],
    isDrained: true,
  }),
  send('send: a send fails, main sends', [...SEND, 'IOCOUNT-4'], {
    main: [3],
    script: ['fail'],
  }),
  send('send: completions that somebody hears of', SEND, {
    own: [3],
    main: [3],
    handler: { onSend() {} },
  }),
  send('send: a send completes, a worker goes on with a message', SEND, {
    before: [3],
    isSubmitted: true,
    loop: 'turn',
    other: [3, 3],
  }),
  send('send: a send completes, a message of several chunks is sent', [...SEND, 'CHUNK-3'], {
    sizes: { chunkBytes: 16, chunkCount: 6 },
    before: [3],
    isSubmitted: true,
    loop: 'turn',
    main: [24],
  }),
  send('send: two threads send, one of them a message of several chunks', [...SEND, 'CHUNK-3'], {
    sizes: { chunkBytes: 16, chunkCount: 6 },
    main: [24],
    second: [3],
    loop: 'none',
  }),
  send('zero copy: a notification is late, main sends', [...SEND, ...ZERO_COPY], {
    sizes: zeroCopy,
    late: [3],
    main: [3],
  }),
  send('zero copy: two gathers are held', [...SEND, ...ZERO_COPY], {
    sizes: zeroCopy,
    late: [12],
    own: [12],
    main: [3],
    loop: 'turn',
  }),
  send('zero copy: the kernel has as much as it may', [...SEND, ...ZERO_COPY], {
    sizes: { zeroCopyBytes: 1 },
    late: [3],
    own: [3],
    main: [3],
    loop: 'turn',
  }),
  send('zero copy: an echo by reference, main sends', [...SEND, ...ZERO_COPY, 'BUFFER-2'], {
    sizes: zeroCopy,
    echo: true,
    main: [3],
  }),
  send('zero copy: a gather is taken in part, main sends', [...SEND, ...ZERO_COPY, 'HEAP-2'], {
    sizes: zeroCopy,
    own: [6],
    main: [3],
    script: [3],
  }),
  send('zero copy: refused, main sends', [...SEND, ...ZERO_COPY], {
    sizes: zeroCopy,
    maxGather: 1,
    before: [3, 3],
    main: [3],
    script: ['refuse', 4],
    loop: 'turn',
  }),
  send('zero copy: main closes the session before the notification', [...END, ...ZERO_COPY], {
    sizes: { ...zeroCopy, sessionsPerWorker: 1 },
    late: [3],
    main: ['close'],
    hasSuccessor: true,
  }),
  send('zero copy: the peer ends its stream before the notification', [...END, ...ZERO_COPY], {
    sizes: zeroCopy,
    isEnded: true,
    late: [3],
    main: [3],
  }),
  send('zero copy: the owner terminates the session, main sends', [...END, ...ZERO_COPY], {
    sizes: { ...zeroCopy, sessionsPerWorker: 1 },
    late: [3],
    own: ['terminate'],
    main: [3],
    hasSuccessor: true,
  }),
  send('session: main closes it while its messages wait', [...REQUEST, ...END], {
    before: [3, 3],
    main: ['close'],
  }),
  send('session: it closes with messages queued', END, { before: [3, 3], own: ['close'] }),
  send('session: main closes it', [...REQUEST, ...END], { main: ['close'] }),
  send('session: main sends and closes it', [...REQUEST, ...END], {
    main: [3, 'close'],
  }),
  send('session: main closes it over a late completion', [...REQUEST, ...END], {
    own: [3],
    main: ['close'],
  }),
  send('session: a worker sends and closes it', [...REQUEST, ...END], {
    other: [3, 'close'],
  }),
  send('session: its peer ends it, main sends', [...SEND, ...END], {
    isEnded: true,
    main: [3],
  }),
  send('session: its peer ends it, main sends twice', [...SEND, ...END], {
    isEnded: true,
    main: [3, 3],
    loop: 'turn',
  }),
  send('session: its peer ends it while a message waits, main sends', [...SEND, ...END], {
    isEnded: true,
    before: [3],
    main: [3],
  }),
  send('session: its peer ends it over a late completion, main sends', [...SEND, ...END], {
    isEnded: true,
    late: [3],
    main: [3],
  }),
  send('session: its peer ends it, main sends, the slot is used again', [...SEND, ...END], {
    sizes: { sessionsPerWorker: 1 },
    isEnded: true,
    main: [3],
    hasSuccessor: true,
  }),
  send('session: it ends, main closes it, the slot is used again', [...REQUEST, ...END], {
    sizes: { sessionsPerWorker: 1 },
    own: ['terminate'],
    main: ['close'],
    hasSuccessor: true,
  }),
  late('session: it closes, main is late with a message', 'close', ['send']),
  late('session: it closes, main is late with a request', 'close', ['close']),
  late('session: it closes, main is late with both', 'close', ['send', 'close']),
  late('session: it is terminated, main is late with both', 'terminate', ['send', 'close']),
  beside('session: two threads close it while the owner has a turn', [...REQUEST, ...END], 'close'),
  send('session: two threads close it', [...REQUEST, ...END], {
    main: ['close'],
    second: ['close'],
    loop: 'none',
  }),
  send('session: one thread sends, one closes, the flag is held', [...REQUEST, ...END], {
    before: [3],
    main: [3],
    second: ['close'],
    loop: 'none',
  }),
  send('session: the owner closes it, main sends', END, { own: ['close'], main: [3] }),
  send('session: the owner terminates it, main sends, the slot is used again', END, {
    sizes: { sessionsPerWorker: 1 },
    own: ['terminate'],
    main: [3],
    hasSuccessor: true,
  }),
  send('session: it ends with a full socket, main sends', [...END, 'HEAP-2'], {
    script: [3],
    before: [6],
    own: ['terminate'],
    main: [3],
  }),
  send('broadcast: main to two sessions', [...SEND, 'CHUNK-2', 'NODE-1'], {
    sizes: { chunkBytes: 128 },
    beside: 1,
    main: ['broadcast'],
  }),
  send('broadcast: while a send completes', [...SEND, 'CHUNK-2', 'NODE-1'], {
    sizes: { chunkBytes: 128 },
    before: [3],
    isSubmitted: true,
    loop: 'turn',
    main: ['broadcast'],
  }),
  send('broadcast: some are refused, no node is left', [...SEND, 'CHUNK-2', 'NODE-1'], {
    sizes: { chunkBytes: 128, nodesPerThread: 1 },
    beside: 1,
    main: ['broadcast'],
  }),
  send('broadcast: one of two ends', [...SEND, ...END, 'CHUNK-2'], {
    sizes: { chunkBytes: 128 },
    beside: 1,
    own: ['terminate'],
    main: ['broadcast'],
  }),
  send('broadcast: the slot is used again meanwhile', [...SEND, ...END, 'CHUNK-2'], {
    sizes: { sessionsPerWorker: 1, chunkBytes: 128 },
    own: ['terminate'],
    main: ['broadcast'],
    hasSuccessor: true,
  }),
]
