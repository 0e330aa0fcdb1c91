// What: entry point of every engine thread that Piscina starts.
// Flow: src/server/threads.ts -> Piscina -> this -> the thread's composition root.
// Thread: the one that was started.

import { OverlappedError } from '../src/errors.ts'
import type { WorkerBoot, WorkerFailure } from '../src/server/boot.ts'
import { runIoWorker } from './io.ts'
import { runJobThread } from './job.ts'
import { runSendThread } from './send.ts'
import { runUpdateThread } from './update.ts'

const run = {
  worker: runIoWorker,
  update: runUpdateThread,
  send: runSendThread,
  job: runJobThread,
} as const

/** Runs until the server stops. A failure is returned, because a rejection would lose its code. */
export default async function boot(data: WorkerBoot): Promise<WorkerFailure | undefined> {
  try {
    await run[data.role](data, (message) => data.port.postMessage(message))
    return undefined
  } catch (error) {
    const code = error instanceof OverlappedError ? error.code : ''
    return { code, message: error instanceof Error ? error.message : String(error) }
  } finally {
    data.port.close()
  }
}
