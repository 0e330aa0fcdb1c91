// What: update threads for models: production content over job rings, in the native loop without a driver; what main passes on.
// Flow: workers/assemble_update.ts, with native.ts in place of the addon -> this -> scenarios.
// Thread: a model's update thread.

import type { Binding } from '../../src/binding.ts'
import type { Outbox } from '../../src/outbound/outbox.ts'
import type { Sender } from '../../src/outbound/sender.ts'
import type { Handler } from '../../src/session/handler.ts'
import type { ThreadRuntime } from '../../src/session/runtime.ts'
import { add, exchange, load } from '../../src/shared/atomics.ts'
import type { SessionTable } from '../../src/shared/session_table.ts'
import type { Content, MovedSession } from '../../src/update/content.ts'
import { type AssembledUpdate, assembleUpdate } from '../../workers/assemble_update.ts'
import { ModelDriver, NativeLoop } from './native.ts'
import { framing, MAX_BACKPRESSURE } from './worker.ts'
import type { World } from './world.ts'

/** The name under which an update thread finds its handler. */
const HANDLER = 'model'

/** Sessions on their way to update threads: main passes them on, and a word outside of the plan says that one came. */
export class Mail {
  readonly #world: World
  readonly #first: number
  readonly #boxes: MovedSession[][]

  /** `first`: the word of the first update thread. */
  constructor(world: World, first: number) {
    this.#world = world
    this.#first = first
    this.#boxes = Array.from({ length: world.arena(0).plan.updateCount }, () => [])
  }

  #indexOf(thread: number): number {
    return thread - this.#world.arena(0).plan.updateFirst
  }

  wordOf(thread: number): number {
    return this.#world.outside(this.#first + this.#indexOf(thread))
  }

  deliver(thread: number, session: MovedSession): void {
    this.#boxes[this.#indexOf(thread)].push(session)
    add(this.#world.words, this.wordOf(thread), 1)
    this.#world.signal(thread)
  }

  isThere(thread: number): boolean {
    return load(this.#world.words, this.wordOf(thread)) !== 0
  }

  collect(thread: number): readonly MovedSession[] {
    exchange(this.#world.words, this.wordOf(thread), 0)
    return this.#boxes[this.#indexOf(thread)].splice(0)
  }
}

export interface ModelUpdateOptions {
  readonly maxBackpressure?: number | undefined
  /** Which update thread it is. */
  readonly index?: number
  /** Not given: no session moves. */
  readonly mail?: Mail
}

export class ModelUpdate {
  readonly thread: number
  readonly sender: Sender<Outbox>
  readonly table: SessionTable
  readonly runtime: ThreadRuntime
  readonly content: Content
  readonly native: NativeLoop
  readonly #mail: Mail | undefined
  readonly #assembled: AssembledUpdate

  constructor(world: World, handler: Handler, options: ModelUpdateOptions = {}) {
    const { maxBackpressure = MAX_BACKPRESSURE, index = 0, mail } = options
    const thread = world.arena(0).plan.updateFirst + index
    const sessionAddress: Binding['sessionAddress'] = () => ({ host: '', port: 0 })
    this.thread = thread
    this.#mail = mail
    this.native = new NativeLoop(world, thread, new ModelDriver(world, thread, 0, () => {}))
    this.#assembled = assembleUpdate({
      boot: {
        thread,
        memories: world.memories,
        protocols: [{ name: 'model', framing, handler: HANDLER }],
        options: { data: null, maxBackpressure },
      },
      binding: { ...world.binding, sessionAddress },
      handlers: new Map([[HANDLER, handler]]),
      tell: (message) => {
        if (message.type === 'move') mail?.deliver(message.thread, message.session)
      },
      connect: () => Promise.reject(new Error('no model connects')),
      makeJobs: null,
    })
    const { sender, table, content, runtime } = this.#assembled
    this.sender = sender
    this.table = table
    this.content = content
    this.runtime = runtime
  }

  /** What libuv's visit brings; whether it brought anything. */
  receive(): boolean {
    const mail = this.#mail
    if (!mail?.isThere(this.thread)) return false
    for (const session of mail.collect(this.thread)) this.content.moveIn(session)
    return true
  }

  turn(): void {
    const assembled = this.#assembled
    assembled.take()
    assembled.turn()
  }

  /** Sleeps and works for ever. */
  runBriefly(): void {
    for (;;) {
      this.native.sleepBriefly()
      this.native.checkAwake()
      this.receive()
      this.turn()
    }
  }

  /** Looks, and works once if there is anything to do; whether there was. */
  visit(): boolean {
    const isReceived = this.receive()
    if (!this.native.hasWork()) return isReceived
    this.turn()
    return true
  }

  /** Works until nothing is left to do; whether there was anything. */
  rest(): boolean {
    if (!this.visit()) return false
    while (this.visit());
    return true
  }
}
