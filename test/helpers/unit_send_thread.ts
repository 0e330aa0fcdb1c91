// What: a send thread to test: production sender, send side and turn, over a scripted driver that borrows sockets.
// Flow: unit_memory, unit_sender's producers -> this -> tests of src/send and of its turn.
// Thread: the test's; threads of the runtime are objects that take turns.

import { expect } from 'vitest'
import {
  COMPLETION_GENERATION,
  COMPLETION_KIND,
  COMPLETION_RESULT,
  COMPLETION_SLOT,
  COMPLETION_STATUS,
  COMPLETION_WORDS,
  CompletionKind,
  IoStatus,
  SEND_FLAG_LAZY,
  SEND_HEADER_WORDS,
  SESSION_CONTENT,
  SESSION_GENERATION,
  SESSION_IO_COUNT,
  SESSION_SENDER,
  SESSION_STATE,
  SessionState,
  SUBMISSION_OP_NAMES,
  SubmissionOp,
  THREAD_COMPLETION_TAIL,
  THREAD_FLUSH_HEAD,
  THREAD_LOCAL_PENDING,
  THREAD_SUBMISSION_USED,
} from '../../src/layout/layout.ts'
import { Sender } from '../../src/outbound/sender.ts'
import { SubmissionRing } from '../../src/outbound/submission_ring.ts'
import { type SendOutbox, SendSide } from '../../src/send/send_side.ts'
import type { Arena } from '../../src/shared/arena.ts'
import { open } from '../../src/shared/io_count.ts'
import { ProtocolTable } from '../../src/shared/protocol_table.ts'
import type { Waker } from '../../src/shared/waker.ts'
import { WorkerHeap } from '../../src/shared/worker_heap.ts'
import { JobConsumer } from '../../src/update/job_ring.ts'
import { createSendTurn } from '../../workers/send_turn.ts'
import { type Cuts, type UnitMemory, unitMemory } from './unit_memory.ts'
import { encoder, FakeSession, LATER } from './unit_sender.ts'

/** Turns after which something that does not come to rest is a failure. */
const TURNS_MAX = 100

/** A SEND as the driver read it. */
export interface LentSend {
  readonly slot: number
  readonly generation: number
  readonly slices: readonly (readonly [offset: number, length: number])[]
  readonly bytes: number
  readonly isLazy: boolean
}

export interface SendThreadOptions extends Cuts {
  readonly maxGather?: number
  readonly memory?: UnitMemory
}

/** Two workers, two send threads, two update threads. */
export function sendMemory(cuts: Cuts = {}): UnitMemory {
  return unitMemory({ mode: 'send', send: { lanes: 1 }, update: { threads: 2 } }, cuts)
}

/** The first send thread. */
export class SendThread {
  readonly memory: UnitMemory
  readonly arena: Arena
  readonly waker: Waker
  readonly thread: number
  readonly sender: Sender<SendOutbox>
  readonly side: SendSide
  readonly heap: WorkerHeap
  readonly turn: () => void
  /** Every SEND that was submitted. */
  readonly sends: LentSend[] = []
  /** Those that the driver has. */
  readonly flights: LentSend[] = []
  /** Every other operation: `borrow 3`. */
  readonly controls: string[] = []
  /** Bytes that the socket takes at once, or `later`. */
  policy: (send: LentSend) => number | typeof LATER = (send) => send.bytes
  isFlush: () => boolean = () => true
  readonly #sessions = new Map<number, FakeSession>()
  /** Lazy sends that were taken whole, which the next wait reports. */
  readonly #held: LentSend[] = []

