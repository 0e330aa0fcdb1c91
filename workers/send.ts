// What: a send thread: takes what other threads hand over, issues every send, at once or at intervals, stops.
// Flow: boot -> this -> send_turn.ts, native loop with borrowed sockets, messages of main.
// Thread: one send thread, in mode send.

import { loadBinding } from '../src/binding.ts'
import { OverlappedError } from '../src/errors.ts'
import { Encoder } from '../src/framing/encode.ts'
import {
  THREAD_DEAF,
  THREAD_FLUSH_HEAD,
  THREAD_LOCAL_PENDING,
  THREAD_THREAD_STATE,
  ThreadState,
} from '../src/layout/layout.ts'
import { Sender } from '../src/outbound/sender.ts'
import { SubmissionRing } from '../src/outbound/submission_ring.ts'
import { type SendOutbox, SendSide } from '../src/send/send_side.ts'
import type { FromWorker, ToWorker, WorkerBoot } from '../src/server/boot.ts'
import { Arena } from '../src/shared/arena.ts'
import { load, store } from '../src/shared/atomics.ts'
import { ProtocolTable } from '../src/shared/protocol_table.ts'
import { SessionTable } from '../src/shared/session_table.ts'
import { Waker } from '../src/shared/waker.ts'
import { WorkerHeap } from '../src/shared/worker_heap.ts'
import { createSendTurn } from './send_turn.ts'

export async function runSendThread(
  boot: WorkerBoot,
  tell: (message: FromWorker) => void,
): Promise<void> {
  const binding = loadBinding()
  const arena = new Arena(binding, boot.memories, boot.thread)
  const { words } = arena
  const waker = new Waker(arena, binding)
  const table = new SessionTable(arena, waker)
  const sender = new Sender<SendOutbox>(arena, waker, table, true)
  const submissions = new SubmissionRing(arena)
  const { heapByteAt, heapBytesPerWorker } = arena.plan
  const heapAt = heapByteAt + (boot.thread - 1) * heapBytesPerWorker
  const side = new SendSide({
    arena,
    waker,
    table,
    sender,
    submissions,
    protocols: new ProtocolTable(
      arena,
      boot.protocols.map(({ framing }) => new Encoder(framing)),
    ),
    resetsOnClose: boot.protocols.map(({ closeMode }) => closeMode === 'reset'),
  })
  sender.attach({
    submissions,
    heap: new WorkerHeap(heapAt, heapBytesPerWorker, arena.plan.poison ? arena.bytes : null),
    events: side,
    maxGather: boot.options.maxGather,
    maxBackpressure: boot.options.maxBackpressure,
    wantsSent: false,
    drainsByWord: true,
    lanes: side,
  })

  const turn = createSendTurn({
    arena,
    waker,
    sender,
    submissions,
    side,
    binding,
    isFlush: createFlushTimer(arena, boot.options.send.flushInterval),
  })
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

/**
 * Whether a flush may take what other threads have handed over. With an interval one does when it ends: the first
 * hand-over starts it, and the thread hears of no other until then; an idle one has no timer.
 */
function createFlushTimer(arena: Arena, intervalMs: number): () => boolean {
  if (intervalMs === 0) return () => true
  const { words } = arena
  const block = arena.threadAt(arena.thread)
  let isWaiting = false
  let isDue = false
  return () => {
    if (isDue) {
      isDue = false
      return true
    }
    if (!isWaiting && load(words, block + THREAD_FLUSH_HEAD) !== 0) {
      isWaiting = true
      words[block + THREAD_DEAF] = 1
      setTimeout(() => {
        isWaiting = false
        isDue = true
        words[block + THREAD_DEAF] = 0
        words[block + THREAD_LOCAL_PENDING] = 1
      }, intervalMs)
    }
    return false
  }
}
