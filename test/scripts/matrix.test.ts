// What: tests of the table of tests by driver: what it shows, and what it complains of.
// Flow: scripts/matrix.mjs, the written list -> this.
// Thread: the test's.

import { describe, expect, it } from 'vitest'
import {
  complaintsOf,
  DRIVERS,
  driversOf,
  fileOf,
  LINUX,
  rowsOf,
  tableOf,
  WINDOWS,
} from '../../scripts/matrix.mjs'
import { countMatrix } from '../../scripts/test.mjs'

const SENDING = 'test/driver/sending.test.ts'

type Test = [titles: string, status?: string]

/** A report as Windows' Node makes it. */
function onWindows(file: string, ...tests: Test[]) {
  const { report } = reportOf(file, ...tests)
  const testResults = report.testResults.map((each) => ({ ...each, name: `Z:${each.name}` }))
  return { report: { testResults }, fallback: WINDOWS }
}

function reportOf(file: string, ...tests: Test[]) {
  const assertionResults = tests.map(([titles, status = 'passed']) => {
    const parts = titles.split(' > ')
    return { ancestorTitles: parts.slice(0, -1), title: parts.at(-1), status }
  })
  return { report: { testResults: [{ name: `/any/${file}`, assertionResults }] }, fallback: LINUX }
}

const sentences = (...reports: object[]) =>
  complaintsOf(rowsOf(reports)).filter((sentence) => !sentence.startsWith('the list names'))

