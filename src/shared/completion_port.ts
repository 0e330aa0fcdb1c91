// What: a completion port without a kernel: a queue of jobs, and threads that are woken last in, first out, so many at a time.
// Flow: post() of any thread -> port_queue -> a place for the latest of who waits -> get().
// Thread: any; one instance per thread, over one SharedArrayBuffer.

import { OverlappedError } from '../errors.ts'
import {
  LAYOUT_HASH,
  PORT_CAPACITY,
  PORT_ENTRY_BYTES,
  PORT_HASH,
  PORT_LIMIT,
  PORT_THREAD_KEY,
  PORT_THREAD_STATE,
  PORT_THREAD_WORDS,
  PORT_THREADS,
  PORT_THREADS_AT,
  PORT_THREADS_USED,
  PORT_WORDS,
  PortThreadState,
} from '../layout/layout.ts'
import { compareExchange, load, store } from './atomics.ts'
import { noBytes, PortEntries, type PortEntry } from './port_entries.ts'
import { type CompletionPortHandle, type CompletionPortOptions, createPort } from './port_memory.ts'
import { PortQueue } from './port_queue.ts'
import { isLater, kindOf, numberOf, PortThreads, TIMED_OUT } from './port_threads.ts'

export type { CompletionPortHandle, CompletionPortOptions, PortEntry }

/** `full`: this thread has `capacity` entries posted. `closed`: the port is closed. */
export type PostResult = 'posted' | 'full' | 'closed'

/** A port at one moment, as far as several words can say that: threads by their numbers on this port. */
export interface CompletionPortSnapshot {
  readonly concurrency: number
  /** The device list: threads that have the port open, with their keys. */
  readonly devices: readonly { readonly thread: number; readonly key: number }[]
  /** The completion queue, first in, first out: entries in it. */
  readonly queued: number
  /** Threads that wait, the one that is woken next first. */
  readonly waiting: readonly number[]
  /** Released threads: those that run. There may be more than `concurrency` after unblock(). */
  readonly released: readonly number[]
  /** Paused threads: those that said that they block. */
  readonly paused: readonly number[]
  readonly isClosed: boolean
}

export class CompletionPort {
  /** Give it to other threads; they open() it. */
  readonly handle: CompletionPortHandle
  /** This thread's number on this port: for abandon(), and in snapshots. */
  readonly thread: number
  readonly #words: Int32Array
  readonly #queue: PortQueue
  readonly #entries: PortEntries
  readonly #threads: PortThreads
  /** block() calls without their unblock(). */
  #blocks = 0
  #hasLeft = false

  private constructor(handle: CompletionPortHandle, thread: number) {
    const words = new Int32Array(handle.memory)
    this.handle = { memory: handle.memory }
    this.thread = thread
    this.#words = words
    this.#queue = new PortQueue(words, thread)
    this.#entries = new PortEntries(words, new Uint8Array(handle.memory), thread)
    this.#threads = new PortThreads(words, thread, this.#queue)
  }

  /**
   * Makes a port, open in this thread.
   * @throws {OverlappedError} ERR_ARGUMENT
   */
  static create(options: CompletionPortOptions = {}): CompletionPort {
    return CompletionPort.open(createPort(options))
  }

