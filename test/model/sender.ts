// What: a send thread for models: production sender and send side, on sockets that a worker's driver lends.
// Flow: workers/assemble_send.ts, with native.ts in place of the addon -> this -> scenarios.
// Thread: a model's send thread.

import { THREAD_FLUSH_HEAD } from '../../src/layout/layout.ts'
import type { Sender } from '../../src/outbound/sender.ts'
import type { SendOutbox } from '../../src/send/send_side.ts'
import type { WorkerHeap } from '../../src/shared/worker_heap.ts'
import { type AssembledSend, assembleSend } from '../../workers/assemble_send.ts'
import { ModelDriver, NativeLoop } from './native.ts'
import { check } from './ops.ts'
import { checkSlice, framing, type ModelWorker } from './worker.ts'
import type { World } from './world.ts'

/** Turns after which a thread that finds work for ever is a failure. */
const TURNS_MAX = 200

export interface ModelSenderOptions {
  readonly maxGather?: number
  readonly maxBackpressure?: number
  readonly resetsOnClose?: boolean
  /** The word, outside of the plan, that says that sockets are writable again. */
  readonly writable?: number
  /** Outside of the plan, for all send threads of a worker: one of them has ended a stream. */
  readonly ends?: number
}

export class ModelSender {
  readonly world: World
  readonly thread: number
  readonly sender: Sender<SendOutbox>
  readonly driver: ModelDriver
  readonly native: NativeLoop
  readonly heap: WorkerHeap
  readonly #assembled: AssembledSend

  constructor(world: World, thread: number, owner: ModelWorker, options: ModelSenderOptions = {}) {
    const {
      maxGather = 4,
      maxBackpressure = 1000,
      resetsOnClose = false,
      writable = 0,
      ends = 7,
    } = options
    const { driver: lender } = owner
    this.world = world
    this.thread = thread
    const driver = new ModelDriver(
      world,
      thread,
      world.outside(writable),
      (offset, length, isNow) => checkSlice(world, offset, length, isNow),
      lender,
    )
    lender.lendTo(world.outside(ends))
    const native = new NativeLoop(world, thread, driver)
    this.driver = driver
    this.native = native
    this.#assembled = assembleSend({
      boot: {
        thread,
        memories: world.memories,
        protocols: [{ framing, closeMode: resetsOnClose ? 'reset' : 'graceful' }],
        options: { maxGather, maxBackpressure, send: { flushInterval: 0 } },
      },
      binding: { ...world.binding, submit: () => native.submit() },
      after: () => () => {},
    })
    const { sender, heap } = this.#assembled
    this.sender = sender
    this.heap = heap
  }

  turn(): void {
    const { turn } = this.#assembled
    turn()
  }

  /** Sleeps and works for ever. */
  runBriefly(): void {
    for (;;) {
      this.native.handOver()
      this.native.sleepBriefly()
      this.native.checkAwake()
      this.turn()
    }
  }

  /** Hands over, looks, and works once; whether there was anything to do. */
  visit(): boolean {
    this.native.handOver()
    this.driver.wait(this.native.ring, true)
    if (!this.native.hasWork()) return false
    this.turn()
    return true
  }

  /** Works until nothing is left to do; whether there was anything. */
  rest(): boolean {
    let isBusy = false
    // Late completions are there only after a second look.
    for (let idle = 0, turns = 0; idle < 2; turns++) {
      check(turns < TURNS_MAX, 'it comes to rest')
      if (this.visit()) {
        isBusy = true
        idle = 0
      } else {
        idle++
      }
    }
    return isBusy
  }

  /** One that sleeps has nothing to do. */
  checkAsleep(): void {
    const at = this.world.arena(0).threadAt(this.thread) + THREAD_FLUSH_HEAD
    check(this.world.words[at] === 0, 'WAKE-2: a thread with work does not sleep')
  }
}
