// What: whether sends and receives end at once or wait, how long the call itself takes, and what overlapped I/O is worth.
// Flow: echo_ways.c and our server under the load client -> results/pending.json -> docs/analysis/pending.md.
// Thread: the benchmark's own process.

import { runIfMain } from '../lib/analysis.mjs'
import { ourCommand } from '../lib/contestants.mjs'
import { markdownTable, sizeName } from '../lib/markdown.mjs'
import { countersIn, interleaved, measureServer, ratioOf, summaryOf } from '../lib/rounds.mjs'
import { number, spread } from '../lib/statistics.mjs'
import { lineChart } from '../lib/svg.mjs'

const WARMUP_SECONDS = 0.1
/** Of our server, which is compiled meanwhile: times the measured seconds. */
const OUR_WARMUP = 2
const BUFFER_BYTES = 65_536

/** The first is what the others are compared with. */
const WAYS = [
  { name: 'readiness, send(2)', receive: 'ready', send: 'call' },
  { name: 'overlapped', receive: 'armed', send: 'ring' },
  { name: 'overlapped, lent buffers', receive: 'lent', send: 'ring' },
  { name: 'overlapped, by kernel threads', receive: 'armed', send: 'async' },
]
/** Of these each call is timed. */
const TIMED_WAYS = [WAYS[0], WAYS[1], WAYS[3]]

const USUAL = { size: 64, connections: 64, depth: 1, sndbuf: 0 }
const SIZES = [64, 1024, 16_384, 60_000]
const CONNECTIONS = [1, 64, 1000]
/** Messages that are sent faster than they are read, by connections with little room. */
const CROWDED = { size: 60_000, connections: 16, depth: 4 }
const SNDBUFS = [4096, 16_384, 65_536, 0]

const bySize = SIZES.map((size) => ({ ...USUAL, size }))
const byConnections = CONNECTIONS.map((connections) => ({ ...USUAL, connections }))
const bySndbuf = SNDBUFS.map((sndbuf) => ({ ...CROWDED, sndbuf }))

/** Each once: some are on two axes. */
const POINTS = unique([...bySize, ...byConnections, ...bySndbuf])

const OURS = ['io_uring', 'epoll'].flatMap((driver) =>
  [
    { ...USUAL, what: '64 B' },
    { ...USUAL, size: 60_000, what: '60,000 B' },
    { ...CROWDED, sndbuf: 16_384, what: '60,000 B, 4 in flight, SO_SNDBUF 16 KiB' },
  ].map((point) => ({ driver, point })),
)

function unique(points) {
  const byText = new Map(points.map((point) => [JSON.stringify(point), point]))
  return [...byText.values()]
}

function clientOf({ size, connections, depth }) {
  return ['--mode', 'echo', '--size', size, '--conns', connections, '--depth', depth]
}

function measureWay({ way, point, timed }, seconds) {
  const { receive, send } = way
  const options = [receive, send, BUFFER_BYTES, point.sndbuf, timed ? 'timed' : 'plain']
  return measureServer({
    command: (port) => ['bench/bin/echo_ways', port, ...options],
    ...{ client: clientOf(point), seconds, warmupSeconds: WARMUP_SECONDS },
  })
}

/** Received and sent by our own drivers: what their counters say. */
async function measureOurs({ driver, point }, seconds) {
  const options = { driver, workers: 1, listener: { sendBufferBytes: point.sndbuf } }
  const { words, cpu_us_per_msg } = await measureServer({
    command: (port) => ourCommand(port, 'echo', options),
    ...{ client: clientOf(point), seconds, warmupSeconds: OUR_WARMUP * seconds },
  })
  const { sendsInline, sendsPending, shortSends, recvsInline, recvsPending } = countersIn(words)
  return { cpu_us_per_msg, sendsInline, sendsPending, shortSends, recvsInline, recvsPending }
}

