// What: the life of a session: accept or connect, close, terminate, end of receiving, release, closed.
// Flow: completions and the user -> this -> submissions, handler events, slots.
// Thread: the owning worker.

import { assert } from '../assert.ts'
import {
  CLOSE_REASON_NAMES,
  CloseReason,
  CONTROL_SESSIONS_OPENED,
  Counter,
  IoStatus,
  SESSION_CLOSE_REASON,
  SESSION_CONTENT,
  SESSION_DRAIN_WANTED,
  SESSION_IO_COUNT,
  SESSION_LANE_WANTED,
  SESSION_LISTENER,
  SESSION_PAUSED,
  SESSION_QUEUED_BYTES,
  SESSION_RELEASE_LINK,
  SESSION_REQUEST,
  SESSION_SENDER,
  SESSION_STATE,
  SESSION_STREAM_ENDED,
  SESSION_TAG,
  SessionState,
  THREAD_ASSIGNED_SESSIONS,
  THREAD_RELEASE_HEAD,
} from '../layout/layout.ts'
import type { SenderEvents } from '../outbound/sender.ts'
import { add, store, sub } from '../shared/atomics.ts'
import { open, release } from '../shared/io_count.ts'
import { takeAll } from '../shared/link_stack.ts'
import { WorkerHeap } from '../shared/worker_heap.ts'
import { Connecting } from './connecting.ts'
import type { Core, Protocol } from './core.ts'
import type { CloseReasonName } from './handler.ts'
import { Registry } from './registry.ts'
import { Requests } from './requests.ts'
import { type Held, LiveSession, Receiving } from './session.ts'

/** After everything was reset: who is still there has a pin or a flag of a thread that died. */
const ABANDON_AFTER_MS = 250

export class Lifecycle implements SenderEvents<LiveSession> {
  readonly registry: Registry
  readonly connecting: Connecting
  readonly #requests: Requests
  /** Sessions with held bytes that were resumed; the dispatcher goes on with them. */
  readonly resumed: LiveSession[] = []
  stopping = false
  /** Sockets were attached that other threads must not hear of before the driver knows them. */
  #hasAttached = false
  readonly #core: Core
  /** Sessions whose count fell to 0 and whose onLeave is due. */
  readonly #released: LiveSession[] = []
  readonly #assignedAt: number
  readonly #releaseHead: number
  #onEmpty: (() => void) | null = null

  constructor(core: Core) {
    this.#core = core
    this.registry = new Registry(core.arena)
    this.connecting = new Connecting(core)
    this.#requests = new Requests(core)
    const block = core.arena.threadAt(core.arena.thread)
    this.#assignedAt = block + THREAD_ASSIGNED_SESSIONS
    this.#releaseHead = block + THREAD_RELEASE_HEAD
  }

  // --- beginning -------------------------------------------------------------------------------

