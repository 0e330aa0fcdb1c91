// What: where a driver is tested: its memory, its threads, its peers; the same for simulated and for real sockets.
// Flow: the suite -> this -> sim_place.ts, real_place.ts -> completions and bytes -> the suite.
// Thread: the test's.

import { expect } from 'vitest'
import {
  CONTROL_WORKER_COUNT,
  CompletionKind,
  IoStatus,
  SEND_FLAG_NOW,
  SESSION_GENERATION,
  SESSION_HANDLE,
  SESSION_PEER_PORT,
  SubmissionOp,
} from '../../src/layout/layout.ts'
import type { ServerOptions } from '../../src/server/options.ts'
import type { Arena } from '../../src/shared/arena.ts'
import { load, store } from '../../src/shared/atomics.ts'
import type { Driver } from '../helpers/drivers.ts'
import { type Cuts, type UnitMemory, unitMemory } from '../helpers/unit_memory.ts'
import { type Completion, type Trace, traceOf } from './trace.ts'

/** The thread that owns the sessions, and one that borrows their sockets. */
export const OWNER = 1
export const SENDER = 2
/** More than both sockets of a connection hold while its peer does not read. */
export const BIG_BYTES = 1_000_000
/** Completions taken per wait, unless a test says otherwise. */
export const BATCH = 64
/** Sends that take nothing, one after the other, before a socket counts as full: what is on its way makes room. */
const FULL_AFTER = 3

export interface Session {
  readonly slot: number
  readonly generation: number
}

/** Words of a submission. */
export type Entry = readonly number[]

export function entryOf(op: number, { slot, generation }: Session, ...more: number[]): Entry {
  return [op, slot, generation, ...more]
}

/** What was submitted for a session. */
interface Asked {
  readonly session: Session
  sends: number
  connects: number
  receives: number
}

/** A thread with a driver and nothing on top. */
export abstract class PlaceThread {
  /** Everything that it told, in order. */
  readonly completions: Completion[] = []
  readonly #asked = new Map<string, Asked>()

  /** Hands the entries over and has what completes at once. */
  submit(...entries: Entry[]): Promise<void> {
    for (const entry of entries) this.#note(entry)
    return this.give(entries, true)
  }

  /** The same with the thread's next wait. */
  submitLater(...entries: Entry[]): Promise<void> {
    for (const entry of entries) this.#note(entry)
    return this.give(entries, false)
  }

  #note([head, slot, generation]: Entry): void {
    const key = `${slot}/${generation}`
    const asked = this.#asked.get(key) ?? {
      session: { slot, generation },
      sends: 0,
      connects: 0,
      receives: 0,
    }
    const op = head & 0xff
    if (op === SubmissionOp.SEND) asked.sends++
    else if (op === SubmissionOp.CONNECT) asked.connects++
    else if (op === SubmissionOp.RECV) asked.receives++
    else return
    this.#asked.set(key, asked)
  }

  of(session: Session): Completion[] {
    return this.completions.filter(({ kind, slot, generation }) => {
      const isSame = slot === session.slot && generation === session.generation
      return kind !== CompletionKind.ACCEPT && isSame
    })
  }

  ofKind(kind: number, session?: Session): Completion[] {
    const all = session === undefined ? this.completions : this.of(session)
    return all.filter((completion) => completion.kind === kind)
  }

  /** DRIVER-1: each operation has completed, once; a receive may go on. */
  expectComplete(): void {
    for (const { session, sends, connects, receives } of this.#asked.values()) {
      const count = (kind: number) => this.ofKind(kind, session).length
      const seen = { sends: count(CompletionKind.SEND), connects: count(CompletionKind.CONNECT) }
      expect(seen, JSON.stringify(session)).toEqual({ sends, connects })
      const ends = this.ofKind(CompletionKind.RECV, session).filter(({ result }) => result === 0)
      expect(ends.length).toBeLessThanOrEqual(receives)
      expect(count(CompletionKind.PAUSED)).toBeLessThanOrEqual(receives)
    }
  }

  /** Doorbells that its turns have answered. */
  abstract readonly bells: number
  abstract readonly isParked: boolean
  /** Receive buffers that its driver does not have. */
  abstract readonly buffersUsed: number
  protected abstract give(entries: readonly Entry[], isPrompt: boolean): Promise<void>
  /** Does nothing, not even wait, until release(). */
  abstract hold(): Promise<void>
  abstract release(): void
  /** Its turns leave completions where they are, or take them again. */
  abstract ignore(isIgnoring: boolean): Promise<void>
  /** Whether receive buffers stay here until giveBuffers(); else they go back at once. */
  abstract keepBuffers(isKeeping: boolean): Promise<void>
  /** Gives back the oldest `count` that are kept. */
  abstract giveBuffers(count: number): Promise<void>
  /** A socket in transit that can be connected: its token. */
  abstract prepareConnect(host: string, port: number): Promise<number>
  abstract closeListeners(): Promise<void>
  /** Rings its doorbell, and wakes it. */
  abstract ring(): void
  /** Closes its driver, whatever is pending. */
  abstract close(): Promise<void>
}