async function measure({ seconds, rounds }) {
  const plain = WAYS.flatMap((way) => POINTS.map((point) => ({ way, point })))
  // All ways of a point stand side by side.
  plain.sort((a, b) => POINTS.indexOf(a.point) - POINTS.indexOf(b.point))
  const figures = await interleaved(rounds, plain, async (run) => {
    const { cpu_us_per_msg, msgs_s, server_utilization } = await measureWay(run, seconds)
    return { cpu_us_per_msg, msgs_s, server_utilization }
  })
  const timed = TIMED_WAYS.flatMap((way) => POINTS.map((point) => ({ way, point, timed: true })))
  const timedFigures = await interleaved(1, timed, async (run) => {
    const { words } = await measureWay(run, seconds)
    return JSON.parse(words)
  })
  const ours = await interleaved(1, OURS, (run) => measureOurs(run, seconds))
  return {
    plain: plain.map(({ way, point }, i) => ({ way: way.name, point, rounds: figures[i] })),
    timed: timed.map(({ way, point }, i) => ({ way: way.name, point, served: timedFigures[i][0] })),
    ours: OURS.map((run, i) => ({ ...run, counters: ours[i][0] })),
  }
}

// ---- The page ----

function entryOf(entries, way, point) {
  const text = JSON.stringify(point)
  return entries.find((entry) => entry.way === way.name && JSON.stringify(entry.point) === text)
}

function pointName({ size, connections, depth, sndbuf }) {
  const buffer = sndbuf === 0 ? 'the system’s' : sizeName(sndbuf)
  return [sizeName(size), connections, depth, buffer]
}

const POINT_HEADS = ['message', 'connections', 'in flight', 'SO_SNDBUF']

function percent(part, whole) {
  return whole > 0 ? `${number((100 * part) / whole)} %` : ''
}

function atOnce({ timed }) {
  const rows = POINTS.flatMap((point) =>
    [WAYS[0], WAYS[1]].map((way) => {
      const { served } = entryOf(timed, way, point)
      const sends = served.sends_whole + served.sends_part + served.sends_none
      const receives = served.receives_inline + served.receives_pending
      return [
        way.name,
        ...pointName(point),
        percent(served.sends_whole, sends),
        percent(served.sends_part, sends),
        percent(served.sends_none, sends),
        // Readiness asks when bytes are there.
        way === WAYS[0] ? '' : percent(served.receives_inline, receives),
      ]
    }),
  )
  const heads = ['sent whole at once', 'in part', 'not at all', 'received at once']
  return markdownTable(1, ['way', ...POINT_HEADS, ...heads], rows).join('\n')
}

function section({ timed }) {
  const rows = TIMED_WAYS.flatMap((way) =>
    bySize.map((point) => {
      const { send_ns: send, receive_ns: receive } = entryOf(timed, way, point).served
      const cells = [send, receive].flatMap(({ p50, p99, p999 }) => [p50, p99, p999].map(number))
      return [way.name, sizeName(point.size), ...cells]
    }),
  )
  const clocks = timed.map(({ served }) => served.clock_ns.p50).sort((a, b) => a - b)
  const heads = ['send p50 ns', 'p99', 'p99.9', 'receive p50 ns', 'p99', 'p99.9']
  return [
    ...markdownTable(1, ['way', 'message', ...heads], rows),
    '',
    `Two readings of the clock are ${clocks[clocks.length >> 1]} ns apart, which is in each figure.`,
  ].join('\n')
}

function queues({ timed }) {
  const rows = POINTS.map((point) => {
    const { send_queue_bytes: out, receive_queue_bytes: into } = entryOf(
      timed,
      WAYS[0],
      point,
    ).served
    const cells = [out, into].flatMap((of) => [
      percent(of.count - of.zeros, of.count),
      ...[of.p50, of.p99, of.max].map(number),
    ])
    return [...pointName(point), ...cells]
  })
  const heads = ['sends: not empty', 'p50 B', 'p99 B', 'most B']
  const intoHeads = ['receives: not empty', 'p50 B', 'p99 B', 'most B']
  return markdownTable(0, [...POINT_HEADS, ...heads, ...intoHeads], rows).join('\n')
}

