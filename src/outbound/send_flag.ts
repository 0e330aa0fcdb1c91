// What: the send flag of a session: whoever wins it hands the slot to the owner, who loses has only queued.
// Flow: producers and completions -> this.
// Thread: any.

import { compareExchange, exchange } from '../shared/atomics.ts'

/** Wins the flag if nobody holds it. The winner takes one I/O count, which goes to the owner with the slot [SENDFLAG-1]. */
export function tryWin(words: Int32Array, flag: number, thread: number): boolean {
  return compareExchange(words, flag, 0, thread + 1) === 0
}

/**
 * The owner clears it when it has taken the slot off its flush stack, and takes the list afterwards: what is pushed
 * from here on wins the flag again [SENDFLAG-2]. Whether it was held.
 */
export function clear(words: Int32Array, flag: number): boolean {
  // order: seq_cst; pairs with a producer's push before its tryWin
  return exchange(words, flag, 0) !== 0
}
