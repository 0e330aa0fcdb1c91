// What: the native half of a worker for models: completion ring producer, the list before a sleep, parking, a driver.
// Flow: as native/shared/completion_ring.h, native/loop/round.cc and a scripted native/driver.
// Thread: a model's worker.

import {
  COMPLETION_BUFFER,
  COMPLETION_FLAG_NOTIFIES,
  COMPLETION_FLAGS,
  COMPLETION_GENERATION,
  COMPLETION_KIND,
  COMPLETION_OFFSET,
  COMPLETION_RESULT,
  COMPLETION_SLOT,
  COMPLETION_STATUS,
  COMPLETION_WORDS,
  CompletionKind,
  IO_RELEASED,
  IoStatus,
  SEND_FLAG_LAZY,
  SEND_FLAG_NOW,
  SEND_FLAG_ZERO_COPY,
  SEND_HEADER_WORDS,
  SEND_NUMBER_SHIFT,
  SESSION_IO_COUNT,
  SubmissionOp,
  THREAD_ASSIGNED_SESSIONS,
  THREAD_COMPLETION_HEAD,
  THREAD_COMPLETION_TAIL,
  THREAD_DEAF,
  THREAD_DOORBELL,
  THREAD_FLUSH_HEAD,
  THREAD_LOCAL_PENDING,
  THREAD_PARKED,
  THREAD_RELEASE_HEAD,
  THREAD_REQUEST_HEAD,
  THREAD_SUBMISSION_USED,
} from '../../src/layout/layout.ts'
import { add, load, store } from '../../src/shared/atomics.ts'
import { check } from './ops.ts'
import type { World } from './world.ts'

export interface Completion {
  readonly kind: CompletionKind
  readonly slot: number
  readonly generation: number
  readonly status?: IoStatus
  readonly result?: number
  readonly offset?: number
  readonly buffer?: number
  readonly flags?: number
}

/** As shared::CompletionRing. */
export class RingProducer {
  readonly words: Int32Array
  readonly #at: number
  readonly #capacity: number
  readonly headAt: number
  readonly #tailAt: number
  #next = 0

  constructor(world: World, thread: number) {
    const { words, plan } = world.arena(thread)
    this.words = words
    this.#capacity = plan.completionCapacity
    this.#at = plan.completionsAt + (thread - 1) * plan.completionCapacity * COMPLETION_WORDS
    this.headAt = world.arena(thread).threadAt(thread) + THREAD_COMPLETION_HEAD
    this.#tailAt = world.arena(thread).threadAt(thread) + THREAD_COMPLETION_TAIL
  }

  used(): number {
    return this.#next - load(this.words, this.headAt)
  }

  space(): number {
    return this.#capacity - this.used()
  }

  claim(completion: Completion): void {
    check(this.space() > 0, 'COMPLETION-3: never overwrites what is not consumed')
    const { words } = this
    const at = this.#at + (this.#next++ & (this.#capacity - 1)) * COMPLETION_WORDS
    words[at + COMPLETION_KIND] = completion.kind
    words[at + COMPLETION_FLAGS] = completion.flags ?? 0
    words[at + COMPLETION_SLOT] = completion.slot
    words[at + COMPLETION_GENERATION] = completion.generation
    words[at + COMPLETION_STATUS] = completion.status ?? IoStatus.OK
    words[at + COMPLETION_RESULT] = completion.result ?? 0
    words[at + COMPLETION_OFFSET] = completion.offset ?? 0
    words[at + COMPLETION_BUFFER] = completion.buffer ?? 0
  }

