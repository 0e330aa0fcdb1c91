// What: tests of how `npm test` counts and how setup finds what is stale.
// Flow: scripts/test.mjs, scripts/setup.mjs -> this.
// Thread: the test's.

import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isStale } from '../../scripts/setup.mjs'
import { countReport } from '../../scripts/test.mjs'

describe('countReport', () => {
  const file = (status: string, ...tests: string[]) => ({
    name: 'a.test.ts',
    status,
    assertionResults: tests.map((each) => ({ status: each, fullName: `is ${each}` })),
  })

  it('sums passed and failed tests', () => {
    const report = { testResults: [file('passed', 'passed', 'passed'), file('failed', 'failed')] }
    expect(countReport(report, true)).toMatchObject({ passed: 2, failed: 1, skipped: [] })
  })

  it('keeps what a failed test said', () => {
    const failed = {
      status: 'failed',
      fullName: 'is odd',
      failureMessages: ['Error: 2\n  at a.ts'],
    }
    const report = {
      testResults: [{ name: '/a.test.ts', status: 'failed', assertionResults: [failed] }],
    }
    expect(countReport(report, false).messages).toEqual([
      expect.stringMatching(/a\.test\.ts: is odd\n {2}Error: 2\n {4}at a\.ts$/),
    ])
  })

  it('counts a file that does not load as one failure', () => {
    const report = { testResults: [file('failed')] }
    expect(countReport(report, false)).toMatchObject({ failed: 1, broken: ['a.test.ts'] })
  })

  it('names skipped tests, which are failures where nothing may be skipped', () => {
    const report = { testResults: [file('passed', 'passed', 'pending', 'todo')] }
    const skipped = ['is pending', 'is todo']
    expect(countReport(report, false)).toMatchObject({ passed: 1, failed: 0, skipped })
    expect(countReport(report, true)).toMatchObject({ passed: 1, failed: 2, skipped })
  })

  it('takes a part of a file for a sample, but not nothing of it', () => {
    const report = { testResults: [file('passed', 'passed', 'pending'), file('passed', 'pending')] }
    const skipped = ['all of a.test.ts']
    expect(countReport(report, true, true)).toMatchObject({ passed: 1, failed: 1, skipped })
    const failing = { testResults: [file('failed', 'failed', 'pending')] }
    expect(countReport(failing, true, true)).toMatchObject({ passed: 0, failed: 1, skipped: [] })
  })
})

describe('isStale', () => {
  const target = { script: 'build', artifact: 'out/a.js', sources: ['src', 'tsconfig.json'] }
  let folder = ''

  function write(path: string, seconds: number): void {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), '')
    utimesSync(join(folder, path), seconds, seconds)
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'overlapped-setup-'))
    write('src/deep/a.ts', 100)
    write('tsconfig.json', 100)
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('is stale when there is no artifact', () => {
    expect(isStale(folder, target)).toBe(true)
  })

  it('is fresh when the artifact is newer than every source', () => {
    write('out/a.js', 200)
    expect(isStale(folder, target)).toBe(false)
  })

  it.each(['src/deep/a.ts', 'src/b.ts', 'tsconfig.json'])('is stale when %s is newer', (path) => {
    write('out/a.js', 200)
    write(path, 300)
    expect(isStale(folder, target)).toBe(true)
  })
})
