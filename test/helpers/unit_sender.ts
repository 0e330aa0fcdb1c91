// What: a send path to test: an owner with a scripted driver and a session layer, producers on other threads, a peer.
// Flow: unit_memory, Sender -> this -> tests of outbound and send buffers.
// Thread: the test's; threads of the runtime are objects that take turns.

import { expect } from 'vitest'
import { Encoder } from '../../src/framing/encode.ts'
import { lengthPrefix } from '../../src/framing/framing.ts'
import {
  COMPLETION_FLAG_NOTIFIES,
  IO_RELEASED,
  IoStatus,
  SEND_FLAG_LAZY,
  SEND_FLAG_NOW,
  SEND_FLAG_ZERO_COPY,
  SEND_HEADER_WORDS,
  SEND_NUMBER_SHIFT,
  SESSION_GENERATION,
  SESSION_IO_COUNT,
  SESSION_QUEUED_BYTES,
  SESSION_RELEASE_LINK,
  SESSION_REQUEST,
  SESSION_SEND_FLAG,
  SESSION_SEND_HEAD,
  SubmissionOp,
  THREAD_FLUSH_HEAD,
  THREAD_LOCAL_PENDING,
  THREAD_NODE_RETURN_HEAD,
  THREAD_RELEASE_HEAD,
  THREAD_SUBMISSION_USED,
} from '../../src/layout/layout.ts'
import { Outbox } from '../../src/outbound/outbox.ts'
import { receiveBufferBlock } from '../../src/outbound/references.ts'
import { Sender, type SenderEvents } from '../../src/outbound/sender.ts'
import { SubmissionRing } from '../../src/outbound/submission_ring.ts'
import type { Arena } from '../../src/shared/arena.ts'
import { open, release } from '../../src/shared/io_count.ts'
import { takeAll } from '../../src/shared/link_stack.ts'
import { makeSessionId, type SessionId } from '../../src/shared/session_id.ts'
import type { SessionTable } from '../../src/shared/session_table.ts'
import type { Waker } from '../../src/shared/waker.ts'
import { WorkerHeap } from '../../src/shared/worker_heap.ts'
import { framed } from './framed.ts'
import { type Cuts, type UnitMemory, unitMemory } from './unit_memory.ts'

export const OWNER = 1
/** Submissions of one turn, as workers/io.ts has it. */
const ROUNDS_PER_TURN = 4
/** Turns after which something that does not come to rest is a failure. */
const TURNS_MAX = 1000
const POISON = 0xee

export const framing = lengthPrefix({ bytes: 2 })
export const encoder = new Encoder(framing)

/** As expect(), for what is asked a million times. */
function check(condition: boolean, message: string): void {
  if (!condition) throw new Error(message)
}

/** What becomes of a send: the bytes that the socket took, or `later`, which only a WAIT send may. */
/** Of a send that may be read where it lies: `copies`, the driver has copied it at once. */
export type Outcome =
  | { readonly status?: IoStatus; readonly taken: number; readonly copies?: boolean }
  | 'later'
export const LATER = 'later'

/** A SEND as the driver read it. */
export interface Send {
  readonly slot: number
  readonly generation: number
  readonly now: boolean
  /** Taken whole, it is reported when the next wait ends. */
  readonly lazy: boolean
  readonly slices: readonly (readonly [offset: number, length: number])[]
  readonly bytes: number
  /** Of one that may be read where it lies; -1: it is copied. */
  readonly number: number
}

export class FakeSession extends Outbox {
  /** What the peer got, piece by piece. */
  readonly pieces: Uint8Array[] = []
  readonly events: string[] = []
  ending = false
  released = false
  terminated = false
  /** Frames that send calls accepted, by producer. */
  readonly accepted = new Map<number, Uint8Array[]>()

  get stream(): Uint8Array {
    return Buffer.concat(this.pieces)
  }

  get id(): SessionId {
    return makeSessionId(this.slot, this.generation)
  }