  /**
   * Opens a port that another thread made.
   * @param key Shown in snapshots; a whole number of 32 bits. Default 0.
   * @throws {OverlappedError} ERR_ARGUMENT, ERR_LAYOUT_MISMATCH, ERR_PORT_THREADS
   */
  static open(handle: CompletionPortHandle, key = 0): CompletionPort {
    const { memory } = handle
    if (!(memory instanceof SharedArrayBuffer) || memory.byteLength < 4 * PORT_WORDS) {
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `open() was given ${typeof memory} as memory; it takes the handle of a completion port`,
      )
    }
    checkWhole('open', 'key', key)
    const words = new Int32Array(memory)
    if (words[PORT_HASH] !== LAYOUT_HASH) {
      throw new OverlappedError(
        'ERR_LAYOUT_MISMATCH',
        `the completion port was made with memory layout ${words[PORT_HASH]}, this package has ${LAYOUT_HASH}; use one version of the package in all threads`,
      )
    }
    const thread = claimThread(words)
    store(words, words[PORT_THREADS_AT] + thread * PORT_THREAD_WORDS + PORT_THREAD_KEY, key)
    const port = new CompletionPort(handle, thread)
    // What came for the thread that had this number before, after it had left [PORT-9].
    port.#returnDirect()
    return port
  }

  /** Longest payload of post(), in bytes. */
  get payloadBytesMax(): number {
    return this.#words[PORT_ENTRY_BYTES] * this.#words[PORT_CAPACITY]
  }

  /**
   * Puts an entry at the end of the queue and wakes a thread for it, if one may run. Never blocks, never waits for
   * another thread: safe on main.
   * @param key A whole number of 32 bits.
   * @param value A whole number of 32 bits.
   * @param payload Copied; at most payloadBytesMax.
   * @throws {OverlappedError} ERR_ARGUMENT, ERR_PAYLOAD_TOO_LONG, ERR_PORT_STATE after leave()
   */
  post(key: number, value: number, payload: Uint8Array = noBytes): PostResult {
    const entry = this.#write('post', key, value, payload)
    if (entry === -1) return 'full'
    if (!this.#queue.append(entry)) {
      this.#entries.giveBack(entry)
      return 'closed'
    }
    this.#threads.dispatch()
    return 'posted'
  }

  /**
   * Puts an entry where only one thread finds it, with takeDirect(). Wakes nobody: the two agree on how that is told,
   * and on when that thread leaves: what is posted to it at that moment may come to the next one with its number.
   * @param thread Its number on this port.
   * @param payload Copied; at most payloadBytesMax.
   * @returns `gone`: no thread has this number.
   * @throws {OverlappedError} ERR_ARGUMENT, ERR_PAYLOAD_TOO_LONG, ERR_PORT_STATE after leave()
   */
  postTo(
    thread: number,
    key: number,
    value: number,
    payload: Uint8Array = noBytes,
  ): 'posted' | 'full' | 'gone' {
    this.#checkThread('postTo', thread)
    if (kindOf(load(this.#words, this.#stateAt(thread))) === PortThreadState.ABSENT) return 'gone'
    const entry = this.#write('postTo', key, value, payload)
    if (entry === -1) return 'full'
    this.#entries.direct(thread, entry)
    return 'posted'
  }

  /** What was posted to this thread alone, oldest first. Does not wait. */
  takeDirect(): PortEntry[] {
    const taken: PortEntry[] = []
    for (const entry of this.#entries.takeDirect()) taken.push(this.#entries.read(entry))
    return taken
  }

  /** The key that a thread has opened the port with. */
  keyOf(thread: number): number {
    this.#checkThread('keyOf', thread)
    return load(this.#words, this.#blockAt(thread) + PORT_THREAD_KEY)
  }

  /**
   * The next entry; waits for it, in this thread, while there is none or while `concurrency` threads run. To call it
   * says that the entry before is done.
   * @param timeoutMs Milliseconds; 0 does not wait. Default: for ever.
   * @param keepsPlace After a timeout this thread can still be chosen, as if it waited: it must come back soon.
   * @throws {OverlappedError} ERR_ARGUMENT, ERR_PORT_STATE between block() and unblock(), and after leave()
   */
  get(timeoutMs = Number.POSITIVE_INFINITY, keepsPlace = false): PortEntry | 'timeout' | 'closed' {
    const entry = this.#obtain('get', timeoutMs, keepsPlace)
    return entry < 0 ? outcomeOf(entry) : this.#entries.read(entry)
  }

  /**
   * Like get(): waits for one entry, and takes up to `max` that are there.
   * @throws {OverlappedError} ERR_ARGUMENT, ERR_PORT_STATE
   */
  getMany(max: number, timeoutMs = Number.POSITIVE_INFINITY): PortEntry[] | 'timeout' | 'closed' {
    if (!Number.isInteger(max) || max < 1) {
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `getMany() was given ${String(max)} as max; it takes a whole number from 1`,
      )
    }
    let entry = this.#obtain('getMany', timeoutMs, false)
    if (entry < 0) return outcomeOf(entry)
    const entries: PortEntry[] = []
    while (entry >= 0) {
      entries.push(this.#entries.read(entry))
      if (entries.length === max) break
      entry = this.#threads.more()
    }
    return entries
  }

  /**
   * Says that this thread is about to block: its place goes to another one. Nests.
   * @throws {OverlappedError} ERR_PORT_STATE when it has no entry in hand
   */
  block(): void {
    this.#checkOpen('block')
    const kind = this.#threads.kind()
    if (kind === PortThreadState.PAUSED) {
      this.#blocks++
      return
    }
    if (kind !== PortThreadState.RUNNING && kind !== PortThreadState.OVER) {
      throw new OverlappedError(
        'ERR_PORT_STATE',
        'block() was called by a thread that has no entry in hand',
      )
    }
    this.#blocks = 1
    this.#threads.pause()
  }

  /**
   * Says that it is back. When all places are taken it runs without one: more than `concurrency` threads run until one
   * of them comes back to get(), and nobody is woken meanwhile.
   * @throws {OverlappedError} ERR_PORT_STATE without block()
   */
  unblock(): void {
    if (this.#threads.kind() !== PortThreadState.PAUSED) {
      throw new OverlappedError('ERR_PORT_STATE', 'unblock() was called without block()')
    }
    this.#blocks--
    if (this.#blocks === 0) this.#threads.resume()
  }

  /**
   * No more entries: post() returns `closed`. What was posted before is still handed out, then everybody who waits, or
   * calls get(), gets `closed`.
   */
  close(): void {
    this.#checkOpen('close')
    this.#queue.seal()
    this.#threads.dispatch()
  }

  /** This thread lets go of the port: what it has in hand is done, its number may go to another thread. */
  leave(): void {
    if (this.#hasLeft) return
    this.#returnDirect()
    this.#hasLeft = true
    this.#threads.leave()
  }

  /**
   * Takes back what a thread had that has ended without leave(), as by worker.terminate(): its place, its wait, the
   * memory of the entry in its hand. Call it when the thread has ended ('exit' event), from one other thread. The entry
   * itself is lost.
   * @param thread `thread` of its port.
   * @throws {OverlappedError} ERR_ARGUMENT, ERR_PORT_STATE after leave()
   */
  abandon(thread: number): void {
    this.#checkOpen('abandon')
    this.#checkThread('abandon', thread)
    if (thread === this.thread) {
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `abandon() was given ${thread}, which is this thread; it takes the number of another one`,
      )
    }
    this.#entries.abandon(thread)
    this.#threads.abandon(thread)
  }

  snapshot(): CompletionPortSnapshot {
    const words = this.#words
    const devices: { thread: number; key: number }[] = []
    const waiting: { thread: number; since: number }[] = []
    const released: number[] = []
    const paused: number[] = []
    const used = load(words, PORT_THREADS_USED)
    for (let thread = 0; thread < used; thread++) {
      const state = load(words, this.#stateAt(thread))
      const kind = kindOf(state)
      if (kind === PortThreadState.ABSENT) continue
      devices.push({ thread, key: this.keyOf(thread) })
      if (kind === PortThreadState.WAITING) waiting.push({ thread, since: numberOf(state) })
      else if (kind === PortThreadState.PAUSED) paused.push(thread)
      else if (kind !== PortThreadState.OUTSIDE) released.push(thread)
    }
    waiting.sort((a, b) => (isLater(a.since, b.since) ? -1 : 1))
    return {
      concurrency: words[PORT_LIMIT],
      devices,
      queued: Math.max(0, this.#queue.count()),
      waiting: waiting.map(({ thread }) => thread),
      released,
      paused,
      isClosed: this.#queue.isSealed(),
    }
  }

  #returnDirect(): void {
    for (const entry of this.#entries.takeDirect()) this.#entries.giveBack(entry)
  }

  /** -1: this thread has not enough entries left. */
  #write(method: string, key: number, value: number, payload: Uint8Array): number {
    checkWhole(method, 'key', key)
    checkWhole(method, 'value', value)
    this.#checkOpen(method)
    if (payload.length > this.payloadBytesMax) {
      throw new OverlappedError(
        'ERR_PAYLOAD_TOO_LONG',
        `${method}() was given a payload of ${payload.length} bytes; this port takes at most ${this.payloadBytesMax}, payloadBytes times capacity`,
      )
    }
    return this.#entries.write(key, value, payload)
  }

  #blockAt(thread: number): number {
    return this.#words[PORT_THREADS_AT] + thread * PORT_THREAD_WORDS
  }

  #stateAt(thread: number): number {
    return this.#blockAt(thread) + PORT_THREAD_STATE
  }

  #checkThread(method: string, thread: number): void {
    const threads = this.#words[PORT_THREADS]
    if (Number.isInteger(thread) && thread >= 0 && thread < threads) return
    throw new OverlappedError(
      'ERR_ARGUMENT',
      `${method}() was given ${String(thread)} as thread; it takes a whole number from 0 to ${threads - 1}`,
    )
  }

  #obtain(method: string, timeoutMs: number, keepsPlace: boolean): number {
    if (!(timeoutMs >= 0)) {
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `${method}() was given ${String(timeoutMs)} as timeoutMs; it takes milliseconds from 0`,
      )
    }
    this.#checkOpen(method)
    if (this.#threads.kind() === PortThreadState.PAUSED)
      throw new OverlappedError('ERR_PORT_STATE', `${method}() was called before unblock()`)
    return this.#threads.obtain(timeoutMs, keepsPlace)
  }

  #checkOpen(method: string): void {
    if (!this.#hasLeft) return
    throw new OverlappedError('ERR_PORT_STATE', `${method}() was called after leave()`)
  }
}

function outcomeOf(entry: number): 'timeout' | 'closed' {
  return entry === TIMED_OUT ? 'timeout' : 'closed'
}

function checkWhole(method: string, name: string, value: number): void {
  if (value === (value | 0)) return
  throw new OverlappedError(
    'ERR_ARGUMENT',
    `${method}() was given ${String(value)} as ${name}; it takes a whole number of 32 bits`,
  )
}

/** A block that no thread has [PORT-10]. */
function claimThread(words: Int32Array): number {
  const threads = words[PORT_THREADS]
  for (let thread = 0; thread < threads; thread++) {
    const at = words[PORT_THREADS_AT] + thread * PORT_THREAD_WORDS + PORT_THREAD_STATE
    const seen = compareExchange(words, at, PortThreadState.ABSENT, PortThreadState.OUTSIDE)
    if (seen !== PortThreadState.ABSENT) continue
    // order: seq_cst; before the thread waits: whoever finds its wait looks so far [PORT-10]
    let used = load(words, PORT_THREADS_USED)
    while (used <= thread) {
      const before = compareExchange(words, PORT_THREADS_USED, used, thread + 1)
      if (before === used) break
      used = before
    }
    return thread
  }
  throw new OverlappedError(
    'ERR_PORT_THREADS',
    `open(): the completion port is open in ${threads} threads, which is what it was made for`,
  )
}
