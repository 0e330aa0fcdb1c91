// What: the clients of the load: outbound sessions that send, and check what comes back.
// Flow: load_cli's orders -> this -> sessions -> the server -> this -> its reports -> load_cli.
// Thread: each worker has its part of the clients: client C is of worker C % workers.

import {
  type CloseReasonName,
  defineHandler,
  type Packet,
  type Runtime,
  type Session,
} from '../index.ts'
import { BroadcastProgress } from './broadcast_progress.ts'
import { Histogram, latencyUnits } from './histogram.ts'
import type { Completed, LoadData, Order, Reply } from './load_orders.ts'
import { avoidedByte, type LoadPlan } from './load_plan.ts'
import {
  ArrivalCheck,
  type Fault,
  MessageContent,
  powerOfTwoFrom,
  START_CLIENT,
} from './message.ts'

/** Connects under way in one worker: less than the usual listen backlog of 128. */
const CONNECTS_AT_ONCE = 100
/** A server may not have joined all clients yet; they get a later one. */
const START_INTERVAL_MS = 50
/** When a rate's messages are due is looked up each timer tick. */
const PACE_INTERVAL_MS = 1
const DRAIN_INTERVAL_MS = 10
const RETRY_MS = 10
/** After the last answer: time for one that should not come. */
const SETTLE_MS = 100

interface Client {
  /** Among the clients of this worker. */
  readonly index: number
  /** Among all. */
  readonly id: number
  session: Session<Client> | undefined
  sent: number
  /** Sequence of the next start message; -1: none has come. */
  startNext: number
}

type Phase = 'connecting' | 'handshake' | 'running' | 'ended' | 'draining' | 'drained'

class LoadWorker {
  readonly #runtime: Runtime
  readonly #plan: LoadPlan
  readonly #address: string
  readonly #worker: number
  readonly #clients: Client[] = []
  readonly #content: MessageContent
  readonly #check: ArrivalCheck
  readonly #latencies = new Histogram()
  /** Adds to performance.now() to give a time that all workers share. */
  readonly #clockOffsetMs: number
  /** The time as it was read last: a double that is passed as an argument would be allocated. */
  readonly #clock = new Float64Array(1)
  readonly #isBroadcast: boolean
  #phase: Phase = 'connecting'
  #joined = 0
  #live = 0
  #started = 0
  #sent = 0
  #received = 0
  /** When sending began. */
  #goMs = 0
  #timer: NodeJS.Timeout | undefined
  #retryTimer: NodeJS.Timeout | undefined
  /** Ring of the send times of each client: `#depthSlots` doubles, a power of two. */
  readonly #times: Float64Array
  readonly #depthSlots: number
  /** Rate: the client of this worker whose message is due next, and its number. */
  #paceIndex = 0
  #paceRound = 0
  readonly #progress: BroadcastProgress
  #isPostDue = false

  constructor(runtime: Runtime) {
    const { plan, address, times } = runtime.data as LoadData
    this.#runtime = runtime
    this.#plan = plan
    this.#address = address
    this.#isBroadcast = plan.mode === 'broadcast'
    this.#worker = Number(runtime.thread.replace('worker', '')) - 1
    const { workers, connections, depth } = plan
    const count = Math.ceil((connections - this.#worker) / workers)
    const idOf = (index: number) => index * workers + this.#worker
    for (let index = 0; index < count; index++) {
      const id = idOf(index)
      this.#clients.push({ index, id, session: undefined, sent: 0, startNext: -1 })
    }
    const [seconds, nanoseconds] = process.hrtime()
    this.#clockOffsetMs = seconds * 1000 + nanoseconds / 1_000_000 - performance.now()
    this.#content = new MessageContent(plan.size, avoidedByte(plan.framing))
    this.#check = new ArrivalCheck(count, depth, idOf, () => this.#now())
    this.#depthSlots = powerOfTwoFrom(depth)
    // A plain view: a send time is read after its message came through the kernel.
    this.#times = this.#isBroadcast
      ? new Float64Array(times)
      : new Float64Array(count * this.#depthSlots)
    this.#progress = new BroadcastProgress(this.#depthSlots, workers)
  }

  #readClock(): void {
    this.#clock[0] = performance.now() + this.#clockOffsetMs
  }

  #now(): number {
    this.#readClock()
    return this.#clock[0]
  }

  #reply(reply: Reply): void {
    this.#runtime.post('main', reply)
  }

