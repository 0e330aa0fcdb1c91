// What: sending without a copy into the kernel: the CPU for each byte, on loopback and between two network namespaces.
// Flow: zero_copy.c; our server with each zeroCopy under the load client -> results/zero_copy.json -> docs/analysis/zero_copy.md.
// Thread: the benchmark's own process.

import { runIfMain } from '../lib/analysis.mjs'
import { ourCommand } from '../lib/contestants.mjs'
import { pinned } from '../lib/cores.mjs'
import { markdownTable, sizeName } from '../lib/markdown.mjs'
import { withNamespaces } from '../lib/namespaces.mjs'
import { freePort, runToEnd } from '../lib/processes.mjs'
import {
  clientCore,
  interleaved,
  measureProgram,
  measureServer,
  ratioOf,
  summaryOf,
} from '../lib/rounds.mjs'
import { rootFolder } from '../lib/script.mjs'
import { serverKnows } from '../lib/server_options.mjs'
import { number, spread } from '../lib/statistics.mjs'
import { lineChart } from '../lib/svg.mjs'

/** The first is what the others are compared with. */
const WAYS = [
  { name: 'copied', way: 'ring' },
  { name: 'zero copy', way: 'zero' },
  { name: 'zero copy, registered memory', way: 'fixed' },
]
const SIZES = [1024, 4096, 16_384, 65_536, 262_144]
/** A gather of a busy session. */
const GATHER = { size: 65_536, slices: 16 }
const POINTS = [...SIZES.map((size) => ({ size, slices: 1 })), GATHER]
const RUNS = POINTS.flatMap((point) =>
  WAYS.filter(({ way }) => point.slices === 1 || way !== 'fixed').map((way) => ({ way, point })),
)
/** Of the runs of our server, which take longer to start. */
const OUR_SIZES = [16_384, 60_000]
const OUR_ZERO_COPIES = ['off', 'auto', { minBytes: 1 }]
const OUR_RUNS = OUR_SIZES.flatMap((size) =>
  OUR_ZERO_COPIES.map((zeroCopy) => ({ size, zeroCopy })),
)
const OUR_ROUNDS_MAX = 2
const OUR_CONNECTIONS = 32
/** Times the measured seconds: the server is compiled meanwhile. */
const OUR_WARMUP = 3
const GRACE_MS = 20_000

const LOOPBACK = { host: '127.0.0.1', prefix: [] }

/** CPU of the sender for each GiB, that of both sides, and the share of sends whose bytes were copied after all. */
async function measureWay(
  { way: { way }, point: { size, slices } },
  [sending, receiving],
  seconds,
) {
  const port = await freePort()
  const { host, prefix } = receiving
  const receiver = [...prefix, 'bench/bin/zero_copy', 'receive', host, port, size]
  const sender = [...sending.prefix, 'bench/bin/zero_copy', 'send', host, port, way, size, slices]
  let begin
  const isReady = new Promise((resolve) => {
    begin = resolve
  })
  const limitMs = seconds * 1000 + GRACE_MS
  const received = runToEnd(pinned([clientCore()], receiver), {
    ...{ rootFolder, limitMs, read: (output) => output.startsWith('ready') && begin() },
  })
  await Promise.race([isReady, received])
  const sent = await measureProgram([...sender, seconds], { seconds })
  const { code, output, words } = await received
  if (code !== 0) throw new Error(`${receiver.join(' ')} ended with ${code}: ${words.trim()}`)
  const { bytes, cpu_s, faults } = JSON.parse(output.replace('ready\n', ''))
  if (faults > 0 || bytes !== sent.bytes) throw new Error('not all bytes arrived as they were sent')
  return {
    cpu_s_per_gib: (sent.cpu_s / bytes) * 2 ** 30,
    both_cpu_s_per_gib: ((sent.cpu_s + cpu_s) / bytes) * 2 ** 30,
    gib_per_s: sent.bytes_per_s / 2 ** 30,
    copied: sent.notifications > 0 ? sent.copied / sent.notifications : undefined,
  }
}

/** A broadcast of long messages by our server: CPU for each delivery. */
async function measureOurs({ size, zeroCopy }, [serving, asking], seconds) {
  const options = { driver: 'io_uring', workers: 1, zeroCopy, listener: { host: serving.host } }
  const load = ['--size', size, '--conns', OUR_CONNECTIONS, '--depth', 2]
  const { cpu_us_per_msg } = await measureServer({
    command: (port) => [...serving.prefix, ...ourCommand(port, 'bcast', options)],
    client: ['--mode', 'fanout', '--host', serving.host, ...load],
    ...{
      seconds,
      warmupSeconds: OUR_WARMUP * seconds,
      says: 'listening on',
      prefix: asking.prefix,
    },
  })
  return { cpu_us_per_msg }
}

