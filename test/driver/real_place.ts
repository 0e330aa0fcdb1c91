// What: the place of a real driver: threads of their own on the built addon, peers on node:net.
// Flow: the suite -> this -> driver_thread.mjs -> completions, what peers read -> the suite.
// Thread: the test's; an owner, and a send thread where the test borrows.

import { createServer, type Server } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { expect } from 'vitest'
import { type Binding, loadBinding } from '../../src/binding.ts'
import { Counter, THREAD_PARKED } from '../../src/layout/layout.ts'
import { Arena } from '../../src/shared/arena.ts'
import { load, store } from '../../src/shared/atomics.ts'
import { Waker } from '../../src/shared/waker.ts'
import { type Driver, driverKind } from '../helpers/drivers.ts'
import { Client } from '../helpers/e2e_client.ts'
import { until } from '../helpers/e2e_server.ts'
import { silentPort } from '../helpers/outbound_peer.ts'
import { hasRemotePeers, RemotePeer } from '../helpers/remote_peer.ts'
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

const THREAD = new URL('../helpers/driver_thread.mjs', import.meta.url)
const BUILT = new URL('../../dist/src/', import.meta.url)
const HOST = '127.0.0.1'
/** A storm is no overflow of the backlog. */
const BACKLOG = 1024
/** Visits of every thread's loop, after each of which what the kernel has to say is heard. */
const SETTLE_ROUNDS = 10

class RealPeer implements Peer {
  readonly #client: Client
  #received = Buffer.alloc(0)

  constructor(client: Client) {
    this.#client = client
  }

  get port(): number {
    return this.#client.socket.localPort as number
  }

  get received(): Buffer {
    if (this.#client.length > 0)
      this.#received = Buffer.concat([this.#received, this.#client.drain()])
    return this.#received
  }

  get ended(): boolean {
    return this.#client.ended
  }

  get isReset(): boolean {
    return this.#client.error === 'ECONNRESET'
  }

  get isClosed(): boolean {
    return this.#client.closed
  }

  write(bytes: Uint8Array): void {
    this.#client.write(bytes)
  }

  end(): void {
    this.#client.end()
  }

  reset(): void {
    this.#client.reset()
  }

  pause(): void {
    this.#client.socket.pause()
  }

  resume(): void {
    this.#client.resume()
  }
}

interface Reply {
  readonly completions?: Completion[]
  readonly bells?: number
  readonly done?: number
}

class RealThread extends PlaceThread {
  bells = 0
  readonly #arena: Arena
  readonly #waker: Waker
  readonly #worker: Worker
  readonly #thread: number
  readonly #hold = new Int32Array(new SharedArrayBuffer(4))
  readonly #replies: number[] = []
  #hasExited = false
  #error: unknown

