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
/** Three times what it takes on a busy machine with two cores. */
const LIMIT_MS = 45 * 60_000
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

/** What Wine lacks for vitest. */
function addRandomBytes() {
  const prefix = /** @type {string} */ (windowsNode().env.WINEPREFIX)
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
    return build() === 0 && buildWindows() === 0 && installForWindows() && addRandomBytes()
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

/** Each by name: what projects of vitest include is not to be excluded by an option. */
function allTests() {
  const excluded = missing.filter(({ driver, test }) => driver === 'iocp' && test === undefined)
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { encoding: 'utf8', recursive: true })
      .filter((file) => file.endsWith('.test.ts'))
      .map((file) => `${folder}/${file}`)
      .filter((file) => !excluded.some((entry) => entry.file === file)),
  )
}

/** Runs vitest there; its exit code. @param {string[]} args */
async function testWindows(args) {
  if (!setUp()) return NOT_SET_UP
  copyPackage()
  await bundlePackage()
  process.chdir(FOLDER)
  const peers = await startPeers()
  process.env.TESTS_REMOTE_PEERS = `${peers.port}`
  const argv = [
    'node_modules/vitest/vitest.mjs',
    'run',
    // Wine's processes are slow to start, several at a time.
    '--maxWorkers=1',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${REPORT}`,
    ...args,
  ]
  const code = await runWindowsNode(argv, LIMIT_MS)
  peers.stop()
  return code
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2)
  process.exitCode = await testWindows(args.length > 0 ? args : allTests())
}
