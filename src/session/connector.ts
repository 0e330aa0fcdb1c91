// What: runtime.connect(): names to addresses, protocols to indices, one time limit for it all, and reconnecting.
// Flow: user -> this -> dialler (the thread that owns sockets) -> session, or a typed error.
// Thread: the one that runs content.

import { lookup as lookupName } from 'node:dns/promises'
import { isIP } from 'node:net'
import { OverlappedError } from '../errors.ts'
import type { ErrorCode } from '../layout/layout.ts'
import { checkConnect, type GivenProtocol, type Target } from './connect_options.ts'
import { type Dialler, type Dialling, endpointText } from './connecting.ts'
import type { After } from './core.ts'
import type { CloseReasonName, ConnectFailure, ConnectOptions, Session } from './handler.ts'
import { Backoff } from './reconnect.ts'

/** Addresses of a host name, in the order in which they are to be tried. */
export type Lookup = (host: string) => Promise<readonly string[]>

export interface ConnectorParts {
  readonly dialler: Dialler
  /** URL of the server's handler. */
  readonly handler: string | undefined
  /** Index of a declared protocol; a promise while its handler is in its onStart. @throws {OverlappedError} ERR_ARGUMENT */
  readonly protocolByName: (name: string) => number | Promise<number>
  /** Index of a protocol that connect() was given: its handler is loaded and started, it is registered. */
  readonly protocolOf: (given: GivenProtocol) => Promise<number>
  /** An attempt of a reconnecting client failed; `protocol` says whose handler hears of it. */
  readonly failed: (protocol: number, error: OverlappedError, failure: ConnectFailure) => void
  readonly after: After
  /** Milliseconds. */
  readonly now: () => number
  /** Draws from [0, 1). */
  readonly random: () => number
  readonly lookup: Lookup
}

/** The system's resolver, as getaddrinfo() orders addresses. */
export const systemLookup: Lookup = async (host) =>
  (await lookupName(host, { all: true, order: 'verbatim' })).map(({ address }) => address)

/** Ended by this side: a reconnecting client stays away. */
const LOCAL_ENDS: ReadonlySet<CloseReasonName> = new Set<CloseReasonName>([
  'localClose',
  'localTerminate',
  // Of a close() that the peer did not answer.
  'closeTimeout',
  'serverStop',
])

/** Errors of which another attempt may be rid. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_CONNECT',
  'ERR_CONNECT_REFUSED',
  'ERR_CONNECT_UNREACHABLE',
  'ERR_CONNECT_TIMED_OUT',
  'ERR_NAME_NOT_FOUND',
  'ERR_SESSION_TABLE_FULL',
])

/** Errors that have to do with the address that was tried: the next one may do. */
const OF_ADDRESS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_CONNECT',
  'ERR_CONNECT_REFUSED',
  'ERR_CONNECT_UNREACHABLE',
  'ERR_CONNECT_TIMED_OUT',
])

export class Connector {
  readonly #parts: ConnectorParts
  /** Every client that connects, or that would connect again. */
  readonly #clients = new Set<Client>()
  /** Calls that have not been answered. */
  readonly #calls = new Set<Promise<Session>>()
  #isStopped = false

  constructor(parts: ConnectorParts) {
    this.#parts = parts
  }

  /** As Runtime.connect() says. */
  connect(options: ConnectOptions): Promise<Session> {
    const call = this.#connect(options)
    this.#calls.add(call)
    const forget = () => this.#calls.delete(call)
    call.then(forget, forget)
    return call
  }

  async #connect(options: ConnectOptions): Promise<Session> {
    const parts = this.#parts
    const target = checkConnect(options, parts.handler)
    this.#checkRunning(target)
    const client = new Client(parts, target, () => this.#clients.delete(client))
    this.#clients.add(client)
    return client.connect()
  }

