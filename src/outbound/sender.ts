// What: the send path of a thread: slices, send lists, send flag, gather, completion.
// Flow: session.send, runtime.send, broadcast -> this -> submission ring -> SEND completions -> this.
// Thread: one instance per thread; only workers and send threads submit.

import { assert } from '../assert.ts'
import type { Encoder } from '../framing/encode.ts'
import {
  Counter,
  IoStatus,
  NODE_BLOCK,
  NODE_LENGTH,
  NODE_OFFSET,
  SEND_FLAG_LAZY,
  SEND_FLAG_NOW,
  SEND_FLAG_ZERO_COPY,
  SEND_HEADER_WORDS,
  SEND_NUMBER_SHIFT,
  SESSION_FLUSH_LINK,
  SESSION_IO_COUNT,
  SESSION_QUEUED_BYTES,
  SESSION_SEND_FLAG,
  SESSION_SEND_HEAD,
  THREAD_FLUSH_HEAD,
  THREAD_LOCAL_PENDING,
} from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'
import { add, load } from '../shared/atomics.ts'
import { release, retain } from '../shared/io_count.ts'
import { takeAll } from '../shared/link_stack.ts'
import { NodePool } from '../shared/node_pool.ts'
import type { SessionTable } from '../shared/session_table.ts'
import type { Waker } from '../shared/waker.ts'
import { Audience } from './audience.ts'
import { ChunkWriter } from './chunk_writer.ts'
import { HandOver } from './hand_over.ts'
import { type LaneEvents, Lanes } from './lanes.ts'
import type { Outbox } from './outbox.ts'
import type { OverflowQueue } from './overflow_queue.ts'
import { Pressure, type PressureEvents, type PressureParts } from './pressure.ts'
import { type ReceiveBuffers, References } from './references.ts'
import { clear } from './send_flag.ts'
import type { SubmissionRing } from './submission_ring.ts'
import { NO_NUMBER, ZeroCopy } from './zero_copy.ts'

/** What the sender tells the session layer; none of it is called while a list is being changed. */
export interface SenderEvents<T extends Outbox> extends PressureEvents<T>, ReceiveBuffers {
  /** The slot's session in this thread. */
  outboxOf(slot: number): T
  /** The socket failed; nothing more is sent. */
  sendFailed(outbox: T, status: IoStatus): void
  /** A gather finished: `bytes` were taken. Only when `wantsSent`. */
  sent(outbox: T, bytes: number): void
  /** Everything queued was taken. */
  sentAll(outbox: T): void
  /** Of this worker's receive buffers the part that somebody holds, 0 to 1. Only when `sendsPend`. */
  heldBuffersPart(): number
}

export interface SubmitParts<T extends Outbox> extends PressureParts<T> {
  readonly submissions: SubmissionRing
  readonly events: SenderEvents<T>
  readonly maxGather: number
  readonly wantsSent: boolean
  /** Its driver leaves a send that is to complete now with the kernel until it is whole; its completion ends a sleep. */
  readonly sendsPend?: boolean
  /** Send threads only, whose sessions are others'. */
  readonly lanes: LaneEvents<T> | null
}

/**
 * Of the receive buffers, and of the chunks: where so many are held, what is sent by sends that pend is copied first. A
 * peer that does not read would else keep them from all others.
 */
const HELD_PART = 1 / 2

export class Sender<T extends Outbox> {
  readonly writer: ChunkWriter
  /** The way of slots to other threads. */
  readonly slots: HandOver
  readonly #arena: Arena
  readonly #words: Int32Array
  readonly #bytes: Uint8Array
  readonly #counters: Float64Array
  readonly #nodes: NodePool
  readonly #references: References
  readonly #waker: Waker
  readonly #table: SessionTable
  readonly #pendingAt: number
  readonly #flushHead: number

