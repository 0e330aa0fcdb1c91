// What: operations that only models have: a thread that waits for a word, and failing a schedule.
// Flow: worlds and scenarios -> transform.ts makes the waits yield points -> explore.ts.
// Thread: a model's thread.

const NOT_TRANSFORMED = 'this code runs only when transform.ts has rewritten it'

/** Waits while the word has this value. */
export function waitWhile(_words: Int32Array, _index: number, _value: number): void {
  throw new Error(NOT_TRANSFORMED)
}

/** Waits until the word is not 0 and sets it to 0, in one step: a wait for an edge. */
export function awaitEdge(_words: Int32Array, _index: number): void {
  throw new Error(NOT_TRANSFORMED)
}

/** A wait() with this time, or nearly so, may find at any moment that it is over; all others have no end but notify(). */
export const SOME_MS = 1_000_000

/** What a schedule must not do. */
export class Violation extends Error {
  override name = 'Violation'
}

export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Violation(message)
}