  /** Ends every attempt and every wait; what is connected is left alone. Resolves when every call has been answered. */
  async stop(): Promise<void> {
    this.#isStopped = true
    for (const client of [...this.#clients]) {
      const { host, port } = client.target
      client.end(
        new OverlappedError(
          'ERR_SERVER_STATE',
          `connect(): the server stopped before ${endpointText(host, port)} was reached`,
        ),
      )
    }
    await Promise.allSettled(this.#calls)
  }

  #checkRunning({ host, port }: Target): void {
    if (!this.#isStopped) return
    throw new OverlappedError(
      'ERR_SERVER_STATE',
      `connect(): ${endpointText(host, port)}: the server is stopping`,
    )
  }
}

/** One call of connect(), and what follows from it. */
class Client {
  readonly target: Target
  readonly #parts: ConnectorParts
  readonly #onDone: () => void
  readonly #backoff: Backoff | null
  #protocol = -1
  /** Why it does not go on. */
  #ended: OverlappedError | null = null
  #dialling: Dialling | null = null
  /** Rejects what is being waited for. */
  #interrupt: ((error: OverlappedError) => void) | null = null

  constructor(parts: ConnectorParts, target: Target, onDone: () => void) {
    this.#parts = parts
    this.target = target
    this.#onDone = onDone
    this.#backoff = target.reconnect === null ? null : new Backoff(target.reconnect, parts.random)
    target.signal?.addEventListener('abort', this.#onAbort)
  }

  get #where(): string {
    return endpointText(this.target.host, this.target.port)
  }

  readonly #onAbort = () => {
    const { signal } = this.target
    this.end(
      new OverlappedError(
        'ERR_CONNECT_ABORTED',
        `connect(): ${this.#where}: aborted by its signal`,
        {
          cause: signal?.reason,
        },
      ),
    )
  }

  /** No further attempt, and the one that is under way fails. */
  end(error: OverlappedError): void {
    if (this.#ended !== null) return
    this.#ended = error
    this.#done()
    this.#dialling?.giveUp(error)
    this.#interrupt?.(error)
  }

  #done(): void {
    this.target.signal?.removeEventListener('abort', this.#onAbort)
    this.#onDone()
  }

  async connect(): Promise<Session> {
    if (this.target.signal?.aborted === true) this.#onAbort()
    try {
      return await this.#untilConnected()
    } catch (error) {
      this.#done()
      throw error
    }
  }

  async #untilConnected(): Promise<Session> {
    for (;;) {
      let delayMs: number | null
      try {
        const session = await this.#attempt()
        if (this.#backoff === null) this.#done()
        return session
      } catch (error) {
        delayMs = this.#afterFailure(error)
        if (delayMs === null) throw error
      }
      await this.#pause(delayMs)
    }
  }

  /** Milliseconds until the next attempt; null: there is none. */
  #afterFailure(error: unknown): number | null {
    const backoff = this.#backoff
    if (backoff === null || this.#ended !== null) return null
    if (!(error instanceof OverlappedError) || !PASSING.has(error.code)) return null
    const delayMs = backoff.afterFailure()
    this.#report(backoff, error, delayMs)
    return this.#ended === null ? delayMs : null
  }

  #report(backoff: Backoff, error: OverlappedError, retryInMs: number | null): void {
    const { host, port, data } = this.target
    this.#parts.failed(this.#protocol, error, {
      host,
      port,
      attempt: backoff.failed,
      retryInMs,
      data,
    })
  }

  // --- one attempt -----------------------------------------------------------------------------

  async #attempt(): Promise<Session> {
    const { target } = this
    if (this.#ended !== null) throw this.#ended
    if (this.#protocol === -1) {
      const { protocol } = target
      const { protocolByName, protocolOf } = this.#parts
      const index = typeof protocol === 'string' ? protocolByName(protocol) : protocolOf(protocol)
      // Without a wait, a session of a declared protocol is on its way when connect() returns.
      this.#protocol = typeof index === 'number' ? index : await this.#unlessEnded(index)
    }
    const endMs = this.#parts.now() + target.timeoutMs
    if (isIP(target.host) !== 0) return this.#dial([target.host], endMs)
    return this.#dial(await this.#resolve(), endMs)
  }

  async #resolve(): Promise<readonly string[]> {
    const { host, timeoutMs } = this.target
    const { after, lookup } = this.#parts
    const endTimer = after(timeoutMs, () => this.#interrupt?.(this.#timedOut()))
    let addresses: readonly string[]
    try {
      addresses = await this.#unlessEnded(lookup(host))
    } catch (cause) {
      if (cause instanceof OverlappedError) throw cause
      const why = (cause as { code?: string }).code ?? String(cause)
      throw new OverlappedError(
        'ERR_NAME_NOT_FOUND',
        `connect(): ${this.#where}: the name cannot be resolved (${why})`,
        { cause },
      )
    } finally {
      endTimer()
    }
    if (addresses.length > 0) return addresses
    throw new OverlappedError(
      'ERR_NAME_NOT_FOUND',
      `connect(): ${this.#where}: the name has no address`,
    )
  }

  /** Each address has its part of the time that is left, so that one that is silent leaves some for the others. */
  async #dial(addresses: readonly string[], endMs: number): Promise<Session> {
    const { dialler, now } = this.#parts
    const { port, data } = this.target
    const failures: OverlappedError[] = []
    for (const [index, address] of addresses.entries()) {
      const leftMs = endMs - now()
      if (leftMs <= 0) throw this.#timedOut()
      const timeoutMs = Math.ceil(leftMs / (addresses.length - index))
      const onLeft = this.#backoff === null ? null : this.#onLeftFrom(now())
      try {
        this.#dialling = dialler.dial({
          address,
          port,
          protocol: this.#protocol,
          timeoutMs,
          data,
          onLeft,
        })
        return await this.#dialling.session
      } catch (error) {
        if (this.#ended !== null) throw this.#ended
        if (!(error instanceof OverlappedError) || !OF_ADDRESS.has(error.code)) throw error
        failures.push(error)
      } finally {
        this.#dialling = null
      }
    }
    const last = failures[failures.length - 1]
    if (failures.length === 1) throw last
    throw new OverlappedError(
      last.code,
      `connect(): ${this.#where}: none of ${failures.length} addresses was reached; ${last.message}`,
      { cause: new AggregateError(failures) },
    )
  }

  #timedOut(): OverlappedError {
    return new OverlappedError(
      'ERR_CONNECT_TIMED_OUT',
      `connect(): ${this.#where} was not reached in ${this.target.timeoutMs} ms`,
    )
  }

  // --- waiting ---------------------------------------------------------------------------------

  /** Settles as `work` does, or rejects when this client is ended before. */
  #unlessEnded<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#interrupt = reject
      work.then(resolve, reject)
    }).finally(() => {
      this.#interrupt = null
    })
  }

  async #pause(ms: number): Promise<void> {
    let endTimer: (() => void) | undefined
    try {
      await this.#unlessEnded(
        new Promise<void>((resolve) => {
          endTimer = this.#parts.after(ms, resolve)
        }),
      )
    } finally {
      endTimer?.()
    }
  }

  // --- reconnecting ----------------------------------------------------------------------------

  #onLeftFrom(beganMs: number): (reason: CloseReasonName, heard: boolean) => void {
    return (reason, heard) => this.#left(reason, heard, this.#parts.now() - beganMs)
  }

  #left(reason: CloseReasonName, heard: boolean, livedMs: number): void {
    const backoff = this.#backoff
    if (backoff === null || this.#ended !== null) return
    if (LOCAL_ENDS.has(reason)) {
      this.#done()
      return
    }
    const delayMs = backoff.afterSession(heard, livedMs)
    if (delayMs === null) {
      const ended = `the session ended at once (${reason}), and no attempt is left`
      const error = new OverlappedError('ERR_CONNECT', `connect(): ${this.#where}: ${ended}`)
      this.#report(backoff, error, null)
      this.#done()
      return
    }
    // Whoever is to know of a failure has heard of it by onConnectFailed, or ended this client.
    this.#again(delayMs).catch(() => this.#done())
  }

  async #again(delayMs: number): Promise<void> {
    await this.#pause(delayMs)
    await this.#untilConnected()
  }
}
