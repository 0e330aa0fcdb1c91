// What: `overlapped load`: verifying clients on our own outbound sessions, and their verdict.
// Flow: argv -> load_plan -> this -> load_handler in the workers -> this -> report.
// Thread: main.

import { lookup } from 'node:dns/promises'
import { OverlappedError } from '../errors.ts'
import type { Server } from '../index.ts'
import { Histogram } from './histogram.ts'
import type { LoadData, Order, Reply, WorkerResult } from './load_orders.ts'
import { type LoadPlan, loadUsage, readLoadPlan } from './load_plan.ts'
import {
  earliest,
  FAULT_KINDS,
  type Fault,
  type FaultCounts,
  noFaults,
  powerOfTwoFrom,
} from './message.ts'
import { type LoadResult, liveLine, resultJson, resultText } from './report.ts'

/** Time to connect all clients, and for a broadcast to reach all of them. */
const BEGIN_TIMEOUT_MS = 20_000
/** Time beyond the drain timeout in which a worker must answer. */
const REPLY_TIMEOUT_MS = 10_000
/** Time for the connections to end after the verdict. */
const STOP_TIMEOUT_MS = 2000
/** Send memory of a session: twice what can be outstanding, headers included, and at least 1 MiB. */
const SEND_BYTES_MIN = 1_048_576
const FRAME_BYTES_MAX = 128

/** The workers of the load, as one. */
class Workers {
  readonly #server: Server
  readonly #count: number
  readonly #replies = new Map<string, Map<string, Reply>>()
  /** Resolves what waits for replies to look again. */
  #wake = () => {}
  /** Connects that failed, in the order of their replies. */
  readonly failures: Fault[] = []
  /** The clients are all lost, or the one that sends. */
  isIdle = false
  #error: Error | undefined

  constructor(server: Server, count: number) {
    this.#server = server
    this.#count = count
    server.on('message', (message, from) => this.#take(message as Reply, from))
    server.closed.catch((error: Error) => {
      this.#error = error
      this.#wake()
    })
  }

  #take(reply: Reply, from: string): void {
    if (reply.type === 'failed') this.failures.push(reply.fault)
    else if (reply.type === 'idle') this.isIdle = true
    else if (reply.type === 'error') this.#error = new Error(`in ${from}: ${reply.message}`)
    const ofType = this.#replies.get(reply.type) ?? new Map<string, Reply>()
    this.#replies.set(reply.type, ofType.set(from, reply))
    this.#wake()
  }

