// What: a job thread at work: takes jobs from the port, runs them, answers whoever asked.
// Flow: completion port -> this -> the job -> stack and bell of the thread that asked.
// Thread: one job thread.

import { OverlappedError } from '../errors.ts'
import { Counter, THREAD_DOORBELL } from '../layout/layout.ts'
import type { Jobs, Runtime } from '../session/handler.ts'
import type { Job } from '../session/jobs.ts'
import type { Arena } from '../shared/arena.ts'
import { exchange, wait } from '../shared/atomics.ts'
import {
  CompletionPort,
  type CompletionPortHandle,
  type PortEntry,
} from '../shared/completion_port.ts'
import type { Waker } from '../shared/waker.ts'
import {
  bytesOf,
  errorBytes,
  type JobCall,
  REPLY_ERROR,
  REPLY_RESULT,
  valueIn,
} from './job_message.ts'

/** A thread without jobs lets its timers and sockets run so often. It keeps its place meanwhile. */
const IDLE_MS = 500
/** Pause while whoever asked has not read what this thread answered before. */
const FULL_MS = 5

export class JobRunner implements Jobs {
  readonly #arena: Arena
  readonly #waker: Waker
  readonly #port: CompletionPort
  readonly #jobs: ReadonlyMap<string, Job>
  /** Main sleeps in libuv: it is told by a message that its bell rings. */
  readonly #tellMain: () => void
  readonly #pause = new Int32Array(new SharedArrayBuffer(4))
  #isAtWork = false

  constructor(
    arena: Arena,
    waker: Waker,
    handle: CompletionPortHandle,
    jobs: ReadonlyMap<string, Job>,
    tellMain: () => void,
  ) {
    this.#arena = arena
    this.#waker = waker
    this.#port = CompletionPort.open(handle, arena.thread)
    this.#jobs = jobs
    this.#tellMain = tellMain
  }

  run(name: string): Promise<never> {
    return Promise.reject(
      new OverlappedError(
        'ERR_SERVER_STATE',
        `jobs.run() was called with '${name}' in a job thread; a job calls functions`,
      ),
    )
  }

  /** Another thread takes this one's place while `work` blocks. */
  blocking<T>(work: () => T): T {
    if (!this.#isAtWork) {
      throw new OverlappedError(
        'ERR_SERVER_STATE',
        'jobs.blocking() was called outside of a job; only jobs may block',
      )
    }
    this.#port.block()
    try {
      return work()
    } finally {
      this.#port.unblock()
    }
  }

  /** Runs jobs until the port is closed and empty. */
  async runAll(runtime: Runtime): Promise<void> {
    for (;;) {
      const entry = this.#port.get(IDLE_MS, true)
      if (entry === 'closed') break
      if (entry === 'timeout') await new Promise((resolve) => setImmediate(resolve))
      else await this.#runOne(entry, runtime)
    }
  }

  leave(): void {
    this.#port.leave()
  }

  async #runOne(entry: PortEntry, runtime: Runtime): Promise<void> {
    const { counters } = this.#arena
    let key: typeof REPLY_RESULT | typeof REPLY_ERROR = REPLY_RESULT
    let bytes: Uint8Array
    this.#isAtWork = true
    try {
      const returned = this.#call(valueIn(entry.bytes) as JobCall, runtime)
      const result = isPromise(returned) ? await this.#settled(returned) : returned
      bytes = this.#checked(bytesOf(result))
    } catch (error) {
      counters[Counter.JOBS_FAILED]++
      key = REPLY_ERROR
      bytes = errorBytes(error)
      if (bytes.length > this.#port.payloadBytesMax) bytes = errorBytes(new Error('a job failed'))
    } finally {
      this.#isAtWork = false
    }
    counters[Counter.JOBS_RUN]++
    this.#reply(entry, key, bytes)
  }

  #call({ name, args }: JobCall, runtime: Runtime): unknown {
    const job = this.#jobs.get(name)
    if (job === undefined) {
      const known = [...this.#jobs.keys()].map((each) => `'${each}'`).join(', ')
      throw new OverlappedError(
        'ERR_JOB_UNKNOWN',
        `jobs.run() was given '${name}'; the jobs module has ${known}`,
      )
    }
    return job(args as never, runtime)
  }

  /** A promise is work that waits elsewhere: it counts as blocking. */
  async #settled(promise: PromiseLike<unknown>): Promise<unknown> {
    this.#port.block()
    try {
      return await promise
    } finally {
      this.#port.unblock()
    }
  }

  #checked(bytes: Uint8Array): Uint8Array {
    const longest = this.#port.payloadBytesMax
    if (bytes.length <= longest) return bytes
    throw new OverlappedError(
      'ERR_PAYLOAD_TOO_LONG',
      `a job returned ${bytes.length} bytes; this server takes at most ${longest}, jobs.queue times 1024`,
    )
  }

  #reply({ from, value }: PortEntry, key: number, bytes: Uint8Array): void {
    let result = this.#port.postTo(from, key, value, bytes)
    while (result === 'full') {
      wait(this.#pause, 0, 0, FULL_MS)
      result = this.#port.postTo(from, key, value, bytes)
    }
    if (result === 'gone') this.#arena.counters[Counter.JOBS_DROPPED]++
    else this.#ring(this.#port.keyOf(from))
  }

  #ring(thread: number): void {
    if (thread !== 0) {
      this.#waker.ringBell(thread)
      this.#waker.flush()
      return
    }
    // order: seq_cst; after the publish; pairs with answerBell() [BELL-1]
    const bell = this.#arena.threadAt(thread) + THREAD_DOORBELL
    if (exchange(this.#arena.words, bell, 1) === 0) this.#tellMain()
  }
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
