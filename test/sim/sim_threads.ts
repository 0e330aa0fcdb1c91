// What: simulated threads: the production rooms of a worker, an update thread, a send thread, over virtual timers.
// Flow: simulation.ts -> this -> workers/assemble*.ts of the built package -> steps.
// Thread: the test's; it steps them all.

import type { Binding } from '../../src/binding.ts'
import { THREAD_DEAF, THREAD_THREAD_STATE, ThreadState } from '../../src/layout/layout.ts'
import type { ResolvedOptions, ResolvedProtocol } from '../../src/server/options.ts'
import type { After } from '../../src/session/core.ts'
import type { Handler, Runtime, SendBuffer } from '../../src/session/handler.ts'
import type { Arena, SharedMemories } from '../../src/shared/arena.ts'
import type { MovedSession } from '../../src/update/content.ts'
import type { AssembledWorker } from '../../workers/assemble.ts'
import type { AssembledSend } from '../../workers/assemble_send.ts'
import type { AssembledUpdate } from '../../workers/assemble_update.ts'
import type { ThreadModules } from './threads.ts'

const NS_PER_MS = 1e6
export const HANDLER_URL = 'file:///handler.js'

export interface Timer {
  readonly everyNs: number
  readonly run: () => void
  dueNs: number
}

/** Where a thread stands in its round. */
export const Phase = { HAND_OVER: 0, PARK: 1, WAIT: 2 } as const
export type Phase = (typeof Phase)[keyof typeof Phase]

/** What the steps of a thread need. */
export interface SimThread {
  readonly thread: number
  readonly name: string
  readonly arena: Arena
  readonly timers: Set<Timer>
  readonly turn: () => void
  phase: Phase
  timeoutMs: number
  deadlineNs: number
  /** It is in the middle of a step: nobody may step it. */
  running: boolean
  /** libuv has something for it. */
  visitDue: boolean
  /** Promises were settled whose continuations have not run. */
  promisesDue: boolean
}

/** A thread that runs content. */
export interface ContentThread extends SimThread {
  readonly runtime: Runtime
  readonly buffers: SendBuffer[]
}

export interface SimWorker extends ContentThread {
  readonly rooms: AssembledWorker
  readonly binding: Binding
  /** Outbound connections on their way. */
  connecting: number
  stopped: boolean
}

export interface SimUpdate extends ContentThread {
  readonly rooms: AssembledUpdate
  /** Sessions that main passes on, in order, and when they come. */
  readonly mail: { readonly session: MovedSession; readonly dueNs: number }[]
}

export interface SimSender extends SimThread {
  readonly rooms: AssembledSend
}

/** What a simulated thread is made of. */
export interface ThreadParts {
  readonly thread: number
  readonly modules: ThreadModules
  readonly memories: SharedMemories
  readonly binding: Binding
  readonly protocols: readonly ResolvedProtocol[]
  readonly options: ResolvedOptions
  readonly nowNs: () => number
}

function timersOf(nowNs: () => number) {
  const timers = new Set<Timer>()
  const every = (ms: number, run: () => void) => {
    const timer = { everyNs: ms * NS_PER_MS, run, dueNs: nowNs() + ms * NS_PER_MS }
    timers.add(timer)
    return () => {
      timers.delete(timer)
    }
  }
  const after: After = (ms, run) => {
    const stop = every(ms, () => {
      stop()
      run()
    })
    return stop
  }
  return { timers, every, after }
}

const stepState = () => ({
  phase: Phase.HAND_OVER as Phase,
  timeoutMs: 0,
  deadlineNs: 0,
  running: false,
  visitDue: false,
  promisesDue: false,
})

function runs(arena: Arena): void {
  arena.words[arena.threadAt(arena.thread) + THREAD_THREAD_STATE] = ThreadState.RUNNING
}

export function makeWorker(parts: ThreadParts, handler: Handler): SimWorker {
  const { thread, modules, memories, binding, protocols, options, nowNs } = parts
  const { timers, every, after } = timersOf(nowNs)
  const now = () => nowNs() / NS_PER_MS
  const rooms = modules.assembleWorker(
    { thread, memories, protocols, options },
    binding,
    new Map([[HANDLER_URL, handler]]),
    () => ({ now, turn: now, every, after }),
    () => {},
    () => Promise.reject(new Error('the simulation dials by itself')),
  )
  const { arena } = rooms.core
  rooms.core.now = 0
  runs(arena)
  return {
    thread,
    name: `worker${thread}`,
    arena,
    timers,
    turn: rooms.turn,
    ...stepState(),
    runtime: rooms.runtime,
    buffers: [],
    rooms,
    binding,
    connecting: 0,
    stopped: false,
  }
}

/** `pass` sends a session to another one; `onTick` comes with each tick, behind the messages. */
export function makeUpdate(
  parts: ThreadParts,
  handler: Handler,
  pass: (thread: number, session: MovedSession) => void,
  onTick: () => void,
): SimUpdate {
  const { thread, modules, memories, binding, protocols, options, nowNs } = parts
  const { timers, every } = timersOf(nowNs)
  const rooms = modules.assembleUpdate({
    boot: { thread, memories, protocols, options },
    binding,
    handlers: new Map([[HANDLER_URL, handler]]),
    tell: (message) => {
      if (message.type === 'move') pass(message.thread, structuredClone(message.session))
    },
    connect: () => Promise.reject(new Error('update threads of the simulation do not connect')),
    makeJobs: null,
  })
  rooms.announceSent()
  const { arena, take, turn } = rooms
  runs(arena)
  const { eager, tickRate } = options.update
  if (!eager) arena.words[arena.threadAt(thread) + THREAD_DEAF] = 1
  every(1000 / tickRate, () => {
    if (!eager) take()
    onTick()
  })
  return {
    thread,
    name: `update${thread - arena.plan.updateFirst + 1}`,
    arena,
    timers,
    turn: eager
      ? () => {
          take()
          turn()
        }
      : turn,
    ...stepState(),
    runtime: rooms.runtime,
    buffers: [],
    rooms,
    mail: [],
  }
}

export function makeSender(parts: ThreadParts): SimSender {
  const { thread, modules, memories, binding, protocols, options, nowNs } = parts
  const { timers, after } = timersOf(nowNs)
  const rooms = modules.assembleSend({
    boot: { thread, memories, protocols, options },
    binding,
    after,
  })
  const { arena, turn } = rooms
  runs(arena)
  const name = `send${thread - arena.plan.workerCount}`
  return { thread, name, arena, timers, turn, ...stepState(), rooms }
}
