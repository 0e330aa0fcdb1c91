// What: hands slots to other threads: nodes and the slot to the thread that submits for it, requests to its owner.
// Flow: sender, lanes, content, session -> this -> send list, flush stack, request stack.
// Thread: any; one instance per thread.

import {
  Counter,
  SESSION_DRAIN_WANTED,
  SESSION_FLUSH_LINK,
  SESSION_IO_COUNT,
  SESSION_OWNER,
  SESSION_REQUEST,
  SESSION_REQUEST_LINK,
  SESSION_SEND_FLAG,
  SESSION_SEND_HEAD,
  SESSION_SENDER,
  THREAD_FLUSH_HEAD,
  THREAD_REQUEST_HEAD,
} from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'
import { load, or, store } from '../shared/atomics.ts'
import { retain } from '../shared/io_count.ts'
import { push } from '../shared/link_stack.ts'
import type { NodePool } from '../shared/node_pool.ts'
import type { Waker } from '../shared/waker.ts'
import { tryWin } from './send_flag.ts'

/** All of it is called under a pin, or with the flag. */
export class HandOver {
  readonly #arena: Arena
  readonly #words: Int32Array
  readonly #counters: Float64Array
  readonly #waker: Waker
  readonly #nodes: NodePool
  readonly #thread: number

  constructor(arena: Arena, waker: Waker, nodes: NodePool) {
    this.#arena = arena
    this.#words = arena.words
    this.#counters = arena.counters
    this.#waker = waker
    this.#nodes = nodes
    this.#thread = arena.thread
  }

  /** Nodes, of which `newest` leads to `oldest`, join the send list of a pinned slot. */
  pushNodes(slot: number, oldest: number, newest = oldest): void {
    const words = this.#words
    const at = this.#arena.sessionAt(slot)
    const retries = push(words, at + SESSION_SEND_HEAD, this.#nodes.at(oldest), newest)
    if (retries > 0) this.#counters[Counter.CAS_RETRIES] += retries
    this.handOver(slot)
  }

  /** Its update thread was told `full`: who submits for the pinned session looks what its socket has taken [DRAIN-1]. */
  wantDrain(slot: number): void {
    // order: before the slot is handed over; who settles queued_bytes later, or takes the slot, sees it
    store(this.#words, this.#arena.sessionAt(slot) + SESSION_DRAIN_WANTED, 1)
    this.handOver(slot)
  }

  /** Wins the flag of a pinned session, and gives the slot to the thread that submits for it. */
  handOver(slot: number): void {
    const words = this.#words
    const at = this.#arena.sessionAt(slot)
    if (!tryWin(words, at + SESSION_SEND_FLAG, this.#thread)) {
      // Who holds it hands the slot over, and the owner clears it before it takes the list [SENDFLAG-2].
      this.#counters[Counter.FLAG_CONTENDED]++
      return
    }
    retain(words, at + SESSION_IO_COUNT)
    this.giveToSender(slot)
  }

  /** The flag of the slot is held, and a count goes with it. */
  giveToSender(slot: number): void {
    const words = this.#words
    const at = this.#arena.sessionAt(slot)
    // order: after the flag was won: only who holds it changes the word [LANE-1]
    const sender = load(words, at + SESSION_SENDER)
    // order: after the node's push; the flag makes membership single [FLUSH-1]
    push(words, this.#arena.threadAt(sender) + THREAD_FLUSH_HEAD, at + SESSION_FLUSH_LINK, slot + 1)
    this.#waker.mark(sender)
  }

  /** Asks the owner of a pinned session for something (SESSION_REQUEST_*). */
  request(slot: number, bits: number): void {
    const words = this.#words
    const at = this.#arena.sessionAt(slot)
    if (or(words, at + SESSION_REQUEST, bits) !== 0) return
    // It goes to the owner with the slot: the slot is not used again while it is on the stack [REQUEST-2].
    retain(words, at + SESSION_IO_COUNT)
    const owner = words[at + SESSION_OWNER]
    // order: after the first bit was set, which makes membership single [REQUEST-1]
    push(
      words,
      this.#arena.threadAt(owner) + THREAD_REQUEST_HEAD,
      at + SESSION_REQUEST_LINK,
      slot + 1,
    )
    this.#waker.mark(owner)
  }
}
