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
  readonly #loading = new Map<string, Promise<Handler>>()
  readonly #started = new Set<Handler>()
  readonly #onAdded: (handler: Handler) => void

  /** `onAdded`: a handler was started after the others. */
  constructor(onAdded: (handler: Handler) => void) {
    this.#onAdded = onAdded
  }

  /** Before there is a runtime; nothing is started. */
  async load(urls: Iterable<string>): Promise<void> {
    for (const url of urls) if (!this.handlers.has(url)) await this.#add(url)
  }

  async #add(url: string): Promise<Handler> {
    const { handler, assign } = await load(url)
    this.handlers.set(url, handler)
    if (assign !== undefined) this.assigns.set(url, assign)
    return handler
  }

  /** onStart of those that are loaded, one after the other. */
  async start(runtime: Runtime): Promise<void> {
    for (const handler of [...this.handlers.values()]) await this.#start(handler, runtime)
  }

  /**
   * The handler of this URL, loaded and started if it was not. One whose onStart is still running is not waited for:
   * it may be the one that asks.
   */
  use(url: string, runtime: Runtime): Promise<Handler> {
    const known = this.handlers.get(url)
    if (known !== undefined) return this.#start(known, runtime).then(() => known)
    let loading = this.#loading.get(url)
    if (loading === undefined) {
      loading = this.#addLate(url, runtime).finally(() => this.#loading.delete(url))
      this.#loading.set(url, loading)
    }
    return loading
  }

  async #addLate(url: string, runtime: Runtime): Promise<Handler> {
    const handler = await this.#add(url)
    await this.#start(handler, runtime)
    this.#onAdded(handler)
    return handler
  }

  async #start(handler: Handler, runtime: Runtime): Promise<void> {
    if (this.#started.has(handler)) return
    this.#started.add(handler)
    await handler.onStart?.(runtime)
  }

  /** onStop of those that were started. */
  async stop(runtime: Runtime): Promise<void> {
    for (const handler of this.#started) await handler.onStop?.(runtime)
  }
}
