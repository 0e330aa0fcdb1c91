// What: the threads of a server, started through Piscina, and the ports to them.
// Flow: server -> this -> workers/boot.ts.
// Thread: main.

import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { OverlappedError } from '../errors.ts'
import type { ErrorCode } from '../layout/layout.ts'
import { type ThreadIds, threadName } from '../shared/thread_ids.ts'
import type { FromWorker, ToWorker, WorkerBoot, WorkerFailure } from './boot.ts'

export interface ThreadEvents {
  /** A worker posts to another thread. */
  post(from: string, to: string, message: unknown): void
  /** Main's bell rings. */
  bell(): void
  /** Nobody asks for jobs any more: job threads end when the queue is empty. */
  closeJobs(): void
  /** A worker ended although nobody stopped it. */
  lost(thread: number, error: OverlappedError): void
}

export class Threads {
  readonly #pool: Piscina
  readonly #ids: ThreadIds
  readonly #ports: MessagePort[] = []
  readonly #tasks: Promise<void>[] = []
  readonly #events: ThreadEvents
  #stopping = false

  constructor(ids: ThreadIds, events: ThreadEvents) {
    this.#ids = ids
    this.#events = events
    // All but main and the acceptor.
    const count = ids.threadCount - 2
    this.#pool = new Piscina({
      filename: new URL('../../workers/boot.js', import.meta.url).href,
      minThreads: count,
      maxThreads: count,
      idleTimeout: Number.POSITIVE_INFINITY,
      // A worker between tasks would wait on an Atomics word of Piscina's; ours have one task for life.
      atomics: 'disabled',
      recordTiming: false,
    })
  }

  /** Starts a thread; resolves when it is ready. Rejects with what its start reported. */
  start(boot: Omit<WorkerBoot, 'port'>): Promise<void> {
    const { port1, port2 } = new MessageChannel()
    const name = threadName(this.#ids, boot.thread)
    this.#ports[boot.thread] = port1
    return new Promise((resolve, reject) => {
      let started = false
      const heard = (message: FromWorker) => {
        if (message.type === 'ready') {
          started = true
          resolve()
        } else if (message.type === 'bell') {
          this.#events.bell()
        } else if (message.type === 'post') {
          this.#events.post(name, message.to, message.message)
        } else {
          this.tell(message.thread, message)
        }
      }
      port1.on('message', heard)
      const data: WorkerBoot = { ...boot, port: port2 }
      const ended = (error: OverlappedError) => {
        // What the worker posted before it ended may still be in the port.
        for (
          let last = receiveMessageOnPort(port1);
          last !== undefined;
          last = receiveMessageOnPort(port1)
        ) {
          heard(last.message as FromWorker)
        }
        port1.close()
        if (this.#stopping) return
        if (started) this.#events.lost(boot.thread, error)
        else reject(error)
      }
      this.#tasks[boot.thread] = this.#pool.run(data, { transferList: [port2] }).then(
        (failure: WorkerFailure | undefined) => ended(failureOf(name, failure)),
        (cause: unknown) => ended(lost(name, cause)),
      )
    })
  }

  tell(thread: number, message: ToWorker): void {
    this.#ports[thread]?.postMessage(message)
  }

  /**
   * Asks threads to stop and waits for them: workers first, whose sessions need everybody else until the last one is
   * gone; then job threads, until `drainTimeoutMs` is over. What does not end within `timeoutMs` is terminated.
   */
  async stop(drainTimeoutMs: number, timeoutMs: number): Promise<void> {
    this.#stopping = true
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs)
    })
    let jobTimer: NodeJS.Timeout | undefined
    const drained = new Promise<void>((resolve) => {
      jobTimer = setTimeout(resolve, drainTimeoutMs)
    })
    await Promise.race([this.#stopInOrder(drainTimeoutMs, drained), late])
    clearTimeout(timer)
    clearTimeout(jobTimer)
    await this.#pool.destroy()
    for (const port of this.#ports) port?.close()
  }

  async #stopInOrder(timeoutMs: number, drained: Promise<void>): Promise<void> {
    const { workerCount, driverCount, updateFirst, updateCount, jobFirst, jobCount } = this.#ids
    const stopRange = (first: number, count: number) => {
      const threads = Array.from({ length: count }, (_, index) => first + index)
      for (const thread of threads) this.tell(thread, { type: 'stop', timeoutMs })
      return Promise.all(threads.map((thread) => this.#tasks[thread]))
    }
    await stopRange(1, workerCount)
    await stopRange(updateFirst, updateCount)
    await stopRange(workerCount + 1, driverCount - workerCount)
    this.#events.closeJobs()
    await Promise.race([Promise.all(this.#tasks.slice(jobFirst, jobFirst + jobCount)), drained])
  }
}

function failureOf(name: string, failure: WorkerFailure | undefined): OverlappedError {
  if (failure === undefined || failure.code === '') return lost(name, failure)
  return new OverlappedError(failure.code as ErrorCode, failure.message)
}

function lost(name: string, cause: unknown): OverlappedError {
  const why = (cause as { message?: string } | undefined)?.message ?? 'it ended'
  return new OverlappedError('ERR_WORKER_LOST', `${name} was lost: ${why}`, { cause })
}
