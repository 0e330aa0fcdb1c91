// What: the simulation's addon, typed, and what a simulated thread sees of it as the package's binding.
// Flow: build/Release/overlapped_sim.node -> this -> simulation.ts, assembleWorker.
// Thread: the test's.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { type Binding, checkLayout, packageRoot } from '../../src/binding.ts'
import { CONTROL_SESSIONS_AT, SESSION_PEER_PORT, SESSION_WORDS } from '../../src/layout/layout.ts'
import type { SimMemory } from './memory.ts'

/** Kinds of faults, in the order of native/driver/sim/world.h. */
export const FAULTS = [
  'shortRead',
  'lateCompletion',
  'reorder',
  'peerReset',
  'peerEnd',
  'socketFull',
  'shortSend',
  'starved',
  'ringFull',
  'lostRace',
  'connectRefused',
  'connectTimedOut',
  'spuriousWake',
  'unreadDropped',
  'acceptedGone',
  'lateNotification',
  'zeroCopyRefused',
] as const
export type Fault = (typeof FAULTS)[number]

/** Bugs that can be planted in the driver, in the order of native/driver/sim/world.h. */
export const DRIVER_BUGS = [
  'none',
  'completionLost',
  'completionTwice',
  'shortSendWhole',
  'cancelUnanswered',
  'pauseUnanswered',
  'buffersReversed',
  'slicesReversed',
  'starvedForgotten',
  'lazyHeldForever',
  'closeIgnored',
  'wakeLost',
  'transitLeaked',
] as const
export type DriverBug = (typeof DRIVER_BUGS)[number]

/** The addon's functions; native/napi/sim_binding.cc says what each does. */
export interface SimAddon {
  layoutHash(): number
  create(
    control: Uint8Array,
    arena: Uint8Array,
    seed: number,
    permille: Int32Array,
    pipeBytes: number,
    bug: number,
  ): number
  destroy(world: number): void
  alias(arena: Uint8Array): ArrayBuffer | null
  openWorker(world: number, thread: number, batch: number): string
  closeWorker(world: number, thread: number): void
  handOver(world: number, thread: number): void
  look(world: number, thread: number, timeoutMs: number): number
  park(world: number, thread: number, timeoutMs: number): number
  ready(world: number, thread: number): boolean
  wait(world: number, thread: number, timeoutMs: number): boolean
  submit(world: number, thread: number): number
  hasWork(world: number, thread: number): boolean
  oversleeps(world: number, thread: number): boolean
  signal(world: number, thread: number): void
  freeBuffers(world: number, thread: number): number
  transitPort(world: number, thread: number, token: number): number
  peerPort(world: number, thread: number, slot: number, generation: number): number
  prepareConnect(world: number, thread: number): number
  advance(world: number, ns: number): void
  nextDue(world: number): number
  listen(world: number, thread: number, count: number): void
  closeListeners(world: number, thread: number): void
  knock(world: number, listener: number): number
  connect(world: number, listener: number, thread: number): number
  connections(world: number): number
  openSockets(world: number): number
  violation(world: number): string
  faults(world: number, counts: Float64Array): void
  clientSend(
    world: number,
    connection: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): number
  clientRecv(world: number, connection: number, bytes: Uint8Array): number
  clientEnd(world: number, connection: number): void
  clientClose(world: number, connection: number): void
  clientReset(world: number, connection: number): void
  takenFromServer(world: number, connection: number): number
}

/** What clientRecv says when there are no bytes. */
export const STREAM_ENDED = -1
export const STREAM_RESET = -2

/** A connection's number is its port less this. */
export const FIRST_PORT = 1024

export function loadSimAddon(): SimAddon {
  const path = join(packageRoot(), 'build', 'Release', 'overlapped_sim.node')
  if (!existsSync(path)) {
    throw new Error('the simulation is not built: npx cmake-js build --target overlapped_sim')
  }
  const addon = createRequire(import.meta.url)(path) as SimAddon
  checkLayout(addon.layoutHash())
  return addon
}

function never(name: string): () => never {
  return () => {
    throw new Error(`${name}() was called in the simulation`)
  }
}

/** The package's binding for a thread of a world. `alias` covers the whole arena. */
export function bindingOf(
  addon: SimAddon,
  world: number,
  thread: number,
  { alias, words }: SimMemory,
): Binding {
  const address = (port: number) => ({ host: port === 0 ? '' : '127.0.0.1', port })
  return {
    layoutHash: () => addon.layoutHash(),
    signal: (_runtime, other) => addon.signal(world, other),
    aliasArena: (_runtime, offset, length) =>
      offset === 0 && length === alias?.byteLength ? alias : null,
    submit: () => addon.submit(world, thread),
    handOver: () => {
      addon.submit(world, thread)
    },
    transitAddress: (token) => address(addon.transitPort(world, thread, token)),
    peerAddress: (slot, generation) => address(addon.peerPort(world, thread, slot, generation)),
    sessionAddress: (_runtime, slot) =>
      address(words[words[CONTROL_SESSIONS_AT] + slot * SESSION_WORDS + SESSION_PEER_PORT]),
    prepareConnect: () => ({ errno: 0, value: addon.prepareConnect(world, thread) }),
    probeDriver: never('probeDriver'),
    createRuntime: never('createRuntime'),
    destroyRuntime: never('destroyRuntime'),
    listen: never('listen'),
    startAccepting: never('startAccepting'),
    stopAccepting: never('stopAccepting'),
    closeListeners: () => addon.closeListeners(world, thread),
    openLoop: never('openLoop'),
    closeLoop: never('closeLoop'),
  }
}
