// What: the promise under the arena: bytes written through one thread's alias are seen through another's after Atomics.
// Flow: litmus_thread.mjs in real threads, on the built package -> violations -> this.
// Thread: main waits; worker threads, and a native one, exchange payloads.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadBinding } from '../../src/binding.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

const path = (relative: string) => fileURLToPath(new URL(`../../${relative}`, import.meta.url))
const THREAD = new URL('../helpers/litmus_thread.mjs', import.meta.url)
const BUILT = new URL('../../dist/src/', import.meta.url)

/** Enough for every tier of the compiler, and for millions of payloads in all; a second or two each. */
const ROUNDS = { ring: 600_000, list: 400_000, flag: 500_000, spin: 250_000, native: 600_000 }
type Pattern = keyof typeof ROUNDS
const ROLES = { ring: [1, 2], list: [0, 1, 2], flag: [1, 2], spin: [1, 2], native: [1] }
/** A broken pattern ends at its first violation, within so many times the rounds. */
const BROKEN_FACTOR = 4

interface Result {
  readonly done: number
  readonly violations: number
  readonly firstViolation: string
  readonly wasOptimized: boolean
}

let folder = ''
let producer = ''

async function run(pattern: Pattern, broken = ''): Promise<Result[]> {
  const { memories } = unitMemory({}, { nodesPerThread: 64, completionCapacity: 64 })
  const binding = loadBinding()
  const control = new Uint8Array(memories.control)
  const runtime = binding.createRuntime(control, new Uint8Array(memories.arena))
  const rounds = ROUNDS[pattern] * (broken === '' ? 1 : BROKEN_FACTOR)
  const start = (role: number) => {
    const workerData = {
      role,
      pattern,
      broken,
      rounds,
      memories: { ...memories, runtime },
      built: BUILT.href,
      producer,
    }
    const worker = new Worker(THREAD, { workerData })
    return new Promise<Result>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
      worker.once('exit', () => reject(new Error(`thread ${role} ended without a result`)))
    })
  }
  try {
    return await Promise.all(ROLES[pattern].map(start))
  } finally {
    binding.destroyRuntime(runtime)
  }
}

describe('aliases', () => {
  beforeAll(() => {
    expect(existsSync(BUILT), 'the package is built: npm run build:ts').toBe(true)
    folder = mkdtempSync(join(tmpdir(), 'overlapped-litmus-'))
    producer = join(folder, 'producer.node')
    const require = createRequire(import.meta.url)
    const headers = (require('node-api-headers') as { include_dir: string }).include_dir
    execFileSync(process.env.CXX || 'c++', [
      ...['-std=gnu++20', '-O2', '-fPIC', '-shared', '-pthread', '-Wall', '-Wextra', '-Werror'],
      ...['-DNAPI_VERSION=8', `-I${path('native')}`, '-isystem', headers],
      ...['-o', producer, path('test/native/litmus/producer.cc')],
    ])
  })

  afterAll(() => rmSync(folder, { recursive: true }))

  it.each([
    ['ring', 'a completion ring in each direction'],
    ['list', 'a send list with two producers, and nodes that come back'],
    ['flag', 'a block that whoever holds the send flag changes'],
    ['spin', 'one address, turn by turn, in one hot function'],
    ['native', 'a completion ring that a native thread fills'],
  ] as const)('%s: %s', async (pattern, _what) => {
    const results = await run(pattern)
    for (const { violations, firstViolation } of results) {
      expect(firstViolation).toBe('')
      expect(violations).toBe(0)
    }
    const done = results.map((result) => result.done)
    const rounds = ROUNDS[pattern]
    expect(done).toEqual(pattern === 'list' ? [rounds, 2 * rounds, rounds] : done.map(() => rounds))
    // Interpreted code reorders nothing: without this the test would say less.
    expect(results.map(({ wasOptimized }) => wasOptimized)).toEqual(results.map(() => true))
  })

  it.each([
    ['ring', 'publish first'],
    ['ring', 'no load'],
    ['list', 'publish first'],
    ['list', 'give back first'],
    ['flag', 'no flag'],
    ['spin', 'no load'],
    ['native', 'no load'],
  ] as const)('finds a violation in %s with %s', async (pattern, broken) => {
    const results = await run(pattern, broken)
    expect(Math.max(...results.map(({ violations }) => violations))).toBeGreaterThan(0)
  })
})
