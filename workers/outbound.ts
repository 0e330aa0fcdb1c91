// What: runtime.connect() of a thread that runs content, wired: protocols, handlers, failures, the clock, the resolver.
// Flow: io.ts -> this -> connector.
// Thread: the one that runs content.

import { performance } from 'node:perf_hooks'
import type { WorkerBoot } from '../src/server/boot.ts'
import type { Dialler } from '../src/session/connecting.ts'
import { Connector, systemLookup } from '../src/session/connector.ts'
import { ContentProtocols, type ContentProtocolsParts } from '../src/session/content_protocols.ts'
import type { After } from '../src/session/core.ts'
import type { Handler, Runtime } from '../src/session/handler.ts'
import type { ProtocolTable } from '../src/shared/protocol_table.ts'
import type { HandlerSet } from './handlers.ts'
import type { ThreadCalls } from './ticker.ts'

export interface OutboundParts {
  readonly boot: Pick<WorkerBoot, 'handler' | 'protocols'>
  readonly dialler: Dialler
  readonly table: ProtocolTable
  readonly handlers: HandlerSet
  readonly runtime: Runtime
  readonly calls: ThreadCalls
  readonly onRegistered: ContentProtocolsParts['onRegistered']
  /** Of the protocol with this index. */
  readonly handlerOf: (protocol: number) => Handler
  readonly after: After
}

export function createConnector(parts: OutboundParts): Connector {
  const { boot, calls, handlers, runtime } = parts
  const protocols = new ContentProtocols({
    table: parts.table,
    names: boot.protocols.map(({ name }) => name),
    useHandler: (url) => handlers.use(url, runtime),
    onRegistered: parts.onRegistered,
  })
  return new Connector({
    dialler: parts.dialler,
    handler: boot.handler,
    protocolByName(name) {
      const index = protocols.byName(name)
      const started = handlers.started(parts.handlerOf(index), runtime)
      return started === undefined ? index : started.then(() => index)
    },
    protocolOf: (given) => protocols.of(given),
    failed(protocol, error, failure) {
      const handler = parts.handlerOf(protocol)
      calls.guard(handler, () => handler.onConnectFailed?.(error, failure))
    },
    after: parts.after,
    now: () => performance.now(),
    random: Math.random,
    lookup: systemLookup,
  })
}

/** By a timer for which nobody stays awake. */
export const afterMs: After = (ms, run) => {
  const timer = setTimeout(run, ms).unref()
  return () => clearTimeout(timer)
}
