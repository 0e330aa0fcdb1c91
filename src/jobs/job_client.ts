// What: runtime.jobs of a thread that asks: jobs go to the port of the job threads, results come back on its own stack.
// Flow: runtime.jobs.run -> this -> completion port -> job thread -> bell -> this -> the promise.
// Thread: one instance per thread that asks.

import { OverlappedError } from '../errors.ts'
import { Counter, SESSION_GENERATION, SESSION_STATE, SessionState } from '../layout/layout.ts'
import type { RunJobOptions } from '../session/handler.ts'
import type { ThreadJobs } from '../session/jobs.ts'
import type { Arena } from '../shared/arena.ts'
import { load } from '../shared/atomics.ts'
import { CompletionPort, type CompletionPortHandle } from '../shared/completion_port.ts'
import { generationOf, isSessionId, type SessionId, slotOf } from '../shared/session_id.ts'
import { bytesOf, errorOf, REPLY_RESULT, valueIn } from './job_message.ts'

interface Pending {
  readonly name: string
  readonly session: SessionId | undefined
  resolve(value: unknown): void
  reject(error: unknown): void
}

/** Numbers of jobs are 31 bits: so many are not on their way at once. */
const NUMBERS = 2 ** 31 - 1

export class JobClient implements ThreadJobs {
  readonly #arena: Arena
  readonly #port: CompletionPort
  readonly #pending = new Map<number, Pending>()
  #number = 0
  #isClosed = false

  /** The port's key for this thread is its id, so that job threads know whose bell to ring. */
  constructor(arena: Arena, handle: CompletionPortHandle) {
    this.#arena = arena
    this.#port = CompletionPort.open(handle, arena.thread)
  }

  run(name: string, args?: unknown, options: RunJobOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#start({ name, session: options.session, resolve, reject }, args)
    })
  }

  /** @throws {OverlappedError} ERR_SERVER_STATE */
  blocking(): never {
    throw new OverlappedError(
      'ERR_SERVER_STATE',
      'jobs.blocking() was called outside of a job; only job threads may block',
    )
  }

  takeReplies(): void {
    for (const { key, value, bytes } of this.#port.takeDirect()) {
      const pending = this.#pending.get(value)
      if (pending === undefined) continue
      this.#pending.delete(value)
      const { name, session, resolve, reject } = pending
      if (session !== undefined && this.#isGone(session)) {
        this.#arena.counters[Counter.JOBS_DROPPED]++
        reject(gone(name, session))
      } else if (key === REPLY_RESULT) resolve(valueIn(bytes))
      else reject(errorOf(bytes))
    }
  }

  leave(): void {
    this.#isClosed = true
    for (const { name, session, reject } of this.#pending.values())
      reject(session === undefined ? stopped(name) : gone(name, session))
    this.#pending.clear()
    this.#port.leave()
  }

  #start(pending: Pending, args: unknown): void {
    const { name, session } = pending
    if (typeof name !== 'string') throw refused('name', name, 'the name of a job')
    if (session !== undefined && !isSessionId(session))
      throw refused('session', session, 'a session id')
    if (this.#isClosed) throw stopped(name)
    let bytes: Uint8Array
    try {
      bytes = bytesOf({ name, args })
    } catch (cause) {
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `jobs.run() was given arguments for '${name}' that v8.serialize() cannot copy: ${(cause as Error).message}`,
        { cause },
      )
    }
    const longest = this.#port.payloadBytesMax
    if (bytes.length > longest) {
      throw new OverlappedError(
        'ERR_PAYLOAD_TOO_LONG',
        `jobs.run() was given ${bytes.length} bytes of arguments for '${name}'; this server takes at most ${longest}, jobs.queue times 1024`,
      )
    }
    this.#number = (this.#number + 1) % NUMBERS
    const result = this.#port.post(0, this.#number, bytes)
    if (result === 'closed') throw stopped(name)
    if (result === 'full') {
      this.#arena.counters[Counter.JOBS_FULL]++
      throw new OverlappedError(
        'ERR_JOBS_FULL',
        `jobs.run() found no room for '${name}': this thread has as many jobs in the queue as the option jobs.queue allows`,
      )
    }
    this.#pending.set(this.#number, pending)
  }

  #isGone(session: SessionId): boolean {
    const { words } = this.#arena
    const at = this.#arena.sessionAt(slotOf(session))
    const state = load(words, at + SESSION_STATE)
    return (
      load(words, at + SESSION_GENERATION) >>> 0 !== generationOf(session) ||
      state === SessionState.FREE ||
      state === SessionState.RELEASED ||
      state === SessionState.RETIRED
    )
  }
}

function gone(name: string, session: SessionId): OverlappedError {
  return new OverlappedError(
    'ERR_SESSION_GONE',
    `job '${name}' was run for session ${session}, which has left`,
  )
}

function stopped(name: string): OverlappedError {
  return new OverlappedError('ERR_SERVER_STATE', `job '${name}' was not run: the server stops`)
}

function refused(argument: string, value: unknown, allowed: string): OverlappedError {
  return new OverlappedError(
    'ERR_ARGUMENT',
    `jobs.run() was given ${String(value)} as ${argument}; it takes ${allowed}`,
  )
}
