// What: the send flag of a session: whoever wins it sends, who loses has only queued.
// Flow: producers and completions -> this.
// Thread: any.

import { compareExchange, store } from '../shared/atomics.ts'

/** Wins the flag if nobody holds it. The winner takes one I/O count for as long as it is held [SENDFLAG-1]. */
export function tryWin(words: Int32Array, flag: number, thread: number): boolean {
  return compareExchange(words, flag, 0, thread + 1) === 0
}

/** The thread that submits takes the flag over from the one that won it and pushed the slot to it. */
export function takeOver(words: Int32Array, flag: number, thread: number): void {
  store(words, flag, thread + 1)
}

/** Clears it; the holder re-checks the list afterwards, and only then drops its count [SENDFLAG-2]. */
export function clear(words: Int32Array, flag: number): void {
  // order: seq_cst; before the re-check; pairs with a producer's push before its tryWin
  store(words, flag, 0)
}
