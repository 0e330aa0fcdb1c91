// What: the place of the sim driver: a simulated network with peers in it, stepped by the test; a seed is one course of things.
// Flow: the suite -> this -> overlapped_sim.node -> completions, what peers read -> the suite.
// Thread: the test's.

import { expect } from 'vitest'
import { CompletionRing } from '../../src/inbound/completion_ring.ts'
import {
  COMPLETION_BUFFER,
  COMPLETION_FLAGS,
  COMPLETION_GENERATION,
  COMPLETION_KIND,
  COMPLETION_OFFSET,
  COMPLETION_RESULT,
  COMPLETION_SLOT,
  COMPLETION_STATUS,
  CompletionKind,
  SubmissionOp,
  THREAD_PARKED,
  THREAD_SUBMISSION_USED,
} from '../../src/layout/layout.ts'
import type { Arena } from '../../src/shared/arena.ts'
import { load } from '../../src/shared/atomics.ts'
import { Waker } from '../../src/shared/waker.ts'
import {
  FAULTS,
  type Fault,
  FIRST_PORT,
  loadSimAddon,
  type SimAddon,
  STREAM_ENDED,
  STREAM_RESET,
} from '../sim/addon.ts'
import {
  BATCH,
  type Destination,
  type Entry,
  OWNER,
  type Peer,
  Place,
  type PlaceOptions,
  PlaceThread,
  SENDER,
} from './place.ts'
import type { Completion } from './trace.ts'

const STEP_NS = 50_000
/** More virtual time than anything takes that is on its way. */
const SETTLE_STEPS = 100
const STEPS_MAX = 10_000
const PIPE_BYTES = 4096
const NO_LIMIT_MS = -1
/** All that changes no trace: how streams are cut, when what happens, what ends a wait. */
const PERMILLE: Partial<Record<Fault, number>> = {
  shortRead: 200,
  lateCompletion: 200,
  reorder: 200,
  spuriousWake: 100,
}
/** A port is counted from this one on in the simulation. */
const NO_CONNECTION = -1

let loaded: SimAddon | undefined

class SimPeer implements Peer {
  readonly #place: SimPlace
  readonly #connection: number
  #unsent = Buffer.alloc(0)
  #received = Buffer.alloc(0)
  #isPaused: boolean
  #wantsEnd = false
  #hasEnded = false
  #hasReset = false
  ended = false
  isReset = false

  constructor(place: SimPlace, connection: number, isPaused: boolean) {
    this.#place = place
    this.#connection = connection
    this.#isPaused = isPaused
  }

  get port(): number {
    return FIRST_PORT + this.#connection
  }

  get received(): Buffer {
    return this.#received
  }

  get isClosed(): boolean {
    return this.isReset || this.#hasReset || (this.ended && this.#hasEnded)
  }

  write(bytes: Uint8Array): void {
    this.#unsent = Buffer.concat([this.#unsent, bytes])
    this.pump()
  }

  end(): void {
    this.#wantsEnd = true
    this.pump()
  }

  reset(): void {
    this.#hasReset = true
    this.#place.addon.clientReset(this.#place.world, this.#connection)
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
  }