  commit(): void {
    store(this.words, this.#tailAt, this.#next)
  }
}

/**
 * What becomes of a send that does not wait: bytes that are taken, `fail`, or `refuse`: there is no memory to send it
 * without a copy. All of it when the script is over.
 */
export type Step = number | 'fail' | 'refuse'

interface Send {
  /** Whose driver has it. */
  readonly thread: number
  readonly slot: number
  readonly generation: number
  readonly slices: readonly (readonly [offset: number, length: number])[]
  readonly bytes: number
  /** Of one that is read where it lies; -1: it is copied. */
  readonly number: number
}

/** A zero-copy send of which NOTIFIED is to come. */
interface Read {
  readonly slot: number
  readonly generation: number
  readonly number: number
  readonly slices: readonly (readonly [offset: number, length: number])[]
  /** As they were sent. */
  readonly bytes: readonly number[]
  /** It comes with the second wait, or when there is nothing else to wait for. */
  isDue: boolean
}

/** The other end of a session. */
export class Peer {
  /** What it got. */
  readonly bytes: number[] = []
  readonly script: Step[]
  /** Frames that it will have sent before the worker waits for the first time. */
  readonly sends: readonly (readonly number[])[]
  /** Then it ends its stream. */
  readonly isEnded: boolean
  isReceiving = false
  /** It is not received from, and may be again; that it leaves is heard. */
  isPaused = false
  /** Our stream to it has ended. */
  isShutDown = false
  isClosed = false
  waiting: Send | null = null
  /** Drivers of send threads that borrow its socket. */
  borrowers = 0
  /** How often its stream was ended. */
  shutdowns = 0
  /** Frames that a PAUSE comes too late for; then it ends its stream, or not. */
  late: (readonly number[])[] = []
  isEndedLate = false
  /** Frames that it sends once it is received from again. */
  after: (readonly number[])[] = []

  constructor(
    script: readonly Step[] = [],
    sends: readonly (readonly number[])[] = [],
    isEnded = false,
  ) {
    this.script = [...script]
    this.sends = sends
    this.isEnded = isEnded
  }
}

/** A driver whose sockets take what their script says; a socket that waits is writable when its word says so. */
export class ModelDriver {
  readonly peers = new Map<string, Peer>()
  /** Who is at the other end of the next connections that are attached. */
  readonly connecting: Peer[] = []
  /** A connection that is accepted as soon as a handle was closed. */
  successor: Peer | null = null
  readonly #world: World
  readonly #thread: number
  readonly #ready: Completion[] = []
  /** Lazy sends that were taken whole. */
  readonly #held: Completion[] = []
  readonly #buffersFree: number[] = []
  readonly #reads: Read[] = []
  readonly #writable: number
  /** Looks at what is sent: chunks that are free must not be. */
  readonly #slice: (offset: number, length: number, isNow: boolean) => void
  /** Of a send thread's driver: that of the owner, whose sockets it borrows. */
  readonly #lender: ModelDriver | null
  /** The word, outside of the plan, that says that borrowers have ended streams; 0: nobody borrows. */
  #endsAt = 0

  constructor(
    world: World,
    thread: number,
    writable: number,
    slice: (offset: number, length: number, isNow: boolean) => void,
    lender: ModelDriver | null = null,
  ) {
    this.#lender = lender
    this.#world = world
    this.#thread = thread
    this.#writable = writable
    this.#slice = slice
    if (lender !== null) return
    const { recvBuffersPerWorker } = world.arena(thread).plan
    for (let i = 0; i < recvBuffersPerWorker; i++)
      this.#buffersFree.push((thread - 1) * recvBuffersPerWorker + i)
  }

  peerOf(slot: number, generation: number): Peer {
    const peer = this.peers.get(`${slot} ${generation}`)
    check(peer !== undefined, 'COMPLETION-4: an operation is for a session that is attached')
    return peer
  }