  accept(producer: number, frame: Uint8Array): void {
    const frames = this.accepted.get(producer) ?? []
    frames.push(frame)
    this.accepted.set(producer, frames)
  }
}

/** A payload that says who made it, when, and whether it is whole. */
export function payloadOf(producer: number, sequence: number, length: number): Uint8Array {
  const payload = new Uint8Array(Math.max(3, length))
  for (let i = 3; i < payload.length; i++) payload[i] = producer * 31 + sequence * 7 + i
  payload[0] = producer
  payload[1] = sequence
  payload[2] = sequence >>> 8
  return payload
}

export const frameOf = (payload: Uint8Array): Uint8Array => framed(encoder, payload)

/** Sends and shared buffers as runtime.send and broadcast make them, on any thread but the owner's. */
export class Producer {
  readonly arena: Arena
  readonly waker: Waker
  readonly table: SessionTable
  readonly sender: Sender<FakeSession>
  readonly thread: number
  #audience: readonly FakeSession[] = []

  constructor(memory: UnitMemory, thread: number) {
    this.thread = thread
    ;({ arena: this.arena, waker: this.waker, table: this.table } = memory.thread(thread))
    this.sender = new Sender(this.arena, this.waker, this.table, thread !== 0)
    if (thread === 0) return
    // A worker without sessions: it has turns, and so open slices.
    const none = () => {
      throw new Error('a worker without sessions has no events')
    }
    this.sender.attach({
      submissions: new SubmissionRing(this.arena),
      heap: new WorkerHeap(0, 0),
      events: {
        outboxOf: none,
        sendFailed: none,
        sent: none,
        drained: none,
        sentAll: none,
        overflowed: none,
        retainReceiveBuffer: none,
        releaseReceiveBuffer: none,
        heldBuffersPart: none,
      },
      maxGather: 1,
      maxBackpressure: 1,
      wantsSent: false,
      drainsByWord: false,
      lanes: null,
    })
  }

  /** Under a pin; false: refused or the session is gone. */
  send(session: FakeSession, payload: Uint8Array): boolean {
    const slot = this.table.pin(session.id)
    if (slot === -1) return false
    const done = this.sender.writeForeign(slot, encoder, payload, 0, payload.length)
    this.table.unpin(slot)
    if (done) session.accept(this.thread, frameOf(payload))
    return done
  }

  share(sessions: readonly FakeSession[], payload: Uint8Array): number {
    return share(this, this.thread, sessions, payload, (session, { chunk, at, frame }) => {
      const slot = this.table.pin(session.id)
      if (slot === -1) return false
      const done = this.sender.pushSharedForeign(slot, chunk, at, frame.length)
      this.table.unpin(slot)
      return done
    })
  }

  /** As a broadcast to all: behind the one before it, when nothing was sent to another thread's session since. */
  toAll(sessions: readonly FakeSession[], payload: Uint8Array): 'walked' | 'joined' | 'refused' {
    const { sender } = this
    const shared = writeShared(sender, this.arena, payload)
    if (shared === null) return 'refused'
    const { chunk, at, frame } = shared
    const joins = sender.extendAudience(chunk, at, frame.length)
    if (!joins) {
      sender.commit()
      this.#audience = sessions.filter((session) => {
        const slot = this.table.pin(session.id)
        if (slot === -1) return false
        if (sender.pushToAudience(slot, chunk, at, frame.length)) return true
        this.table.unpin(slot)
        return false
      })
    }
    for (const session of this.#audience) session.accept(this.thread, frame)
    sender.dropReference(chunk)
    return joins ? 'joined' : 'walked'
  }

  /** What main does after every call, and a worker at the end of its turn. */
  publish(): void {
    if (this.thread === 0) {
      this.sender.publish()
      return
    }
    this.sender.flush()
    this.sender.settle()
    this.waker.flush()
  }
}

interface Shared {
  readonly chunk: number
  readonly at: number
  readonly frame: Uint8Array
}