  /** The slice that is still being extended: its session, when that is ours. */
  #openOutbox: T | null = null
  /** Its slot, when the session is another worker's; -1: none. The slot is pinned. */
  #openSlot = -1
  /** What waited for that session beside the slice, when somebody looked last; -1: nobody has since the slice began. */
  openQueued = -1
  /** Its node, taken when it was begun, so that ending it cannot fail. */
  #openNode = 0
  #openBlock = 0
  #openStart = 0
  #openEnd = 0

  /** A slice that many sessions of other threads get. Beside it no slice is open for one of those. */
  readonly #audience = new Audience()

  /** Sessions to gather for: the first `#dirtyCount`. The arrays keep their length, so that a turn allocates nothing. */
  #dirty: (T | undefined)[] = []
  #dirtySpare: (T | undefined)[] = []
  #dirtyCount = 0
  /** Something waits behind a gather that is in flight, or for its completion. */
  #behindFlight = false
  #parts: SubmitParts<T> | null = null
  /** Somebody ends slices and settles references later: a turn. A thread without one does it at once. */
  readonly #hasTurn: boolean
  #pressure: Pressure<T> | null = null
  #sendsPend = false
  /** So much memory is held that sends which pend may hold no more of it, seen at the last flush. */
  #isMemoryShort = false
  #lanes: Lanes<T> | null = null
  /** Null: every gather is copied. */
  #zeroCopy: ZeroCopy | null = null

