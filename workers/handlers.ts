// What: loads the handler modules that a thread needs, each once.
// Flow: io.ts, update.ts -> this -> handlers by URL.
// Thread: the one that loads them.

import { OverlappedError } from '../src/errors.ts'
import type { WorkerBoot } from '../src/server/boot.ts'
import { type AssignFunction, type Handler, handlerOf } from '../src/session/handler.ts'

export interface LoadedHandler {
  readonly handler: Handler
  /** The module's export `assign`, if it has one. */
  readonly assign: AssignFunction | undefined
}

/** @throws {OverlappedError} ERR_HANDLER_LOAD, ERR_HANDLER_SHAPE */
export async function loadHandlers(
  protocols: WorkerBoot['protocols'],
): Promise<Map<string, LoadedHandler>> {
  const handlers = new Map<string, LoadedHandler>()
  for (const { handler: url } of protocols) {
    if (handlers.has(url)) continue
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
    const handler = handlerOf(module, url)
    handlers.set(url, { handler, assign: assign as AssignFunction | undefined })
  }
  return handlers
}
