// What: a worker's way to the update threads: every event of its sessions becomes a record of a job ring, in order.
// Flow: lifecycle, frame_reader (as their handler) -> this -> job_ring -> content of an update thread.
// Thread: a worker, in modes update and send.

import { CloseReason, Counter, JobKind } from '../layout/layout.ts'
import type { ContentLink, Core, DeferredReader } from '../session/core.ts'
import type { CloseReasonName, Handler, Packet } from '../session/handler.ts'
import type { PacketCursor } from '../session/packet.ts'
import type { LiveSession } from '../session/session.ts'
import { WorkerHeap } from '../shared/worker_heap.ts'
import { type JobMemory, JobProducer } from './job_ring.ts'

/**
 * Payloads up to this are packed, longer ones stay where they were received. A reference costs half of a copy at any
 * size (bench/handoff.mjs), but holds a whole receive buffer until the message is handled; up to here the copy costs
 * less than 0.1 µs more, of the 4 µs that an echo takes.
 */
export const PACKED_BYTES_MAX = 2048
/** Of the receive buffers and of the heap, messages that wait for update threads may hold this part. */
const BUFFERS_PART = 1 / 2
const HEAP_PART = 1 / 4

/** What could not be put into a ring that was full; in order. */
type Deferred =
  | {
      readonly kind: JobKind
      readonly slot: number
      readonly firstValue: number
      readonly secondValue: number
    }
  | {
      readonly session: LiveSession
      /** Receive buffer that holds the bytes; -1: `block` of the heap. */
      readonly buffer: number
      readonly block: number
      readonly start: number
      readonly end: number
    }

interface Way {
  readonly producer: JobProducer
  /** Nothing is put while it waits for room: what comes is deferred. */
  isStalled: boolean
  readonly deferred: Deferred[]
}

/** Chooses the update thread of a new session: its index. */
export type Assign = (session: { slot: number; listener: string; token: number }) => number

export class Forwarder implements ContentLink, JobMemory {
  readonly #core: Core
  readonly #ways: readonly Way[]
  readonly #updateFirst: number
  readonly #assign: Assign
  readonly #buffersMax: number
  readonly #blockBytesMax: number
  /** Records that hold a receive buffer, by buffer; and how many buffers are held so. */
  readonly #lent: Int32Array
  readonly #firstBuffer: number
  #lentCount = 0
  /** Bytes of the heap that records hold. */
  #blockBytes = 0
  #stalledWays = 0
  /** Deferred records are put: what does not fit goes back to the front. */
  #isResuming = false

