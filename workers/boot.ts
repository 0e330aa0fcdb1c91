// What: entry point of every engine thread that Piscina starts.
// Flow: src/server/threads.ts -> Piscina -> this -> the thread's composition root.
// Thread: the one that was started.

import { OverlappedError } from '../src/errors.ts'
import type { WorkerBoot, WorkerFailure } from '../src/server/boot.ts'

/** Each thread loads what its role needs: half of what it takes to start one is loading. */
const run = {
  worker: async () => (await import('./io.ts')).runIoWorker,
  update: async () => (await import('./update.ts')).runUpdateThread,
  send: async () => (await import('./send.ts')).runSendThread,
  job: async () => (await import('./job.ts')).runJobThread,
} as const

/** Runs until the server stops. A failure is returned, because a rejection would lose its code. */
export default async function boot(data: WorkerBoot): Promise<WorkerFailure | undefined> {
  try {
    const runRole = await run[data.role]()
    await runRole(data, (message) => data.port.postMessage(message))
    return undefined
  } catch (error) {
    const code = error instanceof OverlappedError ? error.code : ''
    return { code, message: error instanceof Error ? error.message : String(error) }
  } finally {
    data.port.close()
  }
}
