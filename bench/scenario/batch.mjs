// What: what it is worth to take many completions in one call: for sockets, and for the completion port of jobs.
// Flow: our server with each completionBatch under the load client; lib/port_rounds.mjs -> results/batch.json -> docs/analysis/batch.md.
// Thread: the benchmark's own process.

import { runIfMain } from '../lib/analysis.mjs'
import { ourCommand } from '../lib/contestants.mjs'
import { markdownTable } from '../lib/markdown.mjs'
import { MANY, measurePort, THREADS } from '../lib/port_rounds.mjs'
import { countersIn, interleaved, measureServer, ratioOf, summaryOf } from '../lib/rounds.mjs'
import { number, spread, summarize, summarizeRatio } from '../lib/statistics.mjs'
import { barChart } from '../lib/svg.mjs'

const DRIVERS = ['io_uring', 'epoll']
const BATCHES = [1, 64, 1024]
const LOADS = [
  { name: '64 connections', connections: 64, depth: 1, workers: 1 },
  { name: '1,000 connections', connections: 1000, depth: 1, workers: 1 },
  { name: '64 connections, 2 workers', connections: 64, depth: 1, workers: 2 },
]
/** Times the measured seconds: the server is compiled meanwhile. */
const WARMUP = 3
/** Entries of the port for each measured second. */
const ENTRIES_PER_SECOND = 200_000

const RUNS = LOADS.flatMap((load) =>
  DRIVERS.flatMap((driver) => BATCHES.map((batch) => ({ load, driver, batch }))),
)

async function measureRun({ load, driver, batch }, seconds) {
  const { connections, depth, workers } = load
  const options = { driver, workers, completionBatch: batch }
  const threads = ['--threads', workers]
  const { words, ...result } = await measureServer({
    command: (port) => ourCommand(port, 'echo', options),
    client: ['--mode', 'echo', '--size', 64, '--conns', connections, '--depth', depth, ...threads],
    ...{ seconds, warmupSeconds: WARMUP * seconds, cores: workers },
  })
  const { syscalls, messagesIn } = countersIn(words)
  const { cpu_us_per_msg, msgs_s, p99_us } = result
  return { cpu_us_per_msg, msgs_s, p99_us, calls_per_msg: syscalls / messagesIn }
}

async function measure({ seconds, rounds }) {
  const figures = await interleaved(rounds, RUNS, (run) => measureRun(run, seconds))
  const entries = Math.max(1000, Math.round(ENTRIES_PER_SECOND * seconds))
  return {
    sockets: RUNS.map(({ load, ...run }, i) => ({ ...run, load: load.name, rounds: figures[i] })),
    port: await measurePort({ entries, rounds }),
  }
}

// ---- The page ----

function roundsOf({ sockets }, load, driver, batch) {
  const isIt = (run) => run.load === load.name && run.driver === driver && run.batch === batch
  return sockets.find(isIt).rounds
}

function socketTable(figures) {
  const rows = LOADS.flatMap((load) =>
    DRIVERS.flatMap((driver) =>
      BATCHES.map((batch) => {
        const rounds = roundsOf(figures, load, driver, batch)
        const base = roundsOf(figures, load, driver, 1)
        return [
          load.name,
          driver,
          String(batch),
          spread(summaryOf(rounds, 'cpu_us_per_msg'), number),
          spread(ratioOf(rounds, base, 'cpu_us_per_msg'), (ratio) => ratio.toFixed(2)),
          number(summaryOf(rounds, 'calls_per_msg').median),
          number(summaryOf(rounds, 'p99_us').median),
        ]
      }),
    ),
  )
  const heads = [
    'completionBatch',
    'CPU µs per echo',
    'times that of 1',
    'calls per echo',
    'p99 µs',
  ]
  return markdownTable(2, ['load', 'driver', ...heads], rows).join('\n')
}

function portTable({ port }) {
  const figure = (value) => value.toPrecision(3)
  const rows = THREADS.map((threads, i) => [
    String(threads),
    ...[port.one[i], port.many[i]].map((all) => spread(summarize(all), figure)),
    spread(summarizeRatio(port.many[i], port.one[i]), figure),
  ])
  const heads = ['threads', 'one by one, ns', `up to ${MANY}, ns`, 'times one by one']
  return markdownTable(0, heads, rows).join('\n')
}

function chart(figures) {
  const places = [...LOADS.map(({ name }) => name), ...THREADS.map((n) => `port, ${n}`)]
  const sockets = (driver) => ({
    name: `${driver}: ${BATCHES[1]} against 1`,
    values: LOADS.map((load) => {
      const [one, many] = BATCHES.map((batch) => roundsOf(figures, load, driver, batch))
      return ratioOf(many, one, 'cpu_us_per_msg')
    }),
  })
  const port = THREADS.map((_, i) => summarizeRatio(figures.port.many[i], figures.port.one[i]))
  return barChart({
    title: `Up to ${MANY} at a time against one by one: below 1 is a gain`,
    x: { label: 'load; threads at the port', places },
    y: { label: 'times the cost of one by one' },
    series: [
      ...DRIVERS.map(sockets),
      { name: 'completion port of jobs', values: [...LOADS.map(() => undefined), ...port] },
    ],
  })
}

export const batch = {
  name: 'batch',
  what: 'completions per call: 1 against 64 and 1024, for sockets and for the port of jobs',
  seconds: [0.5, 0.1],
  rounds: [2, 1],
  measure,
  parts: { sockets: socketTable, port: portTable },
  charts: { ratio: chart },
}

await runIfMain(import.meta.url, batch)