function writeShared(
  sender: Sender<FakeSession>,
  arena: Arena,
  payload: Uint8Array,
): Shared | null {
  const frame = frameOf(payload)
  const { writer } = sender
  // As send buffers: what no chunk holds is not shared.
  if (frame.length > writer.chunkBytes || !writer.reserve(frame.length)) return null
  const at = writer.position
  arena.bytes.set(frame, at)
  writer.position += frame.length
  sender.takeReference(writer.chunk)
  return { chunk: writer.chunk, at, frame }
}

/** One frame, written once, to many sessions; how many got it. -1: no chunk is free. */
function share(
  { sender, arena }: { readonly sender: Sender<FakeSession>; readonly arena: Arena },
  thread: number,
  sessions: readonly FakeSession[],
  payload: Uint8Array,
  push: (session: FakeSession, shared: Shared) => boolean,
): number {
  const shared = writeShared(sender, arena, payload)
  if (shared === null) return -1
  let count = 0
  for (const session of sessions) {
    if (!push(session, shared)) continue
    session.accept(thread, shared.frame)
    count++
  }
  sender.dropReference(shared.chunk)
  return count
}

interface Completion {
  readonly send: Send
  readonly status: IoStatus
  readonly taken: number
  readonly flags: number
}

export interface OwnerOptions {
  readonly maxGather?: number
  readonly sendsPend?: boolean
  readonly maxBackpressure?: number
  readonly wantsSent?: boolean
}

/** The worker that owns sessions: sender, driver and session life. */
export class Owner implements SenderEvents<FakeSession> {
  readonly arena: Arena
  readonly waker: Waker
  readonly table: SessionTable
  readonly sender: Sender<FakeSession>
  readonly submissions: SubmissionRing
  readonly heap: WorkerHeap
  readonly sessions = new Map<number, FakeSession>()
  readonly everyone: FakeSession[] = []
  /** What becomes of a send when it is submitted. */
  policy: (send: Send) => Outcome = (send) => ({ taken: send.bytes })
  /** Called between completions and by events: what handlers do. */
  handlers: { between?(): void; sent?(s: FakeSession): void; drained?(s: FakeSession): void } = {}
  /** Sends that the driver has: those that wait, and where sends pend any. */
  readonly later: Send[] = []
  /** What is read where it lies, with the bytes that were taken as they were. */
  readonly reads = new Map<Send, Uint8Array>()
  /** Every SEND that was submitted. */
  readonly sends: Send[] = []
  readonly bufferReferences: Int32Array
  readonly maxGather: number
  readonly sendsPend: boolean
  #completions: Completion[] = []
  /** Lazy sends that were taken whole. */
  #held: Completion[] = []

  constructor(memory: UnitMemory, options: OwnerOptions = {}) {
    ;({ arena: this.arena, waker: this.waker, table: this.table } = memory.thread(OWNER))
    const { heapByteAt, heapBytesPerWorker, recvBuffersPerWorker } = this.arena.plan
    this.sender = new Sender(this.arena, this.waker, this.table, true)
    this.submissions = new SubmissionRing(this.arena)
    this.heap = new WorkerHeap(heapByteAt, heapBytesPerWorker)
    this.bufferReferences = new Int32Array(recvBuffersPerWorker)
    this.maxGather = options.maxGather ?? 4
    this.sendsPend = options.sendsPend ?? false
    this.sender.attach({
      submissions: this.submissions,
      heap: this.heap,
      events: this,
      maxGather: this.maxGather,
      maxBackpressure: options.maxBackpressure ?? 1000,
      wantsSent: options.wantsSent ?? true,
      sendsPend: this.sendsPend,
      drainsByWord: false,
      lanes: null,
    })
  }

  // --- sessions --------------------------------------------------------------------------------

