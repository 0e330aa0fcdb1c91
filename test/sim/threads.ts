// What: the built package loaded once per simulated thread, so that no thread shares module state with another.
// Flow: Node's loader with thread_hooks.mjs -> this -> simulation.ts.
// Thread: the test's.

import { register } from 'node:module'
import type { Encoder } from '../../src/framing/encode.ts'
import type { Sender } from '../../src/outbound/sender.ts'
import type { ThreadRuntime } from '../../src/session/runtime.ts'
import type { Arena } from '../../src/shared/arena.ts'
import type { GroupTable } from '../../src/shared/group_table.ts'
import type { ProtocolTable } from '../../src/shared/protocol_table.ts'
import type { SessionTable } from '../../src/shared/session_table.ts'
import type { Waker } from '../../src/shared/waker.ts'
import type { assembleWorker } from '../../workers/assemble.ts'
import type { assembleSend } from '../../workers/assemble_send.ts'
import type { assembleUpdate } from '../../workers/assemble_update.ts'

/** Main, and five that are workers, update threads, or send threads. */
const THREADS_MAX = 6
export const WORKERS_MAX = 3

/** What the simulation needs of a thread's package. */
export interface ThreadModules {
  readonly assembleWorker: typeof assembleWorker
  readonly assembleUpdate: typeof assembleUpdate
  readonly assembleSend: typeof assembleSend
  readonly Arena: typeof Arena
  readonly Encoder: typeof Encoder
  readonly ProtocolTable: typeof ProtocolTable
  readonly GroupTable: typeof GroupTable
  readonly Sender: typeof Sender
  readonly SessionTable: typeof SessionTable
  readonly ThreadRuntime: typeof ThreadRuntime
  readonly Waker: typeof Waker
  /** Runs before each atomic operation of this thread; null: nothing does. */
  readonly setHook: (hook: (() => void) | null) => void
}

const FILES = [
  'workers/assemble',
  'workers/assemble_update',
  'workers/assemble_send',
  'src/framing/encode',
  'src/outbound/sender',
  'src/session/runtime',
  'src/shared/arena',
  'src/shared/protocol_table',
  'src/shared/group_table',
  'src/shared/session_table',
  'src/shared/waker',
]

let registered = false

async function loadThread(thread: number, bug: string): Promise<ThreadModules> {
  const query = `?thread=${thread}${bug === '' ? '' : `&bug=${bug}`}`
  const modules: object[] = []
  for (const file of FILES) {
    const url = new URL(`../../dist/${file}.js`, import.meta.url).href
    modules.push(await import(/* @vite-ignore */ url + query))
  }
  const twin = new URL('./atomics_twin.mjs', import.meta.url).href
  modules.push(await import(/* @vite-ignore */ twin + query))
  return Object.assign({}, ...modules) as ThreadModules
}

/** Main first; each with the planted bug, where one is named. */
export async function loadThreads(bug = ''): Promise<readonly ThreadModules[]> {
  if (!registered) register(new URL('./thread_hooks.mjs', import.meta.url))
  registered = true
  const threads: ThreadModules[] = []
  for (let thread = 0; thread < THREADS_MAX; thread++) threads.push(await loadThread(thread, bug))
  return threads
}
