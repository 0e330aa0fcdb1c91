// What: threads of a runtime for models: a worker with its production rooms, main with its runtime object.
// Flow: as workers/io.ts and server.ts wire them; native.ts in place of the addon.
// Thread: a model's threads.

import type { Binding } from '../../src/binding.ts'
import { Encoder } from '../../src/framing/encode.ts'
import type { Framing } from '../../src/framing/framing.ts'
import {
  Counter,
  IO_RELEASED,
  SESSION_IO_COUNT,
  SESSION_QUEUED_BYTES,
  SESSION_REQUEST,
  SESSION_SEND_FLAG,
  SESSION_SEND_HEAD,
  THREAD_ASSIGNED_SESSIONS,
  THREAD_FLUSH_HEAD,
  THREAD_RELEASE_HEAD,
  THREAD_REQUEST_HEAD,
} from '../../src/layout/layout.ts'
import type { Outbox } from '../../src/outbound/outbox.ts'
import { Sender } from '../../src/outbound/sender.ts'
import type { ResolvedProtocol } from '../../src/server/options.ts'
import type { Core } from '../../src/session/core.ts'
import type { Handler, SendResult } from '../../src/session/handler.ts'
import type { Lifecycle } from '../../src/session/lifecycle.ts'
import { ThreadRuntime } from '../../src/session/runtime.ts'
import type { LiveSession } from '../../src/session/session.ts'
import { add } from '../../src/shared/atomics.ts'
import { GroupTable } from '../../src/shared/group_table.ts'
import { ProtocolTable } from '../../src/shared/protocol_table.ts'
import type { SessionTable } from '../../src/shared/session_table.ts'
import { type AssembledWorker, assembleWorker } from '../../workers/assemble.ts'
import { ModelDriver, NativeLoop, Peer } from './native.ts'
import { check } from './ops.ts'
import type { World } from './world.ts'

/** Turns after which a worker that finds work for ever is a failure. */
const TURNS_MAX = 200

export const MAX_BACKPRESSURE = 1000

/** The name under which a worker finds its handler. */
const HANDLER = 'model'

/** As lengthPrefix({ bytes: 1 }) makes it, which no model can run: arrays' join() has the name of the session's. */
export const framing: Framing = {
  kind: 'length-prefix',
  bytes: 1,
  endian: 'big',
  offset: 0,
  includesHeader: false,
}
export const encoder = new Encoder(framing)

export interface WorkerOptions {
  /** Of each listener. */
  readonly framings?: readonly Framing[]
  readonly maxGather?: number
  readonly maxBackpressure?: number | undefined
  readonly handler?: Handler
  /** The word, outside of the plan, that says that sockets are writable again. */
  readonly writable?: number
  readonly closeMode?: 'graceful' | 'reset'
}

export class ModelWorker {
  readonly world: World
  readonly thread: number
  readonly core: Core
  readonly sender: Sender<LiveSession>
  readonly lifecycle: Lifecycle
  readonly runtime: ThreadRuntime
  readonly driver: ModelDriver
  readonly native: NativeLoop
  readonly sessions: LiveSession[] = []
  readonly #assembled: AssembledWorker

