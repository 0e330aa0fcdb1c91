// What: which update thread a new session belongs to: by the key that the handler's module assigns, else by its slot.
// Flow: forwarder, at accept -> this -> index of an update thread.
// Thread: the accepting worker.

import { OverlappedError } from '../errors.ts'

/** FNV-1a, 32 bits: spreads short texts well (offset basis and prime of draft-eastlake-fnv). */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i)
    hash = Math.imul(hash, 0x01000193)
  }
  return hash >>> 0
}

/**
 * Index of an update thread for a key: a whole number modulo the count, a text by its hash.
 * @throws {OverlappedError} ERR_ARGUMENT
 */
export function threadOfKey(key: unknown, count: number): number {
  if (typeof key === 'string') return hashOf(key) % count
  if (Number.isSafeInteger(key)) return (((key as number) % count) + count) % count
  throw new OverlappedError(
    'ERR_ARGUMENT',
    `assign() returned ${String(key)}; it returns a text or a whole number, equal for sessions that belong together`,
  )
}
