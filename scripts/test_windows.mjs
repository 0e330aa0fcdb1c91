// What: `npm run test:windows`: the drivers' suite and the end-to-end tests, by vitest in Windows' Node under Wine.
// Flow: npm, test.mjs -> this -> build_windows.mjs, wine_node.mjs -> vitest -> its report.
// Thread: none; a script.

import { fork, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build as bundle } from 'vite'
import { missing } from '../test/driver/missing.mjs'
import { buildWindows } from './build_windows.mjs'
import { build, root } from './setup.mjs'
import { runWindowsNode, windowsNode } from './wine_node.mjs'

/** A copy of the package with dependencies for Windows, which would replace those of Linux here. */
const FOLDER = join(root, '.cache/windows')
const ADDON = 'build/win32-x64/overlapped.node'
const COPIED = ['src', 'workers', 'test', 'dist', 'scripts', 'examples', 'vitest.config.ts', ADDON]
const LOCK = 'package-lock.json'
const INSTALLED = join(FOLDER, 'node_modules', LOCK)
const COMPILER = 'x86_64-w64-mingw32-gcc-posix'
const REPORT = 'report.json'
/** Programs, and modules that each thread of them has to itself: as they are. */
const OF_PROGRAMS = /^src\/(cli|load|layout\/generate|layout\/schema|config\/options_page)\b/
/** vitest tells of each test and ends one after a minute, its hooks after two more: who is silent for longer hangs. */
const SILENCE_MS = 5 * 60_000
/** As many files at a time, each in a Wine of its own: what does not end takes no other with it. */
const PREFIXES = ['prefix', 'prefix_2']
/** Exit code where Wine, the compiler or the dependencies cannot be had. */
const NOT_SET_UP = 77
/** Everything that a driver is tested by; what IOCP lacks is on the list. */
const FOLDERS = ['test/driver', 'test/e2e']

/** @param {string} file @param {string[]} args @param {string} cwd */
function run(file, args, cwd) {
  const child = spawnSync(file, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 28 })
  if (child.status === 0) return true
  console.error(`${file} ${args.join(' ')}\n${child.error?.message ?? child.stdout + child.stderr}`)
  return false
}

/** Dependencies as Windows has them, installed again when the lock file has changed. */
function installForWindows() {
  const lock = readFileSync(join(root, LOCK), 'utf8')
  if (existsSync(INSTALLED) && readFileSync(INSTALLED, 'utf8') === lock) return true
  console.error(`test:windows: installing dependencies for Windows in ${FOLDER}`)
  for (const file of ['package.json', LOCK]) cpSync(join(root, file), join(FOLDER, file))
  const args = ['ci', '--os=win32', '--cpu=x64', '--ignore-scripts', '--no-audit', '--no-fund']
  if (!run('npm', args, FOLDER)) return false
  writeFileSync(INSTALLED, lock)
  return true
}

/** What Wine lacks for vitest. @param {string} name */
function addRandomBytes(name) {
  const prefix = /** @type {string} */ (windowsNode(name).env.WINEPREFIX)
  const library = join(prefix, 'drive_c/windows/system32/bcryptprimitives.dll')
  if (existsSync(library)) return true
  const source = 'scripts/windows/bcryptprimitives.c'
  return run(COMPILER, ['-O2', '-shared', '-static', '-o', library, source, '-ladvapi32'], root)
}

function copyPackage() {
  for (const path of COPIED) {
    rmSync(join(FOLDER, path), { recursive: true, force: true })
    cpSync(join(root, path), join(FOLDER, path), { recursive: true })
  }
}

/**
 * Of the built package two files, what main loads and what all threads do, in place of a hundred: Wine opens files
 * slowly, and each thread of each test opened all of them. Each module is still there, as what it was: it takes what it
 * exports from one of the two. They lie in a folder of `src`, where `import.meta.url` is as deep as it was.
 */