  open(slot: number, by: Encoder = encoder): FakeSession {
    const { words } = this.arena
    const at = this.arena.sessionAt(slot)
    expect(this.sessions.has(slot)).toBe(false)
    const generation = (words[at + SESSION_GENERATION] + 1) >>> 0
    words[at + SESSION_GENERATION] = generation
    words[at + SESSION_QUEUED_BYTES] = 0
    words[at + SESSION_REQUEST] = 0
    open(words, at + SESSION_IO_COUNT)
    const session = new FakeSession(slot, generation, at, 0, by)
    this.sessions.set(slot, session)
    this.everyone.push(session)
    return session
  }

  send(session: FakeSession, payload: Uint8Array): boolean {
    if (session.sendDead || session.ending) return false
    const done = this.sender.writeOwn(session, payload, 0, payload.length)
    if (done) session.accept(OWNER, frameOf(payload))
    return done
  }

  share(sessions: readonly FakeSession[], payload: Uint8Array): number {
    return share(this, OWNER, sessions, payload, (session, { chunk, at, frame }) => {
      if (session.sendDead || session.ending) return false
      return this.sender.pushShared(session, chunk, at, frame.length)
    })
  }

  /** Frames that were received behind one another in one buffer go out as they came. */
  echo(session: FakeSession, payloads: readonly Uint8Array[]): boolean {
    const buffer = this.bufferReferences.indexOf(0)
    if (buffer === -1 || session.sendDead || session.ending) return false
    let at = this.bufferStart(buffer)
    this.retainReceiveBuffer(buffer)
    let done = true
    for (const payload of payloads) {
      const frame = frameOf(payload)
      this.arena.bytes.set(frame, at)
      done = this.sender.appendOwn(session, receiveBufferBlock(buffer), at, at + frame.length)
      if (!done) break
      session.accept(OWNER, frame)
      at += frame.length
    }
    this.releaseReceiveBuffer(buffer)
    return done
  }

  bufferStart(buffer: number): number {
    return this.arena.plan.recvByteAt + buffer * this.arena.plan.recvBufferStride
  }

  /** Ends at once, as Lifecycle.terminate does. */
  terminate(session: FakeSession): void {
    if (session.terminated) return
    session.terminated = true
    this.#leaveOpen(session)
    this.sender.kill(session)
    this.#cancel(session)
    this.#dropBase(session)
  }

  /** Takes no more sends; the count goes when what was queued is sent. */
  end(session: FakeSession): void {
    this.#leaveOpen(session)
    this.#dropBase(session)
  }

