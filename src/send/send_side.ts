// What: the sessions of a send thread: what waits and is in flight for each, the end of their streams, what content hears.
// Flow: flush stack -> sender -> this -> submissions on borrowed sockets; SEND completions -> sender -> job rings.
// Thread: one send thread.

import { assert } from '../assert.ts'
import { CompletionRing } from '../inbound/completion_ring.ts'
import { type CompletionHome, drainCompletions } from '../inbound/drain_completions.ts'
import {
  COMPLETION_FLAG_COPIED,
  COMPLETION_FLAGS,
  COMPLETION_RESULT,
  COMPLETION_STATUS,
  CompletionKind,
  IoStatus,
  JobKind,
  SESSION_CONTENT,
  SESSION_GENERATION,
  SESSION_LISTENER,
  SESSION_REQUEST_FLUSHED,
  SESSION_REQUEST_OVERFLOW,
  SESSION_REQUEST_SEND_FAILED,
  SESSION_REQUEST_SEND_RESET,
  SESSION_STATE,
  SESSION_STREAM_ENDED,
  SessionState,
  THREAD_LOCAL_PENDING,
} from '../layout/layout.ts'
import type { LaneEvents } from '../outbound/lanes.ts'
import { Outbox } from '../outbound/outbox.ts'
import type { Sender, SenderEvents } from '../outbound/sender.ts'
import type { SubmissionRing } from '../outbound/submission_ring.ts'
import type { Arena } from '../shared/arena.ts'
import { load } from '../shared/atomics.ts'
import type { ProtocolTable } from '../shared/protocol_table.ts'
import type { SessionTable } from '../shared/session_table.ts'
import type { Waker } from '../shared/waker.ts'
import { type JobMemory, JobProducer } from '../update/job_ring.ts'

export class SendOutbox extends Outbox {
  /** Its sends are over here, or go on in another lane. */
  isGone = false
  /** What its content is to be told, when there is room in the ring of its update thread. */
  drainWaits = false
  sentWaits = 0
}

export interface SendSideParts {
  readonly arena: Arena
  readonly waker: Waker
  readonly table: SessionTable
  readonly sender: Sender<SendOutbox>
  readonly submissions: SubmissionRing
  readonly protocols: ProtocolTable
  /** Whether a close of its sessions is a reset, by index of the declared protocols. */
  readonly resetsOnClose: readonly boolean[]
}

/** The most that a record can say were sent. */
const SENT_BYTES_MAX = 2 ** 31 - 1

/** Records of a send thread hold no memory. */
const noMemory: JobMemory = {
  releaseBuffer: () => assert(false, 'JOBRING-3: a send thread lends no receive buffer'),
  freeBlock: () => assert(false, 'JOBRING-3: a send thread lends no block'),
}

/** To an update thread. */
interface Way {
  readonly producer: JobProducer
  /** Something waits for room in its ring. */
  isStalled: boolean
}