async function measureLink(sides, { seconds, rounds }) {
  const ways = await interleaved(rounds, RUNS, (run) => measureWay(run, sides, seconds))
  const runs = serverKnows({ zeroCopy: 'auto' }) ? OUR_RUNS : []
  const ourRounds = Math.min(rounds, OUR_ROUNDS_MAX)
  const ours = await interleaved(ourRounds, runs, (run) => measureOurs(run, sides, seconds))
  return {
    ways: RUNS.map(({ way, point }, i) => ({ way: way.name, point, rounds: ways[i] })),
    ours: runs.map((run, i) => ({ ...run, rounds: ours[i] })),
  }
}

async function measure(options) {
  const loopback = await measureLink([LOOPBACK, LOOPBACK], options)
  const { used, refusal } = await withNamespaces((...sides) => measureLink(sides, options))
  return { links: { loopback, ...(used && { veth: used }) }, refusal }
}

// ---- The page ----

const LINK_NAMES = { loopback: 'loopback', veth: 'veth' }

function pointName({ size, slices }) {
  return slices === 1 ? sizeName(size) : `${sizeName(size)} in ${slices} slices`
}

function roundsOf({ ways }, way, { size, slices }) {
  const isIt = ({ way: name, point }) =>
    name === way.name && point.size === size && point.slices === slices
  return ways.find(isIt)?.rounds
}

const times = (ratio) => ratio.toFixed(2)

function waysTable({ links, refusal }) {
  const rows = Object.entries(links).flatMap(([link, figures]) =>
    POINTS.flatMap((point) =>
      WAYS.flatMap((way) => {
        const rounds = roundsOf(figures, way, point)
        if (rounds === undefined) return []
        const base = roundsOf(figures, WAYS[0], point)
        const copied = summaryOf(rounds, 'copied')
        return [
          [
            LINK_NAMES[link],
            pointName(point),
            way.name,
            spread(summaryOf(rounds, 'cpu_s_per_gib'), number),
            spread(ratioOf(rounds, base, 'cpu_s_per_gib'), times),
            spread(ratioOf(rounds, base, 'both_cpu_s_per_gib'), times),
            number(summaryOf(rounds, 'gib_per_s').median),
            copied === undefined ? '' : `${number(100 * copied.median)} %`,
          ],
        ]
      }),
    ),
  )
  const heads = ['sender: CPU s per GiB', 'times copied', 'both sides: times copied', 'GiB/s']
  const all = markdownTable(3, ['link', 'send', 'way', ...heads, 'copied after all'], rows)
  if (refusal !== undefined) all.push('', `Between namespaces nothing was measured: ${refusal}`)
  return all.join('\n')
}

function oursTable({ links }) {
  const text = (zeroCopy) => (typeof zeroCopy === 'string' ? zeroCopy : JSON.stringify(zeroCopy))
  const rows = Object.entries(links).flatMap(([link, { ours }]) =>
    ours.map(({ size, zeroCopy, rounds }) => {
      const base = ours.find((run) => run.size === size && run.zeroCopy === 'off').rounds
      return [
        LINK_NAMES[link],
        sizeName(size),
        `\`${text(zeroCopy)}\``,
        spread(summaryOf(rounds, 'cpu_us_per_msg'), number),
        spread(ratioOf(rounds, base, 'cpu_us_per_msg'), times),
      ]
    }),
  )
  if (rows.length === 0) return 'The server that was measured has no option `zeroCopy`.'
  const heads = ['link', 'message', 'zeroCopy', 'CPU µs per delivery', 'times `off`']
  return markdownTable(3, heads, rows).join('\n')
}

function chart({ links }) {
  const single = POINTS.filter(({ slices }) => slices === 1)
  return lineChart({
    title: 'CPU of the sender without a copy, against with one: below 1 is a gain',
    x: { label: 'bytes of a send', places: SIZES.map(sizeName) },
    y: { label: 'times the CPU with a copy' },
    series: Object.entries(links).flatMap(([link, figures]) =>
      WAYS.slice(1).map((way) => ({
        name: `${LINK_NAMES[link]}: ${way.name}`,
        values: single.map((point) =>
          ratioOf(
            roundsOf(figures, way, point),
            roundsOf(figures, WAYS[0], point),
            'cpu_s_per_gib',
          ),
        ),
      })),
    ),
  })
}

export const zeroCopy = {
  name: 'zero_copy',
  what: 'sends with and without a copy: CPU for a byte, on loopback and between network namespaces',
  seconds: [0.3, 0.1],
  rounds: [3, 1],
  measure,
  parts: { ways: waysTable, ours: oursTable },
  charts: { ratio: chart },
}

await runIfMain(import.meta.url, zeroCopy)
