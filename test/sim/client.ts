// What: a simulated client: sends messages, reads at its own pace, leaves in every way, checks each byte that it gets.
// Flow: simulation.ts -> this -> the world's pipes.
// Thread: the test's.

import type { Framing } from '../../src/framing/framing.ts'
import { STREAM_ENDED, STREAM_RESET } from './addon.ts'
import type { Log, Simulation } from './simulation.ts'
import { cut, DIRECT, FROM_CLIENT, OWN, rawByte, readMessage } from './traffic.ts'

const READ_MAX = 2000
const RAW_PIECE_MAX = 300
/** Longest message and header; more never lies unread. */
const BUFFER_BYTES = 16_384
const nothing = new Uint8Array(0)
const scratch = new Uint8Array(READ_MAX)

export class Client {
  readonly connection: number
  readonly framing: Framing
  /** Its session, from onJoin. */
  log: Log | null = null
  /** It did nothing by which bytes are lost. */
  isWell = true
  /** It does not read before the world ends, and perhaps not then. */
  readonly isStubborn: boolean
  hasEnded = false
  sawEnd = false
  sawReset = false
  #gone = false
  #sim: Simulation
  #pending = nothing
  #pendingAt = 0
  /** Messages that it began to send; raw: bytes that it made. */
  #made = 0
  #buffer = Buffer.alloc(BUFFER_BYTES)
  #length = 0
  /** How many of its content's messages have come. */
  #own = 0
  /** By thread. */
  readonly #foreign: number[]
  readonly #stamps: number[]
  #rawReceived = 0
  readonly #reads: boolean

  constructor(sim: Simulation, connection: number, framing: Framing) {
    this.#sim = sim
    this.connection = connection
    this.framing = framing
    this.#foreign = new Array<number>(sim.threadCount).fill(0)
    this.#stamps = new Array<number>(sim.threadCount).fill(0)
    this.isStubborn = sim.random.chance(15)
    this.#reads = !this.isStubborn || sim.random.chance(50)
  }