  constructor(core: Core, assign: Assign) {
    this.#core = core
    this.#assign = assign
    const { plan, thread } = core.arena
    this.#updateFirst = plan.updateFirst
    this.#ways = Array.from({ length: plan.updateCount }, (_, index) => ({
      producer: new JobProducer(core.arena, plan.updateFirst + index, this),
      isStalled: false,
      deferred: [],
    }))
    this.#lent = new Int32Array(plan.recvBuffersPerWorker)
    this.#firstBuffer = (thread - 1) * plan.recvBuffersPerWorker
    this.#buffersMax = Math.max(1, Math.floor(plan.recvBuffersPerWorker * BUFFERS_PART))
    this.#blockBytesMax = core.heap.capacityBytes * HEAP_PART
  }

  /** What lifecycle and frame readers call in place of the user's handler. */
  handlerFor(user: Handler): Handler {
    const { onConnectionRequest, onSend } = user
    return {
      ...(onConnectionRequest === undefined ? {} : { onConnectionRequest }),
      ...(onSend === undefined
        ? {}
        : { onSend: (session, bytes) => this.#sent(session as LiveSession, bytes) }),
      onJoin: (session) => this.#joined(session as LiveSession),
      onRecv: (session, packet) => this.#received(session as LiveSession, packet),
      onDrain: (session) => this.#drained(session as LiveSession),
      onLeave: (session, reason) => this.#left(session as LiveSession, reason),
    }
  }

  choose(slot: number, listener: string, token: number): number {
    return this.#updateFirst + this.#assign({ slot, listener, token })
  }

  // --- events ----------------------------------------------------------------------------------

  connected(session: LiveSession, number: number): void {
    this.#put(this.#wayOf(session), JobKind.CONNECTED, session.slot, session.generation, number)
  }

  #joined(session: LiveSession): void {
    const { slot, generation, protocol } = session
    this.#put(this.#wayOf(session), JobKind.JOIN, slot, generation, protocol)
  }

  #drained(session: LiveSession): void {
    if (session.movingTo !== 0) {
      session.drainWaits = true
      return
    }
    this.#put(this.#wayOf(session), JobKind.DRAIN, session.slot, session.generation, 0)
  }

  #sent(session: LiveSession, bytes: number): void {
    if (session.movingTo !== 0) {
      session.sentWaits += bytes
      return
    }
    this.#put(this.#wayOf(session), JobKind.SENT, session.slot, session.generation, bytes)
  }

  ended(session: LiveSession, reason: CloseReason): void {
    if (session.movingTo !== 0) {
      session.endWaits = true
      return
    }
    this.#put(this.#wayOf(session), JobKind.END, session.slot, reason, 0)
  }

  moving(session: LiveSession): void {
    this.#put(this.#wayOf(session), JobKind.MOVE, session.slot, 0, 0)
  }

  moved(session: LiveSession): void {
    const { endWaits, drainWaits, sentWaits } = session
    session.endWaits = session.drainWaits = false
    session.sentWaits = 0
    if (sentWaits > 0) this.#sent(session, sentWaits)
    if (drainWaits) this.#drained(session)
    if (endWaits) this.ended(session, session.endReason)
  }

  #left(session: LiveSession, _: CloseReasonName): void {
    this.#put(this.#wayOf(session), JobKind.LEAVE, session.slot, session.closeReason, 0)
  }

  #received(session: LiveSession, packet: Packet): void {
    const cursor = packet as PacketCursor
    const { start, end, buffer, limit } = cursor
    const way = this.#wayOf(session)
    const { producer } = way
    const { slot } = session
    if (cursor.isFirst) producer.endSpan()
    cursor.isFirst = false
    const length = end - start
    if (length <= PACKED_BYTES_MAX) {
      producer.putPacked(JobKind.RECV, slot, start, length, limit)
    } else if (buffer !== -1 && this.#lentCount < this.#buffersMax) {
      this.#lend(buffer)
      producer.putInBuffer(JobKind.RECV, slot, start, length, buffer)
      this.#core.counters[Counter.JOBS_BY_REFERENCE]++
    } else if (!this.#copy(producer, slot, start, length)) {
      // Nothing that waits for an update thread would give memory back: others have it.
      this.#core.lifecycle.terminate(session, CloseReason.OVERFLOW)
      return
    }
    this.#afterPut(way)
    if (way.isStalled) session.stopped = true
  }

  #copy(producer: JobProducer, slot: number, start: number, length: number): boolean {
    const { heap, arena } = this.#core
    const bytes = WorkerHeap.blockBytes(length)
    const at = heap.allocate(bytes)
    if (at === -1) {
      if (length > producer.packedMax || !producer.hasRoom(length)) return false
      producer.putPacked(JobKind.RECV, slot, start, length)
      return true
    }
    arena.bytes.copyWithin(at, start, start + length)
    this.#blockBytes += bytes
    producer.putInBlock(JobKind.RECV, slot, at, length, bytes)
    return true
  }

  // --- rings -----------------------------------------------------------------------------------

  #wayOf(session: LiveSession): Way {
    return this.#ways[session.content - this.#updateFirst]
  }

  #put(way: Way, kind: JobKind, slot: number, first: number, second: number): void {
    if (way.isStalled) {
      const record = { kind, slot, firstValue: first, secondValue: second }
      if (this.#isResuming) way.deferred.unshift(record)
      else way.deferred.push(record)
      return
    }
    way.producer.put(kind, slot, first, second)
    this.#afterPut(way)
  }

  /** The next record must have room, whatever it is: otherwise what comes waits. */
  #afterPut(way: Way): void {
    this.#core.markPending()
    if (this.#hasRoom(way) || way.isStalled) return
    way.isStalled = true
    this.#stalledWays++
    this.#core.counters[Counter.JOBS_STALLED]++
  }

  #hasRoom({ producer }: Way): boolean {
    if (this.#blockBytes > this.#blockBytesMax) producer.reclaim()
    return this.#blockBytes <= this.#blockBytesMax && producer.hasRoom(PACKED_BYTES_MAX)
  }

  isStalled(session: LiveSession): boolean {
    return this.#wayOf(session).isStalled
  }

  /** Keeps bytes that cannot be read now. Those of a receive buffer stay there, so that receiving ends by itself. */
  defer(session: LiveSession, buffer: number, start: number, end: number): void {
    const { heap, arena, buffers } = this.#core
    let block = -1
    let from = start
    if (buffer !== -1) {
      buffers.retain(buffer)
    } else {
      block = heap.allocate(WorkerHeap.blockBytes(end - start))
      if (block === -1) {
        this.#core.lifecycle.terminate(session, CloseReason.OVERFLOW)
        return
      }
      arena.bytes.copyWithin(block, start, end)
      from = block
    }
    const item = { session, buffer, block, start: from, end: from + (end - start) }
    const { deferred } = this.#wayOf(session)
    session.deferredCount++
    if (this.#isResuming) deferred.unshift(item)
    else deferred.push(item)
  }

  /** Goes on with what was deferred, as far as there is room. */
  resume(reader: DeferredReader): void {
    for (const { producer } of this.#ways) producer.reclaim()
    if (this.#stalledWays === 0) return
    for (const way of this.#ways) if (way.isStalled) this.#resumeWay(way, reader)
  }

  #resumeWay(way: Way, reader: DeferredReader): void {
    if (!this.#hasRoom(way)) return
    way.isStalled = false
    this.#stalledWays--
    this.#isResuming = true
    while (way.deferred.length > 0 && !way.isStalled) {
      const item = way.deferred.shift() as Deferred
      if ('kind' in item) this.#put(way, item.kind, item.slot, item.firstValue, item.secondValue)
      else this.#resumeBytes(item, reader)
    }
    this.#isResuming = false
  }

  #resumeBytes(
    { session, buffer, block, start, end }: Exclude<Deferred, { kind: JobKind }>,
    reader: DeferredReader,
  ): void {
    session.deferredCount--
    reader.readDeferred(session, buffer, start, end)
    if (buffer !== -1) this.#core.buffers.release(buffer)
    else this.#core.heap.free(block, end - start)
    if (session.deferredCount === 0) this.#core.lifecycle.deferredDone(session)
  }

  /** Shows update threads what was put; they are woken by the waker's next flush. */
  publish(): void {
    for (const { producer } of this.#ways)
      if (producer.publish()) this.#core.waker.ringBell(producer.update)
  }

  /** Asks to be rung when something is waited for: room, or memory that records hold. */
  endTurn(): void {
    if (this.#stalledWays === 0 && this.#lentCount === 0 && this.#blockBytes === 0) return
    for (const { producer } of this.#ways)
      if (producer.waiting > 0 && !producer.wantSpace()) this.#core.markPending()
  }

  // --- memory that records hold ----------------------------------------------------------------

  #lend(buffer: number): void {
    this.#core.buffers.retain(buffer)
    if (this.#lent[buffer - this.#firstBuffer]++ === 0) this.#lentCount++
  }

  releaseBuffer(buffer: number): void {
    if (--this.#lent[buffer - this.#firstBuffer] === 0) this.#lentCount--
    this.#core.buffers.release(buffer)
  }

  freeBlock(at: number, bytes: number): void {
    this.#blockBytes -= bytes
    this.#core.heap.free(at, bytes)
  }
}
