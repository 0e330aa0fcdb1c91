// What: an intrusive stack in shared words: any thread pushes, one thread takes all.
// Flow: producers -> this -> the thread that owns the head (flush, release and node-return stacks, send lists).
// Thread: push: any; takeAll: the owner of the head.

import { compareExchange, exchange, load } from './atomics.ts'

/**
 * Links `entry` (a number above 0) in front. The caller owns entry's link word until the push succeeds.
 * No ABA: nobody ever removes a single entry. Returns how often the compare-exchange had to be repeated.
 */
export function push(words: Int32Array, head: number, link: number, entry: number): number {
  let retries = 0
  // order: seq_cst; the link word and the entry's contents are published by the exchange [STACK-1]
  let first = load(words, head)
  for (;;) {
    words[link] = first
    const seen = compareExchange(words, head, first, entry)
    if (seen === first) return retries
    first = seen
    retries++
  }
}

/** Takes every entry: the newest, whose links lead to the older ones; 0 when there is none [STACK-2]. */
export function takeAll(words: Int32Array, head: number): number {
  // The load spares the exchange, and the cache line, when there is nothing: the usual case.
  return load(words, head) === 0 ? 0 : exchange(words, head, 0)
}
