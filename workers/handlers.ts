// What: the handler modules of one thread: each loaded once, started before its first session, stopped last.
// Flow: io.ts, update.ts, connector -> this -> handlers by URL, onStart, onStop.
// Thread: the one that loads them.

import { OverlappedError } from '../src/errors.ts'
import type { WorkerBoot } from '../src/server/boot.ts'
import {
  type AssignFunction,
  type Handler,
  handlerOf,
  type Runtime,
} from '../src/session/handler.ts'
import { Starts } from './starts.ts'

export interface LoadedHandler {
  readonly handler: Handler
  /** The module's export `assign`, if it has one. */
  readonly assign: AssignFunction | undefined
}

/** Every module that a thread needs; the server's own also where no listener has it: who only connects begins there. */
export function handlerUrls({
  protocols,
  handler,
}: Pick<WorkerBoot, 'protocols' | 'handler'>): string[] {
  const urls = protocols.map((protocol) => protocol.handler)
  return handler === undefined ? urls : [...urls, handler]
}

/** @throws {OverlappedError} ERR_HANDLER_LOAD, ERR_HANDLER_SHAPE */
async function load(url: string): Promise<LoadedHandler> {
  let module: { default?: unknown; assign?: unknown }
  try {
    module = (await import(url)) as { default?: unknown; assign?: unknown }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new OverlappedError('ERR_HANDLER_LOAD', `the handler ${url} cannot be loaded: ${why}`, {
      cause,
    })
  }
  const { assign } = module
  if (assign !== undefined && typeof assign !== 'function') {
    throw new OverlappedError(
      'ERR_HANDLER_SHAPE',
      `${url} exports assign as ${typeof assign}; it must be a function from { remoteAddress, listener } to a key`,
    )
  }
  return { handler: handlerOf(module, url), assign: assign as AssignFunction | undefined }
}

export class HandlerSet {
  /** By URL; a module of one URL is one handler. */
  readonly handlers = new Map<string, Handler>()
  readonly assigns = new Map<string, AssignFunction>()
  readonly #starts = new Starts()
  readonly #onAdded: (handler: Handler) => void
  /** What came for handlers whose onStart was not called yet. */
  #early: { readonly handler: Handler; readonly tell: (handler: Handler) => void }[] = []

  /** `onAdded`: a handler was started after the others. */
  constructor(onAdded: (handler: Handler) => void) {
    this.#onAdded = onAdded
  }

  /** Before there is a runtime; nothing is started. */
  async load(urls: Iterable<string>): Promise<void> {
    for (const url of urls) if (!this.handlers.has(url)) await this.#add(url)
  }

  /** Node loads a module once, however often it is asked for. */
  async #add(url: string): Promise<Handler> {
    const { handler, assign } = await load(url)
    this.handlers.set(url, handler)
    if (assign !== undefined) this.assigns.set(url, assign)
    return handler
  }

  /** onStart of those that are loaded, one after the other. */
  async start(runtime: Runtime): Promise<void> {
    for (const handler of [...this.handlers.values()]) await this.started(handler, runtime)
  }

  /** The handler of this URL, loaded and started if it was not. @throws {OverlappedError} ERR_HANDLER_LOAD, ERR_HANDLER_SHAPE */
  async use(url: string, runtime: Runtime): Promise<Handler> {
    const known = this.handlers.get(url)
    const handler = known ?? (await this.#add(url))
    const isAdded = known === undefined && !this.#starts.isBegun(handler)
    await this.started(handler, runtime)
    if (isAdded) this.#onAdded(handler)
    return handler
  }

  /** See Starts.before(). */
  started(handler: Handler, runtime: Runtime): Promise<void> | undefined {
    const isFirst = !this.#starts.isBegun(handler)
    const ended = this.#starts.before(handler, runtime)
    if (isFirst) this.#tellEarly(handler)
    return ended
  }

  /** Tells each handler something, from the call of its onStart on: that may wait for what it is told. */
  tellAll(tell: (handler: Handler) => void): void {
    for (const handler of this.handlers.values()) {
      if (this.#starts.isBegun(handler)) tell(handler)
      else this.#early.push({ handler, tell })
    }
  }

  #tellEarly(begun: Handler): void {
    const early = this.#early
    this.#early = early.filter(({ handler }) => handler !== begun)
    for (const { handler, tell } of early) if (handler === begun) tell(handler)
  }

  /** onStop of those that were started. */
  async stop(runtime: Runtime): Promise<void> {
    for (const handler of this.#starts.ended()) await handler.onStop?.(runtime)
  }
}