  /** From here each completion matters, as in Lifecycle. */
  #leaveOpen(session: FakeSession): void {
    session.ending = session.prompt = true
    if (session.sending) this.#markPending()
  }

  #markPending(): void {
    this.arena.words[this.arena.threadAt(OWNER) + THREAD_LOCAL_PENDING] = 1
  }

  #dropBase(session: FakeSession): void {
    if (!session.counted || !session.ending || !this.sender.quiet(session)) return
    session.counted = false
    if (release(this.arena.words, session.at + SESSION_IO_COUNT)) this.#release(session)
  }

  #cancel(session: FakeSession): void {
    for (const send of this.later.filter(({ slot }) => slot === session.slot))
      this.complete(send, { status: IoStatus.CANCELLED, taken: 0 })
  }

  // --- driver ----------------------------------------------------------------------------------

  /** Reads the area as a driver does. */
  submit(): void {
    const { words, plan } = this.arena
    const usedAt = this.arena.threadAt(OWNER) + THREAD_SUBMISSION_USED
    const start = plan.submissionsAt + (OWNER - 1) * plan.submissionWords
    const end = start + words[usedAt]
    check(words[usedAt] <= plan.submissionWords, 'the area is not overrun')
    for (let at = start; at < end; ) {
      const op = words[at] & 0xff
      const flags = (words[at] >>> 8) & 0xff
      const count = words[at] >>> 16
      check(op === SubmissionOp.SEND, 'only sends are submitted here')
      const slices: [number, number][] = []
      let pair = at + SEND_HEADER_WORDS
      for (let i = 0; i < count; i++, pair += 2) slices.push([words[pair], words[pair + 1]])
      const send: Send = {
        slot: words[at + 1],
        generation: words[at + 2] >>> 0,
        now: (flags & SEND_FLAG_NOW) !== 0,
        lazy: (flags & SEND_FLAG_LAZY) !== 0,
        slices,
        bytes: slices.reduce((sum, [, length]) => sum + length, 0),
        number: (flags & SEND_FLAG_ZERO_COPY) === 0 ? -1 : flags >>> SEND_NUMBER_SHIFT,
      }
      check(words[at + 3] === send.bytes, 'word 3 is the sum of the slices')
      at = pair
      this.#take(send)
    }
    words[usedAt] = 0
  }

  #take(send: Send): void {
    this.sends.push(send)
    const session = this.sessions.get(send.slot)
    check(session?.generation === send.generation, 'a send is for the session of its slot')
    const count = send.slices.length
    check(count > 0 && count <= this.maxGather, `a gather of ${count} slices`)
    const done = [...this.#completions, ...this.#held]
    const inFlight = [...this.later, ...done.map((completion) => completion.send)]
    const double = inFlight.some(({ slot }) => slot === send.slot)
    check(!double, 'one send of a session is in flight')
    const outcome = this.policy(send)
    this.#checkMemory(send)
    if (outcome !== LATER) {
      this.#complete(send, outcome)
      return
    }
    if (!this.sendsPend) expect(send.now, 'a NOW send completes at once').toBe(false)
    this.later.push(send)
  }

  /** Every slice lies in memory that is not free: of NOW sends in chunks and receive buffers, of others in the heap. */
  #checkMemory(send: Send): void {
    const { plan, words } = this.arena
    for (const [offset, length] of send.slices) {
      check(length > 0, 'a slice is not empty')
      if (offset >= plan.heapByteAt) {
        check(!send.now, 'overflow waits')
        continue
      }
      check(send.now, 'chunks and receive buffers do not wait')
      if (offset < plan.chunkByteAt) {
        const buffer = Math.floor((offset - plan.recvByteAt) / plan.recvBufferStride)
        check(this.bufferReferences[buffer] > 0, 'a receive buffer that is sent is held')
        continue
      }
      const chunk = Math.floor((offset - plan.chunkByteAt) / plan.chunkBytes)
      const end = plan.chunkByteAt + (chunk + 1) * plan.chunkBytes
      check(offset + length <= end, 'a slice lies in one chunk')
      const free = words[plan.chunkBitmapAt + (chunk >>> 5)] & (1 << (chunk & 31))
      check(free === 0, 'a chunk in flight is not free')
      check(words[plan.chunkRefsAt + chunk] > 0, 'a chunk in flight has references')
    }
  }

  /** Completes a send that the driver has kept. */
  complete(send: Send, outcome: Exclude<Outcome, 'later'>): void {
    this.later.splice(this.later.indexOf(send), 1)
    this.#checkMemory(send)
    this.#complete(send, outcome)
  }

  #complete(
    send: Send,
    { status = IoStatus.OK, taken, copies = send.number === -1 }: Exclude<Outcome, 'later'>,
  ): void {
    const session = this.sessions.get(send.slot) as FakeSession
    let left = taken
    for (const [offset, length] of send.slices) {
      const count = Math.min(left, length)
      if (count > 0) session.pieces.push(this.arena.bytes.slice(offset, offset + count))
      left -= count
    }
    if (!copies) {
      const isSame = ({ slot, number }: Send) => slot === send.slot && number === send.number
      check(![...this.reads.keys()].some(isSame), 'a number is given again after its notification')
      this.reads.set(send, this.#bytesOf(send, taken))
    }
    const whole = status === IoStatus.OK && taken === send.bytes
    const list = send.lazy && whole && copies ? this.#held : this.#completions
    list.push({ send, status, taken, flags: copies ? 0 : COMPLETION_FLAG_NOTIFIES })
  }

  #bytesOf(send: Send, taken: number): Uint8Array {
    const slices = send.slices.map(([offset, length]) =>
      this.arena.bytes.slice(offset, offset + length),
    )
    return Buffer.concat(slices).subarray(0, taken)
  }

  /** Its result has not been handled: until then no notification of it comes. */
  isCompleting(send: Send): boolean {
    return this.#completions.some((completion) => completion.send === send)
  }

  /** The kernel has read what it has not copied, which is as it was. */
  notify(send: Send, isCopied = false): void {
    const bytes = this.reads.get(send) as Uint8Array
    check(bytes !== undefined, 'a send is notified once')
    const now = this.#bytesOf(send, bytes.length)
    check(Buffer.compare(bytes, now) === 0, 'what the kernel reads has not changed')
    this.reads.delete(send)
    const session = this.sessions.get(send.slot) as FakeSession
    check(session.generation === send.generation, 'a session outlives its operations')
    this.sender.notified(session, send.number, isCopied)
  }

  // --- turns -----------------------------------------------------------------------------------

  drain(): void {
    for (
      let done = this.#completions.shift();
      done !== undefined;
      done = this.#completions.shift()
    ) {
      const session = this.sessions.get(done.send.slot) as FakeSession
      check(session.generation === done.send.generation, 'a session outlives its operations')
      this.sender.completed(session, done.status, done.taken, done.flags)
      this.handlers.between?.()
    }
  }

  takeForeign(): void {
    const { words } = this.arena
    let entry = takeAll(words, this.arena.threadAt(OWNER) + THREAD_RELEASE_HEAD)
    while (entry !== 0) {
      const session = this.outboxOf(entry - 1)
      entry = words[session.at + SESSION_RELEASE_LINK]
      this.#release(session)
    }
  }

  /** As the turn of workers/io.ts. */
  turn(): void {
    this.#submitNow()
    for (let round = 1; ; round++) {
      this.drain()
      this.takeForeign()
      if (round > ROUNDS_PER_TURN) break
      this.sender.flush()
      this.#leave()
      this.submissions.prepare()
      // Otherwise the driver gets everything with its next wait: the beginning of the next turn.
      if (!this.submissions.takePrompt()) break
      this.#submitNow()
      if (this.#completions.length === 0) break
    }
    this.sender.settle()
    this.waker.flush()
  }

  /** A wait, or a submit of which the completions are wanted. */
  #submitNow(): void {
    this.submit()
    this.#completions.push(...this.#held.splice(0))
  }

  get pending(): boolean {
    const { words } = this.arena
    return words[this.arena.threadAt(OWNER) + THREAD_LOCAL_PENDING] !== 0
  }

  /** Lazy sends that the driver took whole and has not reported. */
  get heldSends(): number {
    return this.#held.length
  }

  /** What native reads before it sleeps. */
  get mustNotSleep(): boolean {
    const { words } = this.arena
    const block = this.arena.threadAt(OWNER)
    return (
      this.pending ||
      this.#completions.length > 0 ||
      words[block + THREAD_FLUSH_HEAD] !== 0 ||
      words[block + THREAD_RELEASE_HEAD] !== 0 ||
      words[block + THREAD_SUBMISSION_USED] !== 0
    )
  }

  /** Turns until the thread may sleep, and is woken once more if sends are reported only then. */
  rest(): void {
    this.turn()
    let turns = 1
    for (; (this.mustNotSleep || this.heldSends > 0) && turns < TURNS_MAX; turns++) this.turn()
    expect(turns, 'it comes to rest').toBeLessThan(TURNS_MAX)
  }

  /** Everything that waits is taken, until nothing is left. */
  drainAll(): void {
    this.policy = (send) => ({ taken: send.bytes })
    this.rest()
    for (let turns = 0; this.later.length > 0; turns++) {
      expect(turns, 'it drains').toBeLessThan(TURNS_MAX)
      for (const send of [...this.later]) this.complete(send, { taken: send.bytes })
      this.rest()
    }
  }

  #leave(): void {
    for (const session of [...this.sessions.values()]) {
      if (!session.released) continue
      // What Lifecycle asserts when a session leaves.
      expect(session.sending, 'IOCOUNT-4').toBe(false)
      this.sessions.delete(session.slot)
    }
  }

  // --- events ----------------------------------------------------------------------------------

  outboxOf(slot: number): FakeSession {
    const session = this.sessions.get(slot)
    check(session !== undefined, `slot ${slot} has a session`)
    return session as FakeSession
  }

  sendFailed(session: FakeSession, status: IoStatus): void {
    session.events.push(`failed ${status}`)
    session.terminated = true
    this.#leaveOpen(session)
    this.#cancel(session)
  }

  sent(session: FakeSession, bytes: number): void {
    session.events.push(`sent ${bytes}`)
    this.handlers.sent?.(session)
  }

  drained(session: FakeSession): void {
    session.events.push('drained')
    this.handlers.drained?.(session)
  }

  sentAll(session: FakeSession): void {
    session.events.push('sentAll')
    this.#dropBase(session)
  }

  #release(session: FakeSession): void {
    expect(session.released, 'a session is released once').toBe(false)
    expect(this.arena.words[session.at + SESSION_IO_COUNT]).toBe(IO_RELEASED)
    session.released = true
    session.events.push('released')
    this.#markPending()
  }

  overflowed(session: FakeSession): void {
    session.events.push(session.sendDead ? 'exhausted' : 'pressure')
    this.terminate(session)
  }

  retainReceiveBuffer(buffer: number): void {
    this.bufferReferences[buffer]++
  }

  heldBuffersPart(): number {
    const { bufferReferences } = this
    return bufferReferences.filter((count) => count > 0).length / bufferReferences.length
  }

  releaseReceiveBuffer(buffer: number): void {
    const left = --this.bufferReferences[buffer]
    check(left >= 0, 'a receive buffer is not released too often')
    if (left > 0) return
    // The driver has it again: whoever still reads it reads this.
    const start = this.bufferStart(buffer)
    this.arena.bytes.fill(POISON, start, start + this.arena.plan.recvBufferStride)
  }
}

