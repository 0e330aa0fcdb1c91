// What: everything that a server could lose: words of the table, job rings, chunks, nodes, heap, buffers, descriptors.
// Flow: inside.mjs of every thread, the monitor, /proc -> this -> compared before and after an abuse.
// Thread: the test's; workers answer `inspect`.

import { readdirSync } from 'node:fs'
import { BroadcastChannel } from 'node:worker_threads'
import { expect } from 'vitest'
import * as layout from '../../src/layout/layout.ts'
import { type Report, type TestServer, until } from './e2e_server.ts'
import { INSPECTIONS, inside, threadState } from './inside.mjs'

/** Words of a slot that mean nothing while it is free, beside its generation: docs/protocols/session.md. */
const KEPT_WORDS: readonly number[] = [
  layout.SESSION_GENERATION,
  layout.SESSION_LISTENER,
  layout.SESSION_CLOSE_REASON,
  layout.SESSION_STREAM_ENDED,
  layout.SESSION_RELEASE_LINK,
  layout.SESSION_REQUEST_LINK,
  layout.SESSION_FLUSH_LINK,
  layout.SESSION_PAUSED,
  layout.SESSION_CLOSE_REASON,
  layout.SESSION_DRAIN_WANTED,
  layout.SESSION_PEER_PORT,
  layout.SESSION_PEER_0,
  layout.SESSION_PEER_1,
  layout.SESSION_PEER_2,
  layout.SESSION_PEER_3,
]

interface State {
  readonly nodesOut: number
  readonly heapBytes: number
  readonly buffersHeld: number
  readonly heapBytesMax: number
  readonly heapCapacityBytes: number
}

export interface Snapshot {
  /** Every word of every slot but the kept ones. */
  readonly sessions: Int32Array
  /** Of each thread: what waits in its stacks and rings. */
  readonly threads: readonly Readonly<Record<string, number>>[]
  /** Records that wait in job rings, of all rings. */
  readonly jobs: number
  readonly chunksFree: number
  readonly chunksCharged: number
  /** Over all threads. */
  readonly nodesOut: number
  readonly heapBytes: number
  readonly buffersHeld: number
  /** As the drivers count them. */
  readonly buffersUsed: number
  readonly descriptors: number
}

/** Words of the running server's control memory. */
export function words(): Int32Array {
  if (inside.arena === null) throw new Error('no server runs')
  return inside.arena.words
}

function sessionWords(): Int32Array {
  const { plan } = inside.arena as NonNullable<typeof inside.arena>
  const { sessionsAt, sessionCapacity } = plan
  const copy = words().slice(sessionsAt, sessionsAt + sessionCapacity * layout.SESSION_WORDS)
  for (let slot = 0; slot < sessionCapacity; slot++) {
    for (const word of KEPT_WORDS) copy[slot * layout.SESSION_WORDS + word] = 0
  }
  return copy
}

function threadWords(): Snapshot['threads'] {
  const arena = inside.arena as NonNullable<typeof inside.arena>
  const all = words()
  return Array.from({ length: arena.plan.threadCount }, (_, thread) => {
    const at = arena.threadAt(thread)
    return {
      flush: all[at + layout.THREAD_FLUSH_HEAD],
      release: all[at + layout.THREAD_RELEASE_HEAD],
      request: all[at + layout.THREAD_REQUEST_HEAD],
      assigned: all[at + layout.THREAD_ASSIGNED_SESSIONS],
      state: all[at + layout.THREAD_THREAD_STATE],
      completions:
        (all[at + layout.THREAD_COMPLETION_TAIL] - all[at + layout.THREAD_COMPLETION_HEAD]) | 0,
      submissions: all[at + layout.THREAD_SUBMISSION_USED],
    }
  })
}

function jobsWaiting(): number {
  const { plan } = inside.arena as NonNullable<typeof inside.arena>
  const { jobRingsAt, jobRingCapacity, driverCount, updateCount } = plan
  let jobs = 0
  for (let ring = 0; ring < driverCount * updateCount; ring++) {
    const at = jobRingsAt + ring * (layout.JOB_RING_WORDS + jobRingCapacity * layout.JOB_WORDS)
    jobs += (words()[at + layout.JOB_RING_TAIL] - words()[at + layout.JOB_RING_HEAD]) | 0
  }
  return jobs
}

/** Free chunks by the bitmap, and how many have references. */
export function chunks(): { readonly free: number; readonly charged: number } {
  const { plan } = inside.arena as NonNullable<typeof inside.arena>
  let free = 0
  let charged = 0
  for (let chunk = 0; chunk < plan.chunkCount; chunk++) {
    if (words()[plan.chunkBitmapAt + (chunk >>> 5)] & (1 << (chunk & 31))) free++
    if (words()[plan.chunkRefsAt + chunk] !== 0) charged++
  }
  return { free, charged }
}