  /** The one client that sends in a broadcast, where it is of this worker. */
  get #sender(): Client | undefined {
    return this.#worker === 0 ? this.#clients[0] : undefined
  }

  // --- orders ----------------------------------------------------------------------------------

  order(message: Order | Completed): void {
    switch (message.type) {
      case 'connect':
        this.#connect()
        break
      case 'handshake':
        this.#handshake()
        break
      case 'go':
        this.#go()
        break
      case 'end':
        this.#end()
        break
      case 'drain':
        this.#drain(message.sent)
        break
      case 'completed':
        this.#progress.hear(message.worker, message.completed)
        this.#fillSender()
        break
    }
  }

  async #connect(): Promise<void> {
    let begun = 0
    const lane = async () => {
      while (begun < this.#clients.length) {
        const client = this.#clients[begun++]
        try {
          const { port } = this.#plan
          await this.#runtime.connect({ protocol: 'load', host: this.#address, port })
        } catch (error) {
          begun = this.#clients.length
          this.#connectFailed(client, error as Error)
        }
      }
    }
    await Promise.all(Array.from({ length: CONNECTS_AT_ONCE }, lane))
    if (this.#joined === this.#clients.length) this.#reply({ type: 'connected' })
  }

  #connectFailed(client: Client, { message }: Error): void {
    const found = { client: client.id, sequence: 0, got: `none: ${message}`, atMs: this.#now() }
    const fault: Fault = { kind: 'connect failed', expected: 'a connection', ...found }
    this.#reply({ type: 'failed', fault })
  }

  /** Sessions are given out in the order in which they are connected. */
  join(session: Session<Client>): void {
    const client = this.#clients[this.#joined++]
    client.session = session
    session.data = client
    this.#live++
  }

  #handshake(): void {
    this.#phase = 'handshake'
    const client = this.#sender
    if (client === undefined) return
    let sequence = 0
    const send = () => {
      const sent = client.session?.send(this.#content.build(START_CLIENT, sequence))
      if (sent === 'queued') sequence++
    }
    send()
    this.#timer = setInterval(send, START_INTERVAL_MS)
  }

  #go(): void {
    clearInterval(this.#timer)
    this.#phase = 'running'
    this.#goMs = this.#now()
    if (this.#plan.rate > 0) this.#timer = setInterval(() => this.#pace(), PACE_INTERVAL_MS)
    else if (this.#isBroadcast) this.#fillSender()
    else for (const client of this.#clients) this.#fill(client)
  }

  #end(): void {
    clearInterval(this.#timer)
    this.#phase = 'ended'
    const sent = this.#sender?.sent ?? 0
    this.#reply({ type: 'ended', sent, received: this.#received })
  }

  #drain(sent: number): void {
    this.#phase = 'draining'
    const sentTo = (client: Client) => (this.#isBroadcast ? sent : client.sent)
    const isLate = (client: Client) =>
      client.session !== undefined && this.#check.nextOf(client.index) < sentTo(client)
    const deadlineMs = this.#now() + this.#plan.drainTimeout
    let settledMs = 0
    this.#timer = setInterval(() => {
      const nowMs = this.#now()
      if (this.#check.missing > 0 || this.#clients.some(isLate)) settledMs = 0
      else if (settledMs === 0) settledMs = nowMs + SETTLE_MS
      const isSettled = settledMs > 0 && nowMs >= settledMs
      if (!isSettled && nowMs < deadlineMs) return
      clearInterval(this.#timer)
      for (const client of this.#clients) this.#finish(client, sentTo(client))
      this.#drained()
    }, DRAIN_INTERVAL_MS)
  }

  #finish(client: Client, sent: number): void {
    // A lost client's fault is that it was lost; what it did not get after that is no other one.
    if (client.session === undefined) return
    if (this.#isBroadcast && client.startNext === -1) {
      this.#check.fault('dropped', client.index, 'no start message')
    }
    this.#check.finish(client.index, sent)
  }

  #drained(): void {
    this.#phase = 'drained'
    const { verified, first: fault, counts: faults } = this.#check
    const latencies = this.#latencies.toData()
    const counted = { sent: this.#sent, received: this.#received, verified }
    this.#reply({ type: 'drained', ...counted, latencies, fault, faults })
  }

  // --- sending ---------------------------------------------------------------------------------

  /** Sends what the depth, and by the clock as it was read what the rate, allows. */
  #fill(client: Client): void {
    const { depth, rate } = this.#plan
    const { session, id } = client
    if (session === undefined) return
    const nowMs = this.#clock[0]
    while (this.#phase === 'running' && client.sent - this.#answered(client) < depth) {
      const atMs = rate > 0 ? this.#dueMs(client, client.sent) : nowMs
      if (atMs > nowMs) return
      const status = session.send(this.#content.build(id, client.sent))
      // After 'full' onDrain follows, after 'closed' onLeave.
      if (status === 'dropped') this.#retry()
      if (status !== 'queued') return
      // Of a message that could not be sent in time, latency counts from when it was due.
      this.#times[this.#timeSlot(client, client.sent)] = atMs
      client.sent++
      this.#sent++
    }
  }

  #answered(client: Client): number {
    if (!this.#isBroadcast) return this.#check.nextOf(client.index)
    return this.#progress.completedByAll
  }

  #timeSlot(client: Client, sequence: number): number {
    const slot = sequence % this.#depthSlots
    return this.#isBroadcast ? slot : client.index * this.#depthSlots + slot
  }

  #fillSender(): void {
    this.#readClock()
    if (this.#sender !== undefined) this.#fill(this.#sender)
  }

  /** There was no memory for a message: all clients send again when there may be. */
  #retry(): void {
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined
      for (const client of this.#clients) this.refill(client)
    }, RETRY_MS)
  }

  refill(client: Client): void {
    this.#readClock()
    if (!this.#isBroadcast || client === this.#sender) this.#fill(client)
  }

  /** Messages are due one after the other, over all clients that send. */
  #dueMs(client: Client, sequence: number): number {
    const senders = this.#isBroadcast ? 1 : this.#plan.connections
    return this.#goMs + ((sequence * senders + client.id) / this.#plan.rate) * 1000
  }

  /** Fills every client whose turn has come since the last time; a late one catches up by itself. */
  #pace(): void {
    if (this.#isBroadcast) {
      this.#fillSender()
      return
    }
    const nowMs = this.#now()
    for (;;) {
      const client = this.#clients[this.#paceIndex]
      if (this.#dueMs(client, this.#paceRound) > nowMs) return
      this.#fill(client)
      this.#paceIndex++
      if (this.#paceIndex < this.#clients.length) continue
      this.#paceIndex = 0
      this.#paceRound++
    }
  }

  // --- receiving -------------------------------------------------------------------------------

  receive(client: Client, packet: Packet): void {
    const content = this.#content
    const verdict = content.read(packet)
    const { client: from, sequence } = content
    if (verdict === 'right' && from === START_CLIENT && this.#isBroadcast) {
      this.#receiveStart(client, sequence)
      return
    }
    this.#received++
    this.#readClock()
    const before = this.#check.nextOf(client.index)
    if (verdict === 'length') {
      const got = `${packet.length} bytes instead of ${this.#plan.size}`
      this.#corrupted(client, undefined, got)
    } else if (verdict === 'stamp') {
      this.#corrupted(client, undefined, this.#difference(packet, client, before))
    } else if (from !== (this.#isBroadcast ? 0 : client.id)) {
      this.#corrupted(client, undefined, `sequence ${sequence} of client ${from}`)
    } else if (!this.#isBroadcast && sequence >= client.sent) {
      const got = `sequence ${sequence}, which was not sent yet`
      this.#check.fault('corrupted', client.index, got)
    } else if (verdict === 'pattern') {
      this.#corrupted(client, sequence, this.#difference(packet, client, sequence))
    } else {
      if (sequence >= before) {
        const sentMs = this.#times[this.#timeSlot(client, sequence)]
        this.#latencies.add(latencyUnits(this.#clock[0] - sentMs))
      }
      this.#check.take(client.index, sequence)
    }
    if (!this.#isBroadcast) {
      this.#fill(client)
      return
    }
    const after = this.#check.nextOf(client.index)
    if (after === before) return
    this.#progress.add(before, after)
    this.#advance()
  }

  #receiveStart(client: Client, sequence: number): void {
    const { index } = client
    const got = `start message ${sequence}`
    if (this.#check.nextOf(index) > 0) {
      this.#check.fault('reordered', index, got)
    } else if (client.startNext === -1) {
      this.#started++
      this.#readyWhenStarted()
    } else if (sequence > client.startNext) {
      this.#check.fault('dropped', index, got)
    } else if (sequence < client.startNext) {
      this.#check.fault('duplicated', index, got)
    }
    client.startNext = Math.max(client.startNext, sequence + 1)
  }

  #readyWhenStarted(): void {
    const isConnected = this.#joined === this.#clients.length
    if (isConnected && this.#started === this.#live) this.#reply({ type: 'ready' })
  }

  #difference(packet: Packet, client: Client, sequence: number): string {
    const from = this.#isBroadcast ? 0 : client.id
    const at = this.#content.differsAt(packet, from, sequence)
    return `it with another byte at ${at}`
  }

  /** `sequence` is undefined where the message does not say it: then it is the one expected. */
  #corrupted(client: Client, sequence: number | undefined, got: string): void {
    const { index, sent } = client
    const isUnasked = !this.#isBroadcast && this.#check.nextOf(index) >= sent
    if (sequence === undefined && isUnasked) this.#check.fault('corrupted', index, got)
    else this.#check.takeCorrupted(index, sequence, got)
  }

  /** Broadcast: when all have got more messages, the sender may go on. */
  #advance(): void {
    if (!this.#progress.advance(this.#live)) return
    if (this.#worker === 0) this.#fillSender()
    else if (!this.#isPostDue) {
      this.#isPostDue = true
      queueMicrotask(this.#postCompleted)
    }
  }

  readonly #postCompleted = () => {
    this.#isPostDue = false
    const message: Completed = {
      type: 'completed',
      worker: this.#worker,
      completed: this.#progress.completed,
    }
    this.#runtime.post('worker1', message)
  }

  leave(client: Client, reason: CloseReasonName): void {
    client.session = undefined
    this.#live--
    if (this.#phase === 'drained') return
    const { index } = client
    this.#check.fault('connection lost', index, `the end of the connection (${reason})`)
    this.#check.finish(index, this.#check.nextOf(index))
    if (this.#isBroadcast) {
      this.#progress.remove(this.#check.nextOf(index))
      this.#advance()
      if (client.startNext !== -1) this.#started--
      this.#readyWhenStarted()
    }
    if (this.#live === 0 || client === this.#sender) this.#reply({ type: 'idle' })
  }

  failed(error: unknown): void {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#reply({ type: 'error', message })
  }
}

let worker: LoadWorker

export default defineHandler<Client>({
  onStart(runtime) {
    worker = new LoadWorker(runtime)
  },
  onMessage(message) {
    worker.order(message as Order | Completed)
  },
  onJoin(session) {
    worker.join(session)
  },
  onRecv(session, packet) {
    worker.receive(session.data, packet)
  },
  onDrain(session) {
    worker.refill(session.data)
  },
  onLeave(session, reason) {
    worker.leave(session.data, reason)
  },
  onError(error) {
    worker.failed(error)
  },
})
