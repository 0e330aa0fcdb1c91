// What: a receive that is pending in a buffer of its own, against being told that there is something to receive.
// Flow: echo_ways.c under the load client, busy and idle -> results/receive.json -> docs/analysis/receive.md.
// Thread: the benchmark's own process.

import { readFileSync } from 'node:fs'
import { runIfMain } from '../lib/analysis.mjs'
import { ourCommand } from '../lib/contestants.mjs'
import { markdownTable, sizeName } from '../lib/markdown.mjs'
import { interleaved, measureServer, ratioOf, summaryOf } from '../lib/rounds.mjs'
import { number, spread } from '../lib/statistics.mjs'
import { barChart } from '../lib/svg.mjs'

const WARMUP_SECONDS = 0.1
/** The first is what the others are compared with. */
const WAYS = [
  { name: 'readiness: epoll', receive: 'ready' },
  { name: 'a poll each: zero-byte receive', receive: 'poll' },
  { name: 'pending in a buffer of its own', receive: 'armed' },
  { name: 'multishot, lent buffers', receive: 'lent' },
]
const LOADS = [
  { size: 64, connections: 64 },
  { size: 64, connections: 1000 },
  { size: 16_384, connections: 64 },
]
const BUFFER_BYTES = 16_384
const IDLE_CONNECTIONS = 5000
const IDLE_BUFFERS = [4096, BUFFER_BYTES]
const MAX_SESSIONS = 6000

const BUSY = LOADS.flatMap((load) => WAYS.map((way) => ({ way, load })))
const ours = (driver) => ({
  name: `overlapped ${driver}`,
  warmupSeconds: 1,
  command: (port) => ourCommand(port, 'echo', { driver, workers: 1, maxSessions: MAX_SESSIONS }),
})
const IDLE = [
  ...WAYS.flatMap(({ name, receive }) =>
    // What is shared does not depend on its size.
    (receive === 'armed' ? IDLE_BUFFERS : [BUFFER_BYTES]).map((bytes) => ({
      name: receive === 'armed' ? `${name} of ${sizeName(bytes)}` : name,
      // Whoever has a buffer has filled it once, or will.
      size: receive === 'armed' ? bytes - 2 : 64,
      warmupSeconds: 0,
      command: (port) => commandOf(receive, bytes, port),
    })),
  ),
  ...['io_uring', 'epoll'].map((driver) => ({ ...ours(driver), size: 64 })),
]

/** Sends are calls, whatever the receives are. */
function commandOf(receive, bytes, port) {
  return ['bench/bin/echo_ways', port, receive, 'call', bytes, 0, 'plain']
}

async function measureBusy({ way, load: { size, connections } }, seconds) {
  const { cpu_us_per_msg, msgs_s } = await measureServer({
    command: (port) => commandOf(way.receive, BUFFER_BYTES, port),
    client: ['--mode', 'echo', '--size', size, '--conns', connections, '--depth', 1],
    ...{ seconds, warmupSeconds: WARMUP_SECONDS },
  })
  return { cpu_us_per_msg, msgs_s }
}

/** Kernel memory that cannot be given back, in bytes: sockets, and what is pending on them. */
function kernelBytes() {
  const [, kib] = /^SUnreclaim:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))
  return Number(kib) * 1024
}

async function measureIdle({ command, size, warmupSeconds }, seconds) {
  let most = 0
  const before = kernelBytes()
  const timer = setInterval(() => {
    most = Math.max(most, kernelBytes())
  }, 50)
  try {
    const { rss_per_connection_bytes } = await measureServer({
      command,
      client: ['--mode', 'idle', '--size', size, '--conns', IDLE_CONNECTIONS],
      // In this mode it is how long they are held.
      ...{ seconds: Math.max(seconds, 0.3), warmupSeconds },
    })
    return { rss_bytes: rss_per_connection_bytes, kernel_bytes: (most - before) / IDLE_CONNECTIONS }
  } finally {
    clearInterval(timer)
  }
}

async function measure({ seconds, rounds }) {
  const busy = await interleaved(rounds, BUSY, (run) => measureBusy(run, seconds))
  const idle = await interleaved(1, IDLE, (run) => measureIdle(run, seconds))
  return {
    busy: BUSY.map(({ way, load }, i) => ({ way: way.name, load, rounds: busy[i] })),
    idle: IDLE.map(({ name }, i) => ({ name, ...idle[i][0] })),
  }
}

// ---- The page ----

function roundsOf({ busy }, way, load) {
  const { size, connections } = load
  const isIt = (run) =>
    run.way === way.name && run.load.size === size && run.load.connections === connections
  return busy.find(isIt).rounds
}

function loadName({ size, connections }) {
  return `${sizeName(size)}, ${connections} connections`
}

function busyTable(figures) {
  const rows = LOADS.flatMap((load) =>
    WAYS.map((way) => {
      const rounds = roundsOf(figures, way, load)
      const base = roundsOf(figures, WAYS[0], load)
      return [
        loadName(load),
        way.name,
        spread(summaryOf(rounds, 'cpu_us_per_msg'), number),
        spread(ratioOf(rounds, base, 'cpu_us_per_msg'), (ratio) => ratio.toFixed(2)),
      ]
    }),
  )
  return markdownTable(2, ['load', 'receive', 'CPU µs per echo', 'times readiness'], rows).join(
    '\n',
  )
}

function idleTable({ idle }) {
  const rows = idle.map(({ name, rss_bytes, kernel_bytes }) => [
    name,
    number(rss_bytes),
    number(kernel_bytes),
  ])
  return markdownTable(1, ['receive', 'bytes of the process', 'bytes of the kernel'], rows).join(
    '\n',
  )
}

function busyChart(figures) {
  return barChart({
    title: 'Server CPU for each echo, against readiness: below 1 is a gain',
    x: { label: 'load', places: LOADS.map(loadName) },
    y: { label: 'times the cost with epoll' },
    series: WAYS.map((way) => ({
      name: way.name,
      values: LOADS.map((load) =>
        ratioOf(roundsOf(figures, way, load), roundsOf(figures, WAYS[0], load), 'cpu_us_per_msg'),
      ),
    })),
  })
}

function idleChart({ idle }) {
  return barChart({
    title: `Memory of the process for each of ${IDLE_CONNECTIONS} idle connections`,
    x: { label: 'receive', places: idle.map((_, i) => String(i + 1)) },
    y: { label: 'bytes' },
    series: idle.map(({ name, rss_bytes }, i) => ({
      name: `${i + 1} ${name}`,
      values: idle.map((_, place) => (place === i ? Math.max(0, rss_bytes) : undefined)),
    })),
  })
}

export const receive = {
  name: 'receive',
  what: 'pending receives against readiness: CPU for a message, memory of an idle session',
  seconds: [0.5, 0.1],
  rounds: [4, 1],
  measure,
  parts: { busy: busyTable, idle: idleTable },
  charts: { busy: busyChart, idle: idleChart },
}

await runIfMain(import.meta.url, receive)
