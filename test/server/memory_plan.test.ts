// What: tests of the memory plan: regions that do not overlap and fit, and what is said when they cannot.
// Flow: memory_plan -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  CACHE_LINE_WORDS,
  COMPLETION_WORDS,
  CONTROL_CONTROL_WORDS,
  CONTROL_LAYOUT_HASH,
  CONTROL_MAGIC,
  CONTROL_RECV_BUFFER_BYTES,
  CONTROL_WORDS,
  LAYOUT_HASH,
  LISTENERS_MAX,
  MAGIC,
  NODE_WORDS,
  PROTOCOL_WORDS,
  SESSION_OWNER,
  SESSION_WORDS,
  THREAD_WORDS,
} from '../../src/layout/layout.ts'
import { planMemory } from '../../src/server/memory_plan.ts'
import type { ServerOptions } from '../../src/server/options.ts'
import { resolveOptions } from '../../src/server/resolve_options.ts'
import { COUNTERS_STRIDE, type Plan, readPlan } from '../../src/shared/arena.ts'
import { groupWords } from '../../src/shared/group_table.ts'
import { liveSlotWords } from '../../src/shared/live_slots.ts'
import { errorOf } from '../helpers/error_of.ts'
import { SMALL } from '../helpers/unit_memory.ts'

function plan(options: ServerOptions) {
  const { control, arena, text } = planMemory(resolveOptions(options))
  const words = new Int32Array(control)
  return { words, plan: readPlan(words), control, arena, text }
}

const variants: ServerOptions[] = [
  { workers: 1 },
  SMALL,
  { ...SMALL, maxSessions: 1, groups: { max: 1, capacity: 3 } },
  { ...SMALL, workers: 3, maxSessions: 7, chunkBytes: 8192, receiveBufferSize: 1000 },
  { ...SMALL, workers: 8, maxSessions: 10_001, arenaBytes: 33_333_333, completionBatch: 1 },
  { workers: 4, chunkBytes: 1_048_576, receiveBuffers: 16, completionBatch: 32_768 },
]

/** [name, first, behind the last]. */
type Region = readonly [name: string, start: number, end: number]

function controlRegions(p: Plan): Region[] {
  const { threadCount, driverCount } = p
  const region = (name: string, at: number, size: number): Region => [name, at, at + size]
  return [
    region('control', 0, CONTROL_WORDS),
    region('threads', p.threadsAt, threadCount * THREAD_WORDS),
    region('sessions', p.sessionsAt, p.sessionCapacity * SESSION_WORDS),
    region('nodes', p.nodesAt, threadCount * p.nodesPerThread * NODE_WORDS),
    region('chunk bitmap', p.chunkBitmapAt, Math.ceil(p.chunkCount / 32)),
    region('chunk references', p.chunkRefsAt, p.chunkCount),
    region('completions', p.completionsAt, driverCount * p.completionCapacity * COMPLETION_WORDS),
    region('submissions', p.submissionsAt, driverCount * p.submissionWords),
    region('groups', p.groupsAt, groupWords(p.groupMax, p.sessionCapacity)),
    region('live slots', p.liveSlotsAt, p.workerCount * liveSlotWords(p.sessionsPerWorker)),
    region('counters', p.countersAt, threadCount * COUNTERS_STRIDE * 2),
    region('protocols', p.protocolsAt, LISTENERS_MAX * PROTOCOL_WORDS),
  ]
}

function arenaRegions(p: Plan): Region[] {
  const recv = p.workerCount * p.recvBuffersPerWorker * p.recvBufferStride
  const heap = p.driverCount * p.heapBytesPerWorker
  return [
    ['receive', p.recvByteAt, p.recvByteAt + recv],
    ['chunks', p.chunkByteAt, p.chunkByteAt + p.chunkCount * p.chunkBytes],
    ['heaps', p.heapByteAt, p.heapByteAt + heap],
  ]
}

function expectApart(regions: Region[], size: number): void {
  const sorted = regions.toSorted((a, b) => a[1] - b[1])
  let end = 0
  for (const [name, start, behind] of sorted) {
    expect(start, name).toBeGreaterThanOrEqual(end)
    expect(behind, name).toBeGreaterThan(start)
    end = behind
  }
  expect(end).toBeLessThanOrEqual(size)
}