/** The other end of a connection. */
export interface Peer {
  /** Its port, as the session sees it. */
  readonly port: number
  /** Bytes that came. */
  readonly received: Buffer
  /** The stream has ended. */
  readonly ended: boolean
  readonly isReset: boolean
  /** Reset, or ended on both sides. */
  readonly isClosed: boolean
  write(bytes: Uint8Array): void
  /** Nothing more is written. */
  end(): void
  reset(): void
  pause(): void
  resume(): void
}

export interface PlaceOptions {
  readonly memory?: ServerOptions
  readonly cuts?: Cuts
  readonly batch?: number
  /** Of the listening socket; 0 is the system's. */
  readonly sendBufferBytes?: number
  /** There is a thread that borrows. */
  readonly borrows?: boolean
  /** Peers reset. */
  readonly resets?: boolean
  /** What the simulated network does with connections from here; real ones go where they lead. */
  readonly connects?: 'refused' | 'timedOut'
}

export interface JoinOptions {
  /** The peer does not read. */
  readonly isPaused?: boolean
  /** Default true: receiving is armed. */
  readonly receives?: boolean
}

export interface Joined {
  readonly session: Session
  readonly peer: Peer
}

/** An address to connect to, and who is there. */
export interface Destination {
  readonly host: string
  readonly port: number
  /** The other end, when the connection is made. */
  readonly peer: () => Promise<Peer>
}

export abstract class Place {
  readonly driver: Driver | 'sim'
  readonly options: PlaceOptions
  readonly memory: UnitMemory
  readonly bytes: Uint8Array
  /** A driver was closed with operations pending, whose completions nobody sees. */
  isTornDown = false
  readonly #begins = new Map<string, number[]>()
  #accepts = 0
  abstract readonly arena: Arena
  abstract readonly owner: PlaceThread
  /** Only with `borrows`. */
  abstract readonly sender: PlaceThread

  constructor(driver: Driver | 'sim', options: PlaceOptions) {
    this.driver = driver
    this.options = options
    this.memory = unitMemory(options.memory, options.cuts)
    // The second thread with a driver is a send thread.
    this.memory.words[CONTROL_WORKER_COUNT] = 1
    this.bytes = new Uint8Array(this.memory.memories.arena)
  }

  /** Resolves when it is there; rejects, naming `what`, when it never is. */
  abstract until<T>(what: string, look: () => T): Promise<NonNullable<T>>
  /** Lets everything happen that is on its way. */
  abstract settle(): Promise<void>
  /** Lets peers do what they were told, also while the owner does nothing. */
  abstract settlePeers(): Promise<void>
  /** Somebody connects, whom the owner may accept. */
  abstract knock(isPaused?: boolean): Promise<Peer>
  /** A port of 127.0.0.1 on which nobody answers. */
  abstract silentPort(): Promise<number>
  /** Somebody whom the owner may connect to. */
  abstract listen(): Promise<Destination>
  abstract destroy(): Promise<void>
  /** What the place itself has to say of a test that has passed. */
  abstract verify(): void