  constructor(arena: Arena, waker: Waker, table: SessionTable, hasTurn: boolean) {
    this.#arena = arena
    this.#hasTurn = hasTurn
    this.#words = arena.words
    this.#bytes = arena.bytes
    this.#counters = arena.counters
    this.#nodes = new NodePool(arena)
    this.slots = new HandOver(arena, waker, this.#nodes)
    this.#waker = waker
    this.#table = table
    this.#pendingAt = arena.threadAt(arena.thread) + THREAD_LOCAL_PENDING
    this.#flushHead = arena.threadAt(arena.thread) + THREAD_FLUSH_HEAD
    const writer = new ChunkWriter(arena)
    this.writer = writer
    this.#references = new References(arena, this.#nodes, writer, hasTurn)
  }

  /** What is needed to submit. */
  attach(parts: SubmitParts<T>): void {
    this.#parts = parts
    this.#references.attach(parts.events)
    this.#pressure = new Pressure(this.#arena, this.#nodes, this.#references, parts)
    if (parts.lanes !== null)
      this.#lanes = new Lanes(this.#arena, this.#nodes, this.slots, parts.lanes)
    this.#sendsPend = parts.sendsPend === true
    if (this.#arena.plan.zeroCopyBytes > 0) this.#zeroCopy = new ZeroCopy(this.#arena, this.#nodes)
  }

  /** From here on events.sent() is called, as a handler with onSend was loaded. */
  reportSent(): void {
    const parts = this.#parts
    assert(parts !== null, 'only a worker reports what was sent')
    this.#parts = { ...parts, wantsSent: true }
  }

  // --- writing ---------------------------------------------------------------------------------

  /**
   * Writes header, payload and trailer behind one another and queues them for one of our sessions.
   * `copy` stores the payload at an arena offset. False: no memory.
   */
  writeOwn(outbox: T, source: Uint8Array, start: number, length: number): boolean {
    const { encoder } = outbox
    const total = encoder.headerBytes + length + encoder.trailerBytes
    const { writer } = this
    if (total > writer.chunkBytes)
      return this.#writeLong(outbox, -1, encoder, source, start, length)
    if (!writer.reserve(total)) return false
    const at = writer.position
    this.#writeMessage(encoder, at, source, start, length)
    writer.position = at + total
    return this.appendOwn(outbox, writer.chunk, at, at + total)
  }

  /** The same for a session of another worker, which the caller has pinned. */
  writeForeign(
    slot: number,
    encoder: Encoder,
    source: Uint8Array,
    start: number,
    length: number,
  ): boolean {
    const total = encoder.headerBytes + length + encoder.trailerBytes
    const { writer } = this
    if (total > writer.chunkBytes)
      return this.#writeLong(null, slot, encoder, source, start, length)
    if (!writer.reserve(total)) return false
    const at = writer.position
    this.#writeMessage(encoder, at, source, start, length)
    writer.position = at + total
    return this.#appendForeign(slot, writer.chunk, at, at + total)
  }

  /** Whether what waits and this many bytes more are over maxBackpressure; workers only. */
  isFull(outbox: T, length: number): boolean {
    return (this.#pressure as Pressure<T>).isFull(outbox, length)
  }

  /**
   * Queues [start, end) of the arena, to which the slice takes a reference of its own, for our session.
   * Slices of one turn that lie behind one another become one.
   */
  appendOwn(outbox: T, block: number, start: number, end: number): boolean {
    outbox.bufferedBytes += end - start
    if (this.#openOutbox === outbox && this.#openEnd === start && this.#openBlock === block) {
      this.#openEnd = end
      return true
    }
    const node = this.#nodes.allocate(start, 0, block)
    if (node === 0) {
      outbox.bufferedBytes -= end - start
      return false
    }
    this.#endSlice()
    this.#openOutbox = outbox
    this.#openNode = node
    this.#openBlock = block
    this.#openStart = start
    this.#openEnd = end
    this.#references.retain(block)
    this.#words[this.#pendingAt] = 1
    return true
  }

  #appendForeign(slot: number, block: number, start: number, end: number): boolean {
    if (this.#openSlot === slot && this.#openEnd === start && this.#openBlock === block) {
      this.#openEnd = end
      return true
    }
    const node = this.#nodes.allocate(start, end - start, block)
    if (node === 0) return false
    // The open slice keeps a pin of its own: a push is made under a pin [SENDLIST-3]. It is taken before the slice
    // before it ends, whose pin may be the caller's.
    if (this.#hasTurn) retain(this.#words, this.#arena.sessionAt(slot) + SESSION_IO_COUNT)
    this.commit()
    this.#references.retain(block)
    if (!this.#hasTurn) {
      add(this.#words, this.#arena.sessionAt(slot) + SESSION_QUEUED_BYTES, end - start)
      this.slots.pushNodes(slot, node)
      return true
    }
    this.#openSlot = slot
    this.openQueued = -1
    this.#openNode = node
    this.#openBlock = block
    this.#openStart = start
    this.#openEnd = end
    this.#words[this.#pendingAt] = 1
    return true
  }

  /** Whether nothing waits or is in flight for this session, from any thread. */
  idle(outbox: T): boolean {
    return (
      this.#isAtRest(outbox) &&
      load(this.#words, outbox.at + SESSION_SEND_FLAG) === 0 &&
      load(this.#words, outbox.at + SESSION_SEND_HEAD) === 0
    )
  }

  /** Whether nothing waits or is in flight here, nor held for the kernel; other threads may have pushed. */
  quiet(outbox: T): boolean {
    return this.#isAtRest(outbox) && outbox.notifications === 0
  }

  #isAtRest(outbox: T): boolean {
    return !outbox.sending && this.#openOutbox !== outbox
  }

  /** Somebody waits for the completion of what is in flight: the thread must not sleep over it. */
  hurry(outbox: T): void {
    if (outbox.flightFirst !== 0) this.#behindFlight = !this.#sendsPend
    this.#words[this.#pendingAt] = 1
  }

  /** Queues part of a buffer that many sessions get. What lies behind what waits already makes that longer. */
  pushShared(outbox: T, block: number, offset: number, length: number): boolean {
    this.#endSlice()
    if (outbox.waitLast !== 0) {
      const words = this.#words
      const last = this.#nodes.at(outbox.waitLast)
      const lastLength = words[last + NODE_LENGTH]
      if (words[last + NODE_BLOCK] === block && words[last + NODE_OFFSET] + lastLength === offset) {
        words[last + NODE_LENGTH] = lastLength + length
        outbox.bufferedBytes += length
        return true
      }
    }
    const node = this.#nodes.allocate(offset, length, block)
    if (node === 0) return false
    this.#references.retain(block)
    outbox.bufferedBytes += length
    this.#appendNode(outbox, node)
    return true
  }

  /** The same for a session of another worker, pinned by the caller. */
  pushSharedForeign(slot: number, block: number, offset: number, length: number): boolean {
    this.commit()
    const node = this.#nodes.allocate(offset, length, block)
    if (node === 0) return false
    this.#references.retain(block)
    add(this.#words, this.#arena.sessionAt(slot) + SESSION_QUEUED_BYTES, length)
    this.slots.pushNodes(slot, node)
    return true
  }

  /**
   * Adds a session of another thread, whose pin it takes over, to those that get this slice; what extendAudience() adds
   * goes to all of them. The others in it get the same bytes [AUDIENCE-1]. A thread without turns pushes at once.
   * False: no memory, and the pin is the caller's.
   */
  pushToAudience(slot: number, block: number, offset: number, length: number): boolean {
    if (!this.#hasTurn) {
      if (!this.pushSharedForeign(slot, block, offset, length)) return false
      this.#table.unpin(slot)
      return true
    }
    this.#endSlice()
    const node = this.#nodes.allocate(offset, length, block)
    if (node === 0) return false
    this.#references.retain(block)
    this.#audience.add(slot, node, block, offset, length)
    this.#words[this.#pendingAt] = 1
    return true
  }

  /** Sends these bytes to all that get the slice which they lie behind. False: there is no such slice. */
  extendAudience(block: number, offset: number, length: number): boolean {
    return this.#audience.extend(block, offset, length)
  }

  /** Sessions that get the slice for many, which is still open. */
  get audienceCount(): number {
    return this.#audience.count
  }

  /** Bytes that each of them will get. */
  get audienceBytes(): number {
    return this.#audience.bytes
  }

  /** Ends the slice for many. */
  endAudience(): void {
    const audience = this.#audience
    const count = audience.end()
    for (let i = 0; i < count; i++) {
      this.#pushOpened(audience.slotAt(i), audience.nodeAt(i), audience.bytes)
    }
  }

  /** Bytes of the open slice, if it is for this slot of another thread: they are not counted as queued yet. */
  openBytes(slot: number): number {
    // Whether the slot is one of many that get a slice would take a search: what they get is counted from here on.
    this.endAudience()
    return this.#openSlot === slot ? this.#openEnd - this.#openStart : 0
  }

  /** Whether the open slice is for this slot of another thread, which is pinned for as long as it is. */
  hasPinned(slot: number): boolean {
    return this.#openSlot === slot
  }

  /** Ends the open slices: their sessions get the nodes. */
  commit(): void {
    this.endAudience()
    this.#endSlice()
  }

  #endSlice(): void {
    const outbox = this.#openOutbox
    const slot = this.#openSlot
    if (outbox === null && slot === -1) return
    const node = this.#openNode
    const length = this.#openEnd - this.#openStart
    if (outbox !== null) {
      this.#openOutbox = null
      this.#words[this.#nodes.at(node) + NODE_LENGTH] = length
      this.#appendNode(outbox, node)
    } else {
      this.#openSlot = -1
      this.#pushOpened(slot, node, length)
    }
  }

  /** Queues a slice that was open for a session of another thread, and drops its pin. */
  #pushOpened(slot: number, node: number, length: number): void {
    this.#words[this.#nodes.at(node) + NODE_LENGTH] = length
    // Counted before it is pushed: who sends it subtracts.
    add(this.#words, this.#arena.sessionAt(slot) + SESSION_QUEUED_BYTES, length)
    this.slots.pushNodes(slot, node)
    this.#table.unpin(slot)
  }

  /** Settles references and wakes who has work. For threads without a turn, after every call. */
  publish(): void {
    this.settle()
    this.#waker.flush()
  }

  /** Another reference on a chunk, or on a receive buffer of this worker; pair with dropReference. */
  takeReference(block: number): void {
    this.#references.retain(block)
  }

  #writeMessage(
    encoder: Encoder,
    at: number,
    source: Uint8Array,
    start: number,
    length: number,
  ): void {
    const bytes = this.#bytes
    encoder.writeHeader(bytes, at, length)
    const payload = at + encoder.headerBytes
    if (source === bytes) {
      bytes.copyWithin(payload, start, start + length)
    } else if (length < 32) {
      // A call costs more than this.
      for (let i = 0; i < length; i++) bytes[payload + i] = source[start + i]
    } else {
      bytes.set(
        start === 0 && length === source.length ? source : source.subarray(start, start + length),
        payload,
      )
    }
    if (encoder.trailerBytes !== 0) encoder.writeTrailer(bytes, payload + length)
  }

  /** A message longer than a chunk: pieces in several chunks, all or nothing. */
  #writeLong(
    outbox: T | null,
    slot: number,
    encoder: Encoder,
    source: Uint8Array,
    start: number,
    length: number,
  ): boolean {
    this.commit()
    const { writer } = this
    const total = encoder.headerBytes + length + encoder.trailerBytes
    // The frame is made in plain memory first: this path copies megabytes, a second copy is not what costs.
    const frame = new Uint8Array(total)
    encoder.writeHeader(frame, 0, length)
    frame.set(source.subarray(start, start + length), encoder.headerBytes)
    encoder.writeTrailer(frame, encoder.headerBytes + length)
    const nodes: number[] = []
    for (let done = 0; done < total; ) {
      const piece = Math.min(total - done, writer.chunkBytes)
      const node = writer.reserve(piece)
        ? this.#nodes.allocate(writer.position, piece, writer.chunk)
        : 0
      if (node === 0) {
        // No memory for all of it: nothing of it is sent.
        for (const made of nodes) this.#references.releaseNode(made)
        return false
      }
      this.#bytes.set(frame.subarray(done, done + piece), writer.position)
      writer.give(1)
      writer.position += piece
      nodes.push(node)
      done += piece
    }
    if (outbox !== null) {
      for (const node of nodes) this.#appendNode(outbox, node)
      outbox.bufferedBytes += total
      return true
    }
    // Linked newest first and pushed as one, so that nobody's message can come between the pieces.
    for (let i = 1; i < nodes.length; i++) this.#words[this.#nodes.at(nodes[i])] = nodes[i - 1]
    add(this.#words, this.#arena.sessionAt(slot) + SESSION_QUEUED_BYTES, total)
    this.slots.pushNodes(slot, nodes[0], nodes[nodes.length - 1])
    return true
  }

  #appendNode(outbox: T, node: number): void {
    const { words } = this.#nodes
    words[this.#nodes.at(node)] = 0
    if (outbox.waitLast === 0) outbox.waitFirst = node
    else words[this.#nodes.at(outbox.waitLast)] = node
    outbox.waitLast = node
    outbox.waitCount++
    this.#markDirty(outbox)
  }

  #markDirty(outbox: T): void {
    if (outbox.dirty) return
    outbox.dirty = true
    this.#dirty[this.#dirtyCount++] = outbox
    this.#words[this.#pendingAt] = 1
  }

  /** Asks the owner of a pinned session for something (SESSION_REQUEST_*); what this thread has queued goes first. */
  request(slot: number, bits: number): void {
    this.commit()
    this.slots.request(slot, bits)
  }

  // --- submitting ------------------------------------------------------------------------------

  /**
   * Gathers for every session with something to send; what does not fit the area waits for the next round.
   * Without `takes`, what other threads have handed over waits for a later flush.
   */
  flush(takes = true): void {
    this.commit()
    if (takes) this.#takeFlushes()
    const count = this.#dirtyCount
    if (count === 0) {
      this.#words[this.#pendingAt] = this.#behindFlight ? 1 : 0
      this.#behindFlight = false
      return
    }
    if (this.#sendsPend) this.#isMemoryShort = this.#isTooMuchHeld()
    const list = this.#dirty
    this.#dirty = this.#dirtySpare
    this.#dirtySpare = list
    this.#dirtyCount = 0
    for (let i = 0; i < count; i++) {
      const outbox = list[i] as T
      list[i] = undefined
      outbox.dirty = false
      this.#flushOne(outbox)
    }
    this.#words[this.#pendingAt] = this.#dirtyCount > 0 || this.#behindFlight ? 1 : 0
    this.#behindFlight = false
  }

  /** Slots that other threads have pushed nodes to, whatever they have in flight [FLUSH-3]. */
  #takeFlushes(): void {
    const words = this.#words
    let entry = takeAll(words, this.#flushHead)
    if (entry === 0) return
    this.#counters[Counter.FLUSHES]++
    const parts = this.#parts as SubmitParts<T>
    const pressure = this.#pressure as Pressure<T>
    while (entry !== 0) {
      const slot = entry - 1
      const at = this.#arena.sessionAt(slot)
      entry = words[at + SESSION_FLUSH_LINK]
      const outbox = parts.events.outboxOf(slot)
      if (this.#lanes?.arrive(outbox) === true) continue
      // order: after the link is read, before the list is taken [SENDFLAG-2]
      assert(clear(words, at + SESSION_SEND_FLAG), 'FLUSH-2: a slot on the flush stack is held')
      this.#takeShared(outbox)
      // The count that came with the flag: ours now, if the base went already [SENDFLAG-1].
      if (!outbox.counted) outbox.counted = true
      else assert(!release(words, at + SESSION_IO_COUNT), 'IOCOUNT-5: our own count is still there')
      this.#markDirty(outbox)
      if (pressure.asksForDrain(outbox)) {
        this.hurry(outbox)
        // While anything is queued its completion looks: a message that only an empty queue takes must wait for that.
        pressure.drainIfEmpty(outbox)
      }
      parts.lanes?.taken(outbox)
    }
  }

  #isTooMuchHeld(): boolean {
    const { events } = this.#parts as SubmitParts<T>
    const { chunkCount } = this.#arena.plan
    return (
      events.heldBuffersPart() >= HELD_PART ||
      this.writer.pool.freeCount() <= chunkCount * (1 - HELD_PART)
    )
  }

  #flushOne(outbox: T): void {
    if (outbox.flightFirst !== 0) {
      // Its completion goes on with what waits [SENDFLAG-4]; a turn will look for it before any sleep.
      this.#behindFlight = !this.#sendsPend
      if (this.#isMemoryShort) (this.#pressure as Pressure<T>).keepWaiting(outbox)
    }
    // The socket is full: chunks and receive buffers must not wait for it.
    else if (outbox.waiting) (this.#pressure as Pressure<T>).keepWaiting(outbox)
    else this.#submitNext(outbox)
  }

  /** Nothing is in flight: submits the next gather, if there is one. */
  #submitNext(outbox: T): void {
    const parts = this.#parts as SubmitParts<T>
    const isLeavable = outbox.overflow === null && outbox.notifications === 0
    if (outbox.isLeaving && isLeavable && this.#lanes?.tryLeave(outbox)) return
    const pressure = this.#pressure as Pressure<T>
    if (outbox.overflow !== null || this.#isMemoryShort) pressure.keepWaiting(outbox)
    if (outbox.sendDead) this.#discard(outbox)
    if (outbox.overflow !== null) {
      this.#submitOverflow(outbox)
      return
    }
    if (outbox.waitFirst === 0) {
      parts.events.sentAll(outbox)
      return
    }
    const slices = Math.min(outbox.waitCount, parts.maxGather)
    // A plain echo can wait for its completion until the thread has something else to do: nothing stands
    // behind it, nobody is to hear of it, and no other thread counts its bytes.
    const lazy =
      slices === outbox.waitCount &&
      !pressure.isAwaited(outbox) &&
      !outbox.prompt &&
      !outbox.wantsDrain &&
      !parts.wantsSent
    const flags = lazy ? SEND_FLAG_NOW | SEND_FLAG_LAZY : SEND_FLAG_NOW
    let at = parts.submissions.claimSend(outbox.slot, outbox.generation, slices, flags)
    if (at === 0) {
      this.#markDirty(outbox)
      return
    }
    const words = this.#words
    const bytesAt = at - 1
    let node = outbox.waitFirst
    let last = 0
    let bytes = 0
    for (let i = 0; i < slices; i++) {
      const nodeAt = this.#nodes.at(node)
      const length = words[nodeAt + NODE_LENGTH]
      words[at++] = words[nodeAt + NODE_OFFSET]
      words[at++] = length
      bytes += length
      last = nodeAt
      node = words[nodeAt]
    }
    words[last] = 0
    words[bytesAt] = bytes
    outbox.flightFirst = outbox.waitFirst
    outbox.flightBytes = bytes
    outbox.waitFirst = node
    outbox.waitCount -= slices
    if (node === 0) outbox.waitLast = 0
    this.#countGather(slices)
    if (this.#zeroCopy === null) return
    const number = this.#zeroCopy.takeNumber(outbox)
    if (number === NO_NUMBER) return
    const headerAt = bytesAt + 1 - SEND_HEADER_WORDS
    const asked = SEND_FLAG_ZERO_COPY | (number << SEND_NUMBER_SHIFT)
    words[headerAt] = words[headerAt] | (asked << 8)
  }

  #countGather(slices: number): void {
    const counters = this.#counters
    counters[Counter.GATHERS]++
    counters[Counter.GATHER_SLICES] += slices
    // Buckets are powers of two: 1, 2, 3 to 4, 5 to 8, …
    counters[Counter.GATHERS_TO1 + 32 - Math.clz32(slices - 1)]++
  }

  /** Takes what other threads pushed, oldest first, behind what waits [SENDLIST-2]. */
  #takeShared(outbox: T): void {
    const words = this.#words
    let node = takeAll(words, outbox.at + SESSION_SEND_HEAD)
    if (node === 0) return
    const newest = node
    let oldest = 0
    let count = 0
    let bytes = 0
    while (node !== 0) {
      const nodeAt = this.#nodes.at(node)
      const older = words[nodeAt]
      bytes += words[nodeAt + NODE_LENGTH]
      words[nodeAt] = oldest
      oldest = node
      node = older
      count++
    }
    if (outbox.waitLast === 0) outbox.waitFirst = oldest
    else words[this.#nodes.at(outbox.waitLast)] = oldest
    outbox.waitLast = newest
    outbox.waitCount += count
    outbox.bufferedBytes += bytes
    outbox.foreignBytes += bytes
  }

  /** A SEND of this session completed; `flags` are COMPLETION_FLAG_* bits. */
  completed(outbox: T, status: IoStatus, taken: number, flags: number): void {
    const parts = this.#parts as SubmitParts<T>
    assert(
      outbox.waiting || outbox.flightFirst !== 0,
      'SENDFLAG-3: a session has one send in flight, which completes once',
    )
    if (
      outbox.flightNumber !== NO_NUMBER &&
      this.#zeroCopy?.sendEnded(outbox, status, taken, flags)
    ) {
      this.#takeBack(outbox)
      this.#submitNext(outbox)
      return
    }
    const pressure = this.#pressure as Pressure<T>
    const failed = status !== IoStatus.OK
    if (outbox.waiting) {
      outbox.waiting = false
      pressure.consume(outbox, taken)
    } else if (!failed && taken === outbox.flightBytes) {
      this.#dropFlight(outbox)
    } else {
      this.#counters[Counter.SHORT_SENDS]++
      if (!failed) {
        pressure.keepFlight(outbox, taken)
        this.#dropFlight(outbox)
      }
    }
    this.#counters[Counter.BYTES_OUT] += taken
    pressure.settle(outbox, taken)
    if (failed && !outbox.sendDead) {
      outbox.sendDead = true
      parts.events.sendFailed(outbox, status)
    }
    if (taken > 0 && parts.wantsSent) parts.events.sent(outbox, taken)
    if (!failed) pressure.drainOwn(outbox)
    this.#submitNext(outbox)
  }

  /** The kernel has let go of a gather that it did not copy. */
  notified(outbox: T, number: number, isCopied: boolean): void {
    this.#references.releaseNodes((this.#zeroCopy as ZeroCopy).takeHeld(outbox, number, isCopied))
    // A lane that it moves to, and its end, wait for the last one.
    if (outbox.notifications === 0 && !outbox.sending) this.#submitNext(outbox)
  }

  /** The gather in flight goes before what waits. */
  #takeBack(outbox: T): void {
    const words = this.#words
    let last = 0
    for (let node = outbox.flightFirst; node !== 0; node = words[last]) {
      last = this.#nodes.at(node)
      outbox.waitCount++
      if (outbox.waitFirst === 0 && words[last] === 0) outbox.waitLast = node
    }
    words[last] = outbox.waitFirst
    outbox.waitFirst = outbox.flightFirst
    outbox.flightFirst = outbox.flightBytes = 0
  }

  /** What the socket did not take before goes on, whenever there is room. */
  #submitOverflow(outbox: T): void {
    const { submissions, maxGather } = this.#parts as SubmitParts<T>
    const { blocks } = outbox.overflow as OverflowQueue
    const slices = Math.min(blocks.length, maxGather)
    let at = submissions.claimSend(outbox.slot, outbox.generation, slices, 0)
    if (at === 0) {
      this.#markDirty(outbox)
      return
    }
    const bytesAt = at - 1
    let bytes = 0
    for (let i = 0; i < slices; i++) {
      const length = blocks[i].end - blocks[i].start
      this.#words[at++] = blocks[i].start
      this.#words[at++] = length
      bytes += length
    }
    this.#words[bytesAt] = bytes
    outbox.waiting = true
    this.#countGather(slices)
  }

  /** Nothing more will be sent: drops what waits, with its references. */
  kill(outbox: T): void {
    outbox.sendDead = true
    if (this.#openOutbox === outbox) this.commit()
    // What is in flight is dropped at its completion; what waits, at the next flush.
    if (outbox.waitFirst !== 0) this.#markDirty(outbox)
  }

  #discard(outbox: T): void {
    const pressure = this.#pressure as Pressure<T>
    this.#references.releaseNodes(outbox.flightFirst)
    this.#references.releaseNodes(outbox.waitFirst)
    outbox.flightFirst = outbox.flightBytes = 0
    outbox.waitFirst = outbox.waitLast = outbox.waitCount = 0
    pressure.clear(outbox)
    pressure.settle(outbox, outbox.bufferedBytes)
  }

  // --- references ------------------------------------------------------------------------------

  /** What was in flight is with the socket: it is given back, or held until the kernel has read it. */
  #dropFlight(outbox: T): void {
    if (outbox.flightNumber === NO_NUMBER) this.#references.releaseNodes(outbox.flightFirst)
    else this.#holdFlight(outbox)
    outbox.flightFirst = outbox.flightBytes = 0
  }

  /** Until its notification a gather holds each block once; the other nodes go [ZEROCOPY-1]. */
  #holdFlight(outbox: T): void {
    const words = this.#words
    let kept = this.#nodes.at(outbox.flightFirst)
    for (let node = words[kept]; node !== 0; ) {
      const at = this.#nodes.at(node)
      const next = words[at]
      if (words[at + NODE_BLOCK] === words[kept + NODE_BLOCK]) {
        this.#references.releaseNode(node)
      } else {
        words[kept] = node
        kept = at
      }
      node = next
    }
    words[kept] = 0
    ;(this.#zeroCopy as ZeroCopy).keepFlight(outbox)
  }

  /** Drops one reference on a chunk or receive buffer; chunks are settled in bulk. */
  dropReference(block: number): void {
    this.#references.release(block)
  }

  /** Nodes of this thread that nobody uses, counted now; for tests. */
  freeNodes(): number {
    return this.#nodes.freeCount()
  }

  /** Settles the references that were dropped since the last time. */
  settle(): void {
    this.#references.settle()
  }
}
