// What: the send side of a session as its owner sees it: what waits, what is in flight, what the socket did not take.
// Flow: session.send -> this -> sender.
// Thread: the owner.

import type { Encoder } from '../framing/encode.ts'
import type { OverflowQueue } from './overflow_queue.ts'

/** Base of a live session; only the sender changes these fields. */
export abstract class Outbox {
  readonly slot: number
  readonly generation: number
  /** First word of the slot. */
  readonly at: number
  readonly encoder: Encoder
  /** Index of the listener or outbound protocol. */
  readonly protocol: number
  /** Nodes that wait, private to the owner, oldest first; 0: none. */
  waitFirst = 0
  waitLast = 0
  waitCount = 0
  /** Nodes of the gather that the driver has; 0: none. */
  flightFirst = 0
  flightBytes = 0
  /** Under which the kernel may read the gather in flight where it lies; -1: it is copied. */
  flightNumber = -1
  /** Gathers of which NOTIFIED is still to come: each holds what it refers to until then. */
  notifications = 0
  /** Their first nodes, by number; made for the first one. */
  numbers: Int32Array | null = null
  /** Chunks and receive buffers that they refer to. */
  heldBlocks = 0
  /** Bytes accepted from all threads that the socket has not taken. */
  bufferedBytes = 0
  /** Of them, those that other threads queued; settled in the slot's queued_bytes. */
  foreignBytes = 0
  /** Null exactly when the socket has taken everything it was offered. */
  overflow: OverflowQueue | null = null
  /** True exactly when a SEND is with the driver that waits for a full socket. */
  waiting = false
  /** True exactly when the owner has its I/O count: the base, or one that came with a flag after that [IOCOUNT-5]. */
  counted = true
  /** True exactly when it is in the sender's dirty list. */
  dirty = false
  /** send() returned 'full'; onDrain is owed. */
  wantsDrain = false
  /** Its completions are wanted at once: something waits for them. */
  prompt = false
  /** Its sends are to go on in another send thread, as soon as nothing is on its way here. */
  isLeaving = false
  /** Nothing can be sent any more; what is queued is dropped. */
  sendDead = false

  constructor(slot: number, generation: number, at: number, protocol: number, encoder: Encoder) {
    this.slot = slot
    this.generation = generation
    this.at = at
    this.protocol = protocol
    this.encoder = encoder
  }

  /** Something waits or is in flight. */
  get sending(): boolean {
    return this.waiting || this.flightFirst !== 0 || this.waitFirst !== 0
  }
}
