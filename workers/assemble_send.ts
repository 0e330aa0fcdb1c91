// What: the rooms of a send thread wired together, and its turn.
// Flow: send.ts, a model, or the simulation -> this -> send_turn.ts.
// Thread: one send thread, in mode send.

import type { Binding } from '../src/binding.ts'
import { Encoder } from '../src/framing/encode.ts'
import { THREAD_DEAF, THREAD_FLUSH_HEAD, THREAD_LOCAL_PENDING } from '../src/layout/layout.ts'
import { Sender } from '../src/outbound/sender.ts'
import { SubmissionRing } from '../src/outbound/submission_ring.ts'
import { type SendOutbox, SendSide } from '../src/send/send_side.ts'
import type { WorkerBoot } from '../src/server/boot.ts'
import type { After } from '../src/session/core.ts'
import { Arena } from '../src/shared/arena.ts'
import { load } from '../src/shared/atomics.ts'
import { ProtocolTable } from '../src/shared/protocol_table.ts'
import { SessionTable } from '../src/shared/session_table.ts'
import { Waker } from '../src/shared/waker.ts'
import { WorkerHeap } from '../src/shared/worker_heap.ts'
import { createSendTurn } from './send_turn.ts'

export interface SendParts {
  readonly boot: Pick<WorkerBoot, 'thread' | 'memories' | 'sendsPend'> & {
    readonly protocols: readonly Pick<WorkerBoot['protocols'][number], 'framing' | 'closeMode'>[]
    readonly options: Pick<WorkerBoot['options'], 'maxGather' | 'maxBackpressure'> & {
      readonly send: Pick<WorkerBoot['options']['send'], 'flushInterval'>
    }
  }
  readonly binding: Pick<Binding, 'aliasArena' | 'signal' | 'submit'>
  readonly after: After
}

export interface AssembledSend {
  readonly arena: Arena
  readonly sender: Sender<SendOutbox>
  readonly side: SendSide
  readonly heap: WorkerHeap
  /** Called by the native loop whenever there is something to do. */
  turn(): void
}

export function assembleSend({ boot, binding, after }: SendParts): AssembledSend {
  const { maxGather, maxBackpressure, send } = boot.options
  const arena = new Arena(binding, boot.memories, boot.thread)
  const waker = new Waker(arena, binding)
  const table = new SessionTable(arena, waker)
  const sender = new Sender<SendOutbox>(arena, waker, table, true)
  const submissions = new SubmissionRing(arena)
  const { heapByteAt, heapBytesPerWorker } = arena.plan
  const heapAt = heapByteAt + (boot.thread - 1) * heapBytesPerWorker
  const poisoned = arena.plan.poison ? arena.bytes : null
  const heap = new WorkerHeap(heapAt, heapBytesPerWorker, poisoned)
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
    heap,
    events: side,
    maxGather,
    maxBackpressure,
    wantsSent: false,
    drainsByWord: true,
    sendsPend: boot.sendsPend === true,
    lanes: side,
  })
  const turn = createSendTurn({
    arena,
    waker,
    sender,
    submissions,
    side,
    binding,
    isFlush: createFlushTimer(arena, send.flushInterval, after),
  })
  return { arena, sender, side, heap, turn }
}

/**
 * Whether a flush may take what other threads have handed over. With an interval one does when it ends: the first
 * hand-over starts it, and the thread hears of no other until then; an idle one has no timer.
 */
function createFlushTimer(arena: Arena, intervalMs: number, after: After): () => boolean {
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
      after(intervalMs, () => {
        isWaiting = false
        isDue = true
        words[block + THREAD_DEAF] = 0
        words[block + THREAD_LOCAL_PENDING] = 1
      })
    }
    return false
  }
}