export interface Rig {
  readonly memory: UnitMemory
  readonly owner: Owner
  readonly main: Producer
  readonly other: Producer
}

const RIG_CUTS = {
  nodesPerThread: 64,
  submissionWords: 256,
  chunkCount: 16,
  heapBytesPerWorker: 65_536,
} satisfies Cuts

export function makeRig(options: OwnerOptions & Cuts & { memory?: UnitMemory } = {}): Rig {
  const { memory = unitMemory({}, { ...RIG_CUTS, ...options }) } = options
  return {
    memory,
    owner: new Owner(memory, options),
    main: new Producer(memory, 0),
    other: new Producer(memory, 2),
  }
}

/** The stream of a session holds what was accepted: whole, in each producer's order. */
export function checkStream(session: FakeSession, complete = !session.terminated): void {
  const { stream } = session
  const next = new Map<number, number>()
  let at = 0
  while (at + 2 < stream.length) {
    const end = at + 2 + stream[at] * 256 + stream[at + 1]
    const producer = stream[at + 2]
    const index = next.get(producer) ?? 0
    const frame = session.accepted.get(producer)?.[index]
    expect(frame, `frame ${index} of producer ${producer} was accepted`).toBeDefined()
    const found = stream.subarray(at, end)
    const whole = found.length === frame?.length
    const same =
      Buffer.compare(found, (frame as Uint8Array).subarray(0, found.length)) === 0 &&
      (whole || (!complete && end > stream.length))
    expect(same, `frame ${index} of producer ${producer} is exact`).toBe(true)
    next.set(producer, index + 1)
    at = end
  }
  if (!complete) return
  expect(at, 'the stream ends with a frame').toBe(stream.length)
  for (const [producer, frames] of session.accepted)
    expect(next.get(producer) ?? 0, `frames of producer ${producer}`).toBe(frames.length)
}

