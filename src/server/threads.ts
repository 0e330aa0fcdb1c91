// What: the worker threads of a server, started through Piscina, and the ports to them.
// Flow: server -> this -> workers/boot.ts.
// Thread: main.

import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { OverlappedError } from '../errors.ts'
import type { ErrorCode } from '../layout/layout.ts'
import type { FromWorker, ToWorker, WorkerBoot, WorkerFailure } from './boot.ts'

export interface ThreadEvents {
  /** A worker posts to another thread. */
  post(from: string, to: string, message: unknown): void
  /** A worker ended although nobody stopped it. */
  lost(thread: number, error: OverlappedError): void
}

export class Threads {
  readonly #pool: Piscina
  readonly #ports: MessagePort[] = []
  readonly #tasks: Promise<void>[] = []
  readonly #events: ThreadEvents
  #stopping = false

  constructor(count: number, events: ThreadEvents) {
    this.#events = events
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

  /** Starts a worker; resolves when it is ready. Rejects with what its start reported. */
  start(boot: Omit<WorkerBoot, 'port'>): Promise<void> {
    const { port1, port2 } = new MessageChannel()
    this.#ports[boot.thread] = port1
    return new Promise((resolve, reject) => {
      let started = false
      const heard = (message: FromWorker) => {
        if (message.type === 'ready') {
          started = true
          resolve()
        } else {
          this.#events.post(`worker${boot.thread}`, message.to, message.message)
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
        (failure: WorkerFailure | undefined) => ended(failureOf(boot.thread, failure)),
        (cause: unknown) => ended(lost(boot.thread, cause)),
      )
    })
  }

  tell(thread: number, message: ToWorker): void {
    this.#ports[thread]?.postMessage(message)
  }

  /** Asks every worker to stop and waits for it; what does not end within `timeoutMs` is terminated. */
  async stop(drainTimeoutMs: number, timeoutMs: number): Promise<void> {
    this.#stopping = true
    for (let thread = 1; thread < this.#ports.length; thread++) {
      this.tell(thread, { type: 'stop', timeoutMs: drainTimeoutMs })
    }
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs)
    })
    await Promise.race([Promise.all(this.#tasks), late])
    clearTimeout(timer)
    await this.#pool.destroy()
    for (const port of this.#ports) port?.close()
  }
}

function failureOf(thread: number, failure: WorkerFailure | undefined): OverlappedError {
  if (failure === undefined || failure.code === '') return lost(thread, failure)
  return new OverlappedError(failure.code as ErrorCode, failure.message)
}

function lost(thread: number, cause: unknown): OverlappedError {
  const why = (cause as { message?: string } | undefined)?.message ?? 'it ended'
  return new OverlappedError('ERR_WORKER_LOST', `worker${thread} was lost: ${why}`, { cause })
}
