// What: entry point of every engine thread that Piscina starts.
// Flow: src/server/threads.ts -> Piscina -> this -> the thread's composition root.
// Thread: the one that was started.

import { OverlappedError } from '../src/errors.ts'
import type { FromWorker, WorkerBoot } from '../src/server/boot.ts'
import { runIoWorker } from './io.ts'

/** Runs until the server stops. A start that fails is reported by message, because a rejection loses the code. */
export default async function boot(data: WorkerBoot): Promise<void> {
  const tell = (message: FromWorker) => data.port.postMessage(message)
  try {
    await runIoWorker(data, tell)
  } catch (error) {
    const code = error instanceof OverlappedError ? error.code : ''
    tell({ type: 'failed', code, message: error instanceof Error ? error.message : String(error) })
    throw error
  } finally {
    data.port.close()
  }
}