/** Everything is back where it was at the start; every session has ended or has nothing queued. */
export function assertPristine({ memory, owner, main, other }: Rig): void {
  const { arena } = owner
  const { plan, words } = arena
  expect(owner.later).toEqual([])
  expect(owner.mustNotSleep, 'nothing is left to do').toBe(false)
  for (const session of owner.everyone) {
    const { bufferedBytes, foreignBytes, waitFirst, waitLast, waitCount, flightFirst } = session
    const { flightBytes, overflow, waiting, dirty } = session
    expect({ bufferedBytes, foreignBytes, waitFirst, waitLast, waitCount, flightFirst }).toEqual({
      bufferedBytes: 0,
      foreignBytes: 0,
      waitFirst: 0,
      waitLast: 0,
      waitCount: 0,
      flightFirst: 0,
    })
    expect({ flightBytes, overflow, waiting, dirty }).toEqual({
      flightBytes: 0,
      overflow: null,
      waiting: false,
      dirty: false,
    })
    expect(session.released).toBe(session.ending)
  }
  for (const { slot, at } of owner.everyone) {
    const live = owner.sessions.has(slot)
    expect(words[at + SESSION_IO_COUNT], `io_count of ${slot}`).toBe(live ? 1 : IO_RELEASED)
    expect(words[at + SESSION_SEND_FLAG], `send_flag of ${slot}`).toBe(0)
    expect(words[at + SESSION_SEND_HEAD], `send_head of ${slot}`).toBe(0)
    expect(words[at + SESSION_QUEUED_BYTES], `queued_bytes of ${slot}`).toBe(0)
  }
  for (let thread = 0; thread < plan.threadCount; thread++) {
    expect(words[arena.threadAt(thread) + THREAD_FLUSH_HEAD]).toBe(0)
    expect(words[arena.threadAt(thread) + THREAD_RELEASE_HEAD]).toBe(0)
  }
  for (const { sender } of [owner, main, other]) {
    sender.settle()
    sender.writer.retire()
  }
  expect(owner.sender.writer.pool.freeCount(), 'every chunk is free').toBe(plan.chunkCount)
  const references = words.subarray(plan.chunkRefsAt, plan.chunkRefsAt + plan.chunkCount)
  check(
    references.every((count) => count === 0),
    `references to chunks: ${references}`,
  )
  expect(owner.heap.usedBytes, 'every block of the heap is free').toBe(0)
  expect([...owner.bufferReferences].every((count) => count === 0)).toBe(true)
  assertNodes({ memory, owner, main, other })
}