  constructor(binding: Binding, place: Place, thread: number, kind: number) {
    super()
    this.#thread = thread
    const { memories } = place.arena
    this.#arena = new Arena(binding, memories, thread)
    this.#waker = new Waker(place.arena, binding)
    const batch = place.options.batch ?? BATCH
    const workerData = {
      ...{ thread, kind, batch, memories },
      ...{ built: BUILT.href, held: this.#hold.buffer },
    }
    this.#worker = new Worker(THREAD, { workerData })
    this.#worker.on('message', ({ completions, bells, done }: Reply) => {
      if (completions !== undefined) this.completions.push(...completions)
      if (bells !== undefined) this.bells = bells
      if (done !== undefined) this.#replies.push(done)
    })
    this.#worker.once('error', (error) => {
      this.#error = error
    })
    this.#worker.once('exit', () => {
      this.#hasExited = true
    })
  }

  /** What the thread answers to the next order. */
  async #answer(): Promise<number> {
    await until('an answer of the thread', () => {
      if (this.#error !== undefined) throw this.#error
      return this.#replies.length > 0
    })
    return this.#replies.shift() as number
  }

  #ask(order: object): Promise<number> {
    this.#worker.postMessage(order)
    return this.#answer()
  }

  async opened(): Promise<void> {
    await this.#answer()
  }

  get isParked(): boolean {
    const { words } = this.#arena
    return load(words, this.#arena.threadAt(this.#thread) + THREAD_PARKED) === 1
  }

  get buffersUsed(): number {
    return this.#arena.counters[Counter.BUFFERS_USED]
  }

  /** A visit of its loop: a wait, and a turn where that found something. */
  async visit(): Promise<void> {
    if (!this.#hasExited) await this.#ask({ do: 'nothing' })
  }

  protected async give(entries: readonly Entry[], isPrompt: boolean): Promise<void> {
    await this.#ask({ do: 'submit', entries, isPrompt })
  }

  async hold(): Promise<void> {
    store(this.#hold, 0, 1)
    await this.#ask({ do: 'hold' })
  }

  release(): void {
    store(this.#hold, 0, 0)
    Atomics.notify(this.#hold, 0)
  }

  async ignore(isIgnoring: boolean): Promise<void> {
    await this.#ask({ do: 'ignore', isIgnoring })
  }

  async keepBuffers(isKeeping: boolean): Promise<void> {
    await this.#ask({ do: 'keep', isKeeping })
  }

  async giveBuffers(count: number): Promise<void> {
    await this.#ask({ do: 'give', count })
  }

  prepareConnect(host: string, port: number): Promise<number> {
    return this.#ask({ do: 'prepareConnect', host, port })
  }

  async closeListeners(): Promise<void> {
    await this.#ask({ do: 'closeListeners' })
  }

  ring(): void {
    this.#waker.ringBell(this.#thread)
    this.#waker.flush()
  }

  async close(): Promise<void> {
    this.#worker.postMessage({ do: 'close' })
    await until('the end of the thread', () => this.#hasExited)
  }

  async terminate(): Promise<void> {
    this.release()
    await this.#worker.terminate()
  }
}

export class RealPlace extends Place {
  readonly arena: Arena
  readonly #binding: Binding
  readonly #runtime: number
  readonly #threads: RealThread[]
  readonly #clients: Client[] = []
  readonly #remotes: RemotePeer[] = []
  readonly #servers: Server[] = []
  #port = 0

  private constructor(driver: Driver, options: PlaceOptions) {
    super(driver, options)
    this.#binding = loadBinding()
    const { control, arena } = this.memory.memories
    this.#runtime = this.#binding.createRuntime(new Uint8Array(control), new Uint8Array(arena))
    this.arena = new Arena(this.#binding, { control, arena, runtime: this.#runtime }, 0)
    const ids = options.borrows ? [OWNER, SENDER] : [OWNER]
    const kind = driverKind(driver)
    this.#threads = ids.map((thread) => new RealThread(this.#binding, this, thread, kind))
  }

  static async open(driver: Driver, options: PlaceOptions): Promise<RealPlace> {
    const place = new RealPlace(driver, options)
    await Promise.all(place.#threads.map((thread) => thread.opened()))
    const { sendBufferBytes = 0 } = options
    const listened = place.#binding.listen(
      ...([place.#runtime, HOST, 0, BACKLOG, true, sendBufferBytes, 0] as const),
    )
    expect(listened.errno).toBe(0)
    place.#port = listened.value
    place.#binding.startAccepting(
      ...([place.#runtime, place.arena.plan.acceptorThread, driverKind(driver), 0] as const),
    )
    return place
  }

  get owner(): RealThread {
    return this.#threads[0]
  }

  get sender(): RealThread {
    return this.#threads[1]
  }

  until<T>(what: string, look: () => T): Promise<NonNullable<T>> {
    return until(what, look)
  }

  async settle(): Promise<void> {
    for (let round = 0; round < SETTLE_ROUNDS; round++) {
      await Promise.all(this.#threads.map((thread) => thread.visit()))
      await setImmediate()
    }
  }

  async settlePeers(): Promise<void> {
    await until('bytes to be written', () => {
      return this.#clients.every(({ socket }) => socket.destroyed || socket.writableLength === 0)
    })
    for (const remote of this.#remotes) await remote.settled()
    for (let round = 0; round < SETTLE_ROUNDS; round++) await setImmediate()
  }

  async knock(isPaused = false): Promise<Peer> {
    if (this.options.resets && hasRemotePeers) {
      const peer = RemotePeer.connect(this.#port, isPaused)
      this.#remotes.push(peer)
      return peer
    }
    const client = new Client(this.#port, { paused: isPaused, allowHalfOpen: true })
    this.#clients.push(client)
    return new RealPeer(client)
  }

  async silentPort(): Promise<number> {
    // On Windows libuv accepts ahead, and no backlog is ever full.
    if (!hasRemotePeers) return silentPort()
    const peer = await RemotePeer.listenSilently()
    this.#remotes.push(peer)
    return peer.port
  }

  async listen(): Promise<Destination> {
    let client: Client | undefined
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      client = new Client(socket)
      this.#clients.push(client)
    })
    this.#servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, HOST, resolve))
    const { port } = server.address() as { port: number }
    const peer = async () => new RealPeer(await until('a connection of ours', () => client))
    return { host: HOST, port, peer }
  }

  verify(): void {}

  async destroy(): Promise<void> {
    for (const thread of this.#threads.toReversed()) await thread.terminate()
    for (const { socket } of [...this.#clients, ...this.#remotes]) socket.destroy()
    for (const server of this.#servers) server.close()
    this.#binding.stopAccepting(this.#runtime)
    this.#binding.destroyRuntime(this.#runtime)
  }
}