async function bundlePackage() {
  const inDist = (/** @type {string} */ path) => relative(join(root, 'dist'), path)
  const ofMain = /^src\/(server|monitor|config\/load_config|index)\b/
  const modules = readdirSync(join(root, 'dist'), { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.js') && !OF_PROGRAMS.test(path),
  )
  const isOfThreads = (/** @type {string} */ path) => modules.includes(path) && !ofMain.test(path)
  await bundle({
    root,
    configFile: false,
    logLevel: 'warn',
    build: {
      ssr: true,
      minify: false,
      outDir: join(FOLDER, 'dist'),
      emptyOutDir: false,
      rolldownOptions: {
        input: Object.fromEntries(
          modules.map((path) => [path.slice(0, -'.js'.length), join(root, 'dist', path)]),
        ),
        output: {
          entryFileNames: '[name].js',
          chunkFileNames: 'src/server/bundle_[name].js',
          codeSplitting: {
            groups: [
              // First: a group takes along what it imports.
              { name: 'threads', test: (id) => isOfThreads(inDist(id)), priority: 2 },
              { name: 'main', test: (id) => modules.includes(inDist(id)), priority: 1 },
            ],
          },
        },
      },
    },
  })
}

/** Everything that is needed, on first use; a sentence for what cannot be had. */
function setUp() {
  mkdirSync(FOLDER, { recursive: true })
  rmSync(join(FOLDER, REPORT), { force: true })
  try {
    if (build() !== 0 || buildWindows() !== 0 || !installForWindows()) return false
    return PREFIXES.every(addRandomBytes)
  } catch (error) {
    console.error(`test:windows: ${error instanceof Error ? error.message : error}`)
    return false
  }
}

/** A process with peers on Linux; its port. */
function startPeers() {
  const peers = fork(join(root, 'test/helpers/remote_peer.mjs'))
  return new Promise((resolve) => {
    peers.once('message', (port) =>
      resolve({ port, stop: () => peers.connected && peers.disconnect() }),
    )
  })
}

const allFiles = () =>
  FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { encoding: 'utf8', recursive: true })
      .filter((file) => file.endsWith('.test.ts'))
      .map((file) => `${folder}/${file}`),
  )

/** Whether the list says that nothing of it is to run. @param {string} file */
const isMissing = (file) =>
  missing.some((each) => each.driver === 'iocp' && each.file === file && each.test === undefined)

/** @typedef {{ numFailedTests: number, testResults: { name: string, status: string, assertionResults: object[] }[] }} Report */

/**
 * Runs vitest there for one file; what it reports. What does not come to a report is a file that failed without a test.
 * @param {string} test @param {string} prefix @param {string[]} options @returns {Promise<{ code: number, report: Report }>}
 */
async function testFile(test, prefix, options) {
  const place = `report_${prefix}.json`
  rmSync(place, { force: true })
  const argv = [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--reporter=verbose',
    '--reporter=json',
    `--outputFile.json=${place}`,
    ...options,
    test,
  ]
  const code = await runWindowsNode(argv, { silenceMs: SILENCE_MS, prefix })
  if (existsSync(place)) return { code, report: JSON.parse(readFileSync(place, 'utf8')) }
  console.error(`test:windows: ${test} has no report; exit code ${code}`)
  const name = join(FOLDER, test)
  const testResults = [{ name, status: 'failed', assertionResults: [] }]
  return { code: code || 1, report: { numFailedTests: 1, testResults } }
}

/** All files, as many at a time as there are prefixes; the exit code. @param {string[]} tests @param {string[]} options */
async function testFiles(tests, options) {
  const waiting = [...tests]
  /** @type {Report} */
  const all = { numFailedTests: 0, testResults: [] }
  let exitCode = 0
  const work = async (/** @type {string} */ prefix) => {
    for (let test = waiting.shift(); test !== undefined; test = waiting.shift()) {
      const { code, report } = await testFile(test, prefix, options)
      exitCode ||= code
      all.numFailedTests += report.numFailedTests
      all.testResults.push(...report.testResults)
    }
  }
  await Promise.all(PREFIXES.map(work))
  writeFileSync(REPORT, JSON.stringify(all))
  return exitCode
}

/** Parts of files' names, and options of vitest; without files all that are not listed as missing. @param {string[]} args */
async function testWindows(args) {
  if (!setUp()) return NOT_SET_UP
  copyPackage()
  await bundlePackage()
  process.chdir(FOLDER)
  const peers = await startPeers()
  process.env.TESTS_REMOTE_PEERS = `${peers.port}`
  const files = allFiles()
  const isName = (/** @type {string} */ arg) => files.some((file) => file.includes(arg))
  const named = files.filter((file) => args.some((arg) => file.includes(arg)))
  const code = await testFiles(
    named.length > 0 ? named : files.filter((file) => !isMissing(file)),
    args.filter((arg) => !isName(arg)),
  )
  peers.stop()
  return code
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  process.exitCode = await testWindows(process.argv.slice(2))