  /** Writes what there is room for, reads what there is. */
  pump(): void {
    if (this.isReset || this.#hasReset) return
    const { addon, world } = this.#place
    if (this.#unsent.length > 0) {
      const { length } = this.#unsent
      const taken = addon.clientSend(world, this.#connection, this.#unsent, 0, length)
      this.#unsent = this.#unsent.subarray(taken)
    }
    if (this.#wantsEnd && !this.#hasEnded && this.#unsent.length === 0) {
      this.#hasEnded = true
      addon.clientEnd(world, this.#connection)
    }
    const bytes = new Uint8Array(PIPE_BYTES)
    while (!this.#isPaused && !this.ended) {
      const count = addon.clientRecv(world, this.#connection, bytes)
      if (count === 0) return
      if (count === STREAM_ENDED) this.ended = true
      else if (count === STREAM_RESET) this.isReset = true
      else this.#received = Buffer.concat([this.#received, bytes.subarray(0, count)])
      if (count < 0) return
    }
  }
}

class SimThread extends PlaceThread {
  bells = 0
  isHeld = false
  readonly #place: SimPlace
  readonly #thread: number
  readonly #ring: CompletionRing
  readonly #waker: Waker
  readonly #kept: number[] = []
  #isKeeping = false
  #isIgnoring = false
  #sleeps = false
  #isClosed = false
  #turn = 0

  constructor(place: SimPlace, thread: number) {
    super()
    this.#place = place
    this.#thread = thread
    const arena = place.memory.arena(thread)
    this.#ring = new CompletionRing(arena)
    this.#waker = new Waker(arena, place.memory.binding)
    const why = place.addon.openWorker(place.world, thread, place.options.batch ?? BATCH)
    expect(why).toBe('')
  }

  get isParked(): boolean {
    const { arena } = this.#place
    return load(arena.words, arena.threadAt(this.#thread) + THREAD_PARKED) === 1
  }

  get buffersUsed(): number {
    const { addon, world, arena } = this.#place
    return arena.plan.recvBuffersPerWorker - addon.freeBuffers(world, this.#thread)
  }

  /** What the nested loop does until its next turn, or until it sleeps. */
  step(): void {
    const { addon, world } = this.#place
    if (this.isHeld || this.#isClosed) return
    let timeoutMs = NO_LIMIT_MS
    if (!this.#sleeps) {
      addon.handOver(world, this.#thread)
      timeoutMs = addon.park(world, this.#thread, addon.look(world, this.#thread, NO_LIMIT_MS))
      this.#sleeps = true
    }
    if (timeoutMs !== 0 && !addon.ready(world, this.#thread)) return
    this.#sleeps = false
    if (addon.wait(world, this.#thread, timeoutMs)) this.#runTurn()
  }

  #runTurn(): void {
    this.#turn++
    if (this.#waker.answerBell()) this.bells++
    if (this.#isIgnoring) return
    const { words, bytes } = this.#place.arena
    for (let at = this.#ring.next(); at !== -1; at = this.#ring.next()) {
      const completion: Completion = {
        kind: words[at + COMPLETION_KIND],
        flags: words[at + COMPLETION_FLAGS],
        slot: words[at + COMPLETION_SLOT],
        generation: words[at + COMPLETION_GENERATION] >>> 0,
        status: words[at + COMPLETION_STATUS],
        result: words[at + COMPLETION_RESULT],
        turn: this.#turn,
      }
      if (completion.kind !== CompletionKind.RECV || completion.result <= 0) {
        this.completions.push(completion)
        continue
      }
      const offset = words[at + COMPLETION_OFFSET]
      this.completions.push({
        ...completion,
        bytes: bytes.slice(offset, offset + completion.result),
      })
      this.#kept.push(words[at + COMPLETION_BUFFER])
    }
    if (!this.#isKeeping) this.#returnBuffers(this.#kept.length)
  }

  #returnBuffers(count: number): void {
    for (const buffer of this.#kept.splice(0, count))
      this.#append([SubmissionOp.BUFFER_RETURN | (1 << 16), buffer])
  }

  #append(entry: Entry): void {
    const { addon, world, arena } = this.#place
    const { words, plan } = arena
    const usedAt = arena.threadAt(this.#thread) + THREAD_SUBMISSION_USED
    if (words[usedAt] + entry.length > plan.submissionWords) addon.submit(world, this.#thread)
    const area = plan.submissionsAt + (this.#thread - 1) * plan.submissionWords
    words.set(entry, area + words[usedAt])
    words[usedAt] += entry.length
  }

  protected async give(entries: readonly Entry[], isPrompt: boolean): Promise<void> {
    for (const entry of entries) this.#append(entry)
    // As in the nested loop, where a submission is made by a turn, or by libuv before the next wait.
    this.#sleeps = false
    if (isPrompt) this.#place.addon.submit(this.#place.world, this.#thread)
    if (isPrompt) this.#runTurn()
  }

  async hold(): Promise<void> {
    this.isHeld = true
  }

  release(): void {
    this.isHeld = false
  }

  async ignore(isIgnoring: boolean): Promise<void> {
    this.#isIgnoring = isIgnoring
    this.#sleeps = false
  }

  async keepBuffers(isKeeping: boolean): Promise<void> {
    this.#isKeeping = isKeeping
  }

  async giveBuffers(count: number): Promise<void> {
    this.#returnBuffers(count)
    this.#sleeps = false
  }

  async prepareConnect(): Promise<number> {
    return this.#place.addon.prepareConnect(this.#place.world, this.#thread)
  }

  async closeListeners(): Promise<void> {
    this.#place.addon.closeListeners(this.#place.world, this.#thread)
  }

  ring(): void {
    this.#place.waker.ringBell(this.#thread)
    this.#place.waker.flush()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#place.addon.closeWorker(this.#place.world, this.#thread)
  }
}

export class SimPlace extends Place {
  readonly addon: SimAddon
  readonly world: number
  readonly arena: Arena
  readonly waker: Waker
  readonly owner: SimThread
  readonly #sender: SimThread | undefined
  readonly #peers: SimPeer[] = []

  constructor(seed: number, options: PlaceOptions) {
    super('sim', options)
    loaded ??= loadSimAddon()
    this.addon = loaded
    const permille: Partial<Record<Fault, number>> = {
      ...PERMILLE,
      ...(options.connects === 'refused' && { connectRefused: 1000 }),
      ...(options.connects === 'timedOut' && { connectTimedOut: 1000 }),
    }
    const { control, arena } = this.memory.memories
    this.world = this.addon.create(
      new Uint8Array(control),
      new Uint8Array(arena),
      seed,
      Int32Array.from(FAULTS, (fault) => permille[fault] ?? 0),
      PIPE_BYTES,
      0,
    )
    this.arena = this.memory.arena(0)
    this.waker = new Waker(this.arena, {
      signal: (_runtime, thread) => this.addon.signal(this.world, thread),
    })
    this.owner = new SimThread(this, OWNER)
    if (options.borrows) this.#sender = new SimThread(this, SENDER)
    this.addon.listen(this.world, OWNER, 1)
  }

  get sender(): SimThread {
    return this.#sender as SimThread
  }

  #step(): void {
    this.addon.advance(this.world, STEP_NS)
    for (const peer of this.#peers) peer.pump()
    this.owner.step()
    this.#sender?.step()
  }

  async until<T>(what: string, look: () => T): Promise<NonNullable<T>> {
    for (let steps = 0; steps < STEPS_MAX; steps++) {
      const seen = look()
      if (seen) return seen
      this.#step()
      // What a test does beside this goes on, too.
      await null
    }
    throw new Error(`waited in vain: ${what}`)
  }

  async settle(): Promise<void> {
    for (let steps = 0; steps < SETTLE_STEPS; steps++) {
      this.#step()
      await null
    }
  }

  settlePeers(): Promise<void> {
    return this.settle()
  }

  #peer(connection: number, isPaused: boolean): SimPeer {
    const peer = new SimPeer(this, connection, isPaused)
    this.#peers.push(peer)
    return peer
  }

  async knock(isPaused = false): Promise<Peer> {
    return this.#peer(this.addon.knock(this.world, 0), isPaused)
  }

  silentPort(): never {
    throw new Error('the simulated network always answers')
  }

  async listen(): Promise<Destination> {
    const before = this.addon.connections(this.world)
    const peer = async () => {
      await this.until('a connection', () => this.addon.connections(this.world) > before)
      return this.#peer(before, false)
    }
    return { host: '', port: NO_CONNECTION, peer }
  }

  verify(): void {
    expect(this.addon.violation(this.world)).toBe('')
  }

  async destroy(): Promise<void> {
    this.addon.destroy(this.world)
  }
}