  constructor(world: World, thread: number, options: WorkerOptions = {}) {
    const {
      maxGather = 4,
      maxBackpressure = MAX_BACKPRESSURE,
      handler = {},
      writable = 0,
      framings = [framing],
    } = options
    this.world = world
    this.thread = thread
    const { sessions } = this
    const driver = new ModelDriver(
      world,
      thread,
      world.outside(writable),
      (offset, length, isNow) => checkSlice(world, offset, length, isNow),
    )
    const native = new NativeLoop(world, thread, driver)
    const protocols: ResolvedProtocol[] = []
    for (const [index, one] of framings.entries()) {
      protocols.push({
        name: `model${index}`,
        framing: one,
        maxPayloadLength: 64,
        handler: HANDLER,
        closeMode: options.closeMode ?? 'graceful',
        noDelay: true,
        sendBufferBytes: 0,
        receiveBufferBytes: 0,
      })
    }
    const binding = {
      ...world.binding,
      submit: () => native.submit(),
      handOver: () => native.handOver(),
    }
    const joining: Handler = {
      ...handler,
      onJoin(session) {
        sessions.push(session as LiveSession)
      },
    }
    this.#assembled = assembleWorker(
      {
        thread,
        memories: world.memories,
        protocols,
        options: {
          data: null,
          maxBackpressure,
          maxGather,
          completionBatch: 0,
          idleTimeout: 0,
          firstMessageTimeout: 0,
          closeTimeout: 1000,
          tickRate: 0,
        },
      },
      binding as unknown as Binding,
      new Map([[HANDLER, joining]]),
      () => ({ now: () => 0, turn: () => 0, every: () => () => {}, after: () => () => {} }),
      () => {},
      () => Promise.reject(new Error('no model connects')),
    )
    const { core, runtime, lifecycle } = this.#assembled
    this.core = core
    this.sender = core.sender
    this.lifecycle = lifecycle
    this.runtime = runtime
    this.driver = driver
    this.native = native
  }

  /** A connection that is accepted, attached and received from when this returns. */
  accept(peer = new Peer(), listener = 0): LiveSession {
    const { arena } = this.core
    add(arena.words, arena.threadAt(this.thread) + THREAD_ASSIGNED_SESSIONS, 1)
    this.driver.connecting.push(peer)
    const before = this.sessions.length
    this.lifecycle.accepted(listener, 0)
    // Its handler is elsewhere.
    const { live } = this.lifecycle.registry
    if (this.core.link !== null) this.sessions.push(live[live.length - 1])
    check(this.sessions.length === before + 1, 'a slot is free')
    this.native.handOver()
    return this.sessions[before]
  }

  peerOf(session: LiveSession): Peer {
    return this.driver.peerOf(session.slot, session.generation)
  }

  turn(): void {
    const { turn } = this.#assembled
    turn()
  }

  /** As Loop::run: sleeps and works for ever. */
  run(): void {
    for (;;) {
      this.native.handOver()
      this.native.sleepOrLook()
      this.native.checkAwake()
      if (this.native.hasWork()) this.turn()
    }
  }

  /** The same with fewer looks at the inputs. */
  runBriefly(): void {
    for (;;) {
      this.native.handOver()
      this.native.sleepBriefly()
      this.native.checkAwake()
      this.turn()
    }
  }

  /** One flush and its submission, at any time. */
  runOnce(): void {
    this.sender.flush()
    this.native.handOver()
    this.driver.report(this.native.ring)
  }

  /** Hands over, looks, and works once. */
  visit(): void {
    this.native.handOver()
    this.driver.wait(this.native.ring, true)
    if (this.native.hasWork()) this.turn()
  }

  /** Works until nothing is left to do, without a sleep; for the beginning and the end. */
  rest(): void {
    for (let turns = 0; ; turns++) {
      check(turns < TURNS_MAX, 'it comes to rest')
      this.visit()
      if (this.native.hasWork()) continue
      // Late completions may be in the ring now.
      this.visit()
      if (!this.native.hasWork()) return
    }
  }
}

/** What a driver is given to send lies in memory that is not free. */
export function checkSlice(world: World, offset: number, length: number, isNow: boolean): void {
  const { plan } = world.arena(0)
  check(length > 0, 'a slice is not empty')
  const isHeap = offset >= plan.heapByteAt && offset < plan.chunkByteAt
  check(isHeap !== isNow, 'only what was copied to the heap waits for a full socket')
  if (offset < plan.chunkByteAt) return
  const chunk = Math.floor((offset - plan.chunkByteAt) / plan.chunkBytes)
  const end = plan.chunkByteAt + (chunk + 1) * plan.chunkBytes
  check(offset + length <= end, 'CHUNK-3: a slice lies in one chunk')
  // Read without a thread: what is so now is so in every order of what other threads do next.
  const bits = Atomics.load(world.words, plan.chunkBitmapAt + (chunk >>> 5))
  check((bits & (1 << (chunk & 31))) === 0, 'CHUNK-1: a chunk in flight is not free')
  check(
    Atomics.load(world.words, plan.chunkRefsAt + chunk) > 0,
    'CHUNK-2: a chunk in flight has references',
  )
}

