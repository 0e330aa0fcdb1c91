// What: one run: a fresh server on a fresh port, one load client, and the end of both.
// Flow: start server -> wait until it accepts -> load client -> its JSON line -> stop the server.
// Thread: the benchmark's own process. Ends only the processes it has started, by their id.

import { spawn } from 'node:child_process'
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { coresFor, pinned } from './cores.mjs'
import { withShare } from './relay_share.mjs'

const START_TIMEOUT_MS = 10_000
const START_POLL_MS = 50
/** After the server accepts: workers that are still starting get this long. */
const SETTLE_MS = 200
const STOP_TIMEOUT_MS = 3_000
/** A run may take its own times and this: connecting, draining, a slow machine. */
const CLIENT_GRACE_MS = 30_000

const alive = new Set()

/** For an interrupted benchmark: nothing that we started stays behind. */
export function killStartedProcesses() {
  for (const child of alive) child.kill('SIGKILL')
}

export function start(command, options) {
  const child = spawn(command[0], command.slice(1), options)
  child.ended = new Promise((resolve) => {
    const end = (code) => {
      alive.delete(child)
      resolve(code)
    }
    child.on('exit', (code, signal) => end(code ?? signal))
    child.on('error', (error) => end(error.message))
  })
  alive.add(child)
  return child
}

/**
 * Starts a server, lets `use` have its process and port, and stops it. Returns what `use` returned,
 * and the server's words; `started` is false when it never accepted. One that cannot be reached from
 * here says by its words that it accepts: `says`.
 */
export async function withServer({ command, cores, rootFolder, logFile, says }, use) {
  const port = await freePort()
  const log = openSync(logFile, 'a')
  const wordsBegin = fstatSync(log).size
  const server = start(pinned(coresFor(cores).server, command(port)), {
    cwd: rootFolder,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  const words = () => readFileSync(logFile).subarray(wordsBegin).toString()
  let used
  try {
    const isThere = says ? () => words().includes(says) : () => canConnect(port)
    if (!(await comes(server, isThere))) return { started: false, words: words() }
    await sleep(SETTLE_MS)
    used = await use({ server, port, words })
  } finally {
    await stop(server)
  }
  return { started: true, used, words: words() }
}

/**
 * Runs one contestant once. Returns { result } with the load client's JSON, or { failure } with a
 * sentence; `started` is false when the server never accepted.
 */
export async function runOnce({ contestant, benchCase, seconds, rootFolder, logFile }) {
  const { threads, cores = threads, mode, states, foreignPercent } = benchCase
  const command = (port) => contestant.command({ port, threads, mode, states })
  const { warmupSeconds } = contestant
  const run = await withServer({ command, cores, rootFolder, logFile }, ({ server, port }) =>
    runClient({ benchCase, seconds, warmupSeconds, rootFolder, pid: server.pid, port }),
  )
  if (!run.started) {
    return { started: false, failure: 'the server did not start; see its words in the log' }
  }
  const outcome = { started: true, ...run.used }
  return foreignPercent === undefined ? outcome : withShare(outcome, run.words, foreignPercent)
}

/**
 * Runs the load client of a case, with the words of `prefix` in front. Returns { result } or
 * { failure }, or both with faults.
 */
export async function runClient({
  benchCase,
  seconds,
  warmupSeconds,
  rootFolder,
  pid,
  port,
  prefix = [],
}) {
  const cores = coresFor(benchCase.cores ?? benchCase.threads).client
  const times = ['--secs', seconds, '--warmup', warmupSeconds, '--hold', seconds]
  const target = ['--port', port, '--pid', pid]
  const client = ['bench/bin/load_client', ...target, ...times, ...benchCase.client]
  const limitMs = (seconds + warmupSeconds) * 1000 + CLIENT_GRACE_MS
  const { code, output, words } = await runToEnd(pinned(cores, [...prefix, ...client]), {
    ...{ rootFolder, limitMs },
  })
  const result = parseLine(output)
  if (code === 0 && result) return { result }
  if (code === 3) return { result, failure: `the load client found ${result?.errors} faults` }
  return { failure: `the load client ended with ${code}: ${words.trim()}` }
}

/**
 * Runs a program to its end, from the root folder. Returns its exit code, or the signal that ended it, what it
 * wrote to stdout and its words on stderr; `read` has the former as it comes.
 */
export async function runToEnd(command, { rootFolder, limitMs, read }) {
  const child = start(command, { cwd: rootFolder, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let words = ''
  child.stdout.on('data', (text) => {
    output += text
    read?.(output)
  })
  child.stderr.on('data', (text) => (words += text))
  const closed = new Promise((resolve) => child.on('close', resolve))
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
  const code = await child.ended
  await closed
  clearTimeout(timer)
  return { code, output, words }
}

function parseLine(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer()
    probe.on('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => resolve(port))
    })
  })
}

/** True once the server is there; false when it has ended or takes too long. */
async function comes(server, isThere) {
  let ended = false
  server.ended.then(() => {
    ended = true
  })
  const deadline = Date.now() + START_TIMEOUT_MS
  while (!ended && Date.now() < deadline) {
    if (await isThere()) return true
    await sleep(START_POLL_MS)
  }
  return false
}

function canConnect(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.resetAndDestroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

async function stop(server) {
  server.kill('SIGTERM')
  const timer = setTimeout(() => server.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await server.ended
  clearTimeout(timer)
}