/** Every thread can have all of its nodes. */
function assertNodes({ owner, main, other }: Rig): void {
  const { words, plan } = owner.arena
  for (const producer of [null, main, other]) {
    let slot = 0
    while (owner.sessions.has(slot)) slot++
    expect(slot, 'a slot is free to probe with').toBeLessThan(plan.sessionsPerWorker)
    const probe = owner.open(slot)
    const { writer } = (producer ?? owner).sender
    check(writer.reserve(1), 'a chunk is free')
    const { chunk, position } = writer
    // The same byte again and again: nothing lies behind what waits.
    const push = () =>
      producer === null
        ? owner.sender.pushShared(probe, chunk, position, 1)
        : producer.sender.pushSharedForeign(slot, chunk, position, 1)
    let nodes = 0
    while (push()) nodes++
    producer?.publish()
    owner.terminate(probe)
    owner.rest()
    owner.rest()
    const name = producer === null ? 'the owner' : `thread ${producer.thread}`
    expect(nodes, `every node of ${name} is free`).toBe(plan.nodesPerThread)
    writer.retire()
    expect(probe.released).toBe(true)
    expect(words[probe.at + SESSION_QUEUED_BYTES]).toBe(0)
    owner.everyone.pop()
  }
}

/** For another run in the same memory, after assertPristine: what pools of old threads keep to themselves. */
export function reuse(memory: UnitMemory): void {
  const arena = memory.arena(OWNER)
  for (let thread = 0; thread < arena.plan.threadCount; thread++)
    memory.words[arena.threadAt(thread) + THREAD_NODE_RETURN_HEAD] = 0
}