  /** A connection was accepted; the acceptor has counted it as assigned to this worker. */
  accepted(listener: number, token: number): void {
    const core = this.#core
    const protocol = core.protocols[listener]
    const reason = this.#refusal(protocol, token)
    const slot = reason === CloseReason.NONE ? this.registry.allocate() : -1
    if (slot === -1) {
      core.submissions.refuse(token)
      sub(core.arena.words, this.#assignedAt, 1)
      // A worker that accepts by itself has no acceptor that would count it.
      if (reason === CloseReason.NONE) core.counters[Counter.TABLE_FULL]++
      this.#countEnd(reason === CloseReason.NONE ? CloseReason.TABLE_FULL : reason)
      return
    }
    const content = core.link?.choose(slot, protocol.name, token) ?? core.arena.thread
    const session = this.#make(slot, protocol, content)
    session.transitToken = token
    core.submissions.attach(slot, session.generation, token)
    this.#hasAttached = true
    // From OPEN on any thread may send, and the send thread borrows the socket for that.
    if (this.#sendsElsewhere) this.showAttached()
    this.#open(session)
  }

  #refusal(protocol: Protocol, token: number): CloseReason {
    if (this.stopping) return CloseReason.SERVER_STOP
    const { handler } = protocol
    if (handler.onConnectionRequest === undefined) return CloseReason.NONE
    try {
      const remoteAddress = this.#core.binding.transitAddress(token)
      if (handler.onConnectionRequest({ remoteAddress, listener: protocol.name }) !== false)
        return CloseReason.NONE
    } catch (error) {
      this.#core.calls.failed(handler, error)
    }
    this.#core.counters[Counter.REFUSED]++
    return CloseReason.REFUSED
  }

  /** A session that is going to be connected, whose content runs in thread `content`; null: no slot is free. */
  openOutbound(protocol: Protocol, content: number): LiveSession | null {
    const slot = this.registry.allocate()
    if (slot === -1) return null
    add(this.#core.arena.words, this.#assignedAt, 1)
    return this.#make(slot, protocol, content)
  }

  submitConnect(session: LiveSession, token: number): void {
    this.#core.submissions.connect(session.slot, session.generation, token)
    this.#hasAttached = true
  }

  /** It is connected. */
  beginOutbound(session: LiveSession): void {
    this.#open(session)
  }

  /** Until now other threads have found it not open. */
  #open(session: LiveSession): void {
    const { words } = this.#core.arena
    store(words, session.at + SESSION_STATE, SessionState.OPEN)
    // order: after the state, and before anybody is told of the session [AUDIENCE-2]
    add(words, CONTROL_SESSIONS_OPENED, 1)
    this.#begin(session)
  }

  /** It was not connected, or ended meanwhile. */
  endOutbound(session: LiveSession): void {
    this.#to(session, SessionState.TERMINATING, CloseReason.CONNECT_FAILED)
    session.receiving = Receiving.ENDED
    this.#core.sender.kill(session)
    this.#dropBaseWhenIdle(session)
  }

  #make(slot: number, protocol: Protocol, content: number): LiveSession {
    const { arena } = this.#core
    const generation = this.registry.generationOf(slot)
    const session = new LiveSession(this.#core, slot, generation, protocol, content)
    const { words } = arena
    // Plain: nobody reads them without a pin, and there is none before the count is stored.
    words[session.at + SESSION_LISTENER] = protocol.index
    words[session.at + SESSION_TAG] = 0
    words[session.at + SESSION_QUEUED_BYTES] = 0
    words[session.at + SESSION_REQUEST] = 0
    words[session.at + SESSION_CONTENT] = content
    words[session.at + SESSION_PAUSED] = 0
    words[session.at + SESSION_CLOSE_REASON] = 0
    words[session.at + SESSION_DRAIN_WANTED] = 0
    words[session.at + SESSION_SENDER] = this.#core.senderThread
    words[session.at + SESSION_LANE_WANTED] = 0
    words[session.at + SESSION_STREAM_ENDED] = 0
    // order: last; publishes the words above to whoever pins the session [SESSION-1]
    open(words, session.at + SESSION_IO_COUNT)
    this.registry.put(session)
    this.registry.received(session, this.#core.now)
    return session
  }

  #begin(session: LiveSession): void {
    const core = this.#core
    session.receiving = Receiving.ARMED
    core.submissions.recv(session.slot, session.generation)
    this.registry.received(session, core.now)
    const { firstMessageTimeout } = core.limits
    if (firstMessageTimeout > 0) session.deadline = core.now + firstMessageTimeout
    session.joined = true
    core.counters[Counter.JOINED]++
    core.calls.event('onJoin', session.protocolOf.handler, session)
  }

  // --- ending ----------------------------------------------------------------------------------

  #to(session: LiveSession, state: SessionState, reason: CloseReason): void {
    session.state = state
    if (session.closeReason === CloseReason.NONE) session.closeReason = reason
    store(this.#core.arena.words, session.at + SESSION_STATE, state)
    // From here each completion matters: one that is kept back would hold up the end.
    session.prompt = true
    if (session.sending) this.#core.sender.hurry(session)
    // One that was never connected has been sent to by nobody: its slot is free without waiting for others.
    if (this.#sendsElsewhere && session.joined && state !== SessionState.RELEASED)
      this.#tellSender(session.slot)
  }

  /** Its send thread may be the last one that has a count of it. */
  #tellSender(slot: number): void {
    const { table, sender } = this.#core
    if (!table.pinOpen(slot)) return
    // It borrows the socket: the driver must know it before.
    this.showAttached()
    sender.slots.handOver(slot)
    table.unpin(slot)
    // It is woken at the end of a turn, which a deadline that passes does not bring.
    this.#core.markPending()
  }

  /** The driver hears of the sockets that were attached, before other threads do. */
  showAttached(): void {
    if (!this.#hasAttached) return
    this.#hasAttached = false
    const { submissions, binding } = this.#core
    // More connections than the area holds may have come in one turn.
    do {
      submissions.prepare()
      binding.handOver()
    } while (!submissions.isWhole)
  }

  /** Its send thread hears of a new state by the flush stack: it ends the stream, or drops what waits [LANE-3]. */
  get #sendsElsewhere(): boolean {
    return this.#core.senderThread !== this.#core.arena.thread
  }

  /** Takes no new sends, flushes, ends the stream, waits for the peer's end. */
  close(session: LiveSession, reason: CloseReason): void {
    if (session.state !== SessionState.OPEN) return
    const core = this.#core
    if (!session.contentDone && session.joined) {
      this.#askContent(session, reason)
      return
    }
    this.#to(session, SessionState.CLOSING, reason)
    session.deadline = core.now + core.limits.closeTimeout
    session.paused = session.stopped = false
    this.#dropHeld(session)
    if (session.receiving === Receiving.PAUSED) this.#receiveAgain(session)
    if (session.receiving === Receiving.NONE) {
      this.terminate(session, reason)
    } else if (!this.#sendsElsewhere && core.sender.idle(session)) {
      this.endStream(session)
    }
  }

  /** Its content first handles what was received, and answers it; then it asks for the end. */
  #askContent(session: LiveSession, reason: CloseReason): void {
    const { link } = this.#core
    if (session.endReason === CloseReason.NONE) {
      session.endReason = reason
      link?.ended(session, reason)
    }
    if (session.paused && !session.peerLeft) this.#peerLeft(session)
  }