  get #alive(): boolean {
    return !this.#gone && !this.sawReset
  }

  // --- while the world is busy -----------------------------------------------------------------

  act(): void {
    if (!this.#alive) return
    const { random } = this.#sim
    const kind = random.below(1000)
    if (kind < 500) {
      if (this.#pendingAt < this.#pending.length) this.#send()
      else if (!this.hasEnded && !this.sawEnd) this.#make(random.between(1, 6))
    } else if (kind < 950) {
      if (!this.isStubborn) this.#read(random.between(1, 4))
    } else if (kind < 965) this.#end()
    else if (kind < 975) this.#leave(true)
    else if (kind < 982) this.#leave(false)
    else if (kind < 990) this.#sendInvalid()
  }

  #make(count: number): void {
    const { random } = this.#sim
    if (this.framing.kind === 'raw') {
      const bytes = new Uint8Array(random.between(1, RAW_PIECE_MAX))
      for (let i = 0; i < bytes.length; i++) bytes[i] = rawByte(this.connection, this.#made + i)
      this.#made += bytes.length
      this.#pending = bytes
    } else {
      const frames = Array.from({ length: count }, () => this.#sim.encode(this, this.#made++))
      this.#pending = Buffer.concat(frames)
    }
    this.#pendingAt = 0
    this.#send()
  }

  #send(): boolean {
    const { addon, world } = this.#sim
    const taken = addon.clientSend(
      world,
      this.connection,
      this.#pending,
      this.#pendingAt,
      this.#pending.length,
    )
    this.#pendingAt += taken
    return taken > 0
  }

  /** FIN, in the middle of a message as often as not. */
  #end(): void {
    if (this.hasEnded) return
    this.hasEnded = true
    this.#sim.trace(() => `client ${this.connection} ends its stream`)
    this.#sim.addon.clientEnd(this.#sim.world, this.connection)
  }

  /** Closes its socket, or resets the connection. */
  #leave(byReset: boolean): void {
    const { addon, world } = this.#sim
    this.#sim.trace(() => `client ${this.connection} ${byReset ? 'resets' : 'closes'}`)
    if (byReset) addon.clientReset(world, this.connection)
    else addon.clientClose(world, this.connection)
    this.#gone = this.hasEnded = true
    this.isWell = false
  }

  /** A header that cannot be, where the framing has such. */
  #sendInvalid(): void {
    const { framing } = this
    if (framing.kind !== 'length-prefix' || !framing.includesHeader) return
    if (this.#pendingAt < this.#pending.length || this.hasEnded) return
    this.isWell = false
    this.#sim.note('invalid frame')
    this.#pending = new Uint8Array(framing.bytes)
    this.#pendingAt = 0
    this.#send()
  }

  // --- when it settles and ends ----------------------------------------------------------------

  /** Sends what it has begun, reads what there is; then ends, when the world does. True: something was done. */
  finish(): boolean {
    if (!this.#alive) return false
    const { stage } = this.#sim
    let progress = false
    if (this.#pendingAt < this.#pending.length && !this.hasEnded && !this.sawEnd)
      progress = this.#send()
    const isEnding = stage === 'end' || stage === 'stop'
    if (!this.isStubborn || (isEnding && this.#reads)) progress = this.#read(1000) || progress
    if (this.sawReset || this.hasEnded) return progress
    const isDone = this.#pendingAt === this.#pending.length
    if (this.sawEnd || (isEnding && isDone && !this.isStubborn)) {
      this.#end()
      return true
    }
    return progress
  }

  #read(times: number): boolean {
    const { addon, world, random } = this.#sim
    let progress = false
    if (this.log !== null && this.#length > 0) this.#cut(this.log)
    for (let i = 0; i < times && !this.sawEnd; i++) {
      const size = Math.min(random.between(1, READ_MAX), BUFFER_BYTES - this.#length)
      const count = addon.clientRecv(world, this.connection, scratch.subarray(0, size))
      if (count === 0) break
      progress = true
      if (count < 0)
        this.#sim.trace(
          () => `client ${this.connection} saw ${count === STREAM_ENDED ? 'the end' : 'a reset'}`,
        )
      if (count === STREAM_ENDED) this.sawEnd = true
      else if (count === STREAM_RESET) {
        this.sawReset = true
        break
      } else this.#received(scratch.subarray(0, count))
    }
    return progress
  }

  #received(bytes: Uint8Array): void {
    const { log } = this
    // Others may send to a session before its content, in another thread, has heard of it.
    if (log === null && (this.framing.kind === 'raw' || this.#sim.updates.length === 0))
      throw new Error(`BYTES: connection ${this.connection} got bytes before onJoin`)
    if (log !== null && this.framing.kind === 'raw') {
      for (const byte of bytes) {
        const at = this.#rawReceived++
        if (byte !== rawByte(this.connection, at))
          throw new Error(`BYTES: client ${this.connection} got another byte at ${at}`)
      }
      if (this.#rawReceived > log.received)
        throw new Error(`BYTES: client ${this.connection} got more bytes than it had sent`)
      return
    }
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
    if (log !== null) this.#cut(log)
  }

  #cut(log: Log): void {
    let at = 0
    for (;;) {
      const found = cut(this.framing, this.#buffer, at, this.#length)
      if (found === null) break
      this.#message(log, found.from, found.to)
      at = found.next
    }
    this.#buffer.copyWithin(0, at, this.#length)
    this.#length -= at
  }

  #message(log: Log, from: number, to: number): void {
    const { kind, producer, sequence, stamp } = readMessage(this.#buffer, from, to)
    const fail = (what: string): never => {
      throw new Error(
        `ORDER: client ${this.connection} got message ${sequence} of thread ${producer} ${what}`,
      )
    }
    if (kind !== FROM_CLIENT) {
      if (producer >= this.#stamps.length) fail('which does not exist')
      if (stamp <= this.#stamps[producer]) fail('after a later one, or twice')
      this.#stamps[producer] = stamp
    }
    if (kind === FROM_CLIENT || kind === OWN) {
      const expected = log.own[this.#own]
      if (expected !== kind * 2 ** 30 + sequence)
        fail(
          `where ${expected === undefined ? 'nothing was' : `${expected % 2 ** 30} was`} expected`,
        )
      this.#own++
    } else if (kind === DIRECT) {
      if (sequence !== this.#foreign[producer])
        fail(`where ${this.#foreign[producer]} was expected`)
      this.#foreign[producer]++
    }
  }

  // --- checks ----------------------------------------------------------------------------------

  /** Both sides are open and nothing is on its way. */
  checkAllArrived(log: Log): void {
    const where = `session ${log.id}, client ${this.connection}`
    if (this.#pendingAt === this.#pending.length && log.received !== this.#made)
      throw new Error(`LOST: ${where}: ${this.#made} sent to the server, ${log.received} received`)
    this.checkOwnArrived(log)
    for (const [producer, queued] of log.queued.entries()) {
      if (this.#foreign[producer] !== queued)
        throw new Error(
          `LOST: ${where}: thread ${producer} queued ${queued}, ${this.#foreign[producer]} arrived`,
        )
    }
  }

  /** What its content queued was sent before the stream's end. */
  checkOwnArrived(log: Log): void {
    // Whoever closed it did not wait for its content.
    if (log.isCut) return
    const where = `session ${log.id}, client ${this.connection}`
    if (this.#own !== log.own.length)
      throw new Error(
        `LOST: ${where}: ${log.own.length} queued by its content, ${this.#own} arrived`,
      )
    if (this.framing.kind === 'raw' && this.#rawReceived !== log.echoed)
      throw new Error(`LOST: ${where}: ${log.echoed} bytes queued, ${this.#rawReceived} arrived`)
    if (this.#length !== 0) throw new Error(`LOST: ${where}: a message without its end`)
  }
}