describe.each(variants)('%j', (options) => {
  const planned = plan(options)
  const { words } = planned
  const p = planned.plan

  it('keeps control regions apart, on cache lines of their own', () => {
    const regions = controlRegions(p)
    expectApart(regions, words.length)
    for (const [name, start] of regions) expect(start % CACHE_LINE_WORDS, name).toBe(0)
    for (const size of [THREAD_WORDS, SESSION_WORDS]) expect(size % CACHE_LINE_WORDS).toBe(0)
    expect(words[CONTROL_CONTROL_WORDS]).toBe(words.length)
  })

  it('keeps arena regions apart, chunks aligned to themselves', () => {
    expectApart(arenaRegions(p), p.arenaBytes)
    expect(p.chunkByteAt % p.chunkBytes).toBe(0)
    expect(p.arenaBytes).toBe(planned.arena.byteLength)
  })

  it('says who it is, and what was asked for', () => {
    const resolved = resolveOptions(options)
    expect(words[CONTROL_MAGIC]).toBe(MAGIC)
    expect(words[CONTROL_LAYOUT_HASH]).toBe(LAYOUT_HASH)
    expect(words[CONTROL_RECV_BUFFER_BYTES]).toBe(resolved.receiveBufferSize)
    expect(p.threadCount).toBe(resolved.workers + 2)
    expect(p.workerCount).toBe(resolved.workers)
    expect(p.sessionCapacity).toBe(resolved.maxSessions)
    expect(p.recvBuffersPerWorker).toBe(resolved.receiveBuffers)
    expect(p.recvBufferStride).toBeGreaterThan(resolved.receiveBufferSize)
    expect(p.chunkBytes).toBe(resolved.chunkBytes)
    expect(p.arenaBytes).toBe(resolved.arenaBytes)
    expect(p.groupMax).toBe(resolved.groups.max)
    expect(p.groupCapacity).toBe(resolved.groups.capacity)
  })

  it('gives every slot an owner, every worker its share', () => {
    const slots = new Array(p.workerCount + 1).fill(0)
    let last = 1
    for (let slot = 0; slot < p.sessionCapacity; slot++) {
      const owner = words[p.sessionsAt + slot * SESSION_WORDS + SESSION_OWNER]
      expect(owner).toBeGreaterThanOrEqual(last)
      expect(owner).toBeLessThanOrEqual(p.workerCount)
      slots[owner]++
      last = owner
    }
    expect(Math.max(...slots)).toBe(p.sessionsPerWorker)
    expect(p.sessionsPerWorker * p.workerCount).toBeGreaterThanOrEqual(p.sessionCapacity)
  })

  it('has every chunk free, and no bit of one that is not', () => {
    let free = 0
    for (let chunk = 0; chunk < 32 * Math.ceil(p.chunkCount / 32); chunk++) {
      const bit = (words[p.chunkBitmapAt + (chunk >>> 5)] >>> (chunk & 31)) & 1
      expect(bit).toBe(chunk < p.chunkCount ? 1 : 0)
      free += bit
    }
    expect(free).toBe(p.chunkCount)
    expect(free).toBeGreaterThanOrEqual(2 * p.threadCount)
  })

  it('sizes completion rings for what one turn can bring', () => {
    const { completionBatch } = resolveOptions(options)
    expect(Math.log2(p.completionCapacity) % 1).toBe(0)
    expect(p.completionCapacity).toBeGreaterThanOrEqual(
      completionBatch + (2 * p.submissionWords) / 3,
    )
  })

  it('says so in one line', () => {
    expect(planned.text).toMatch(
      /^\d+ sessions, control \d+\.\d MiB \(\d+ groups \d+\.\d MiB\), arena \d+\.\d MiB = receive \d+\.\d MiB \+ chunks \d+\.\d MiB \+ overflow \d+\.\d MiB$/,
    )
  })
})

describe('an arena that is too small', () => {
  const small: ServerOptions[] = [
    { workers: 60, arenaBytes: 4_194_304 },
    { workers: 2, arenaBytes: 4_194_304, chunkBytes: 1_048_576, receiveBuffers: 16 },
    { workers: 1, arenaBytes: 4_194_304, receiveBuffers: 256, receiveBufferSize: 16_384 },
  ]
  it.each(small)('%j: the sentence names every value, and what would do', (options) => {
    const { code, message } = errorOf(() => plan(options))
    expect(code).toBe('ERR_MEMORY_PLAN')
    const resolved = resolveOptions(options)
    const { workers, receiveBuffers, receiveBufferSize, chunkBytes } = resolved
    expect(message).toContain(`arenaBytes is ${resolved.arenaBytes}`)
    expect(message).toContain(
      `${workers} workers with ${receiveBuffers} receive buffers of ${receiveBufferSize} bytes`,
    )
    expect(message).toContain(`chunks of ${chunkBytes} bytes`)
    const needed = Number(/need at least (\d+)$/.exec(message)?.[1])
    expect(needed).toBeGreaterThan(resolved.arenaBytes)
    if (needed > 2_147_418_112) return
    expect(plan({ ...options, arenaBytes: needed }).plan.arenaBytes).toBe(needed)
  })
})

describe('a control memory that word indices cannot span', () => {
  it('is refused: the option, its value, and what is allowed', () => {
    const options = {
      workers: 60,
      maxSessions: 1_048_575,
      receiveBuffers: 16,
      groups: { max: 32 },
    }
    const { code, message } = errorOf(() => plan(options))
    expect(code).toBe('ERR_MEMORY_PLAN')
    const [, sessions] =
      /^maxSessions is 1048575; with 60 workers and 32 groups it must be at most (\d+),/.exec(
        message,
      ) as RegExpExecArray
    expect(Number(sessions)).toBeLessThan(options.maxSessions)
    const next = errorOf(() => plan({ ...options, maxSessions: Number(sessions) + 1 }))
    expect(next.message).toContain(`it must be at most ${sessions},`)
    // All regions of as many as are allowed, which no test can allocate, stay within 31 bits.
    const { plan: small, words: control } = plan({ ...options, maxSessions: 10_000 })
    const perSession =
      SESSION_WORDS +
      (small.threadCount * small.nodesPerThread * NODE_WORDS) / 10_000 +
      (32 + 1) / 32
    const rest = control.length - perSession * 10_000
    const words = rest + perSession * Number(sessions)
    expect(words).toBeLessThanOrEqual(2 ** 31 - 1)
    expect(words).toBeGreaterThan(2 ** 31 - 1 - 2 * perSession)
  })

  it('is refused for its groups, too', () => {
    const options = { workers: 1, maxSessions: 1_048_575, groups: { max: 65_535 } }
    const { code, message } = errorOf(() => plan(options))
    expect(code).toBe('ERR_MEMORY_PLAN')
    expect(message).toMatch(
      /^maxSessions is 1048575; with 1 workers and 65535 groups it must be at most \d{6},/,
    )
  })
})