  /** Its content has handled everything up to the end that it was told of. */
  contentEnded(session: LiveSession): void {
    session.contentDone = true
    if (session.endReason !== CloseReason.NONE && session.endReason !== CloseReason.PEER_CLOSED)
      this.close(session, session.endReason)
    if (session.endStatus === -1 || session.held !== null) return
    this.#endWaited(session)
  }

  /** Ends everything at once; the handle will be closed by RST. */
  terminate(session: LiveSession, reason: CloseReason): void {
    if (session.state !== SessionState.OPEN && session.state !== SessionState.CLOSING) return
    this.#to(session, SessionState.TERMINATING, reason)
    session.resetOnClose = true
    session.deadline = 0
    this.#core.sender.kill(session)
    this.#dropHeld(session)
    this.#core.submissions.cancel(session.slot, session.generation)
    // Nobody waits for its content any more.
    session.endStatus = -1
    if (session.receiving === Receiving.ENDED) this.#dropBaseWhenIdle(session)
  }

  /** Everything queued has gone out. */
  endStream(session: LiveSession): void {
    if (session.protocolOf.resetOnClose) {
      this.terminate(session, session.closeReason)
    } else if (session.receiving !== Receiving.ENDED && !session.shutdownDone) {
      session.shutdownDone = true
      // What another thread pushes from here on came after the end: it is dropped, not an error.
      session.sendDead = true
      this.#core.submissions.shutdown(session.slot, session.generation)
    }
  }

  /** The terminal receive completion. Bytes that are held, or were put off, are handled first. */
  receiveEnded(session: LiveSession, status: IoStatus): void {
    session.receiving = Receiving.ENDED
    if (session.held === null && session.deferredCount === 0) {
      this.#finishReceiving(session, status)
      return
    }
    session.endStatus = status
    if (session.held !== null) this.#peerLeft(session)
  }