/** What the pools of every thread that loads a module of the test have given out; main's are not among them. */
export async function inspect(test: TestServer): Promise<State[]> {
  const { jobCount } = (inside.arena as NonNullable<typeof inside.arena>).plan
  if (test.content !== 'worker1' || jobCount > 0) return inspectAll()
  return (await tellAll(test, { do: 'inspect' })) as unknown as State[]
}

/** Asks over a channel: in mode update, handlers of workers hear no messages. */
async function inspectAll(): Promise<State[]> {
  const { plan } = inside.arena as NonNullable<typeof inside.arena>
  const states = new Map<number, State>()
  const channel = new BroadcastChannel(INSPECTIONS)
  channel.onmessage = (event) => {
    const { thread, ...state } = (event as { data: State & { thread: number } }).data
    states.set(thread, state)
  }
  channel.postMessage(null)
  const wanted = plan.workerCount + plan.updateCount + plan.jobCount
  await until('every thread to answer', () => states.size === wanted).finally(() => channel.close())
  return [...states.values()]
}

/** When no session is left: everything as it is now. Handlers of the server answer `inspect`. */
export async function snapshot(test: TestServer): Promise<Snapshot> {
  await test.until('all sessions to end', () => {
    return test.server.monitor.snapshot().sessions === 0 && sessionsAreFree()
  })
  // The drivers' levels are written when they wait; an inspection makes every worker wait again.
  await inspect(test)
  const states = [threadState() as State, ...(await inspect(test))]
  const sum = (field: keyof State) => states.reduce((total, state) => total + state[field], 0)
  const { free, charged } = chunks()
  return {
    sessions: sessionWords(),
    threads: threadWords(),
    jobs: jobsWaiting(),
    chunksFree: free,
    chunksCharged: charged,
    // Send threads load nothing of a test: what they free is not seen.
    nodesOut: hasSendThreads() ? 0 : sum('nodesOut'),
    heapBytes: sum('heapBytes'),
    buffersHeld: sum('buffersHeld'),
    buffersUsed: test.count('buffersUsed'),
    descriptors: descriptors(),
  }
}

function hasSendThreads(): boolean {
  const { driverCount, workerCount } = (inside.arena as NonNullable<typeof inside.arena>).plan
  return driverCount > workerCount
}

/** Open descriptors of this process. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

function sessionsAreFree(): boolean {
  const { plan } = inside.arena as NonNullable<typeof inside.arena>
  for (let slot = 0; slot < plan.sessionCapacity; slot++) {
    const at = plan.sessionsAt + slot * layout.SESSION_WORDS
    if (words()[at + layout.SESSION_STATE] !== layout.SessionState.FREE) return false
  }
  return true
}

/** Nothing was lost since `before`; waits for what ends a little later (a descriptor, a promise). */
export async function expectNothingLost(test: TestServer, before: Snapshot): Promise<void> {
  // Wine has descriptors of its own in a process, which come and go by the dozen: there stop.test.ts counts them, at the end.
  const countsDescriptors = process.platform !== 'win32'
  if (countsDescriptors)
    await until(`descriptors to be ${before.descriptors} again`, () => {
      return descriptors() <= before.descriptors
    })
  const after = await snapshot(test)
  const { sessions: wordsBefore, descriptors: openBefore, ...restBefore } = before
  const { sessions: wordsAfter, descriptors: openAfter, ...restAfter } = after
  const changed: string[] = []
  for (let at = 0; at < wordsBefore.length && changed.length < 8; at++) {
    if (wordsBefore[at] === wordsAfter[at]) continue
    const slot = Math.floor(at / layout.SESSION_WORDS)
    changed.push(
      `slot ${slot} word ${at % layout.SESSION_WORDS}: ${wordsBefore[at]} -> ${wordsAfter[at]}`,
    )
  }
  expect(changed).toEqual([])
  expect(restAfter).toEqual(restBefore)
  if (countsDescriptors) expect(openAfter).toBeLessThanOrEqual(openBefore)
}

/** Has every worker do something, and returns what each reported. */
export async function tellAll(
  test: TestServer,
  order: { readonly do: string; readonly [field: string]: unknown },
): Promise<Report[]> {
  const { workers } = test.server.info()
  const reports: Report[] = []
  for (let worker = 1; worker <= workers; worker++) {
    const from = `worker${worker}`
    const nth = test.seen(order.do, { from }).length
    test.tell(order, from)
    reports.push(await test.next(order.do, { from }, nth))
  }
  return reports
}

/** Every thread lets go of its open chunk, so that a reference that was lost keeps one from being free. */
export async function turnChunks(test: TestServer, chunkBytes: number): Promise<void> {
  await tellAll(test, { do: 'turnChunk', chunkBytes })
  for (let round = 0; round < 2; round++) {
    test.server.prepare(new Uint8Array(chunkBytes / 2)).release()
  }
}