function cost({ plain }) {
  const rows = POINTS.map((point) => {
    const [base, ...others] = WAYS.map((way) => entryOf(plain, way, point).rounds)
    return [
      ...pointName(point),
      spread(summaryOf(base, 'cpu_us_per_msg'), number),
      ...others.map((rounds) =>
        spread(ratioOf(rounds, base, 'cpu_us_per_msg'), (ratio) => ratio.toFixed(2)),
      ),
    ]
  })
  const [base, ...others] = WAYS.map(({ name }) => name)
  const heads = [`${base}: CPU µs per echo`, ...others.map((name) => `${name}: times that`)]
  return markdownTable(0, [...POINT_HEADS, ...heads], rows).join('\n')
}

function ours({ ours: runs }) {
  const rows = runs.map(({ driver, point, counters }) => {
    const { sendsInline, sendsPending, shortSends, recvsInline, recvsPending } = counters
    const sends = sendsInline + sendsPending
    return [
      driver,
      point.what,
      percent(sendsInline - shortSends, sends),
      percent(shortSends, sends),
      percent(sendsPending, sends),
      percent(recvsInline, recvsInline + recvsPending),
      number(counters.cpu_us_per_msg),
    ]
  })
  const heads = ['sent whole at once', 'in part or not', 'waited for room', 'received at once']
  return markdownTable(2, ['driver', 'message', ...heads, 'CPU µs per echo'], rows).join('\n')
}

function costChart(entries, points, places, label) {
  return lineChart({
    title: `Server CPU for each echo, by ${label}`,
    x: { label, places },
    y: { label: 'CPU µs per echo', log: true },
    series: WAYS.map((way) => ({
      name: way.name,
      values: points.map((point) =>
        summaryOf(entryOf(entries, way, point).rounds, 'cpu_us_per_msg'),
      ),
    })),
  })
}

/** Shares of all sends by the power of two of their time. */
function timeChart({ timed }) {
  const all = [bySize[0], bySize[bySize.length - 1]].flatMap((point) =>
    [WAYS[0], WAYS[1]].map((way) => ({
      name: `${way.name}, ${sizeName(point.size)}`,
      of: entryOf(timed, way, point).served.send_ns,
    })),
  )
  const used = all.flatMap(({ of }) =>
    of.powers.flatMap((count, power) => (count > of.count / 2000 ? [power] : [])),
  )
  const [first, last] = [Math.min(...used), Math.max(...used)]
  const powers = Array.from({ length: last - first + 1 }, (_, i) => first + i)
  return lineChart({
    title: 'How long a send takes: the call itself',
    x: { label: 'ns, up to', places: powers.map((power) => String(2 ** power)) },
    y: { label: '% of the sends' },
    series: all.map(({ name, of }) => ({
      name,
      values: powers.map((power) => (100 * (of.powers[power] ?? 0)) / of.count),
    })),
  })
}

function pendingChart({ timed }) {
  return lineChart({
    title: 'Sends that did not end at once: 60,000 B, 16 connections, 4 in flight',
    x: {
      label: 'SO_SNDBUF',
      places: SNDBUFS.map((bytes) => (bytes === 0 ? 'the system’s' : sizeName(bytes))),
    },
    y: { label: '% of the sends' },
    series: [WAYS[0], WAYS[1]].map((way) => ({
      name: way.name,
      values: bySndbuf.map((point) => {
        const { sends_whole: whole, sends_part, sends_none } = entryOf(timed, way, point).served
        const all = whole + sends_part + sends_none
        return (100 * (all - whole)) / all
      }),
    })),
  })
}

export const pending = {
  name: 'pending',
  what: 'whether I/O ends at once or waits, the time of the call itself, what overlapped I/O is worth',
  seconds: [0.3, 0.1],
  rounds: [3, 1],
  measure,
  parts: { at_once: atOnce, section, queues, cost, ours },
  charts: {
    pending: pendingChart,
    time: timeChart,
    cost_by_size: ({ plain }) => costChart(plain, bySize, SIZES.map(sizeName), 'message size'),
    cost_by_connections: ({ plain }) =>
      costChart(plain, byConnections, CONNECTIONS.map(String), 'connections'),
  },
}

await runIfMain(import.meta.url, pending)
