// What: the turn of a send thread: completions, what was handed over, submissions, counts of what it gave back.
// Flow: native loop, or a model -> this -> sender, send_side, submissions, job rings, waker.
// Thread: one send thread, in mode send.

import type { Binding } from '../src/binding.ts'
import { CONTROL_SENT_WANTED, THREAD_LOCAL_PENDING } from '../src/layout/layout.ts'
import type { Sender } from '../src/outbound/sender.ts'
import type { SubmissionRing } from '../src/outbound/submission_ring.ts'
import type { SendOutbox, SendSide } from '../src/send/send_side.ts'
import type { Arena } from '../src/shared/arena.ts'
import { load } from '../src/shared/atomics.ts'
import type { Waker } from '../src/shared/waker.ts'

/** Submissions of one turn, as in a worker. */
const ROUNDS_PER_TURN = 4

export interface SendTurnParts {
  readonly arena: Arena
  readonly waker: Waker
  readonly sender: Sender<SendOutbox>
  readonly submissions: SubmissionRing
  readonly side: SendSide
  readonly binding: Pick<Binding, 'submit'>
  /** Whether what other threads have handed over is taken now; asked once for each flush. */
  readonly isFlush: () => boolean
}

export function createSendTurn(parts: SendTurnParts): () => void {
  const { arena, waker, sender, submissions, side, binding, isFlush } = parts
  const { words } = arena
  let reportsSent = false
  const turn = () => {
    waker.answerBell()
    if (!reportsSent && load(words, CONTROL_SENT_WANTED) !== 0) {
      reportsSent = true
      sender.reportSent()
    }
    for (let round = 1; ; round++) {
      side.drain()
      if (round > ROUNDS_PER_TURN) break
      sender.flush(isFlush())
      submissions.prepare()
      if (!submissions.takePrompt() && !side.hasGivenBack) break
      const completed = binding.submit()
      // What the area had no room for is not with the driver yet [LANE-4].
      if (submissions.isWhole) side.dropCounts()
      if (completed === 0 && !side.hasGivenBack) break
    }
    // The next turn tells the driver, and drops the counts.
    if (side.hasGivenBack) words[arena.threadAt(arena.thread) + THREAD_LOCAL_PENDING] = 1
    sender.settle()
    side.publish()
    waker.flush()
  }
  return turn
}