  /** Reads the area as a driver does. */
  submit(at: number, end: number): void {
    const { words } = this.#world.arena(this.#thread)
    let next = at
    while (next < end) {
      const op = words[next] & 0xff
      const flags = (words[next] >>> 8) & 0xff
      const count = words[next] >>> 16
      const slot = words[next + 1]
      const generation = words[next + 2]
      if (op === SubmissionOp.SEND) {
        const slices: [number, number][] = []
        let bytes = 0
        for (let i = 0; i < count; i++) {
          const pair = next + SEND_HEADER_WORDS + 2 * i
          slices.push([words[pair], words[pair + 1]])
          bytes += words[pair + 1]
        }
        check(words[next + 3] === bytes, 'a SEND says how many bytes it has')
        const number = (flags & SEND_FLAG_ZERO_COPY) === 0 ? -1 : flags >>> SEND_NUMBER_SHIFT
        this.#send({ thread: this.#thread, slot, generation, slices, bytes, number }, flags)
        next += SEND_HEADER_WORDS + 2 * count
      } else if (op === SubmissionOp.BUFFER_RETURN) {
        for (let i = 1; i <= count; i++) this.#takeBuffer(words[next + i])
        next += 1 + count
      } else {
        this.#operate(op, slot, generation)
        next += op === SubmissionOp.ATTACH ? 4 : 3
      }
    }
  }

  #takeBuffer(buffer: number): void {
    check(!this.#buffersFree.includes(buffer), 'BUFFER-1: a receive buffer is returned once')
    this.#buffersFree.push(buffer)
    const { recvByteAt, recvBufferStride } = this.#world.arena(this.#thread).plan
    const start = recvByteAt + buffer * recvBufferStride
    this.#world.bytes.fill(0xee, start, start + recvBufferStride)
  }

  get buffersHeld(): number {
    const { recvBuffersPerWorker } = this.#world.arena(this.#thread).plan
    return recvBuffersPerWorker - this.#buffersFree.length
  }

