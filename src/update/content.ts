// What: the content of an update thread: records of job rings become handler events, in the order of each session.
// Flow: job rings -> this -> handler -> content_session; LEAVE -> slot back to its owner.
// Thread: one update thread.

import type { Binding } from '../binding.ts'
import { OverlappedError } from '../errors.ts'
import {
  CLOSE_REASON_NAMES,
  CloseReason,
  JobKind,
  SESSION_CONTENT,
  SESSION_MOVE_TO,
  SESSION_REQUEST_CLOSE,
  SESSION_REQUEST_END,
  SESSION_REQUEST_MOVE,
  SESSION_REQUEST_MOVED,
  SESSION_STATE,
  SessionState,
  THREAD_LOCAL_PENDING,
} from '../layout/layout.ts'
import type { Outbox } from '../outbound/outbox.ts'
import type { Sender } from '../outbound/sender.ts'
import type { CloseReasonName, Session } from '../session/handler.ts'
import { type FailureHome, HandlerCalls } from '../session/handler_calls.ts'
import { PacketCursor } from '../session/packet.ts'
import type { ContentHome, ThreadRuntime } from '../session/runtime.ts'
import type { Arena } from '../shared/arena.ts'
import { load, store } from '../shared/atomics.ts'
import type { Group, GroupTable } from '../shared/group_table.ts'
import type { SessionTable } from '../shared/session_table.ts'
import { threadByName, threadName } from '../shared/thread_ids.ts'
import type { Waker } from '../shared/waker.ts'
import { type ContentParts, type ContentProtocol, ContentSession } from './content_session.ts'
import { JobConsumer } from './job_ring.ts'
import type { RemoteDialler } from './remote_dialler.ts'

/** Records of one ring that are handled before what they caused is shown to other threads. */
const RECORDS_PER_PASS = 256

/** A session on its way to another update thread. */
export interface MovedSession {
  readonly slot: number
  readonly generation: number
  readonly protocol: number
  readonly data: unknown
  readonly isDone: boolean
  readonly paused: boolean
  readonly held: Uint8Array[] | null
  readonly heldEnd: CloseReason
  /** Those that it is in; it stays a member meanwhile. */
  readonly groups: readonly Group[]
  /** Name of the thread that it leaves. */
  readonly from: string
}

export interface ContentOptions {
  readonly arena: Arena
  readonly waker: Waker
  readonly table: SessionTable
  readonly groups: GroupTable
  readonly sender: Sender<Outbox>
  /** By index; those of connect() are added, so there may be holes. */
  readonly protocols: readonly ContentProtocol[]
  readonly binding: Pick<Binding, 'sessionAddress'>
  readonly dialler: RemoteDialler
  /** Sends a session to another update thread. */
  readonly passOn: (thread: number, move: MovedSession) => void
}

export class Content implements ContentHome, FailureHome<ContentSession> {
  readonly calls: HandlerCalls<ContentSession>
  readonly #options: ContentOptions
  readonly #waker: Waker
  readonly #words: Int32Array
  readonly #bytes: Uint8Array
  readonly #pendingAt: number
  readonly #consumers: readonly JobConsumer[]
  /** By slot. */
  readonly #sessions: (ContentSession | undefined)[]
  readonly #live: ContentSession[] = []
  /** Sessions that were resumed and hold messages. */
  readonly #resumed: ContentSession[] = []
  /** Of the CONNECTED record before a JOIN; 0: there was none. */
  #connectNumber = 0
  // Set right after construction; the runtime refers to this.
  #parts!: ContentParts
  #packet!: PacketCursor

