// What: `npm test`: builds what is not built, runs every check, ends with `N passed, N failed`.
// Flow: .ci/run, npm -> this -> setup.mjs, generate.mjs, biome, tsc, vitest.
// Thread: none; a script that runs one step after the other.

// biome-ignore-start lint/style/useNodejsImportProtocol: see preflight.mjs.
import { spawnSync } from 'child_process'
import * as fs from 'fs'
import { tmpdir } from 'os'
import { join, relative } from 'path'
import { fileURLToPath } from 'url'
// biome-ignore-end lint/style/useNodejsImportProtocol: see above.
import { DRIVERS, driversOf, LINUX, printMatrix, WINDOWS } from './matrix.mjs'
import { fetchNode, sampledFiles, sampledNames, versions, wholeFiles } from './node_matrix.mjs'
import { sanitizerSteps } from './sanitizers.mjs'
import { build, install, root } from './setup.mjs'

const isCi = process.env.CI === 'true'
const vitestArgs = process.argv.slice(2)

/** Runs a command with its output shown; whether it succeeded. */
function command(program, args, extraEnv) {
  const env = { ...process.env, ...(isCi ? { TESTS_SKIP_NOTHING: '1' } : {}), ...extraEnv }
  return spawnSync(program, args, { cwd: root, stdio: 'inherit', env }).status === 0
}

/** Runs a script of this package or of node_modules. */
function node(path, ...args) {
  return command(process.execPath, [join(root, path), ...args])
}

/** What failed is said where it happens and again at the end: of a long log often only the end is kept. */
const failureMessages = []
const MESSAGE_LINES = 12

function describeFailure(file, { fullName, failureMessages: said = [] }) {
  const lines = said.join('\n').split('\n').slice(0, MESSAGE_LINES)
  return [`${relative(root, file)}: ${fullName}`, ...lines.map((line) => `  ${line}`)].join('\n')
}

function check(isPassed) {
  return { passed: isPassed ? 1 : 0, failed: isPassed ? 0 : 1 }
}

/**
 * Counts tests. A file that cannot be loaded is one failure. In CI a skipped test is one too,
 * unless the arguments chose what to run. Of a sample only files of which nothing ran are.
 * `messages` holds each failed test: file, name, and the first lines of what it said.
 */
export function countReport(report, isSkipFailure, isSample = false) {
  const total = { passed: 0, failed: 0, skipped: [], broken: [], messages: [] }
  for (const file of report.testResults) {
    let failedHere = 0
    let passedHere = 0
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passedHere += 1
      else if (test.status === 'failed') {
        failedHere += 1
        total.messages.push(describeFailure(file.name, test))
      } else if (!isSample) total.skipped.push(test.fullName)
    }
    total.passed += passedHere
    if (isSample && passedHere + failedHere === 0) total.skipped.push(`all of ${file.name}`)
    if (file.status === 'failed' && failedHere === 0) {
      failedHere = 1
      total.broken.push(file.name)
    }
    total.failed += failedHere
  }
  if (isSkipFailure) total.failed += total.skipped.length
  return total
}

/** What the table of tests by driver is made from. */
const reports = []

/** Counts a report, and says what it has that should not be. `isOk`: what vitest itself thought of it. */
function tell(report, isOk, isSample = false) {
  const isSkipFailure = isCi && vitestArgs.length === 0
  const total = countReport(report, isSkipFailure, isSample)
  const broken = total.broken.map((name) => `did not load, or did not end: ${relative(root, name)}`)
  const skipped = total.skipped.map((name) => `skipped: ${name}`)
  for (const line of [...broken, ...skipped]) console.log(line)
  failureMessages.push(...total.messages, ...broken, ...(isSkipFailure ? skipped : []))
  if (!isOk && total.failed === 0) {
    total.failed = 1
    failureMessages.push('vitest: an error outside of any test, or no test at all')
  }
  return total
}