  /** DRIVER-1 for every thread whose driver was not closed under its operations. */
  expectComplete(): void {
    if (!this.isTornDown) for (const thread of this.threads) thread.expectComplete()
  }

  /** A counter of the owner. */
  counter(which: number): number {
    return this.memory.arena(OWNER).counters[which]
  }

  get threads(): PlaceThread[] {
    return this.options.borrows ? [this.owner, this.sender] : [this.owner]
  }

  /** The next connection that was accepted: its token. */
  async accepted(): Promise<number> {
    const nth = this.#accepts++
    const { status, result, slot } = await this.until(`ACCEPT ${nth}`, () => {
      return this.owner.ofKind(CompletionKind.ACCEPT)[nth]
    })
    expect({ status, listener: slot }).toEqual({ status: IoStatus.OK, listener: 0 })
    return result
  }

  /** The slot has this generation from now on. */
  begin(session: Session): void {
    const at = this.arena.sessionAt(session.slot) + SESSION_GENERATION
    store(this.arena.words, at, session.generation)
  }

  /** A connection in this slot, and its peer. */
  async join(
    session: Session,
    { isPaused = false, receives = true }: JoinOptions = {},
  ): Promise<Peer> {
    const peer = await this.knock(isPaused)
    const token = await this.accepted()
    this.begin(session)
    const attach = entryOf(SubmissionOp.ATTACH, session, token)
    const entries = receives ? [attach, entryOf(SubmissionOp.RECV, session)] : [attach]
    await this.owner.submit(...entries)
    return peer
  }

  /** Several, in slots from 0 on. */
  async joinMany(count: number, options?: JoinOptions): Promise<Joined[]> {
    const joined: Joined[] = []
    for (let slot = 0; slot < count; slot++) {
      const session = { slot, generation: 1 }
      joined.push({ session, peer: await this.join(session, options) })
    }
    return joined
  }

  handleOf(slot: number): number {
    return load(this.arena.words, this.arena.sessionAt(slot) + SESSION_HANDLE)
  }

  peerPortOf(slot: number): number {
    return this.arena.words[this.arena.sessionAt(slot) + SESSION_PEER_PORT]
  }

  /** A SEND of slices of the arena's chunks, one after the other from `start` on. */
  send(session: Session, flags: number, start: number, ...lengths: number[]): Entry {
    const pairs: number[] = []
    let at = this.arena.plan.chunkByteAt + start
    for (const length of lengths) {
      pairs.push(at, length)
      at += length
    }
    const total = lengths.reduce((sum, length) => sum + length, 0)
    const head = SubmissionOp.SEND | (flags << 8) | (lengths.length << 16)
    return entryOf(head, session, total, ...pairs)
  }

  /** What such a SEND sends. */
  sentBytes(start: number, length: number): Buffer {
    const at = this.arena.plan.chunkByteAt + start
    return Buffer.from(this.bytes.slice(at, at + length))
  }

  /** The nth completion of a kind that a session has. */
  completion(
    thread: PlaceThread,
    session: Session,
    kind: number,
    nth: number,
  ): Promise<Completion> {
    return this.until(`completion ${nth} of kind ${kind}`, () => thread.ofKind(kind, session)[nth])
  }

  /** Submits one send and waits for its completion. */
  async sendOne(thread: PlaceThread, session: Session, entry: Entry): Promise<Completion> {
    const nth = thread.ofKind(CompletionKind.SEND, session).length
    await thread.submit(entry)
    return this.completion(thread, session, CompletionKind.SEND, nth)
  }