export class SendSide
  implements CompletionHome<SendOutbox>, SenderEvents<SendOutbox>, LaneEvents<SendOutbox>
{
  readonly #parts: SendSideParts
  readonly #words: Int32Array
  readonly #completions: CompletionRing
  readonly #ways: readonly Way[]
  readonly #updateFirst: number
  /** By slot; from the first hand-over to the end of the session or of its time in this lane. */
  readonly #outboxes: (SendOutbox | undefined)[]
  /** Given back to their owners: the counts go when the driver knows. */
  readonly #givenBack: SendOutbox[] = []
  /** By slot: sessions whose content is to be told something for which its ring had no room [TOLD-1]. */
  readonly #untold = new Map<number, SendOutbox>()

  constructor(parts: SendSideParts) {
    const { arena } = parts
    this.#parts = parts
    this.#words = arena.words
    this.#completions = new CompletionRing(arena)
    const { updateFirst, updateCount, sessionCapacity } = arena.plan
    this.#updateFirst = updateFirst
    this.#ways = Array.from({ length: updateCount }, (_, index) => ({
      producer: new JobProducer(arena, updateFirst + index, noMemory),
      isStalled: false,
    }))
    this.#outboxes = new Array(sessionCapacity)
  }

  // --- completions -----------------------------------------------------------------------------

  /** Handles every completion that is there. */
  drain(): void {
    drainCompletions(this.#completions, this.#parts.arena.counters, this)
  }

  sessionAt(slot: number): SendOutbox | undefined {
    return this.#outboxes[slot]
  }

  accepted(): void {
    assert(false, 'COMPLETION-5: only sends are here')
  }

  reported(outbox: SendOutbox, kind: number, at: number): void {
    const { words } = this.#completions
    const result = words[at + COMPLETION_RESULT]
    const flags = words[at + COMPLETION_FLAGS]
    const { sender } = this.#parts
    if (kind === CompletionKind.SEND) {
      sender.completed(outbox, words[at + COMPLETION_STATUS] as IoStatus, result, flags)
    } else {
      assert(kind === CompletionKind.NOTIFIED, 'COMPLETION-5: only sends are here')
      sender.notified(outbox, result, (flags & COMPLETION_FLAG_COPIED) !== 0)
    }
  }

  // --- what the sender tells -------------------------------------------------------------------

  outboxOf(slot: number): SendOutbox {
    const known = this.#outboxes[slot]
    if (known !== undefined) return known
    const { arena, protocols, submissions } = this.#parts
    const at = arena.sessionAt(slot)
    const words = this.#words
    const generation = load(words, at + SESSION_GENERATION) >>> 0
    const protocol = load(words, at + SESSION_LISTENER)
    const outbox = new SendOutbox(slot, generation, at, protocol, protocols.encoderOf(protocol))
    // Its count comes with the flag.
    outbox.counted = false
    outbox.sendDead = words[at + SESSION_STREAM_ENDED] !== 0
    this.#outboxes[slot] = outbox
    this.#takeUntold(outbox)
    submissions.borrow(slot, generation)
    return outbox
  }

  /** It was in this lane before, and its content is still to be told of that; or a session that has left was. */
  #takeUntold(outbox: SendOutbox): void {
    const before = this.#untold.get(outbox.slot)
    if (before === undefined) return
    if (before.generation !== outbox.generation) {
      this.#untold.delete(outbox.slot)
      return
    }
    outbox.drainWaits = before.drainWaits
    outbox.sentWaits = before.sentWaits
    this.#untold.set(outbox.slot, outbox)
  }

  /** Whatever state its owner has put it in is known now [LANE-3]. */
  taken(outbox: SendOutbox): void {
    const state = load(this.#words, outbox.at + SESSION_STATE)
    if (state === SessionState.OPEN) return
    // Its end waits for each completion: none may be late.
    outbox.prompt = true
    if (state === SessionState.TERMINATING) this.#kill(outbox)
  }

  #kill(outbox: SendOutbox): void {
    const { sender, submissions } = this.#parts
    sender.kill(outbox)
    if (outbox.waiting || outbox.notifications > 0)
      submissions.cancel(outbox.slot, outbox.generation)
  }

  left(outbox: SendOutbox): void {
    this.#giveBack(outbox)
  }

  sendFailed(outbox: SendOutbox, status: IoStatus): void {
    const isReset = status === IoStatus.RESET
    this.#parts.sender.request(
      outbox.slot,
      isReset ? SESSION_REQUEST_SEND_RESET : SESSION_REQUEST_SEND_FAILED,
    )
  }

  sent(outbox: SendOutbox, bytes: number): void {
    outbox.sentWaits += bytes
    this.#tell(outbox)
  }

  drained(outbox: SendOutbox): void {
    outbox.drainWaits = true
    this.#tell(outbox)
  }

  /** Nothing waits and nothing is in flight: what its state asks for is due. */
  sentAll(outbox: SendOutbox): void {
    if (outbox.isGone) return
    const { sender, submissions, protocols, resetsOnClose } = this.#parts
    const { slot, generation, at, protocol } = outbox
    // order: before the look at flag and list; pairs with the owner's store before its hand-over [LANE-3]
    const state = load(this.#words, at + SESSION_STATE)
    // What was pushed before the end is still on its way to this thread.
    if (state === SessionState.OPEN || !sender.idle(outbox)) return
    // A stream that lacks something is not ended: the owner, which was told, resets it.
    const isWhole = !outbox.sendDead
    if (state === SessionState.CLOSING && this.#words[at + SESSION_STREAM_ENDED] === 0) {
      // Also of one that is not whole: the session may come here once more before its owner resets it.
      this.#words[at + SESSION_STREAM_ENDED] = 1
      const isReset = resetsOnClose[protocol] ?? protocols.recordOf(protocol).resetOnClose
      if (isWhole && isReset) sender.request(slot, SESSION_REQUEST_FLUSHED)
      else if (isWhole) submissions.shutdown(slot, generation)
    }
    // The last notification comes here again.
    if (outbox.notifications > 0) return
    this.#giveBack(outbox)
  }

  /** Its memory is wanted back now; the owner, which ends the session, hears of it later. */
  overflowed(outbox: SendOutbox): void {
    this.#kill(outbox)
    this.#parts.sender.request(outbox.slot, SESSION_REQUEST_OVERFLOW)
  }

  retainReceiveBuffer(): void {
    assert(false, 'BUFFER-2: a send thread has no receive buffers')
  }

  releaseReceiveBuffer(): void {
    assert(false, 'BUFFER-2: a send thread has no receive buffers')
  }

  heldBuffersPart(): number {
    return 0
  }

  // --- end of a session here -------------------------------------------------------------------

  #giveBack(outbox: SendOutbox): void {
    outbox.isGone = true
    this.#outboxes[outbox.slot] = undefined
    this.#parts.submissions.giveBack(outbox.slot, outbox.generation)
    this.#givenBack.push(outbox)
  }

  /** Whether counts wait until the driver was told of what was given back. */
  get hasGivenBack(): boolean {
    return this.#givenBack.length > 0
  }

  /** The driver knows: the owner may close the sockets [LANE-4]. */
  dropCounts(): void {
    const { table } = this.#parts
    for (const outbox of this.#givenBack) if (outbox.counted) table.unpin(outbox.slot)
    this.#givenBack.length = 0
  }

  // --- what content is told --------------------------------------------------------------------

  #tell(outbox: SendOutbox): void {
    if (!this.#put(outbox)) this.#untold.set(outbox.slot, outbox)
  }

  /** Puts what its content is to be told into the ring of its update thread. False: there is no room for all of it. */
  #put(outbox: SendOutbox): boolean {
    const { slot, generation } = outbox
    const content = load(this.#words, outbox.at + SESSION_CONTENT)
    const way = this.#ways[content - this.#updateFirst]
    while (outbox.sentWaits > 0) {
      if (!this.#hasRoom(way)) return false
      const bytes = Math.min(outbox.sentWaits, SENT_BYTES_MAX)
      outbox.sentWaits -= bytes
      way.producer.put(JobKind.SENT, slot, generation, bytes)
    }
    if (!outbox.drainWaits) return true
    if (!this.#hasRoom(way)) return false
    outbox.drainWaits = false
    way.producer.put(JobKind.DRAIN, slot, generation, 0)
    return true
  }

  /** Once it was out of room, what comes goes behind what waits. */
  #hasRoom(way: Way): boolean {
    if (!way.isStalled) way.isStalled = !way.producer.hasRoom(0)
    return !way.isStalled
  }

  /** Tells what waited for room, shows update threads what was put, asks to be rung while something waits. */
  publish(): void {
    const { arena, waker } = this.#parts
    for (const way of this.#ways) way.isStalled = false
    for (const [slot, outbox] of this.#untold) if (this.#put(outbox)) this.#untold.delete(slot)
    for (const { producer, isStalled } of this.#ways) {
      if (producer.publish()) waker.ringBell(producer.update)
      if (isStalled && !producer.wantSpace())
        arena.words[arena.threadAt(arena.thread) + THREAD_LOCAL_PENDING] = 1
    }
  }
}