/** `run(args)` runs vitest with these arguments; whether it succeeded. `keep(report)` gets what it reports. */
function vitest(run, isSample = false, keep = () => {}) {
  const folder = fs.mkdtempSync(join(tmpdir(), 'overlapped-test-'))
  const file = join(folder, 'report.json')
  try {
    const isOk = run([
      join(root, 'node_modules/vitest/vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${file}`,
    ])
    if (!fs.existsSync(file)) return check(false)
    const report = JSON.parse(fs.readFileSync(file, 'utf8'))
    keep(report)
    return tell(report, isOk, isSample)
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

/** Some files whole, and the sample of all others. */
function vitestSample(run, files) {
  const whole = vitest((args) => run([...args, ...files]))
  const sampled = vitest(
    (args) => run([...args, ...sampledFiles, '--testNamePattern', sampledNames]),
    true,
  )
  return { passed: whole.passed + sampled.passed, failed: whole.failed + sampled.failed }
}

/**
 * What is run where io_uring is denied. Everything has run on epoll already, by name; here `auto` finds it, so these are
 * the tests of that choice, those of the send threads, and of each other promise what the other Nodes have of it.
 */
export const deniedFiles = ['driver', 'seccomp', 'cli', 'send', 'update'].map(
  (name) => `test/e2e/${name}.test.ts`,
)

/** End-to-end tests as a container runs them: under a filter that denies io_uring. */
function vitestWithoutUring() {
  const folder = fs.mkdtempSync(join(tmpdir(), 'overlapped-deny-'))
  const deny = join(folder, 'deny_io_uring')
  try {
    const isBuilt = command(process.env.CC || 'cc', [
      '-O1',
      '-o',
      deny,
      'test/native/deny_io_uring.c',
    ])
    if (!isBuilt) return check(false)
    const run = (args) => command(deny, [process.execPath, ...args], { TESTS_IO_URING_DENIED: '1' })
    return vitestSample(run, deniedFiles)
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

/** The same built addon and JavaScript on another Node. */
function vitestOnNode(major) {
  const binary = fetchNode(major)
  if (binary === undefined) return check(false)
  return vitestSample((args) => command(binary, args), wholeFiles)
}

/** Exit code and report of test_windows.mjs, whose syntax is newer than this file's. */
const WINDOWS_NOT_SET_UP = 77
const WINDOWS_REPORT = '.cache/windows/report.json'

function vitestOnWindows() {
  const child = spawnSync(process.execPath, [join(root, 'scripts/test_windows.mjs')], {
    cwd: root,
    stdio: 'inherit',
  })
  if (child.status === WINDOWS_NOT_SET_UP) {
    console.log('SKIPPED: every test on Windows: it cannot be set up here')
    return isCi ? check(false) : { passed: 0, failed: 0 }
  }
  const file = join(root, WINDOWS_REPORT)
  if (!fs.existsSync(file)) return check(false)
  const report = JSON.parse(fs.readFileSync(file, 'utf8'))
  reports.push({ report, fallback: WINDOWS })
  return tell(report, child.status === 0)
}

/** The table of tests by driver; what is absent without being listed fails, and where `isAll`, a driver that none ran on. */
export function countMatrix(made, isAll, say = console.log) {
  const complaints = printMatrix(made, say)
  const absent = DRIVERS.filter((driver) => !driversOf(made).includes(driver))
  for (const driver of absent) say(`${isAll ? 'MISSING' : 'SKIPPED'}: all of ${driver}`)
  return check(complaints.length === 0 && (!isAll || absent.length === 0))
}

/** In order; a step with `isGate` that fails ends the run. */
const steps = [
  { name: 'install', isGate: true, run: () => check(install() === 0) },
  { name: 'generated files', run: () => check(node('scripts/generate.mjs', '--check')) },
  { name: 'biome', run: () => check(node('node_modules/@biomejs/biome/bin/biome', 'check', '.')) },
  {
    name: 'types',
    run: () => check(node('node_modules/typescript/bin/tsc', '-p', 'tsconfig.test.json')),
  },
  { name: 'build', isGate: true, run: () => check(build() === 0) },
  {
    name: 'build of the simulation',
    run: () =>
      check(
        node(
          'node_modules/cmake-js/bin/cmake-js',
          'compile',
          '--silent',
          '--target',
          'overlapped_sim',
        ),
      ),
  },
  {
    name: 'vitest',
    run: () =>
      vitest(
        (args) => command(process.execPath, [...args, ...vitestArgs]),
        false,
        (report) => reports.push({ report, fallback: LINUX }),
      ),
  },
  ...(vitestArgs.length > 0
    ? []
    : [
        { name: 'Windows, under Wine', run: vitestOnWindows },
        { name: 'tests by driver', run: () => countMatrix(reports, isCi) },
        { name: 'vitest e2e, io_uring denied', run: vitestWithoutUring },
        ...Object.keys(versions).map((major) => ({
          name: `Node ${major}`,
          run: () => vitestOnNode(major),
        })),
        ...sanitizerSteps({
          command,
          vitest: (args, env, isSample) =>
            vitest((more) => command(process.execPath, [...more, ...args], env), isSample),
          isCi,
        }),
      ]),
]

function main() {
  const sum = { passed: 0, failed: 0 }
  const failedSteps = []
  for (const { name, isGate, run } of steps) {
    console.log(`== ${name}`)
    const startMs = Date.now()
    const { passed, failed } = run()
    console.log(`== ${name}: ${Math.round((Date.now() - startMs) / 1000)} s`)
    sum.passed += passed
    sum.failed += failed
    if (failed === 0) continue
    failedSteps.push(name)
    if (isGate) break
  }
  for (const message of failureMessages) console.log(message)
  if (failedSteps.length > 0) console.log(`failed: ${failedSteps.join(', ')}`)
  console.log(`${sum.passed} passed, ${sum.failed} failed`)
  process.exitCode = sum.failed === 0 ? 0 : 1
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) main()