  #operate(op: number, slot: number, generation: number): void {
    if (op === SubmissionOp.ATTACH) {
      const attached = this.connecting.shift()
      check(attached !== undefined, 'a connection is attached once')
      this.peers.set(`${slot} ${generation}`, attached)
      return
    }
    if (op === SubmissionOp.BORROW) {
      this.#borrow(slot, generation)
      return
    }
    const peer = this.peerOf(slot, generation)
    check(!peer.isClosed, 'COMPLETION-4: nothing is submitted for a closed handle')
    if (op === SubmissionOp.RECV) {
      // What it sends was received when it was not yet paused.
      const frames = peer.isPaused ? peer.after.splice(0) : peer.sends
      for (const frame of frames) this.#receive(slot, generation, frame)
      peer.isReceiving = true
      peer.isPaused = false
      if (peer.isEnded || peer.isShutDown)
        this.#endReceiving(peer, slot, generation, IoStatus.END_OF_STREAM)
    } else if (op === SubmissionOp.PAUSE) {
      if (!peer.isReceiving) return
      for (const frame of peer.late.splice(0)) this.#receive(slot, generation, frame)
      if (peer.isEndedLate) {
        this.#endReceiving(peer, slot, generation, IoStatus.END_OF_STREAM)
        return
      }
      peer.isReceiving = false
      peer.isPaused = true
      this.#ready.push({ kind: CompletionKind.PAUSED, slot, generation, status: IoStatus.OK })
    } else if (op === SubmissionOp.CANCEL) {
      if (this.#lender === null) this.#endReceiving(peer, slot, generation, IoStatus.CANCELLED)
      for (const read of this.#reads) if (read.slot === slot) read.isDue = true
      const { waiting } = peer
      if (waiting?.thread !== this.#thread) return
      this.#complete(waiting, { status: IoStatus.CANCELLED, taken: 0 }, false)
      peer.waiting = null
    } else if (op === SubmissionOp.GIVE_BACK) {
      check(peer.waiting?.thread !== this.#thread, 'LANE-4: who gives back has nothing in flight')
      this.#checkNoneReported(slot)
      peer.borrowers--
      this.peers.delete(`${slot} ${generation}`)
    } else if (op === SubmissionOp.SHUTDOWN) {
      peer.shutdowns++
      check(peer.shutdowns === 1, 'LANE-3: a stream ends once')
      peer.isShutDown = true
      if (this.#lender !== null) {
        this.#lender.endLent()
        return
      }
      // The peer ends its stream when it sees ours end; who is not receiving finds out later.
      if (!peer.isPaused) this.#endReceiving(peer, slot, generation, IoStatus.END_OF_STREAM)
    } else {
      check(op === SubmissionOp.CLOSE, `operation ${op} is in no model`)
      const isPending = peer.isReceiving || peer.isPaused || peer.waiting !== null
      check(!isPending, 'nothing is pending when a handle closes')
      check(peer.borrowers === 0, 'LANE-4: no socket is closed while it is borrowed')
      this.#checkNoneReported(slot)
      peer.isClosed = true
      this.#accept()
    }
  }

  #checkNoneReported(slot: number): void {
    check(
      ![...this.#ready, ...this.#held].some(
        (done) => done.kind !== CompletionKind.ACCEPT && done.slot === slot,
      ),
      'COMPLETION-4: every operation has completed when a handle closes',
    )
    check(
      !this.#reads.some((read) => read.slot === slot),
      'ZEROCOPY-3: every notification has come when a handle closes',
    )
  }

  #borrow(slot: number, generation: number): void {
    const lender = this.#lender
    check(lender !== null, 'only send threads borrow')
    check(!this.peers.has(`${slot} ${generation}`), 'LANE-4: a socket is borrowed once')
    const peer = lender.peerOf(slot, generation)
    check(!peer.isClosed, 'LANE-4: what is borrowed is open')
    peer.borrowers++
    this.peers.set(`${slot} ${generation}`, peer)
  }

  /** The peer of a session ends its stream: the next wait brings it. */
  endPeer(slot: number, generation: number): void {
    this.#endReceiving(this.peerOf(slot, generation), slot, generation, IoStatus.END_OF_STREAM)
  }

  /** Others send on its sockets, and end streams: the word says so. */
  lendTo(endsAt: number): void {
    this.#endsAt = endsAt
  }

  /** A borrower has ended a stream. The peer ends its own; its end is to be received by the next wait. */
  endLent(): void {
    store(this.#world.words, this.#endsAt, 1)
    this.#world.signal(this.#thread)
  }

  #endReceiving(peer: Peer, slot: number, generation: number, status: IoStatus): void {
    if (!peer.isReceiving && !peer.isPaused) return
    peer.isReceiving = peer.isPaused = false
    this.#ready.push({ kind: CompletionKind.RECV, slot, generation, status })
  }

  /** As the acceptor: the connection is counted, and ACCEPT completes. */
  #accept(): void {
    if (this.successor === null) return
    this.connecting.push(this.successor)
    this.successor = null
    const { words } = this.#world
    add(words, this.#world.arena(0).threadAt(this.#thread) + THREAD_ASSIGNED_SESSIONS, 1)
    this.#ready.push({ kind: CompletionKind.ACCEPT, slot: 0, generation: 0 })
  }

  #receive(slot: number, generation: number, frame: readonly number[]): void {
    const buffer = this.#buffersFree.pop()
    check(buffer !== undefined, 'a receive buffer is free')
    const { recvByteAt, recvBufferStride } = this.#world.arena(this.#thread).plan
    const offset = recvByteAt + buffer * recvBufferStride
    this.#world.bytes.set(frame, offset)
    const kind = CompletionKind.RECV
    this.#ready.push({ kind, slot, generation, result: frame.length, offset, buffer })
  }