  post(order: Order): void {
    for (let worker = 1; worker <= this.#count; worker++)
      this.#server.post(`worker${worker}`, order)
  }

  /** Ends what waits, for it to look again. */
  wake(): void {
    this.#wake()
  }

  /**
   * Waits until `isDone`, at most for some time; whether it was done in time.
   * @throws what a worker died of, or threw.
   */
  async until(isDone: () => boolean, timeoutMs: number): Promise<boolean> {
    let isOver = false
    const timer = setTimeout(() => {
      isOver = true
      this.#wake()
    }, timeoutMs)
    try {
      while (!isDone() && !isOver) {
        if (this.#error !== undefined) throw this.#error
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    } finally {
      clearTimeout(timer)
    }
    return isDone()
  }

  hasAll(type: Reply['type']): boolean {
    return this.#replies.get(type)?.size === this.#count
  }

  /** The replies of all workers; an error of ours where one is missing. */
  async all<T extends Reply['type']>(
    type: T,
    timeoutMs: number,
  ): Promise<Extract<Reply, { type: T }>[]> {
    const isDone = await this.until(() => this.hasAll(type), timeoutMs)
    if (!isDone) throw new Error(`the load's workers did not reply '${type}' in ${timeoutMs} ms`)
    return [...(this.#replies.get(type)?.values() ?? [])] as Extract<Reply, { type: T }>[]
  }
}

/** The result before anything was measured. */
function emptyResult(plan: LoadPlan, driver: string): LoadResult {
  const { mode, connections, depth, size, workers } = plan
  return {
    ...{ mode, connections, depth, size, workers, driver },
    ...{ seconds: 0, sent: 0, received: 0, verified: 0 },
    ...{ messagesPerSecond: 0, megabytesPerSecond: 0 },
    latencyMs: { p50: 0, p90: 0, p99: 0, p999: 0, max: 0 },
    fault: undefined,
    faults: noFaults(),
  }
}

function sum(results: readonly WorkerResult[], key: 'sent' | 'received' | 'verified'): number {
  return results.reduce((total, result) => total + result[key], 0)
}

function sumFaults(results: readonly WorkerResult[]): FaultCounts {
  const total = noFaults()
  for (const { faults } of results) for (const kind of FAULT_KINDS) total[kind] += faults[kind]
  return total
}

function mergedLatencies(results: readonly WorkerResult[]): LoadResult['latencyMs'] {
  const histogram = new Histogram()
  for (const { latencies } of results) histogram.merge(latencies)
  const [p50, p90, p99, p999] = [50, 90, 99, 99.9].map((percent) => histogram.percentile(percent))
  return { p50, p90, p99, p999, max: histogram.maxMs }
}

/** A line each second until `stop()`, where the plan or the terminal wants one. */
function showLive(server: Server, plan: LoadPlan): { readonly stop: () => void } {
  if (!plan.live && (plan.json || process.stdout.isTTY !== true)) return { stop: () => {} }
  const stream = plan.json ? process.stderr : process.stdout
  let second = 0
  let before = server.monitor.snapshot().totals.messagesIn
  const timer = setInterval(() => {
    const { messagesIn } = server.monitor.snapshot().totals
    stream.write(liveLine(++second, messagesIn - before, plan.size))
    before = messagesIn
  }, 1000)
  return { stop: () => clearInterval(timer) }
}

/** The clients from connect to verdict, on workers that run. */
async function runClients(server: Server, workers: Workers, plan: LoadPlan): Promise<LoadResult> {
  const begun = emptyResult(plan, server.info().driver)
  const connectFailed = (fault: Fault): LoadResult => {
    const faults = { ...noFaults(), 'connect failed': Math.max(1, workers.failures.length) }
    return { ...begun, fault, faults }
  }
  workers.post({ type: 'connect' })
  const isSettled = () => workers.hasAll('connected') || workers.failures.length > 0
  const isInTime = await workers.until(isSettled, BEGIN_TIMEOUT_MS)
  const failure = earliest(workers.failures)
  if (failure !== undefined) return connectFailed(failure)
  if (!isInTime) {
    const client = server.monitor.snapshot().totals.connected
    const got = `none to ${plan.host}:${plan.port} in ${BEGIN_TIMEOUT_MS / 1000} s`
    const found = { client, sequence: 0, expected: 'a connection', got, atMs: 0 }
    return connectFailed({ kind: 'connect failed', ...found })
  }
  if (plan.mode === 'broadcast') {
    workers.post({ type: 'handshake' })
    const isStarted = () => workers.hasAll('ready') || workers.isIdle
    // Where it did not reach all, the drain finds whom.
    if (!(await workers.until(isStarted, BEGIN_TIMEOUT_MS))) workers.isIdle = true
  }
  return measure(server, workers, plan, begun)
}

async function measure(
  server: Server,
  workers: Workers,
  plan: LoadPlan,
  begun: LoadResult,
): Promise<LoadResult> {
  const live = showLive(server, plan)
  const startMs = performance.now()
  if (!workers.isIdle) workers.post({ type: 'go' })
  try {
    await workers.until(() => workers.isIdle, plan.duration * 1000)
  } finally {
    live.stop()
  }
  workers.post({ type: 'end' })
  const ended = await workers.all('ended', REPLY_TIMEOUT_MS)
  const seconds = (performance.now() - startMs) / 1000
  const sent = ended.reduce((total, reply) => total + reply.sent, 0)
  workers.post({ type: 'drain', sent })
  const results = await workers.all('drained', plan.drainTimeout + REPLY_TIMEOUT_MS)
  const messagesPerSecond = ended.reduce((total, reply) => total + reply.received, 0) / seconds
  return {
    ...begun,
    seconds,
    sent: sum(results, 'sent'),
    received: sum(results, 'received'),
    verified: sum(results, 'verified'),
    messagesPerSecond,
    megabytesPerSecond: (messagesPerSecond * plan.size) / 1_000_000,
    latencyMs: mergedLatencies(results),
    fault: earliest(results.map(({ fault }) => fault)),
    faults: sumFaults(results),
  }
}

async function resolveHost(host: string): Promise<string> {
  try {
    return (await lookup(host)).address
  } catch (error) {
    const message = `--host is '${host}'; it must be an address, or a name that has one`
    throw new OverlappedError('ERR_ADDRESS_UNAVAILABLE', message, { cause: error })
  }
}

async function startServer(plan: LoadPlan, address: string): Promise<Server> {
  // Imported here, so that help and wrong options do not need the native addon.
  const { createServer } = await import('../index.ts')
  const { connections, depth, size, workers, driver, framing } = plan
  const times = new SharedArrayBuffer(powerOfTwoFrom(plan.depth) * Float64Array.BYTES_PER_ELEMENT)
  const data: LoadData = { plan, address, times }
  const server = createServer({
    outbound: [{ name: 'load', framing }],
    handler: new URL('./load_handler.js', import.meta.url),
    data,
    workers,
    driver,
    // One more for each worker, as the sessions are divided evenly and the clients nearly so.
    maxSessions: connections + workers,
    maxBackpressure: Math.max(SEND_BYTES_MIN, 2 * depth * (size + FRAME_BYTES_MAX)),
    idleTimeout: 0,
    drainTimeout: STOP_TIMEOUT_MS,
  })
  await server.listen()
  return server
}

async function runPlan(plan: LoadPlan): Promise<LoadResult> {
  const server = await startServer(plan, await resolveHost(plan.host))
  const workers = new Workers(server, plan.workers)
  // The first Ctrl-C ends the load with its verdict, a second one the process.
  const onInterrupt = () => {
    workers.isIdle = true
    workers.wake()
  }
  process.once('SIGINT', onInterrupt)
  try {
    return await runClients(server, workers, plan)
  } finally {
    process.off('SIGINT', onInterrupt)
    await server.stop()
  }
}

/**
 * Loads a server. `argv` is what follows `load`. Returns the exit code: 0 without loss, 1 with a
 * fault.
 * @throws {OverlappedError} of wrong options, createServer and listen().
 */
export async function runLoad(argv: string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(loadUsage())
    return 0
  }
  const plan = readLoadPlan(argv)
  const result = await runPlan(plan)
  process.stdout.write(plan.json ? resultJson(result) : resultText(result))
  return result.fault === undefined ? 0 : 1
}