export interface MainOptions {
  readonly maxBackpressure?: number
  /** Of each listener. */
  readonly framings?: readonly Framing[]
}

/** The main thread, or another one without a turn: everything it does is foreign, and published at once. */
export class ModelMain {
  readonly sender: Sender<Outbox>
  readonly table: SessionTable
  readonly runtime: ThreadRuntime

  constructor(world: World, thread = 0, options: MainOptions = {}) {
    const { maxBackpressure = MAX_BACKPRESSURE, framings = [framing] } = options
    const { arena, waker, table } = world.thread(thread)
    this.sender = new Sender(arena, waker, table, false)
    this.table = table
    this.runtime = new ThreadRuntime({
      arena,
      sender: this.sender,
      table,
      groups: new GroupTable(arena),
      waker,
      protocols: new ProtocolTable(
        arena,
        framings.map((one) => new Encoder(one)),
      ),
      names: framings.map((_, index) => `model${index}`),
      maxBackpressure,
      thread: 'main',
      data: null,
      post: () => {},
      core: null,
      content: null,
      connect: null,
    })
  }
}

/** Messages that were sent to one session, by who sent them, and what came of it. */
export class Ledger {
  readonly session: LiveSession
  readonly accepted = new Map<number, number[]>()
  readonly #possible = new Set<number>()
  #sequence = 0

  constructor(session: LiveSession) {
    this.session = session
  }

  /** A payload that says who sent it and which one it is, of this many bytes. */
  payload(producer: number, length = 3): Uint8Array {
    const payload = new Uint8Array(length)
    for (let i = 2; i < length; i++) payload[i] = producer * 31 + this.#sequence * 7 + i
    payload[0] = producer
    payload[1] = this.#sequence++
    return payload
  }

  note(producer: number, payload: Uint8Array, result: SendResult): void {
    if (result !== 'queued') return
    const known = this.accepted.get(producer) ?? []
    known.push(payload[1])
    this.accepted.set(producer, known)
  }

  /** A message that was for many: this one may be among them. */
  mayGet(producer: number, payload: Uint8Array): void {
    this.#possible.add(producer * 256 + payload[1])
  }

  /**
   * The peer got what was accepted, each sender's in its order; `isCut`: it may lack the end. Returns how
   * many of the possible ones it got.
   */
  check(peer: Peer, isCut = false): number {
    let possible = 0
    const got = new Map<number, number[]>()
    const { bytes } = peer
    let at = 0
    while (at < bytes.length && at + 1 + bytes[at] <= bytes.length) {
      const length = bytes[at]
      const [producer, sequence] = [bytes[at + 1], bytes[at + 2]]
      for (let i = 2; i < length; i++)
        check(
          bytes[at + 1 + i] === ((producer * 31 + sequence * 7 + i) & 0xff),
          'a message arrives as it was sent',
        )
      at += 1 + length
      if (this.#possible.has(producer * 256 + sequence)) {
        possible++
        continue
      }
      const known = got.get(producer) ?? []
      known.push(sequence)
      got.set(producer, known)
    }
    check(isCut || at === bytes.length, 'the stream ends with a whole message')
    for (const [producer, sequences] of got) {
      const wanted = (this.accepted.get(producer) ?? []).slice(0, sequences.length)
      check(
        wanted.join() === sequences.join(),
        `SENDLIST-2: thread ${producer} sent ${wanted.join()}, the peer got ${sequences.join()}`,
      )
    }
    if (isCut) return possible
    for (const [producer, sequences] of this.accepted)
      check(
        got.get(producer)?.length === sequences.length,
        `SENDFLAG-2: of ${sequences.length} messages of thread ${producer} the peer got ${got.get(producer)?.length ?? 0}`,
      )
    return possible
  }
}

/** A worker that sleeps has nothing to do. */
export function checkAsleep(worker: ModelWorker): void {
  const { words } = worker.world
  const block = worker.core.arena.threadAt(worker.thread)
  for (const head of [THREAD_FLUSH_HEAD, THREAD_RELEASE_HEAD, THREAD_REQUEST_HEAD])
    check(words[block + head] === 0, 'WAKE-2: a thread with work does not sleep')
}