  #send(send: Send, flags: number): void {
    const peer = this.peerOf(send.slot, send.generation)
    check(peer.waiting === null, 'SENDFLAG-3: one send of a session is in flight')
    check(peer.shutdowns === 0, 'LANE-3: nothing is sent behind the end of the stream')
    const isSent = (done: Completion) =>
      done.kind === CompletionKind.SEND && done.slot === send.slot
    check(
      !this.#ready.some(isSent) && !this.#held.some(isSent),
      'SENDFLAG-4: one send of a session is in flight',
    )
    const count = Atomics.load(
      this.#world.words,
      this.#world.arena(0).sessionAt(send.slot) + SESSION_IO_COUNT,
    )
    check(
      count > 0 && (count & IO_RELEASED) === 0,
      'IOCOUNT-1: who has a send in flight has a count',
    )
    const isNow = (flags & SEND_FLAG_NOW) !== 0
    for (const [offset, length] of send.slices) this.#slice(offset, length, isNow)
    if (!isNow) {
      peer.waiting = send
      return
    }
    const step = peer.script.shift() ?? send.bytes
    const outcome =
      typeof step === 'number'
        ? { status: IoStatus.OK, taken: Math.min(step, send.bytes) }
        : { status: step === 'fail' ? IoStatus.RESET : IoStatus.NO_RESOURCES, taken: 0 }
    this.#complete(send, outcome, (flags & SEND_FLAG_LAZY) !== 0)
  }