  constructor({ maxGather = 16, memory, ...cuts }: SendThreadOptions = {}) {
    this.memory = memory ?? sendMemory(cuts)
    this.thread = this.memory.arena(0).plan.workerCount + 1
    const { arena, waker, table } = this.memory.thread(this.thread)
    const { heapByteAt, heapBytesPerWorker } = arena.plan
    const sender = new Sender<SendOutbox>(arena, waker, table, true)
    const submissions = new SubmissionRing(arena)
    this.arena = arena
    this.waker = waker
    this.sender = sender
    this.heap = new WorkerHeap(
      heapByteAt + (this.thread - 1) * heapBytesPerWorker,
      heapBytesPerWorker,
    )
    const side = new SendSide({
      arena,
      waker,
      table,
      sender,
      submissions,
      protocols: new ProtocolTable(arena, [encoder]),
      resetsOnClose: [false],
    })
    this.side = side
    sender.attach({
      submissions,
      heap: this.heap,
      events: side,
      maxGather,
      maxBackpressure: 1 << 20,
      wantsSent: false,
      drainsByWord: true,
      lanes: side,
    })
    this.turn = createSendTurn({
      arena,
      waker,
      sender,
      submissions,
      side,
      binding: { submit: () => this.#submit() },
      isFlush: () => this.isFlush(),
    })
  }

  /** The other end of the ring to an update thread, the first is 0. */
  consumer(update: number): JobConsumer {
    const thread = this.arena.plan.updateFirst + update
    return new JobConsumer(this.memory.arena(thread), this.thread)
  }

  /** A session of this lane whose content is in an update thread, the first is 0. */
  open(slot: number, update = 0, generation = 1): FakeSession {
    const { words, plan } = this.arena
    const at = this.arena.sessionAt(slot)
    words[at + SESSION_GENERATION] = generation
    words[at + SESSION_STATE] = SessionState.OPEN
    words[at + SESSION_CONTENT] = plan.updateFirst + update
    words[at + SESSION_SENDER] = this.thread
    open(words, at + SESSION_IO_COUNT)
    const session = new FakeSession(slot, generation, at, 0, encoder)
    this.#sessions.set(slot, session)
    return session
  }

  /** The end of a wait: completions that were kept back are there. */
  wait(): void {
    this.#submit()
    for (const send of this.#held.splice(0)) this.#report(send, IoStatus.OK, send.bytes)
  }

  /** Waits and turns until nothing is left to do. */
  rest(): void {
    const { words } = this.arena
    const block = this.arena.threadAt(this.thread)
    let turns = 0
    do {
      this.wait()
      this.turn()
      expect(turns++, 'it comes to rest').toBeLessThan(TURNS_MAX)
    } while (
      this.#held.length > 0 ||
      words[block + THREAD_LOCAL_PENDING] !== 0 ||
      words[block + THREAD_FLUSH_HEAD] !== 0 ||
      words[block + THREAD_SUBMISSION_USED] !== 0
    )
  }

  /** Completes a SEND that the driver has. */
  complete(send: LentSend, taken = send.bytes, status: IoStatus = IoStatus.OK): void {
    this.flights.splice(this.flights.indexOf(send), 1)
    this.#report(send, status, taken)
  }

  /** Reads the area as a driver does; how many completions there are at once. */
  #submit(): number {
    const { words, plan } = this.arena
    const usedAt = this.arena.threadAt(this.thread) + THREAD_SUBMISSION_USED
    const start = plan.submissionsAt + (this.thread - 1) * plan.submissionWords
    const end = start + words[usedAt]
    // What is handed over meanwhile is written behind it.
    words[usedAt] = 0
    let completed = 0
    for (let at = start; at < end; ) {
      const op = words[at] & 0xff
      const slot = words[at + 1]
      const generation = words[at + 2] >>> 0
      if (op !== SubmissionOp.SEND) {
        this.controls.push(`${SUBMISSION_OP_NAMES[op]} ${slot}`)
        if (op === SubmissionOp.CANCEL) completed += this.#cancel(slot)
        at += 3
        continue
      }
      const count = words[at] >>> 16
      const slices: [number, number][] = []
      const isLazy = ((words[at] >>> 8) & SEND_FLAG_LAZY) !== 0
      const bytes = words[at + 3]
      at += SEND_HEADER_WORDS
      for (let i = 0; i < count; i++, at += 2) slices.push([words[at], words[at + 1]])
      completed += this.#send({ slot, generation, slices, bytes, isLazy })
    }
    return completed
  }

  #send(send: LentSend): number {
    const isSecond = [...this.flights, ...this.#held].some(({ slot }) => slot === send.slot)
    expect(isSecond, 'SENDFLAG-3: a session has one send in flight').toBe(false)
    this.sends.push(send)
    const taken = this.policy(send)
    if (taken === LATER) {
      this.flights.push(send)
      return 0
    }
    if (send.isLazy && taken === send.bytes) {
      this.#held.push(send)
      return 0
    }
    this.#report(send, IoStatus.OK, taken)
    return 1
  }

  #cancel(slot: number): number {
    const cancelled = this.flights.filter((send) => send.slot === slot)
    for (const send of cancelled) this.complete(send, 0, IoStatus.CANCELLED)
    return cancelled.length
  }

  /** Into the completion ring; the peer has what was taken. */
  #report(send: LentSend, status: IoStatus, taken: number): void {
    const { words, plan, bytes } = this.arena
    let left = taken
    for (const [offset, length] of send.slices) {
      const count = Math.min(left, length)
      if (count > 0) this.#sessions.get(send.slot)?.pieces.push(bytes.slice(offset, offset + count))
      left -= count
    }
    const tailAt = this.arena.threadAt(this.thread) + THREAD_COMPLETION_TAIL
    const tail = words[tailAt]
    const ring = plan.completionsAt + (this.thread - 1) * plan.completionCapacity * COMPLETION_WORDS
    const at = ring + (tail & (plan.completionCapacity - 1)) * COMPLETION_WORDS
    words[at + COMPLETION_KIND] = CompletionKind.SEND
    words[at + COMPLETION_SLOT] = send.slot
    words[at + COMPLETION_GENERATION] = send.generation
    words[at + COMPLETION_STATUS] = status
    words[at + COMPLETION_RESULT] = taken
    words[tailAt] = (tail + 1) | 0
  }
}