/** Ends every session and expects everything back where it was at the start. */
export function checkPristine(
  workers: readonly ModelWorker[],
  senders: readonly { readonly sender: Sender<LiveSession> | Sender<Outbox> }[],
  updates: readonly { rest(): boolean }[] = [],
): void {
  const { world } = workers[0]
  const { words } = world
  const { plan } = world.arena(0)
  // Sockets that were full are writable in the end.
  for (const worker of workers) {
    for (const session of worker.sessions) {
      if (words[session.at + SESSION_IO_COUNT] === IO_RELEASED) continue
      if (session.isOpen) session.terminate()
    }
  }
  restAll(workers, updates)
  for (const worker of workers) {
    const { counters } = worker.core
    check(worker.lifecycle.registry.live.length === 0, 'IOCOUNT-3: each session is released')
    check(counters[Counter.JOINED] === counters[Counter.LEFT], 'onLeave once for each onJoin')
    check(worker.core.heap.usedBytes === 0, 'HEAP-2: every block of the heap is free')
    check(worker.driver.buffersHeld === 0, 'BUFFER-2: every receive buffer is back')
    const assigned = worker.core.arena.threadAt(worker.thread) + THREAD_ASSIGNED_SESSIONS
    check(words[assigned] === 0, 'no session is assigned any more')
    for (const session of worker.sessions) {
      const { at } = session
      check(words[at + SESSION_IO_COUNT] === IO_RELEASED, 'IOCOUNT-2: what is released stays so')
      check(words[at + SESSION_SEND_HEAD] === 0, 'IOCOUNT-4: the send list is empty')
      check(words[at + SESSION_SEND_FLAG] === 0, 'IOCOUNT-4: the flag is free')
      check(words[at + SESSION_QUEUED_BYTES] === 0, 'queued bytes are settled')
      check(words[at + SESSION_REQUEST] === 0, 'REQUEST-1: nothing is asked for')
      check(!session.counted && !session.sending, 'IOCOUNT-4: nothing waits')
    }
    checkAsleep(worker)
  }
  for (const { sender } of [...workers, ...senders]) {
    sender.settle()
    sender.writer.retire()
  }
  for (let chunk = 0; chunk < plan.chunkCount; chunk++)
    check(words[plan.chunkRefsAt + chunk] === 0, 'CHUNK-2: every reference is dropped')
  check(workers[0].sender.writer.pool.freeCount() === plan.chunkCount, 'every chunk is free')
  checkNodes(workers, senders)
}

/** Everybody works until nobody has anything to do. */
export function restAll(
  workers: readonly ModelWorker[],
  updates: readonly { rest(): boolean }[],
): void {
  for (let isBusy = true; isBusy; ) {
    isBusy = false
    for (const worker of workers) worker.rest()
    for (const update of updates) if (update.rest()) isBusy = true
  }
}

/** Every thread can have all of its nodes again. */
function checkNodes(
  workers: readonly ModelWorker[],
  senders: readonly { readonly sender: Sender<LiveSession> | Sender<Outbox> }[],
): void {
  const [worker] = workers
  const { plan, bytes } = worker.core.arena
  const probe = worker.accept()
  for (const { sender } of [...workers, ...senders]) {
    check(sender.writer.reserve(1), 'a chunk is free')
    const { chunk, position } = sender.writer
    bytes[position] = 0
    let nodes = 0
    for (;;) {
      const done =
        sender === worker.sender
          ? worker.sender.pushShared(probe, chunk, position, 1)
          : sender.pushSharedForeign(probe.slot, chunk, position, 1)
      if (!done) break
      nodes++
    }
    check(
      nodes === plan.nodesPerThread,
      `NODE-1: ${nodes} of ${plan.nodesPerThread} nodes are free`,
    )
    sender.publish()
  }
}

/** A frame of a peer: its payload behind its length. */
export function frame(payload: Uint8Array): number[] {
  return [payload.length, ...payload]
}

/** The payloads in a stream. */
export function payloads(bytes: readonly number[]): number[] {
  const found: number[] = []
  for (let at = 0; at < bytes.length; at += 1 + bytes[at]) found.push(bytes[at + 1])
  return found
}
