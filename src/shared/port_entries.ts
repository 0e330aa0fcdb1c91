// What: entries of a completion port: each thread has its own, with room for payloads; others give them back by a stack.
// Flow: post() writes one -> port_queue -> get() reads it -> the return stack of who posted it.
// Thread: any; one instance per thread.

import {
  PORT_CAPACITY,
  PORT_ENTRIES_AT,
  PORT_ENTRY_BYTES,
  PORT_ENTRY_KEY,
  PORT_ENTRY_LENGTH,
  PORT_ENTRY_LINK,
  PORT_ENTRY_NEXT,
  PORT_ENTRY_VALUE,
  PORT_ENTRY_WORDS,
  PORT_PAYLOAD_BYTE_AT,
  PORT_THREAD_DIRECT_HEAD,
  PORT_THREAD_FREE_ENTRY,
  PORT_THREAD_FRESH_ENTRIES,
  PORT_THREAD_HOLDING,
  PORT_THREAD_RETURN_HEAD,
  PORT_THREAD_WORDS,
  PORT_THREADS_AT,
} from '../layout/layout.ts'
import { push, takeAll } from './link_stack.ts'

/** What was posted. */
export interface PortEntry {
  readonly key: number
  readonly value: number
  /** A copy of the payload; empty where there was none. */
  readonly bytes: Uint8Array
  /** The thread that posted it: its number on this port. */
  readonly from: number
}

export const noBytes = new Uint8Array(0)
const noEntries: readonly number[] = []

/** An entry is named by its index; in words by index + 1, so that 0 can say "none". */
export class PortEntries {
  readonly #words: Int32Array
  readonly #bytes: Uint8Array
  readonly #thread: number
  readonly #capacity: number
  readonly #entryBytes: number
  readonly #entriesAt: number
  readonly #threadsAt: number
  readonly #payloadByteAt: number
  /** First word of this thread's block. */
  readonly #own: number

  constructor(words: Int32Array, bytes: Uint8Array, thread: number) {
    this.#words = words
    this.#bytes = bytes
    this.#thread = thread
    this.#capacity = words[PORT_CAPACITY]
    this.#entryBytes = words[PORT_ENTRY_BYTES]
    this.#entriesAt = words[PORT_ENTRIES_AT]
    this.#threadsAt = words[PORT_THREADS_AT]
    this.#payloadByteAt = words[PORT_PAYLOAD_BYTE_AT]
    this.#own = this.#blockOf(thread)
  }

  /** Gives back what a thread that has ended had in hand [PORT-8]. */
  abandon(thread: number): void {
    const at = this.#blockOf(thread) + PORT_THREAD_HOLDING
    const holding = this.#words[at]
    this.#words[at] = 0
    if (holding !== 0) this.giveBack(holding - 1)
    for (const entry of this.#takeDirect(thread)) this.giveBack(entry)
  }

  /** Puts an entry where only one thread takes it [PORT-9]. */
  direct(thread: number, entry: number): void {
    const head = this.#blockOf(thread) + PORT_THREAD_DIRECT_HEAD
    push(this.#words, head, this.#entryAt(entry) + PORT_ENTRY_LINK, entry + 1)
  }

  /** What was put there for this thread, oldest first [PORT-9]. */
  takeDirect(): readonly number[] {
    return this.#takeDirect(this.#thread)
  }

  #takeDirect(thread: number): readonly number[] {
    let next = takeAll(this.#words, this.#blockOf(thread) + PORT_THREAD_DIRECT_HEAD)
    if (next === 0) return noEntries
    const entries: number[] = []
    while (next !== 0) {
      entries.push(next - 1)
      next = this.#words[this.#entryAt(next - 1) + PORT_ENTRY_LINK]
    }
    return entries.reverse()
  }

  /** An entry of this thread with everything in it; -1 when there are not enough left. */
  write(key: number, value: number, payload: Uint8Array): number {
    const words = this.#words
    const size = this.#entryBytes
    const parts = payload.length === 0 ? 1 : Math.ceil(payload.length / size)
    let first = 0
    // From the last part to the first one, so that each knows the next.
    for (let part = parts - 1; part >= 0; part--) {
      const entry = this.#allocate()
      if (entry === -1) {
        if (first !== 0) this.giveBack(first - 1)
        return -1
      }
      if (size > 0) {
        const bytes = payload.subarray(part * size, (part + 1) * size)
        this.#bytes.set(bytes, this.#payloadByteAt + entry * size)
      }
      words[this.#entryAt(entry) + PORT_ENTRY_NEXT] = first
      first = entry + 1
    }
    const at = this.#entryAt(first - 1)
    words[at + PORT_ENTRY_KEY] = key
    words[at + PORT_ENTRY_VALUE] = value
    words[at + PORT_ENTRY_LENGTH] = payload.length
    return first - 1
  }

  /** Copies an entry that was taken, and gives it back. */
  read(entry: number): PortEntry {
    const words = this.#words
    const at = this.#entryAt(entry)
    const length = words[at + PORT_ENTRY_LENGTH]
    const bytes = length === 0 ? noBytes : new Uint8Array(length)
    const size = this.#entryBytes
    let part = entry
    for (let from = 0; from < length; from += size) {
      const byteAt = this.#payloadByteAt + part * size
      bytes.set(this.#bytes.subarray(byteAt, byteAt + Math.min(size, length - from)), from)
      part = words[this.#entryAt(part) + PORT_ENTRY_NEXT] - 1
    }
    const key = words[at + PORT_ENTRY_KEY]
    const value = words[at + PORT_ENTRY_VALUE]
    words[this.#own + PORT_THREAD_HOLDING] = 0
    this.giveBack(entry)
    return { key, value, bytes, from: this.#ownerOf(entry) }
  }

  /** One of this thread's entries; -1: none is left [PORT-6]. */
  #allocate(): number {
    const words = this.#words
    const own = this.#own
    let free = words[own + PORT_THREAD_FREE_ENTRY]
    if (free === 0) free = takeAll(words, own + PORT_THREAD_RETURN_HEAD)
    if (free !== 0) {
      words[own + PORT_THREAD_FREE_ENTRY] = words[this.#entryAt(free - 1) + PORT_ENTRY_LINK]
      return free - 1
    }
    const fresh = words[own + PORT_THREAD_FRESH_ENTRIES]
    if (fresh === this.#capacity) return -1
    words[own + PORT_THREAD_FRESH_ENTRIES] = fresh + 1
    return this.#thread * this.#capacity + fresh
  }

  /** Every part of an entry, to the thread that it belongs to [PORT-6]. */
  giveBack(entry: number): void {
    const words = this.#words
    const head = this.#blockOf(this.#ownerOf(entry)) + PORT_THREAD_RETURN_HEAD
    for (let part = entry + 1; part !== 0; ) {
      const at = this.#entryAt(part - 1)
      const next = words[at + PORT_ENTRY_NEXT]
      push(words, head, at + PORT_ENTRY_LINK, part)
      part = next
    }
  }

  #entryAt(entry: number): number {
    return this.#entriesAt + entry * PORT_ENTRY_WORDS
  }

  #ownerOf(entry: number): number {
    return Math.floor(entry / this.#capacity)
  }

  #blockOf(thread: number): number {
    return this.#threadsAt + thread * PORT_THREAD_WORDS
  }
}
