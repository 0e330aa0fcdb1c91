// What: the I/O count of a session: references that keep its slot alive, and the release, exactly once.
// Flow: driver completions, pins, held send flags -> this -> release stack of the owner.
// Thread: any.

import { IO_RELEASED } from '../layout/layout.ts'
import { add, compareExchange, load, store, sub } from './atomics.ts'

/** The base reference of a new session [IOCOUNT-1]: from accept to the terminal receive completion. */
export function open(words: Int32Array, count: number): void {
  store(words, count, 1)
}

/** Another reference, by a thread that holds one already. */
export function retain(words: Int32Array, count: number): void {
  add(words, count, 1)
}

/**
 * A reference from outside: refused at 0 and once released, so that nothing revives [IOCOUNT-2].
 * The caller compares the generation afterwards and releases on a mismatch.
 */
export function tryRetain(words: Int32Array, count: number): boolean {
  let value = load(words, count)
  for (;;) {
    if (value === 0 || (value & IO_RELEASED) !== 0) return false
    const seen = compareExchange(words, count, value, value + 1)
    if (seen === value) return true
    value = seen
  }
}

/**
 * Drops a reference. True exactly once per session: for whoever reached 0, who must push the slot on its
 * owner's release stack, or release it as the owner [IOCOUNT-3].
 */
export function release(words: Int32Array, count: number): boolean {
  if (sub(words, count, 1) !== 1) return false
  // Nobody can have raised it from 0, so this always succeeds; it is one exchange on the same word.
  return compareExchange(words, count, 0, IO_RELEASED) === 0
}
