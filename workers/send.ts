// What: a send thread: runs in the native loop with borrowed sockets, stops.
// Flow: boot -> this -> assemble_send.ts, native loop, messages of main.
// Thread: one send thread, in mode send.

import { loadBinding } from '../src/binding.ts'
import { OverlappedError } from '../src/errors.ts'
import { THREAD_THREAD_STATE, ThreadState } from '../src/layout/layout.ts'
import type { FromWorker, ToWorker, WorkerBoot } from '../src/server/boot.ts'
import { store } from '../src/shared/atomics.ts'
import { assembleSend } from './assemble_send.ts'
import { afterMs } from './outbound.ts'

export async function runSendThread(
  boot: WorkerBoot,
  tell: (message: FromWorker) => void,
): Promise<void> {
  const binding = loadBinding()
  const { arena, turn } = assembleSend({ boot, binding, after: afterMs })
  const why = binding.openLoop(
    boot.memories.runtime,
    boot.thread,
    boot.driver,
    boot.options.completionBatch,
    boot.featuresForbidden,
    new Uint8Array(boot.memories.control),
    new Uint8Array(boot.memories.arena),
    turn,
  )
  if (why !== '') throw new OverlappedError('ERR_DRIVER_UNAVAILABLE', why)
  const { words } = arena
  const stateAt = arena.threadAt(boot.thread) + THREAD_THREAD_STATE
  try {
    const stopped = new Promise<void>((resolve) => {
      boot.port.on('message', (message: ToWorker) => {
        if (message.type === 'stop') resolve()
      })
    })
    store(words, stateAt, ThreadState.RUNNING)
    tell({ type: 'ready' })
    await stopped
  } finally {
    store(words, stateAt, ThreadState.GONE)
    binding.closeLoop()
  }
}