  #complete(
    { slot, generation, slices, bytes, number }: Send,
    { status, taken }: { status: IoStatus; taken: number },
    isLazy: boolean,
  ): void {
    const peer = this.peerOf(slot, generation)
    let left = taken
    for (const [offset, length] of slices) {
      const count = Math.min(left, length)
      for (let i = 0; i < count; i++) peer.bytes.push(this.#world.bytes[offset + i])
      left -= count
    }
    const isRead = number !== -1
    const flags = isRead ? COMPLETION_FLAG_NOTIFIES : 0
    const done = { kind: CompletionKind.SEND, slot, generation, status, result: taken, flags }
    if (isRead) {
      const before = peer.bytes.length - taken
      const read = { slot, generation, number, slices, bytes: peer.bytes.slice(before) }
      check(
        !this.#reads.some((other) => other.slot === slot && other.number === number),
        'ZEROCOPY-1: a number is given again when its notification has come',
      )
      this.#reads.push({ ...read, isDue: false })
    }
    if (isLazy && !isRead && status === IoStatus.OK && taken === bytes) this.#held.push(done)
    else this.#ready.push(done)
  }

  get hasWaiting(): boolean {
    for (const { waiting } of this.peers.values())
      if (waiting !== null && waiting.thread === this.#thread) return true
    return false
  }

  /** Waits, or only looks; then what has finished is in the ring. */
  wait(ring: RingProducer, isLook: boolean): void {
    if (isLook) this.#world.lookAtSignal(this.#thread)
    else if (this.#ready.length === 0 && this.#reads.length === 0)
      this.#world.awaitSignal(this.#thread)
    this.#notify(!isLook && this.#ready.length === 0)
    if (this.hasWaiting && load(ring.words, this.#writable) !== 0) {
      for (const peer of this.peers.values()) {
        const { waiting } = peer
        if (waiting === null || waiting.thread !== this.#thread) continue
        peer.waiting = null
        for (const [offset, length] of waiting.slices) this.#slice(offset, length, false)
        this.#complete(waiting, { status: IoStatus.OK, taken: waiting.bytes }, false)
      }
    }
    if (this.#endsAt !== 0 && load(ring.words, this.#endsAt) !== 0) {
      for (const [key, peer] of this.peers) {
        if (peer.shutdowns === 0) continue
        const [slot, generation] = key.split(' ').map(Number)
        this.#endReceiving(peer, slot, generation, IoStatus.END_OF_STREAM)
      }
    }
    this.#ready.push(...this.#held.splice(0))
    this.report(ring)
  }

  /** The kernel has read what it did not copy; it must be as it was sent. */
  #notify(isAll: boolean): void {
    for (const read of this.#reads.splice(0)) {
      if (!isAll && !read.isDue) {
        read.isDue = true
        this.#reads.push(read)
        continue
      }
      const { slot, generation, number, slices, bytes } = read
      let at = 0
      for (const [offset, length] of slices)
        for (let i = 0; i < length && at < bytes.length; i++)
          check(
            this.#world.bytes[offset + i] === bytes[at++],
            'ZEROCOPY-1: what the kernel reads is not changed before it has said so',
          )
      this.#ready.push({ kind: CompletionKind.NOTIFIED, slot, generation, result: number })
    }
  }

  /** What completed at once is in the ring when a submission returns. */
  report(ring: RingProducer): void {
    if (this.#ready.length === 0) return
    for (const done of this.#ready.splice(0)) ring.claim(done)
    ring.commit()
  }
}

/** As loop::Round and the loop around it; it never leaves for libuv. */
export class NativeLoop {
  readonly ring: RingProducer
  /** How often the thread said that it sleeps. */
  parks = 0
  readonly #world: World
  readonly #thread: number
  readonly #driver: ModelDriver
  readonly #block: number

  constructor(world: World, thread: number, driver: ModelDriver) {
    this.#world = world
    this.#thread = thread
    this.#driver = driver
    this.ring = new RingProducer(world, thread)
    this.#block = world.arena(thread).threadAt(thread)
  }

  /** Word by which the thread itself asks for a turn. */
  get pendingAt(): number {
    return this.#block + THREAD_LOCAL_PENDING
  }

  /** The one declared list of what must be empty before a sleep. */
  hasWork(): boolean {
    const { words } = this.#world
    const block = this.#block
    return (
      words[block + THREAD_SUBMISSION_USED] !== 0 ||
      words[block + THREAD_LOCAL_PENDING] !== 0 ||
      this.ring.used() !== 0 ||
      // order: seq_cst; after the store of parked; pairs with the pushes [WAKE-2]
      load(words, block + THREAD_FLUSH_HEAD) !== 0 ||
      load(words, block + THREAD_RELEASE_HEAD) !== 0 ||
      load(words, block + THREAD_REQUEST_HEAD) !== 0 ||
      (words[block + THREAD_DEAF] === 0 && load(words, block + THREAD_DOORBELL) !== 0)
    )
  }

  sleepOrLook(): void {
    const { words } = this.#world
    // Who is deaf does not say that it sleeps; its sleep ends by a timer [BELL-2].
    if (this.hasWork() || words[this.#block + THREAD_DEAF] !== 0) {
      this.#driver.wait(this.ring, true)
      return
    }
    this.parks++
    // order: seq_cst; before the re-check of every input; pairs with a waker's exchange [WAKE-1]
    store(words, this.#block + THREAD_PARKED, 1)
    if (this.hasWork()) {
      store(words, this.#block + THREAD_PARKED, 0)
      this.#driver.wait(this.ring, true)
      return
    }
    this.#driver.wait(this.ring, false)
    store(words, this.#block + THREAD_PARKED, 0)
  }

  /**
   * The same without the looks that only save a sleep or a turn: the first one of sleepOrLook, and the one
   * after it. Fewer loads, far fewer schedules.
   */
  sleepBriefly(): void {
    const { words } = this.#world
    this.parks++
    store(words, this.#block + THREAD_PARKED, 1)
    const isLook = this.hasWork()
    this.#driver.wait(this.ring, isLook)
    store(words, this.#block + THREAD_PARKED, 0)
  }

  /** After a sleep: who works does not say that it sleeps. */
  checkAwake(): void {
    check(
      Atomics.load(this.#world.words, this.#block + THREAD_PARKED) === 0,
      'WAKE-1: only a thread that sleeps, or is about to, says so',
    )
  }

  /** The end of a turn hands over with its wait. */
  handOver(): void {
    const { words } = this.#world
    const { plan } = this.#world.arena(this.#thread)
    const used = words[this.#block + THREAD_SUBMISSION_USED]
    if (used === 0) return
    check(used <= plan.submissionWords, 'the submission area is not overrun')
    words[this.#block + THREAD_SUBMISSION_USED] = 0
    const at = plan.submissionsAt + (this.#thread - 1) * plan.submissionWords
    this.#driver.submit(at, at + used)
  }

  /** In the middle of a turn; how many completions wait. */
  submit(): number {
    this.handOver()
    this.#driver.report(this.ring)
    return this.ring.used()
  }
}
