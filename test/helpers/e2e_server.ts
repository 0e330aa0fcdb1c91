// What: starts servers for end-to-end tests, collects what their handlers report, stops them again.
// Flow: tests -> this -> the built package -> handlers -> runtime.post('main', ...) -> this -> tests.
// Thread: the test's.

import { createServer, type Server, type ServerOptions } from 'overlapped'
import { afterEach, expect } from 'vitest'
import { ioUringDenied } from './drivers.ts'

/** How long a condition may take to come true; nothing passes because of it. */
const PATIENCE_MS = 20_000
/** How often a condition is looked at. */
const LOOK_EVERY_MS = 2

/** What a handler posts to main. */
export interface Report {
  readonly type: string
  /** Thread that posted it. */
  readonly from: string
  readonly [field: string]: unknown
}

/** Set when a worker of any server was lost: no condition can be waited for any more. */
let lost: unknown

/** Resolves with the first truthy value of `look`; rejects, naming `what`, when none comes. */
export async function until<T>(
  what: string,
  look: () => T,
  patienceMs = PATIENCE_MS,
): Promise<NonNullable<T>> {
  const end = Date.now() + patienceMs
  for (;;) {
    const seen = look()
    if (seen) return seen
    if (lost !== undefined) throw lost
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

export class TestServer {
  readonly server: Server
  /** In the order of arrival, which is the order of posting for each thread. */
  readonly reports: Report[] = []
  /** The first thread that runs content. */
  readonly content: string

  constructor(options: ServerOptions) {
    this.content = (options.mode ?? 'worker') === 'worker' ? 'worker1' : 'update1'
    // Where io_uring is denied, no test names the driver: `auto` has to find it.
    const driver = ioUringDenied ? 'auto' : (options.driver ?? 'auto')
    this.server = createServer({ workers: 1, arenaBytes: 64 * 2 ** 20, ...options, driver })
    this.server.closed.catch((error: unknown) => {
      lost = error
    })
    this.server.on('message', (message, from) => {
      this.reports.push({ ...(message as object), from } as Report)
    })
  }

  /** Port of a listener; of the first one without a name. */
  port(name?: string): number {
    const { listeners } = this.server.info()
    const found = listeners.find((listener) => name === undefined || listener.name === name)
    if (found === undefined) throw new Error(`there is no listener '${name}'`)
    return found.port
  }

  /** Reports of a type whose fields are these. */
  seen(type: string, fields: Readonly<Record<string, unknown>> = {}): Report[] {
    const wanted = Object.entries(fields)
    return this.reports.filter(
      (report) => report.type === type && wanted.every(([key, value]) => report[key] === value),
    )
  }

  /** The nth report of a type with these fields, when it has come. */
  next(type: string, fields: Readonly<Record<string, unknown>> = {}, nth = 0): Promise<Report> {
    return until(`report ${nth} ${type} ${JSON.stringify(fields)}`, () => {
      return this.seen(type, fields)[nth]
    })
  }

  until<T>(what: string, look: () => T): Promise<NonNullable<T>> {
    return until(what, look)
  }

  /** A counter, summed over the threads. */
  count(name: string): number {
    const value = this.server.monitor.snapshot().totals[name]
    if (value === undefined) throw new Error(`there is no counter '${name}'`)
    return value
  }

  /** Has a handler's onMessage do something. */
  tell(message: unknown, thread = this.content): void {
    this.server.post(thread, message)
  }

  /** Has a handler that reports what became of it do something; resolves with that. */
  async order(action: string, fields: object = {}, thread = this.content): Promise<unknown> {
    const before = this.seen(action, { from: thread }).length
    this.tell({ do: action, ...fields }, thread)
    return (await this.next(action, { from: thread }, before)).result
  }

  stop(drainTimeout = 10_000): Promise<void> {
    return this.server.stop({ drainTimeout })
  }
}

const running: TestServer[] = []

/** A listening server, which afterEach stops. */
export async function startServer(options: ServerOptions): Promise<TestServer> {
  const test = await listenOnly(options)
  running.push(test)
  return test
}

/** A listening server that the caller stops. */
export async function listenOnly(options: ServerOptions): Promise<TestServer> {
  const test = new TestServer(options)
  await test.server.listen()
  const { driver, driverReason } = test.server.info()
  if (ioUringDenied && (driver !== 'epoll' || !driverReason.startsWith('auto: io_uring is denied')))
    throw new Error(`io_uring is denied, and the driver is ${driver} (${driverReason})`)
  return test
}

/** URL of a handler module of these tests. */
export function handler(name: string): URL {
  return new URL(`../e2e/handlers/${name}.mjs`, import.meta.url)
}

/** The server loses a thread, as it should: from here on conditions are waited for again. */
export async function expectLost({ server }: TestServer, sentence = /was lost/): Promise<void> {
  await expect(server.closed).rejects.toMatchObject({
    code: 'ERR_WORKER_LOST',
    message: expect.stringMatching(sentence),
  })
  lost = undefined
}

/** To be called once by a test file: what startServer started is stopped after each test. */
export function stopAfterEach(): void {
  afterEach(async () => {
    lost = undefined
    await Promise.all(running.splice(0).map((test) => test.stop(0)))
  })
}
