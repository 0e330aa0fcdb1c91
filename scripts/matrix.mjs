// What: which test ran on which driver: a table, and what is missing without being on the written list.
// Flow: reports of vitest (JSON) -> this -> test.mjs, `npm run matrix`.
// Thread: none; a script, in syntax that Node 12 reads (see preflight.mjs).

// biome-ignore-start lint/style/useNodejsImportProtocol: see preflight.mjs.
import { readFileSync, realpathSync } from 'fs'
import { fileURLToPath } from 'url'
// biome-ignore-end lint/style/useNodejsImportProtocol: see above.
import { missing } from '../test/driver/missing.mjs'

export const DRIVERS = ['sim', 'io_uring', 'epoll', 'iocp']
const CELLS = { passed: 'yes', failed: 'FAILED' }
/** Groups of tests: of the suite each test is a row, of end-to-end files only how many there are. */
const SUITE = 'test/driver/'
const E2E = 'test/e2e/'

/** The driver that a test's titles name; undefined: none, it runs on whatever the system has. */
function driverOf(titles) {
  // What vitest takes from an object it puts into quotes.
  const words = titles.join(' ').split(/[\s,']+/)
  return DRIVERS.find((driver) => words.includes(driver))
}

/** A test's name without its driver: the same on every driver. */
function nameOf(titles, driver) {
  const name = titles.join(' > ')
  return driver === undefined ? name : name.replace(driver, '*').replace(/^\* > /, '')
}

/** The path of a test file in the package, wherever the report was made. */
export function fileOf(name) {
  const path = name.replace(/\\/g, '/')
  return path.slice(path.lastIndexOf('/test/') + 1)
}

/**
 * Tests of reports as rows: { file, name, cells: { driver: status } }. A test that names no driver counts for
 * `fallback` of its report: what there is on that system.
 */
export function rowsOf(reports) {
  const rows = new Map()
  for (const { report, fallback } of reports) {
    for (const { name, assertionResults } of report.testResults) {
      const file = fileOf(name)
      if (!file.startsWith(SUITE) && !file.startsWith(E2E)) continue
      for (const { ancestorTitles, title, status } of assertionResults) {
        if (CELLS[status] === undefined) continue
        const titles = [...ancestorTitles, title]
        const driver = driverOf(ancestorTitles)
        const test = nameOf(titles, driver)
        const key = `${file}: ${test}`
        if (!rows.has(key)) rows.set(key, { file, name: test, cells: {} })
        for (const each of driver === undefined ? fallback : [driver])
          rows.get(key).cells[each] = status
      }
    }
  }
  return [...rows.values()]
}

/** Whether an entry of the list is about a row: its file, a group of tests in it, or the test. */
function isAbout({ file, test }, row) {
  if (file !== row.file) return false
  return test === undefined || test === row.name || row.name.startsWith(`${test} > `)
}

function isListed(driver, row) {
  return missing.some((each) => each.driver === driver && isAbout(each, row))
}

/** Drivers of which any test ran. */
function columnsOf(rows) {
  return DRIVERS.filter((driver) => rows.some(({ cells }) => cells[driver] !== undefined))
}

/** Drivers that these reports have tests of. */
export function driversOf(reports) {
  return columnsOf(rowsOf(reports))
}

/** Drivers that a row is about: the simulation has no end-to-end tests. */
const concerns = (driver, { file }) => driver !== 'sim' || file.startsWith(SUITE)

/**
 * What is wrong, in sentences: tests that a driver lacks without being listed, and entries of the list that are not
 * so. Only drivers that ran are looked at; entries that name no test are found when all did.
 */
export function complaintsOf(rows) {
  const complaints = []
  const columns = columnsOf(rows)
  for (const row of rows) {
    for (const driver of columns) {
      const isThere = row.cells[driver] !== undefined
      if (!concerns(driver, row)) continue
      const where = `${row.file}: ${row.name}`
      if (!isThere && !isListed(driver, row)) complaints.push(`${driver} lacks ${where}`)
      if (isThere && isListed(driver, row))
        complaints.push(`${driver} has ${where}, and the list says that it lacks it`)
    }
  }
  // What another driver alone has is not known where that one did not run.
  if (columns.length < DRIVERS.length) return complaints
  for (const each of missing) {
    if (!rows.some((row) => isAbout(each, row)))
      complaints.push(
        `the list names ${each.file}${each.test ? `: ${each.test}` : ''}, which there is not`,
      )
  }
  return complaints
}

/** Lines of the table: each test of the suite, and how many an end-to-end file has on each driver. */
export function tableOf(rows) {
  const columns = columnsOf(rows)
  const line = (cells, name) => `${cells.map((cell) => cell.padEnd(9)).join('')}${name}`
  const lines = [line(columns, 'test')]
  for (const row of rows.filter(({ file }) => file.startsWith(SUITE))) {
    const file = row.file.slice(SUITE.length).replace('.test.ts', '')
    const cells = columns.map((driver) => CELLS[row.cells[driver]] || '-')
    lines.push(line(cells, `${file}: ${row.name}`))
  }
  const files = new Set(rows.map(({ file }) => file).filter((file) => file.startsWith(E2E)))
  for (const file of files) {
    const ofFile = rows.filter((row) => row.file === file)
    const cells = columns.map((driver) => {
      const ran = ofFile.filter(({ cells: each }) => each[driver] !== undefined)
      const failed = ran.filter(({ cells: each }) => each[driver] === 'failed').length
      if (ran.length === 0) return '-'
      return failed > 0 ? `${failed} FAILED` : `${ran.length}`
    })
    lines.push(line(cells, file))
  }
  for (const { driver, file, test, reason } of missing) {
    if (columns.includes(driver))
      lines.push(`- ${driver}: ${file}${test ? `: ${test}` : ''}: ${reason}`)
  }
  return lines
}

/** What ran where a test names no driver: both of Linux count as tested, as the rest of the system is the same. */
export const LINUX = ['io_uring', 'epoll']
export const WINDOWS = ['iocp']

/** Prints the table of these reports, by `say`; what is wrong with it. */
export function printMatrix(reports, say = console.log) {
  const rows = rowsOf(reports)
  for (const each of tableOf(rows)) say(each)
  const complaints = complaintsOf(rows)
  for (const each of complaints) say(`MISSING: ${each}`)
  return complaints
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const reports = process.argv.slice(2).map((path) => {
    const report = JSON.parse(readFileSync(path, 'utf8'))
    const isWindows = report.testResults.some(({ name }) => /^[A-Z]:/.test(name))
    return { report, fallback: isWindows ? WINDOWS : LINUX }
  })
  process.exitCode = printMatrix(reports).length === 0 ? 0 : 1
}