  /** Has sends wait for room, in a socket that took `taken` bytes, until one fails. */
  async sendUntilFailure(
    thread: PlaceThread,
    session: Session,
    taken: number,
  ): Promise<Completion> {
    const done = await this.sendOne(thread, session, this.send(session, 0, taken, 1000, 2000))
    if (done.status !== IoStatus.OK) return done
    return this.sendUntilFailure(thread, session, taken + done.result)
  }

  /** Sends from the arena until the socket takes nothing; how much it took. The trace begins behind it. */
  async fillSocket(thread: PlaceThread, session: Session): Promise<number> {
    let taken = 0
    for (let refusals = 0; refusals < FULL_AFTER; ) {
      expect(taken, 'a socket that does not fill').toBeLessThan(BIG_BYTES)
      const entry = this.send(session, SEND_FLAG_NOW, taken, BIG_BYTES - taken)
      const { status, result } = await this.sendOne(thread, session, entry)
      expect(status).toBe(IoStatus.OK)
      taken += result
      refusals = result === 0 ? refusals + 1 : 0
      await this.settle()
    }
    this.beginTrace(session)
    return taken
  }

  /**
   * Has a send wait for room, in a socket that took `taken` bytes, and cancels it; how much it took in all. What
   * makes room at the last moment is sent, and the next one waits. The trace begins before the one that is cancelled.
   */
  async cancelSend(thread: PlaceThread, session: Session, taken: number): Promise<number> {
    const nth = thread.ofKind(CompletionKind.SEND, session).length
    this.beginTrace(session)
    await thread.submit(this.send(session, 0, taken, 1000, 2000))
    await this.settle()
    await thread.submit(entryOf(SubmissionOp.CANCEL, session))
    const { status, result } = await this.completion(thread, session, CompletionKind.SEND, nth)
    if (status === IoStatus.CANCELLED) return taken + result
    expect(status).toBe(IoStatus.OK)
    if (thread === this.owner) {
      await this.until('the cancelled receive', () => this.traceOf(session).receiving.length > 0)
      await thread.submit(entryOf(SubmissionOp.RECV, session))
    }
    return this.cancelSend(thread, session, taken + result)
  }

  /** What was received so far. */
  receivedOf(session: Session): Buffer {
    const parts = this.owner.of(session).flatMap(({ bytes }) => (bytes === undefined ? [] : bytes))
    return Buffer.concat(parts)
  }

  /** Everything that was received, when it is `count` bytes or more. */
  async hears(session: Session, count: number): Promise<Buffer> {
    await this.until(`${count} bytes to be received`, () => {
      return this.receivedOf(session).length >= count
    })
    return this.receivedOf(session)
  }

  /** What comes before this is not part of the session's trace. */
  beginTrace(session: Session): void {
    const seen = this.threads.map((thread) => thread.of(session).length)
    this.#begins.set(JSON.stringify(session), seen)
  }

  traceOf(session: Session): Trace {
    const begins = this.#begins.get(JSON.stringify(session)) ?? [0, 0]
    return traceOf(this.threads.flatMap((thread, nth) => thread.of(session).slice(begins[nth])))
  }

  /** DRIVER-2: this is what a session's completions say when all of it is over; nothing more comes. */
  async expectTrace(session: Session, golden: Partial<Trace>): Promise<void> {
    const whole: Trace = { receiving: [], sending: [], ...golden }
    const isThere = () => JSON.stringify(this.traceOf(session)) === JSON.stringify(whole)
    try {
      await this.until('a trace', isThere)
    } catch (error) {
      expect(this.traceOf(session)).toEqual(whole)
      throw error
    }
    await this.settle()
    expect(this.traceOf(session)).toEqual(whole)
  }

  /** Closes a session of which nothing is pending. */
  async leave(session: Session, flags = 0): Promise<void> {
    await this.owner.submit(entryOf(SubmissionOp.CLOSE | (flags << 8), session))
    expect(this.handleOf(session.slot)).toBe(0)
  }
}