  constructor(options: ContentOptions) {
    const { arena, waker } = options
    this.#options = options
    this.#waker = waker
    this.#words = arena.words
    this.#bytes = arena.bytes
    this.calls = new HandlerCalls(arena.counters, this)
    this.#pendingAt = arena.threadAt(arena.thread) + THREAD_LOCAL_PENDING
    this.#consumers = Array.from(
      { length: arena.plan.driverCount },
      (_, index) => new JobConsumer(arena, index + 1),
    )
    this.#sessions = new Array(arena.plan.sessionCapacity)
  }

  attach(runtime: ThreadRuntime, packet: PacketCursor): void {
    const { arena, table, groups, sender, binding } = this.#options
    this.#packet = packet
    this.#parts = {
      arena,
      table,
      groups,
      sender,
      foreign: runtime.foreign,
      runtime,
      addressOf: (slot) => binding.sessionAddress(arena.memories.runtime, slot),
      markPending: () => this.markPending(),
      resumed: (session) => this.#resume(session),
      move: (session, thread) => this.#move(session, thread),
      packetOf: (bytes) => {
        const buffer = Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length)
        return new PacketCursor({ bytes, buffer }, null, (held) => runtime.retainPacket(held))
      },
    }
  }

  // --- as the runtime sees it ------------------------------------------------------------------

  *sessions(): Iterable<Session> {
    for (const session of [...this.#live]) if (session.isOpen) yield session
  }

  at(slot: number): Session | undefined {
    return this.#sessions[slot]
  }

  markPending(): void {
    this.#words[this.#pendingAt] = 1
  }

  // --- records ---------------------------------------------------------------------------------

  /**
   * Handles every record that is there when it begins: under a load that never ends, ticks, timers and messages get their
   * turn too. `afterPass` shows other threads what came of a part of them.
   */
  drain(afterPass: () => void): void {
    let left = false
    for (const consumer of this.#consumers) if (consumer.look() > 0) left = true
    while (left) {
      left = false
      for (const consumer of this.#consumers) if (this.#pass(consumer)) left = true
      afterPass()
    }
  }

  /** Whether there may be more of what was seen. */
  #pass(consumer: JobConsumer): boolean {
    let handled = 0
    while (handled < RECORDS_PER_PASS && consumer.advance()) {
      this.#handle(consumer)
      handled++
    }
    if (handled > 0 && consumer.consumed()) this.#waker.ringBell(consumer.producer)
    return handled === RECORDS_PER_PASS
  }

  #handle({ kind, slot, first, second }: JobConsumer): void {
    if (kind === JobKind.JOIN) {
      this.#join(slot, first >>> 0, second)
      return
    }
    const session = this.#sessions[slot]
    switch (kind) {
      case JobKind.CONNECTED:
        this.#connectNumber = second
        break
      case JobKind.RECV:
        if (session !== undefined) this.#received(session, first, second)
        break
      case JobKind.END:
        if (session !== undefined) this.#end(session, first as CloseReason)
        break
      case JobKind.DRAIN:
        this.#drained(session, slot, first >>> 0)
        break
      case JobKind.SENT:
        if (session?.generation === first >>> 0) this.#sent(session, second)
        break
      case JobKind.MOVE:
        if (session !== undefined) this.#moveOut(session)
        break
      case JobKind.LEAVE:
        if (session !== undefined) this.#leave(session, first as CloseReason)
        break
    }
  }

  #join(slot: number, generation: number, protocol: number): void {
    const session = new ContentSession(
      this.#parts,
      slot,
      generation,
      this.#options.protocols[protocol],
    )
    this.#adopt(session)
    // Its CONNECTED came right before.
    if (this.#connectNumber !== 0) this.#options.dialler.connected(this.#connectNumber, session)
    this.#connectNumber = 0
    this.#call(session, 'onJoin')
  }

  #adopt(session: ContentSession): void {
    this.#sessions[session.slot] = session
    session.liveIndex = this.#live.length
    this.#live.push(session)
  }

  #received(session: ContentSession, start: number, length: number): void {
    session.hasSpoken = true
    if (session.isDone) return
    if (session.paused || session.held !== null) {
      session.held ??= []
      session.held.push(this.#bytes.slice(start, start + length))
      return
    }
    this.#deliver(session, start, length)
  }

  #deliver(session: ContentSession, start: number, length: number): void {
    const packet = this.#packet
    packet.enter(-1, session.protocol.encoder, start + length)
    packet.start = start
    packet.end = start + length
    this.#hand(session, packet)
  }

  /** A message that was copied while its session was paused. */
  #deliverHeld(session: ContentSession, bytes: Uint8Array): void {
    const packet = this.#parts.packetOf(bytes)
    packet.enter(-1, session.protocol.encoder, bytes.length)
    packet.start = 0
    packet.end = bytes.length
    this.#hand(session, packet)
  }

  #hand(session: ContentSession, packet: PacketCursor): void {
    this.calls.received(session.protocol.handler, session, packet)
    packet.start = -1
  }

  /** Nothing more comes. The owner goes on when everything before was handled. */
  #end(session: ContentSession, reason: CloseReason): void {
    const waits = session.held !== null || session.paused
    if (waits && !session.isDone && reason === CloseReason.PEER_CLOSED) {
      session.heldEnd = reason
      return
    }
    session.isDone = true
    session.held = null
    session.ask(SESSION_REQUEST_END)
  }

  /** Sessions were resumed that resumeHeld() has not gone on with. */
  get hasResumed(): boolean {
    return this.#resumed.length > 0
  }

  /** Goes on with what resumed sessions hold, each message in its order. */
  resumeHeld(): void {
    for (let left = this.#resumed.length; left > 0; left--) {
      const session = this.#resumed.shift() as ContentSession
      while (session.held !== null && session.held.length > 0 && !session.paused && !session.isDone)
        this.#deliverHeld(session, session.held.shift() as Uint8Array)
      if (session.paused || session.isDone) continue
      const end = session.heldEnd
      session.held = null
      if (end === CloseReason.NONE) session.flows()
      else this.#end(session, end)
    }
  }

  #drained(session: ContentSession | undefined, slot: number, generation: number): void {
    if (session?.generation === generation) {
      this.#call(session, 'onDrain')
      return
    }
    // It has moved while a send thread told this one: the word is set again, for whoever runs its content now.
    const { table, sender } = this.#options
    if (!table.pinSlot(slot, generation)) return
    sender.slots.wantDrain(slot)
    table.unpin(slot)
  }

  #sent(session: ContentSession, bytes: number): void {
    this.calls.event('onSend', session.protocol.handler, session, bytes)
  }

  #leave(session: ContentSession, reason: CloseReason): void {
    session.isDone = true
    session.held = null
    this.#forget(session)
    session.leaveGroups()
    const name = CLOSE_REASON_NAMES[reason] as CloseReasonName
    this.calls.event('onLeave', session.protocol.handler, session, name)
    this.#options.dialler.left(session, name)
    session.gone()
    this.#options.table.giveBack(session.slot)
  }

  #forget(session: ContentSession): void {
    this.#sessions[session.slot] = undefined
    const last = this.#live.pop() as ContentSession
    if (last === session) return
    this.#live[session.liveIndex] = last
    last.liveIndex = session.liveIndex
  }

  #resume(session: ContentSession): void {
    if (!this.#resumed.includes(session)) this.#resumed.push(session)
    this.markPending()
  }

  // --- moving ----------------------------------------------------------------------------------

  #move(session: ContentSession, thread: string): boolean {
    const { arena } = this.#options
    const { updateFirst, updateCount } = arena.plan
    const target = threadByName(arena.plan, thread)
    if (target < updateFirst || target >= updateFirst + updateCount) {
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `moveTo('${thread}'): a session moves to an update thread; there are 'update1' to 'update${updateCount}'`,
      )
    }
    if (target === arena.thread || session.isMoving || session.isDone) return false
    if (load(this.#words, session.at + SESSION_STATE) !== SessionState.OPEN) return false
    if (session.protocol.name === '' || this.#options.dialler.follows(session)) {
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `moveTo('${thread}'): a session that connect() made with a framing of its own, or makes anew, stays where it is`,
      )
    }
    // What cannot be cloned is the caller's mistake, who hears of it here.
    structuredClone(session.data)
    store(this.#words, session.at + SESSION_MOVE_TO, target)
    session.isMoving = session.ask(SESSION_REQUEST_MOVE)
    return session.isMoving
  }

  /** Everything before the move is handled: the session goes, with what its messages find there. */
  #moveOut(session: ContentSession): void {
    const options = this.#options
    const { arena, sender, waker } = options
    this.#forget(session)
    // What was sent here goes before what is sent there.
    sender.flush()
    waker.flush()
    const { slot, generation, paused, held, heldEnd } = session
    const move = {
      slot,
      generation,
      protocol: options.protocols.indexOf(session.protocol),
      data: session.data,
      isDone: session.isDone,
      paused,
      held,
      heldEnd,
      groups: session.giveGroups(),
      from: threadName(arena.plan, arena.thread),
    }
    const target = load(this.#words, session.at + SESSION_MOVE_TO)
    try {
      options.passOn(target, move)
    } catch (error) {
      // Its data was changed after moveTo() into what cannot be cloned.
      this.calls.failed(session.protocol.handler, error, session)
      options.passOn(target, { ...move, data: undefined, isDone: true })
    }
    session.gone()
  }

  /** A session came from another update thread; its messages wait until its owner hears of it. */
  moveIn(move: MovedSession): void {
    const { arena, sender, waker, protocols } = this.#options
    const session = new ContentSession(
      this.#parts,
      move.slot,
      move.generation,
      protocols[move.protocol],
    )
    session.data = move.data
    session.isDone = move.isDone
    session.paused = move.paused
    session.held = move.held
    session.heldEnd = move.heldEnd
    session.takeGroups(move.groups)
    this.#adopt(session)
    store(this.#words, session.at + SESSION_CONTENT, arena.thread)
    // The move has a count of the session: no pin is needed. It comes before a move that onMove may ask for [MOVE-1].
    sender.request(session.slot, SESSION_REQUEST_MOVED)
    this.calls.event('onMove', session.protocol.handler, session, move.from)
    waker.flush()
    if (!session.paused && session.held !== null) this.#resume(session)
  }

  // --- handler ---------------------------------------------------------------------------------

  #call(session: ContentSession, event: 'onJoin' | 'onDrain'): void {
    if (!session.isDone) this.calls.event(event, session.protocol.handler, session)
  }

  endFailed(session: ContentSession): void {
    session.endBy(SESSION_REQUEST_CLOSE, CloseReason.HANDLER_ERROR)
  }
}