describe('the table of tests by driver', () => {
  it('finds the driver in the titles', () => {
    const rows = rowsOf([
      reportOf(SENDING, ['sim > sends'], ['io_uring > sends', 'failed']),
      reportOf(
        'test/e2e/stop.test.ts',
        ["'epoll', mode 'worker' > stops"],
        ['has no driver > runs'],
      ),
    ])
    expect(rows).toEqual([
      { file: SENDING, name: 'sends', cells: { sim: 'passed', io_uring: 'failed' } },
      {
        file: 'test/e2e/stop.test.ts',
        name: "'*', mode 'worker' > stops",
        cells: { epoll: 'passed' },
      },
      {
        file: 'test/e2e/stop.test.ts',
        name: 'has no driver > runs',
        cells: { io_uring: 'passed', epoll: 'passed' },
      },
    ])
  })

  it('knows a file wherever the report was made', () => {
    expect(fileOf('Z:/some/test/place/test/driver/a.test.ts')).toBe('test/driver/a.test.ts')
    expect(fileOf('C:\\place\\test\\e2e\\abuse\\a.test.ts')).toBe('test/e2e/abuse/a.test.ts')
  })

  it('complains of a test that a driver lacks, and of no other', () => {
    const both = reportOf(SENDING, ['io_uring > sends'], ['epoll > sends'])
    expect(sentences(both)).toEqual([])
    const one = reportOf(SENDING, ['io_uring > waits'])
    expect(sentences(both, one)).toEqual([`epoll lacks ${SENDING}: waits`])
  })

  it('asks the simulation for no end-to-end test', () => {
    const suite = reportOf(SENDING, ['sim > sends'], ['epoll > sends'])
    const e2e = reportOf('test/e2e/stop.test.ts', ['epoll > stops'])
    expect(sentences(suite, e2e)).toEqual([])
  })

  it('allows what is on the list, and complains when it is there after all', () => {
    const file = 'test/driver/connecting.test.ts'
    const name = 'A13: an address without a way is unreachable'
    const listed = reportOf(file, [`epoll > ${name}`], ['sim > connects'], ['epoll > connects'])
    expect(sentences(listed)).toEqual([])
    const there = reportOf(file, [`epoll > ${name}`], [`sim > ${name}`])
    expect(sentences(there)).toEqual([
      `sim has ${file}: ${name}, and the list says that it lacks it`,
    ])
  })

  it('takes an entry for a group of tests', () => {
    const file = 'test/e2e/driver.test.ts'
    const group = 'features of io_uring ruled out'
    const both = reportOf(file, ['io_uring > echoes'], ['epoll > echoes'])
    expect(sentences(both, reportOf(file, [`${group} > skipSuccess`]))).toEqual([])
    const other = reportOf(file, [`${group} or not > skipSuccess`])
    expect(sentences(both, other)).toEqual([
      `epoll lacks ${file}: ${group.replace('io_uring', '*')} or not > skipSuccess`,
    ])
  })

  it('complains of an entry of the list that names no test', () => {
    const onAll = DRIVERS.map((driver): Test => [`${driver} > sends`])
    const complaints = complaintsOf(rowsOf([reportOf(SENDING, ...onAll)]))
    expect(complaints).toContain(
      'the list names test/driver/connecting.test.ts: A13: an address without a way is unreachable, which there is not',
    )
  })

  it('has a row for each test of the suite, and a number for an end-to-end file', () => {
    const reports = [
      reportOf(SENDING, ['io_uring > sends'], ['epoll > sends', 'failed']),
      reportOf('test/e2e/stop.test.ts', ['io_uring > stops'], ['io_uring > waits']),
    ]
    expect(driversOf(reports)).toEqual(['io_uring', 'epoll'])
    expect(tableOf(rowsOf(reports)).slice(0, 3)).toEqual([
      'io_uring epoll    test',
      'yes      FAILED   sending: sends',
      '2        -        test/e2e/stop.test.ts',
    ])
  })

  describe('of IOCP', () => {
    const stops: Test[] = [['io_uring > stops'], ['epoll > stops'], ['has no driver > runs']]
    const linux = [
      reportOf(SENDING, ['io_uring > sends'], ['epoll > sends']),
      reportOf('test/e2e/stop.test.ts', ...stops),
    ]

    it('is content with a file that ran on Windows, whether its tests name a driver or not', () => {
      const windows = [
        onWindows(SENDING, ['iocp > sends']),
        onWindows('test/e2e/stop.test.ts', ['iocp > stops'], ['has no driver > runs']),
      ]
      expect(sentences(...linux, ...windows)).toEqual([])
    })

    it('complains of a test that was left out, or skipped', () => {
      const windows = [
        onWindows(SENDING, ['iocp > sends', 'pending']),
        onWindows('test/e2e/stop.test.ts', ['has no driver > runs']),
      ]
      expect(sentences(...linux, ...windows)).toEqual([
        `iocp lacks ${SENDING}: sends`,
        'iocp lacks test/e2e/stop.test.ts: stops',
      ])
    })

    it('complains of a file that was not run, unless the list has it', () => {
      const windows = onWindows(SENDING, ['iocp > sends'])
      const listed = reportOf('test/e2e/seccomp.test.ts', ['is denied'])
      expect(sentences(...linux, listed, windows)).toEqual([
        'iocp lacks test/e2e/stop.test.ts: stops',
        'iocp lacks test/e2e/stop.test.ts: has no driver > runs',
      ])
    })

    it('complains of a listed file that ran', () => {
      const ran = onWindows('test/e2e/seccomp.test.ts', ['is denied'])
      expect(sentences(ran)).toEqual([
        'iocp has test/e2e/seccomp.test.ts: is denied, and the list says that it lacks it',
      ])
    })

    it('whatever is lacking, or that none of it ran, fails in CI', () => {
      const rest = [reportOf(SENDING, ['sim > sends'])]
      const told: string[] = []
      const say = (line: string) => told.push(line)
      expect(countMatrix([...linux, ...rest], true, say)).toEqual({ passed: 0, failed: 1 })
      expect(told).toContain('MISSING: all of iocp')
      const windows = onWindows('test/e2e/stop.test.ts', ['iocp > stops'])
      expect(countMatrix([...linux, ...rest, windows], true, say)).toEqual({ passed: 0, failed: 1 })
      expect(told).toContain(`MISSING: iocp lacks ${SENDING}: sends`)
    })

    it('elsewhere a system that cannot be had is told, and allowed', () => {
      const told: string[] = []
      expect(countMatrix(linux, false, (line: string) => told.push(line))).toEqual({
        passed: 1,
        failed: 0,
      })
      expect(told).toContain('SKIPPED: all of iocp')
    })
  })
})