  /** A paused session notices that its peer left: it has closeTimeout to resume. */
  #peerLeft(session: LiveSession): void {
    session.peerLeft = true
    session.deadline = this.#core.now + this.#core.limits.closeTimeout
  }

  /** The last of its bytes that were put off is read, or held; if the peer's end waited behind it, it is due. */
  deferredDone(session: LiveSession): void {
    if (session.endStatus === -1) return
    if (session.held === null) this.#endWaited(session)
    else if (!session.peerLeft) this.#peerLeft(session)
  }

  /** Bytes that were held are handled; if the peer's end waited behind them, it is due now. */
  heldDone(session: LiveSession): void {
    session.held = null
    if (session.endStatus === -1) {
      if (session.receiving === Receiving.PAUSED) this.#receiveAgain(session)
    } else if (session.deferredCount === 0) {
      this.#endWaited(session)
    }
  }

  #endWaited(session: LiveSession): void {
    const status = session.endStatus as IoStatus
    session.endStatus = -1
    this.#finishReceiving(session, status)
  }

  #finishReceiving(session: LiveSession, status: IoStatus): void {
    const isOrderly = status === IoStatus.END_OF_STREAM && session.state === SessionState.OPEN
    if (isOrderly && !session.contentDone) {
      // The base count stays until its content is done.
      session.endStatus = status
      this.#askContent(session, CloseReason.PEER_CLOSED)
      return
    }
    if (status === IoStatus.END_OF_STREAM) {
      // What was received before the FIN is answered: queued sends still go out.
      if (session.state === SessionState.OPEN) {
        this.#to(session, SessionState.CLOSING, CloseReason.PEER_CLOSED)
        session.deadline = this.#core.now + this.#core.limits.closeTimeout
      }
    } else if (status !== IoStatus.CANCELLED) {
      this.#to(
        session,
        SessionState.TERMINATING,
        status === IoStatus.RESET ? CloseReason.PEER_RESET : CloseReason.IO_ERROR,
      )
      this.#core.sender.kill(session)
      this.#core.submissions.cancel(session.slot, session.generation)
    }
    this.#dropBaseWhenIdle(session)
  }

  /** The owner's count goes when receiving has ended and nothing of the session waits or is in flight here. */
  #dropBaseWhenIdle(session: LiveSession): void {
    if (!session.counted || session.receiving !== Receiving.ENDED || session.endStatus !== -1)
      return
    if (!this.#core.sender.quiet(session)) return
    session.counted = false
    if (release(this.#core.arena.words, session.at + SESSION_IO_COUNT)) this.leaveLater(session)
  }

  // --- what the sender tells -------------------------------------------------------------------

  outboxOf(slot: number): LiveSession {
    const session = this.registry.at(slot)
    assert(session !== undefined, 'SESSION-3: a slot that is on a stack has a session')
    return session
  }

  sendFailed(session: LiveSession, status: IoStatus): void {
    if (session.state === SessionState.OPEN || session.state === SessionState.CLOSING) {
      this.#to(
        session,
        SessionState.TERMINATING,
        status === IoStatus.RESET ? CloseReason.PEER_RESET : CloseReason.IO_ERROR,
      )
    }
    session.deadline = 0
    this.#dropHeld(session)
    session.endStatus = -1
    this.#core.submissions.cancel(session.slot, session.generation)
    if (this.#sendsElsewhere) this.#dropBaseWhenIdle(session)
  }

  sent(session: LiveSession, bytes: number): void {
    if (session.joined) this.#core.calls.event('onSend', session.protocolOf.handler, session, bytes)
  }

  drained(session: LiveSession): void {
    if (session.state === SessionState.OPEN)
      this.#core.calls.event('onDrain', session.protocolOf.handler, session)
  }

  sentAll(session: LiveSession): void {
    if (session.state === SessionState.OPEN) return
    // onDrain or onSend may have queued more before the session began to close.
    if (!this.#core.sender.idle(session)) return
    if (session.state === SessionState.CLOSING) this.endStream(session)
    this.#dropBaseWhenIdle(session)
  }

  /** Its count fell to 0: onLeave is due. */
  leaveLater(session: LiveSession): void {
    this.#released.push(session)
    this.#core.markPending()
  }

  overflowed(session: LiveSession): void {
    this.terminate(session, CloseReason.OVERFLOW)
  }

  retainReceiveBuffer(buffer: number): void {
    this.#core.buffers.retain(buffer)
  }

  releaseReceiveBuffer(buffer: number): void {
    this.#core.buffers.release(buffer)
  }

  heldBuffersPart(): number {
    return this.#core.buffers.heldPart()
  }

  // --- pause -----------------------------------------------------------------------------------

  pause(session: LiveSession): void {
    if (session.paused || session.state !== SessionState.OPEN) return
    session.paused = session.stopped = true
    if (session.endReason === CloseReason.PEER_CLOSED) this.#askContent(session, session.endReason)
    if (session.receiving !== Receiving.ARMED) return
    session.receiving = Receiving.PAUSING
    this.#core.submissions.pause(session.slot, session.generation)
  }

  resume(session: LiveSession): void {
    if (!session.paused || session.state !== SessionState.OPEN) return
    session.paused = session.stopped = false
    this.registry.received(session, this.#core.now)
    if (session.held !== null) {
      this.resumed.push(session)
      this.#core.markPending()
    } else if (session.receiving === Receiving.PAUSED) {
      this.#receiveAgain(session)
    } else if (session.receiving === Receiving.ENDED) {
      // Its end is with its content, which goes on.
      session.peerLeft = false
      session.deadline = 0
    }
  }

  /** The driver stopped receiving as asked. */
  pausedByDriver(session: LiveSession): void {
    if (session.receiving !== Receiving.PAUSING) return
    session.receiving = Receiving.PAUSED
    if (!session.paused && session.held === null) this.#receiveAgain(session)
  }

  /** The peer of a paused session has left: closeTimeout to resume and handle what it sent. */
  peerGone(session: LiveSession): void {
    if (session.state === SessionState.OPEN && session.paused) this.#peerLeft(session)
  }

  #receiveAgain(session: LiveSession): void {
    if (session.state !== SessionState.OPEN && session.state !== SessionState.CLOSING) return
    session.receiving = Receiving.ARMED
    if (session.peerLeft && session.state === SessionState.OPEN) session.deadline = 0
    session.peerLeft = false
    this.#core.submissions.recv(session.slot, session.generation)
  }

  #dropHeld(session: LiveSession): void {
    if (session.held === null) return
    for (const held of session.held) this.freeHeld(held)
    session.held = null
    if (session.endStatus !== -1) this.#endWaited(session)
  }

  // --- release ---------------------------------------------------------------------------------

  /** Slots that other threads released, or want closed. */
  takeForeign(): void {
    const { words } = this.#core.arena
    let entry = takeAll(words, this.#releaseHead)
    while (entry !== 0) {
      const session = this.outboxOf(entry - 1)
      entry = words[session.at + SESSION_RELEASE_LINK]
      // The second time it comes from its update thread, after onLeave.
      if (session.state === SessionState.RELEASED) this.#free(session)
      else this.#released.push(session)
    }
    this.#requests.takeRequests()
  }

  /** onLeave for every session whose count fell to 0, then the handle is closed. */
  finishReleases(): void {
    while (this.#released.length > 0) this.#leave(this.#released.pop() as LiveSession)
  }

  #leave(session: LiveSession): void {
    const core = this.#core
    assert(!session.sending, 'IOCOUNT-4: at count 0 nothing is queued and the flag is free')
    assert(session.notifications === 0, 'ZEROCOPY-3: who is released has nothing with the kernel')
    this.#to(session, SessionState.RELEASED, CloseReason.IO_ERROR)
    this.#countEnd(session.closeReason)
    this.freePartial(session)
    this.#dropHeld(session)
    const hadJoined = session.joined
    this.#left(session)
    // The driver closes the handle before it reads what is submitted later, so the slot can be used again.
    core.submissions.close(session.slot, session.generation, session.resetOnClose)
    if (core.link === null || !hadJoined) this.#free(session)
  }

  /** Nobody looks at the slot any more. */
  #free(session: LiveSession): void {
    const core = this.#core
    if (this.registry.free(session)) sub(core.arena.words, this.#assignedAt, 1)
    if (this.stopping && this.registry.live.length === 0) this.#onEmpty?.()
  }

  /** onLeave, once for each onJoin. */
  #left(session: LiveSession): void {
    const core = this.#core
    if (!session.joined) return
    session.joined = false
    session.leaveGroups()
    core.counters[Counter.LEFT]++
    const reason = CLOSE_REASON_NAMES[session.closeReason] as CloseReasonName
    core.calls.event('onLeave', session.protocolOf.handler, session, reason)
    this.connecting.left(session, reason)
  }

  #countEnd(reason: CloseReason): void {
    this.#core.counters[Counter.ENDED_NONE + reason]++
  }

  freeHeld(held: Held): void {
    this.#core.heap.free(held.at, held.capacity)
  }

  /**
   * Keeps received bytes of a paused session for resume(). They are copied: a receive buffer that waited for
   * the user would be missing to everybody else.
   */
  hold(session: LiveSession, start: number, end: number): void {
    const { heap, arena } = this.#core
    const capacity = WorkerHeap.blockBytes(end - start)
    const at = heap.allocate(capacity)
    if (at === -1) {
      this.terminate(session, CloseReason.OVERFLOW)
      return
    }
    arena.bytes.copyWithin(at, start, end)
    session.held ??= []
    session.held.push({ at, capacity, length: end - start })
  }

  freePartial(session: LiveSession): void {
    if (session.partialAt === -1) return
    this.#core.heap.free(session.partialAt, session.partialCapacity)
    session.partialAt = -1
    session.partialCapacity = session.partialLength = 0
  }

  // --- stop ------------------------------------------------------------------------------------

  /**
   * Closes every session; resolves when the last handle is closed. After `timeoutMs` the rest is reset; what
   * cannot be released even then is abandoned.
   */
  async stop(timeoutMs: number): Promise<void> {
    this.stopping = true
    for (const session of [...this.registry.live]) this.close(session, CloseReason.SERVER_STOP)
    if (this.registry.live.length === 0) return
    await new Promise<void>((resolve) => {
      let timer = setTimeout(() => {
        for (const session of [...this.registry.live])
          this.terminate(session, CloseReason.SERVER_STOP)
        timer = setTimeout(() => {
          for (const session of [...this.registry.live]) this.#left(session)
          // No turn follows that would show it to the threads that run content.
          this.#core.link?.publish()
          this.#core.waker.flush()
          this.connecting.abandon()
          resolve()
        }, ABANDON_AFTER_MS)
      }, timeoutMs)
      this.#onEmpty = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** Deadlines of every live session; called a few times per shortest timeout. */
  sweep(): void {
    const { now, limits } = this.#core
    for (const session of [...this.registry.live]) {
      if (session.deadline > 0 && now >= session.deadline) {
        if (session.state === SessionState.CLOSING) {
          this.#overdue(session)
        } else if (session.peerLeft) {
          this.terminate(session, CloseReason.PEER_CLOSED)
        } else if (!session.paused) {
          this.close(session, CloseReason.FIRST_MESSAGE_TIMEOUT)
        }
      } else if (
        limits.idleTimeout > 0 &&
        session.state === SessionState.OPEN &&
        !session.paused &&
        now - this.registry.receivedAt(session) >= limits.idleTimeout
      ) {
        this.close(session, CloseReason.IDLE_TIMEOUT)
      }
    }
  }

  /** The peer did not end its stream in time. Why we began to close says more, unless that was only asked for. */
  #overdue(session: LiveSession): void {
    if (session.closeReason === CloseReason.LOCAL_CLOSE)
      session.closeReason = CloseReason.CLOSE_TIMEOUT
    this.terminate(session, CloseReason.CLOSE_TIMEOUT)
  }
}
