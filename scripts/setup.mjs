// What: brings a checkout to a built state: dependencies, native addon, JavaScript.
// Flow: test.mjs, demo.mjs, bench.mjs -> this -> preflight.mjs, npm.
// Thread: none; a build script, in syntax that Node 12 reads (see preflight.mjs).

// biome-ignore-start lint/style/useNodejsImportProtocol: Node 12.17 knows no `node:` specifiers.
import { spawnSync } from 'child_process'
import { existsSync, readdirSync, realpathSync, statSync, utimesSync } from 'fs'
import { join } from 'path'
import { fileURLToPath } from 'url'
// biome-ignore-end lint/style/useNodejsImportProtocol: see above.
import { preflight } from './preflight.mjs'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Modification time in ms of a file, or the newest in a folder; 0 where there is nothing. */
export function newestMs(path) {
  if (!existsSync(path)) return 0
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return readdirSync(path).reduce((newest, name) => Math.max(newest, newestMs(join(path, name))), 0)
}

/** What is built from what. */
export const targets = [
  {
    script: 'build:native',
    artifact: 'build/Release/overlapped.node',
    sources: ['native', 'CMakeLists.txt'],
  },
  {
    script: 'build:ts',
    artifact: 'dist/src/index.js',
    sources: ['src', 'workers', 'tsconfig.json', 'scripts/inline_constants.mjs'],
  },
]

export function isStale(folder, target) {
  const builtMs = newestMs(join(folder, target.artifact))
  return builtMs === 0 || target.sources.some((source) => newestMs(join(folder, source)) > builtMs)
}

/** Dates an artifact that exists: a build may leave one that needs no change with its old time. */
function date(artifact, ms) {
  const path = join(root, artifact)
  if (existsSync(path)) utimesSync(path, ms / 1000, ms / 1000)
}

/** Runs npm; its output is shown only when it fails. */
function npm(args) {
  console.log(`setup: npm ${args.join(' ')}`)
  const child = spawnSync('npm', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 })
  if (child.error) console.error(`npm cannot be started: ${child.error.message}`)
  else if (child.status !== 0) process.stderr.write(child.stdout + child.stderr)
  return child.status === 0 ? 0 : 1
}

/** Machine and dependencies; the exit code. */
export function install() {
  if (preflight(false) !== 0) return 1
  const installedMs = newestMs(join(root, 'node_modules/.package-lock.json'))
  if (installedMs >= newestMs(join(root, 'package-lock.json'))) return 0
  const startMs = Date.now()
  // It runs the package's own scripts too: install builds the addon, prepare the JavaScript.
  const code = npm(['ci', '--no-audit', '--no-fund'])
  if (code === 0) for (const target of targets) date(target.artifact, startMs)
  return code
}

/** Builds what is older than its sources; the exit code. */
export function build() {
  for (const target of targets) {
    if (!isStale(root, target)) continue
    const startMs = Date.now()
    const code = npm(['run', '--silent', target.script])
    // tsc writes its output even when it finds errors: an old date makes the next run try again.
    date(target.artifact, code === 0 ? startMs : 0)
    if (code !== 0) return code
  }
  return 0
}

/** From a fresh clone to a built package; the exit code. */
export function setup() {
  return install() || build()
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = setup()
}
