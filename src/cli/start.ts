// What: `overlapped start`: a server from flags, environment and file, until a signal ends it.
// Flow: main -> loadConfig -> this -> createServer.
// Thread: main.

import { constants } from 'node:os'
import { loadConfig } from '../config/load_config.ts'
import { resolveOptions } from '../server/resolve_options.ts'
import { CLI_LISTENER } from './usage.ts'

/** What the line of a listening server tells. */
export interface Listening {
  readonly driver: string
  readonly driverReason: string
  readonly workers: number
  readonly mode: string
  readonly listeners: readonly { readonly host: string; readonly port: number }[]
  /** The memory plan in one line. */
  readonly plan: string
}

function address({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** The one line that `start` prints, without its newline. */
export function listeningLine(info: Listening): string {
  const { driver, driverReason, workers, mode, listeners, plan } = info
  const addresses = listeners.map(address).join(',') || 'nowhere'
  const how = `driver=${driver} (${driverReason}) workers=${workers} mode=${mode}`
  return `listening ${addresses} ${how} memory: ${plan}`
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const

/** Resolves at the first signal; a second one ends the process with 128 + its number. */
function watchSignals(): { readonly first: Promise<void>; readonly unwatch: () => void } {
  let resolveFirst: () => void
  const first = new Promise<void>((resolve) => {
    resolveFirst = resolve
  })
  let seen = false
  const onSignal = (signal: NodeJS.Signals) => {
    if (seen) process.exit(128 + constants.signals[signal])
    seen = true
    resolveFirst()
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
  const unwatch = () => {
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }
  return { first, unwatch }
}

/**
 * Serves until a signal, then stops the server. `argv` is what follows `start`. Returns the exit
 * code, which is 0.
 * @throws {OverlappedError} of loadConfig, createServer, listen() and a server that died.
 */
export async function runStart(argv: readonly string[]): Promise<number> {
  const options = loadConfig({
    env: process.env,
    argv,
    defaults: { handler: new URL('./echo_handler.js', import.meta.url) },
    listener: CLI_LISTENER,
  })
  const { mode } = resolveOptions(options)
  // Imported here, so that help and wrong options do not need the native addon.
  const { createServer } = await import('../server/server.ts')
  const { first, unwatch } = watchSignals()
  try {
    const server = createServer(options)
    const closed = server.closed.then(() => 'closed' as const)
    // A server that dies while it starts rejects listen() too, which is what is awaited first.
    closed.catch(() => {})
    await server.listen()
    process.stdout.write(`${listeningLine({ ...server.info(), mode })}\n`)
    const end = await Promise.race([first.then(() => 'signal' as const), closed])
    if (end === 'signal') await server.stop()
    return 0
  } finally {
    unwatch()
  }
}
