// What: onStart of each handler, called once; who has to wait for its end, and who must not.
// Flow: handlers.ts -> this -> onStart.
// Thread: the one that runs content.

import { AsyncLocalStorage } from 'node:async_hooks'
import type { Handler, Runtime } from '../src/session/handler.ts'

interface Start {
  /** Rejects with what onStart threw. */
  readonly ended: Promise<void>
  /** It has ended well. */
  readonly isOver: boolean
}

export class Starts {
  readonly #starts = new Map<Handler, Start>()
  /** The handler in whose onStart, or in what followed from it, a call is made. */
  readonly #within = new AsyncLocalStorage<Handler>()
  /** By handler that is in its onStart: those whose onStart it waits for. */
  readonly #awaited = new Map<Handler, Set<Handler>>()
  /** How many are in their onStart. */
  #running = 0

  /** Its onStart was called. */
  isBegun(handler: Handler): boolean {
    return this.#starts.has(handler)
  }

  /** Those whose onStart has ended well, in the order of the calls. */
  *ended(): Iterable<Handler> {
    for (const [handler, { isOver }] of this.#starts) if (isOver) yield handler
  }

  /**
   * What the caller has to wait for before this handler has sessions: the end of its onStart, which is called if it was
   * not. Undefined: it has ended, or it is the caller's own, or it waits itself for the caller's.
   */
  before(handler: Handler, runtime: Runtime): Promise<void> | undefined {
    const asking = this.#within.getStore()
    if (asking !== undefined && this.#leadsTo(handler, asking)) return undefined
    if (this.#starts.get(handler)?.isOver === true) return undefined
    if (asking === undefined) return this.#endOf(handler, runtime)
    const awaited = this.#awaited.get(asking) ?? new Set()
    this.#awaited.set(asking, awaited.add(handler))
    return this.#endOf(handler, runtime).finally(() => awaited.delete(handler))
  }

  /** Whether `from` waits for `to`, by way of others or not; each does for itself. */
  #leadsTo(from: Handler, to: Handler): boolean {
    const seen = new Set([from])
    for (const handler of seen) {
      if (handler === to) return true
      for (const next of this.#awaited.get(handler) ?? []) seen.add(next)
    }
    return false
  }

  #endOf(handler: Handler, runtime: Runtime): Promise<void> {
    return (this.#starts.get(handler) ?? this.#begin(handler, runtime)).ended
  }

  #begin(handler: Handler, runtime: Runtime): Start {
    const start = { ended: this.#call(handler, runtime), isOver: false }
    this.#starts.set(handler, start)
    start.ended.then(
      () => {
        start.isOver = true
      },
      // Whoever waits hears of it.
      () => {},
    )
    return start
  }

  async #call(handler: Handler, runtime: Runtime): Promise<void> {
    this.#running++
    try {
      await this.#within.run(handler, async () => handler.onStart?.(runtime))
    } finally {
      this.#awaited.delete(handler)
      // While it is on, Node 20 and 22 pay for every promise of the thread.
      if (--this.#running === 0) this.#within.disable()
    }
  }
}
