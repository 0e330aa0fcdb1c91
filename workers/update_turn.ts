// What: what an update thread does between two sleeps: records of job rings, sessions that were resumed, what goes out.
// Flow: update.ts -> this -> content, sender, waker.
// Thread: one update thread.

import type { Outbox } from '../src/outbound/outbox.ts'
import type { Sender } from '../src/outbound/sender.ts'
import type { ThreadJobs } from '../src/session/jobs.ts'
import type { ThreadRuntime } from '../src/session/runtime.ts'
import type { Waker } from '../src/shared/waker.ts'
import type { Content } from '../src/update/content.ts'

export interface UpdateTurn {
  /** Handles every message that is there. */
  take(): void
  /** Goes on with resumed sessions; shows other threads what came of it. */
  turn(): void
}

export interface UpdateTurnParts {
  readonly content: Content
  readonly runtime: ThreadRuntime
  readonly sender: Sender<Outbox>
  readonly waker: Waker
  /** Null: there are no job threads. */
  readonly jobs: ThreadJobs | null
}

export function createUpdateTurn({
  content,
  runtime,
  sender,
  waker,
  jobs,
}: UpdateTurnParts): UpdateTurn {
  /** What handlers have queued so far goes out: workers need not wait for the rest. */
  const show = () => {
    sender.flush()
    // The flush has forgotten who asked for a turn.
    if (content.hasResumed) content.markPending()
    sender.settle()
    waker.flush()
  }
  return {
    take(): void {
      waker.answerBell()
      jobs?.takeReplies()
      content.drain(show)
    },
    turn(): void {
      content.resumeHeld()
      runtime.endTurn()
      show()
    },
  }
}
