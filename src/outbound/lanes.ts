// What: moves the sends of a session from one send thread to another, with what waits of it, in order.
// Flow: sender of a send thread -> this -> flush stack of another send thread -> its sender -> this.
// Thread: one instance per send thread.

import { assert } from '../assert.ts'
import {
  NODE_LENGTH,
  SESSION_HANDED_NODE,
  SESSION_IO_COUNT,
  SESSION_LANE_WANTED,
  SESSION_SEND_FLAG,
  SESSION_SENDER,
} from '../layout/layout.ts'
import type { Arena } from '../shared/arena.ts'
import { compareExchange, load, store } from '../shared/atomics.ts'
import { retain } from '../shared/io_count.ts'
import type { NodePool } from '../shared/node_pool.ts'
import type { HandOver } from './hand_over.ts'
import type { Outbox } from './outbox.ts'
import { tryWin } from './send_flag.ts'

/** What the sender of a send thread tells beside. */
export interface LaneEvents<T extends Outbox> {
  /** Other threads have handed it over: to send, or because its state has changed. */
  taken(outbox: T): void
  /** Its sends go on in another send thread. */
  left(outbox: T): void
}

export class Lanes<T extends Outbox> {
  readonly #words: Int32Array
  readonly #thread: number
  readonly #nodes: NodePool
  readonly #slots: HandOver
  readonly #events: LaneEvents<T>

  constructor(arena: Arena, nodes: NodePool, slots: HandOver, events: LaneEvents<T>) {
    this.#words = arena.words
    this.#thread = arena.thread
    this.#nodes = nodes
    this.#slots = slots
    this.#events = events
  }

  /** Another thread has handed the session over, with the flag and its count. True: it goes on to another lane. */
  arrive(outbox: T): boolean {
    this.#takeHanded(outbox)
    return this.#moveToLane(outbox)
  }

  /** Nothing is on its way any more of a session that wants another lane. */
  tryLeave(outbox: T): boolean {
    // Somebody else has the flag: the slot is on its way to this thread, and leaves when it is taken.
    if (!tryWin(this.#words, outbox.at + SESSION_SEND_FLAG, this.#thread)) return true
    retain(this.#words, outbox.at + SESSION_IO_COUNT)
    if (this.#moveToLane(outbox)) return true
    // It stays. Who wanted something meanwhile has left it to the flag's holder: the slot is taken like any other.
    outbox.isLeaving = false
    this.#slots.giveToSender(outbox.slot)
    return false
  }

  /**
   * The sends of a session go on in another send thread, if its content wants that and nothing of it is on its way
   * here. The caller has the flag and the count that came with it; both go with the slot [LANE-1].
   */
  #moveToLane(outbox: T): boolean {
    // Who can send no more drops what comes, and stays: another lane would send what lies behind a gap.
    if (outbox.sendDead) return false
    const words = this.#words
    const wanted = load(words, outbox.at + SESSION_LANE_WANTED)
    if (wanted === 0 || wanted === this.#thread) return false
    outbox.isLeaving = true
    if (outbox.flightFirst !== 0 || outbox.waiting || outbox.overflow !== null) return false
    // The socket is needed until the kernel has let go of everything.
    if (outbox.notifications > 0) return false
    // Another wish that comes between is seen by the thread that gets the slot.
    compareExchange(words, outbox.at + SESSION_LANE_WANTED, wanted, 0)
    words[outbox.at + SESSION_HANDED_NODE] = outbox.waitFirst
    outbox.waitFirst = outbox.waitLast = outbox.waitCount = 0
    outbox.bufferedBytes = outbox.foreignBytes = 0
    outbox.isLeaving = false
    // The count that came goes on with the slot; until the driver knows that the socket is given back, one stays [LANE-4].
    if (!outbox.counted) retain(words, outbox.at + SESSION_IO_COUNT)
    outbox.counted = true
    // order: before the slot is handed over; whoever wins the flag later finds the lane [LANE-1]
    store(words, outbox.at + SESSION_SENDER, wanted)
    this.#slots.giveToSender(outbox.slot)
    this.#events.left(outbox)
    return true
  }

  /** What waited in the send thread that a session has left, before what other threads have pushed since. */
  #takeHanded(outbox: T): void {
    const words = this.#words
    let node = words[outbox.at + SESSION_HANDED_NODE]
    if (node === 0) return
    words[outbox.at + SESSION_HANDED_NODE] = 0
    assert(outbox.waitFirst === 0, 'LANE-2: a session has what waits in one thread')
    outbox.waitFirst = node
    while (node !== 0) {
      const at = this.#nodes.at(node)
      outbox.waitCount++
      outbox.bufferedBytes += words[at + NODE_LENGTH]
      outbox.foreignBytes += words[at + NODE_LENGTH]
      outbox.waitLast = node
      node = words[at]
    }
  }
}
