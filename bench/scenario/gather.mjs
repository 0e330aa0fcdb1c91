// What: what a gather of many slices saves, and what it costs those who wait behind it; the most slices that a send takes.
// Flow: our server with each maxGather under gather_client.c; gather_limit.c -> results/gather.json -> docs/analysis/gather.md.
// Thread: the benchmark's own process.

import { runIfMain } from '../lib/analysis.mjs'
import { ourCommand } from '../lib/contestants.mjs'
import { markdownTable, sizeName } from '../lib/markdown.mjs'
import { withServer } from '../lib/processes.mjs'
import { clientCore, countersIn, interleaved, measureProgram, summaryOf } from '../lib/rounds.mjs'
import { logFile, rootFolder } from '../lib/script.mjs'
import { number, spread } from '../lib/statistics.mjs'
import { lineChart } from '../lib/svg.mjs'

const DRIVERS = ['io_uring', 'epoll']
const GATHERS = [1, 8, 64, 256, 1024]
const DEFAULT_GATHER = 64
/** What sessions ask for, again and again; all answers together fit where bytes may wait. */
const LOADS = [
  { sessions: 1, count: 1024, size: 64 },
  { sessions: 1, count: 1024, size: 1024 },
  { sessions: 64, count: 64, size: 64 },
  { sessions: 64, count: 64, size: 1024 },
]
/** The server is warmed up once for all loads. */
const WARM_UP = { sessions: 64, count: 64, size: 64 }
/** Times the measured seconds. */
const WARM_UP_TIMES = 2
const MAX_BACKPRESSURE = 64 * 2 ** 20

const RUNS = GATHERS.flatMap((maxGather) => DRIVERS.map((driver) => ({ driver, maxGather })))

async function measureLoad({ sessions, count, size }, { server, port }, seconds) {
  const target = ['bench/bin/gather_client', port, server.pid]
  const command = [...target, sessions, count, size, seconds]
  const result = await measureProgram(command, { seconds, core: clientCore() })
  const { cpu_us_per_msg, msgs_s, probe_ns } = result
  return {
    cpu_us_per_msg,
    msgs_s,
    probe_p50_us: probe_ns.p50 / 1e3,
    probe_p99_us: probe_ns.p99 / 1e3,
  }
}

/** One server, all loads: the figures of each. */
async function measureRun({ driver, maxGather }, seconds) {
  const options = { driver, maxGather, workers: 1, maxBackpressure: MAX_BACKPRESSURE }
  const command = (port) => ourCommand(port, 'gather', options)
  const run = await withServer({ command, cores: 1, rootFolder, logFile }, async (server) => {
    await measureLoad(WARM_UP, server, WARM_UP_TIMES * seconds)
    const figures = []
    for (const load of LOADS) figures.push(await measureLoad(load, server, seconds))
    return figures
  })
  if (!run.started) throw new Error(`the server did not start:\n${run.words}`)
  const { gathers, gatherSlices, shortSends, ...counters } = countersIn(run.words)
  const histogram = Object.entries(counters).filter(([name]) => /^gathersTo/.test(name))
  return { loads: run.used, gathers, gatherSlices, shortSends, ...Object.fromEntries(histogram) }
}

async function measure({ seconds, rounds }) {
  const limits = await measureProgram(['bench/bin/gather_limit'])
  const figures = await interleaved(rounds, RUNS, (run) => measureRun(run, seconds))
  return { limits, runs: RUNS.map((run, i) => ({ ...run, rounds: figures[i] })) }
}

// ---- The page ----

function loadName({ sessions, count, size }) {
  return `${sessions} ${sessions === 1 ? 'session' : 'sessions'}, ${count} × ${sizeName(size)}`
}

/** Rounds of one load. */
function roundsOf({ runs }, driver, maxGather, load) {
  const run = runs.find((entry) => entry.driver === driver && entry.maxGather === maxGather)
  return run.rounds.map(({ loads }) => loads[load])
}

function ratios(rounds, base, field) {
  return rounds.map((round, i) => ({ ratio: round[field] / base[i][field] }))
}

function costTable(figures) {
  const rows = DRIVERS.flatMap((driver) =>
    LOADS.map((load, i) => {
      const base = roundsOf(figures, driver, DEFAULT_GATHER, i)
      const cells = GATHERS.map((maxGather) => {
        const rounds = roundsOf(figures, driver, maxGather, i)
        if (maxGather === DEFAULT_GATHER) return spread(summaryOf(rounds, 'cpu_us_per_msg'), number)
        const of = summaryOf(ratios(rounds, base, 'cpu_us_per_msg'), 'ratio')
        return `${spread(of, (ratio) => ratio.toFixed(2))} ×`
      })
      return [driver, loadName(load), ...cells]
    }),
  )
  return markdownTable(2, ['driver', 'load', ...GATHERS.map(String)], rows).join('\n')
}

function fairnessTable(figures) {
  const rows = DRIVERS.flatMap((driver) =>
    LOADS.map((load, i) => [
      driver,
      loadName(load),
      ...GATHERS.map((maxGather) => {
        const rounds = roundsOf(figures, driver, maxGather, i)
        const [middle, high] = ['probe_p50_us', 'probe_p99_us'].map((field) =>
          summaryOf(rounds, field),
        )
        return `${number(middle.median)} / ${number(high.median)}`
      }),
    ]),
  )
  return markdownTable(2, ['driver', 'load', ...GATHERS.map(String)], rows).join('\n')
}

function limitTable({ limits }) {
  return markdownTable(
    1,
    ['call', 'most slices', 'one more'],
    [
      [
        'sendmsg(2), as the epoll driver calls it',
        limits.sendmsg_most,
        `errno ${limits.sendmsg_errno}`,
      ],
      ['SENDMSG of io_uring', limits.ring_most, `errno ${limits.ring_errno}`],
    ],
  ).join('\n')
}

/** How many gathers had how many slices, in the first round. */
function histogramTable({ runs }) {
  const names = Object.keys(runs[0].rounds[0]).filter((name) => name.startsWith('gathersTo'))
  const rows = runs.map(({ driver, maxGather, rounds: [first] }) => [
    driver,
    String(maxGather),
    ...names.map((name) => `${number((100 * first[name]) / first.gathers)} %`),
  ])
  const heads = names.map((name) => `to ${name.replace('gathersTo', '')}`)
  return markdownTable(2, ['driver', 'maxGather', ...heads], rows).join('\n')
}

function chart(figures, title, label, field) {
  const series = LOADS.flatMap((load, i) =>
    DRIVERS.map((driver) => ({
      name: `${driver}, ${loadName(load)}`,
      values: GATHERS.map((maxGather) => summaryOf(roundsOf(figures, driver, maxGather, i), field)),
    })),
  )
  const x = { label: 'maxGather', places: GATHERS.map(String) }
  return lineChart({ title, x, y: { label, log: true }, series })
}

export const gather = {
  name: 'gather',
  what: 'gathers of 1 to 1024 slices: their cost, and the latency of those who wait behind them',
  seconds: [0.4, 0.1],
  rounds: [2, 1],
  measure,
  parts: {
    limits: limitTable,
    cost: costTable,
    fairness: fairnessTable,
    histogram: histogramTable,
  },
  charts: {
    cost: (figures) =>
      chart(figures, 'Server CPU for each message', 'CPU µs per message', 'cpu_us_per_msg'),
    fairness: (figures) =>
      chart(
        figures,
        'Round trip of a session that asks for one message: 99th percentile',
        'µs',
        'probe_p99_us',
      ),
  },
}

await runIfMain(import.meta.url, gather)
