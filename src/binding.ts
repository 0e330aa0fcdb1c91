// What: loads the native addon, types it, and compares its memory layout with ours.
// Flow: build/Release/overlapped.node -> this -> shared, server, workers.
// Thread: any; one instance of the addon per environment.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { OverlappedError } from './errors.ts'
import { LAYOUT_HASH } from './layout/layout.ts'

/** A system call's result: `errno` is 0, or a number that getSystemErrorName() knows, without its sign. */
export interface Outcome {
  readonly errno: number
  readonly value: number
}

export interface Address {
  readonly host: string
  readonly port: number
}

/** Driver numbers as native/driver/driver.h has them. */
export const DRIVER_URING = 0
export const DRIVER_EPOLL = 1
/** No sockets: for threads that have no driver. */
export const DRIVER_NONE = 2
export const DRIVER_IOCP = 3

/** Feature bits of native/driver/driver.h. */
export const IO_URING_FEATURES = {
  multishotRecv: 1,
  multishotAccept: 2,
  deferTaskrun: 4,
  registeredRing: 8,
  skipSuccess: 16,
  fileTable: 32,
  zeroCopy: 64,
} as const

/** Ways of IOCP that can be ruled out. */
export const IOCP_FEATURES = {
  zeroByteReceive: 128,
  trySend: 256,
  queuedSuccess: 512,
} as const
/** That a socket has a send buffer in the kernel, which the option `zeroCopy` rules out on iocp. */
export const IOCP_SEND_BUFFER = 1024

/** The addon's functions; native/napi/binding.cc says what each does. */
export interface Binding {
  layoutHash(): number
  /** Of the driver that is best on this system: '' when it can be used, else why not; and what it can. */
  probeDriver(): { readonly reason: string; readonly features: number }
  createRuntime(control: Uint8Array, arena: Uint8Array): number
  destroyRuntime(runtime: number): void
  listen(
    runtime: number,
    host: string,
    port: number,
    backlog: number,
    noDelay: boolean,
    sendBufferBytes: number,
    receiveBufferBytes: number,
  ): Outcome
  startAccepting(runtime: number, thread: number, kind: number, featuresForbidden: number): void
  stopAccepting(runtime: number): void
  signal(runtime: number, thread: number): void
  /** Null where this Node refuses external buffers. */
  aliasArena(runtime: number, offset: number, length: number, arena: Uint8Array): ArrayBuffer | null
  openLoop(
    runtime: number,
    thread: number,
    kind: number,
    batch: number,
    featuresForbidden: number,
    control: Uint8Array,
    arena: Uint8Array,
    turn: () => void,
  ): string
  submit(): number
  /** Shows the driver what was submitted; what needs the kernel may wait for the next wait. */
  handOver(): void
  closeListeners(): void
  closeLoop(): void
  transitAddress(token: number): Address
  peerAddress(slot: number, generation: number): Address
  /** The peer of whatever session a slot holds, from any thread. */
  sessionAddress(runtime: number, slot: number): Address
  prepareConnect(
    host: string,
    port: number,
    noDelay: boolean,
    sendBufferBytes: number,
    receiveBufferBytes: number,
  ): Outcome
}

/** The folder of the package: the nearest one upwards with a package.json. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}

/** @throws {OverlappedError} ERR_LAYOUT_MISMATCH */
export function checkLayout(addonHash: number): void {
  if (addonHash === LAYOUT_HASH) return
  throw new OverlappedError(
    'ERR_LAYOUT_MISMATCH',
    `the native addon was built for memory layout ${addonHash}, this package has ${LAYOUT_HASH}; run npm rebuild overlapped`,
  )
}

/** Where the addon may be: cross-built for this system, or built here. */
const ADDON_PATHS = [
  `build/${process.platform}-${process.arch}/overlapped.node`,
  'build/Release/overlapped.node',
]

let loaded: Binding | undefined

/** @throws {OverlappedError} ERR_ADDON_MISSING, ERR_LAYOUT_MISMATCH */
export function loadBinding(): Binding {
  if (loaded !== undefined) return loaded
  const root = packageRoot()
  const path = ADDON_PATHS.map((place) => join(root, place)).find(existsSync)
  if (path === undefined) {
    throw new OverlappedError(
      'ERR_ADDON_MISSING',
      'the native addon is not built; run npm rebuild overlapped',
    )
  }
  const binding = createRequire(import.meta.url)(path) as Binding
  checkLayout(binding.layoutHash())
  loaded = binding
  return binding
}
