// What: logins that block a thread each, with 1 to 64 job threads: how many a second, and how long one takes.
// Flow: for each count of threads a server -> clients that log in again and again -> a table.
// Thread: one process for the clients, one for each server.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { numberIn, scriptOptions } from './lib/options.mjs'
import { benchFolder, endStartedOnSignal } from './lib/script.mjs'

const THREADS = [1, 2, 4, 8, 16, 32, 64]
const WARM_UP_SHARE = 0.2

const usage = `usage: node bench/blocking_login.mjs [options]
  --seconds S  5     of each count of job threads, after a warm-up
  --clients N  128   that log in again as soon as they are answered
  --block MS   10    that each login blocks its thread
  --most N     64    job threads at most`

const options = scriptOptions(
  usage,
  { seconds: '5', clients: '128', block: '10', most: '64' },
  ({ seconds, clients, block, most }) => ({
    seconds: numberIn('--seconds', seconds, 0.1, 600),
    clients: numberIn('--clients', clients, 1, 1000),
    block: numberIn('--block', block, 1, 10_000),
    most: numberIn('--most', most, 1, 128),
  }),
)
endStartedOnSignal()
if (options.help) console.log(usage)
else await measureAll()

async function measureAll() {
  const { block, clients } = options
  console.log(`${clients} clients, each login blocks ${block} ms`)
  console.log('| job threads | logins/s | of threads / block | p50 ms | p99 ms |')
  console.log('|---:|---:|---:|---:|---:|')
  for (const threads of THREADS.filter((count) => count <= options.most)) {
    const { perSecond, p50, p99 } = await measure(threads)
    const share = (perSecond * block) / (1000 * threads)
    const cells = [threads, perSecond.toFixed(0), share.toFixed(2), p50.toFixed(1), p99.toFixed(1)]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

async function measure(threads) {
  const path = join(benchFolder, 'scenario', 'login_server.mjs')
  const server = fork(path, [String(threads), String(options.block)])
  try {
    const [port] = await once(server, 'message')
    const latencies = []
    const state = { isMeasured: false, isOver: false, latencies }
    const sockets = Array.from({ length: options.clients }, (_, client) =>
      logIn(port, client, state),
    )
    await sleep(options.seconds * WARM_UP_SHARE)
    state.isMeasured = true
    const from = performance.now()
    await sleep(options.seconds)
    state.isMeasured = false
    const seconds = (performance.now() - from) / 1000
    state.isOver = true
    for (const socket of sockets) socket.destroy()
    const told = once(server, 'message')
    server.send('stop')
    const [{ refused }] = await told
    await once(server, 'exit')
    if (refused > 0) throw new Error(`${refused} logins failed`)
    latencies.sort((a, b) => a - b)
    const at = (share) => latencies[Math.floor(share * (latencies.length - 1))] ?? Number.NaN
    return { perSecond: latencies.length / seconds, p50: at(0.5), p99: at(0.99) }
  } finally {
    server.kill()
  }
}

/** A client that logs in again and again, and compares the answer. */
function logIn(port, client, state) {
  const name = `player${client}`
  const request = Buffer.from(`\0${String.fromCharCode(name.length)}${name}`)
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let askedAt = 0
  let answer = Buffer.alloc(0)
  const ask = () => {
    askedAt = performance.now()
    socket.write(request)
  }
  socket.on('connect', ask)
  socket.on('error', (error) => {
    if (!state.isOver) throw error
  })
  socket.on('data', (bytes) => {
    answer = Buffer.concat([answer, bytes])
    if (answer.length < request.length) return
    if (!answer.equals(request)) throw new Error(`a wrong answer: ${answer}`)
    answer = Buffer.alloc(0)
    if (state.isMeasured) state.latencies.push(performance.now() - askedAt)
    if (!state.isOver) ask()
  })
  return socket
}

function sleep(seconds) {
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds))
}
