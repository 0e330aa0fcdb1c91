// What: the loop over the completions of a thread: each goes with its session to the home that they are for.
// Flow: completion ring -> this -> dispatcher of a worker, send side of a send thread.
// Thread: a worker or a send thread.

import { assert } from '../assert.ts'
import {
  COMPLETION_GENERATION,
  COMPLETION_KIND,
  COMPLETION_RESULT,
  COMPLETION_SLOT,
  CompletionKind,
  Counter,
} from '../layout/layout.ts'
import type { CompletionRing } from './completion_ring.ts'

/** Who has the sessions of a thread's driver. */
export interface CompletionHome<S extends { readonly generation: number }> {
  /** What the slot holds here. */
  sessionAt(slot: number): S | undefined
  /** A connection was accepted, or prepared: its socket is in transit. */
  accepted(listener: number, token: number): void
  /** An operation of a session reports; its completion begins at word `at` of the ring. */
  reported(session: S, kind: number, at: number): void
}

/** Handles every completion that is there. */
export function drainCompletions<S extends { readonly generation: number }>(
  ring: CompletionRing,
  counters: Float64Array,
  home: CompletionHome<S>,
): void {
  const { words } = ring
  for (;;) {
    const at = ring.next()
    if (at === -1) return
    counters[Counter.COMPLETIONS]++
    const kind = words[at + COMPLETION_KIND]
    if (kind === CompletionKind.ACCEPT) {
      home.accepted(words[at + COMPLETION_SLOT], words[at + COMPLETION_RESULT])
      continue
    }
    const session = home.sessionAt(words[at + COMPLETION_SLOT])
    assert(
      session !== undefined && session.generation === words[at + COMPLETION_GENERATION] >>> 0,
      'COMPLETION-4: a session outlives its operations',
    )
    home.reported(session, kind, at)
  }
}
