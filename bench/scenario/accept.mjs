// What: accepting by pending accepts against a loop that blocks: connections per second, and per second of CPU.
// Flow: accept.c; our server under the load client -> results/accept.json -> docs/analysis/accept.md.
// Thread: the benchmark's own process.

import { runIfMain } from '../lib/analysis.mjs'
import { contestants } from '../lib/contestants.mjs'
import { markdownTable } from '../lib/markdown.mjs'
import {
  clientCore,
  interleaved,
  measureProgram,
  measureServer,
  ratioOf,
  serverCore,
  summaryOf,
} from '../lib/rounds.mjs'
import { number, spread } from '../lib/statistics.mjs'
import { barChart } from '../lib/svg.mjs'

/** The first is what the others are compared with. */
const WAYS = ['blocking', 'epoll', 'posted', 'multishot']
const AT_ONCE = [1, 16, 256]
const RUNS = AT_ONCE.flatMap((atOnce) => WAYS.map((way) => ({ way, atOnce })))
const SERVERS = ['C io_uring', 'C epoll', 'overlapped io_uring', 'overlapped epoll']

async function measureWay({ way, atOnce }, seconds) {
  const command = ['bench/bin/accept', way, atOnce, seconds, serverCore(), clientCore()]
  const { accepts_per_s, accepts_per_cpu_s, utilization } = await measureProgram(command, {
    seconds,
  })
  return { accepts_per_s, accepts_per_cpu_s, utilization }
}

/** A connection with a message: the case accept_message_close of the benchmark. */
async function measureWhole(name, seconds) {
  const server = contestants.find((contestant) => contestant.name === name)
  const { msgs_s, msgs_per_cpu_s } = await measureServer({
    command: (port) => server.command({ port, threads: 1, mode: 'echo' }),
    client: ['--mode', 'connect', '--size', 64, '--conns', 64],
    ...{ seconds, warmupSeconds: server.warmupSeconds },
  })
  return { msgs_s, msgs_per_cpu_s }
}

async function measure({ seconds, rounds }) {
  const ways = await interleaved(rounds, RUNS, (run) => measureWay(run, seconds))
  const whole = await interleaved(rounds, SERVERS, (name) => measureWhole(name, seconds))
  return {
    ways: RUNS.map((run, i) => ({ ...run, rounds: ways[i] })),
    whole: SERVERS.map((name, i) => ({ name, rounds: whole[i] })),
  }
}

// ---- The page ----

function roundsOf({ ways }, way, atOnce) {
  return ways.find((run) => run.way === way && run.atOnce === atOnce).rounds
}

const times = (ratio) => ratio.toFixed(2)

function waysTable(figures) {
  const rows = AT_ONCE.flatMap((atOnce) =>
    WAYS.map((way) => {
      const rounds = roundsOf(figures, way, atOnce)
      const base = roundsOf(figures, WAYS[0], atOnce)
      return [
        String(atOnce),
        way,
        spread(summaryOf(rounds, 'accepts_per_s'), number),
        spread(ratioOf(rounds, base, 'accepts_per_s'), times),
        spread(summaryOf(rounds, 'accepts_per_cpu_s'), number),
        spread(ratioOf(rounds, base, 'accepts_per_cpu_s'), times),
        number(summaryOf(rounds, 'utilization').median),
      ]
    }),
  )
  const ratio = 'times blocking'
  const heads = ['per second', ratio, 'per CPU second', ratio, 'share of a core']
  return markdownTable(2, ['at once', 'way', ...heads], rows).join('\n')
}

function wholeTable({ whole }) {
  const rows = whole.map(({ name, rounds }) => [
    name,
    spread(summaryOf(rounds, 'msgs_s'), number),
    spread(summaryOf(rounds, 'msgs_per_cpu_s'), number),
  ])
  return markdownTable(1, ['server', 'per second', 'per CPU second'], rows).join('\n')
}

function chart(figures) {
  return barChart({
    title: 'Connections accepted in a second of CPU',
    x: { label: 'connections that come at once', places: AT_ONCE.map(String) },
    y: { label: 'per CPU second' },
    series: WAYS.map((way) => ({
      name: way,
      values: AT_ONCE.map((atOnce) =>
        summaryOf(roundsOf(figures, way, atOnce), 'accepts_per_cpu_s'),
      ),
    })),
  })
}

export const accept = {
  name: 'accept',
  what: 'pending accepts (multishot, posted) against a blocking loop and epoll',
  seconds: [0.6, 0.1],
  rounds: [3, 1],
  measure,
  parts: { ways: waysTable, whole: wholeTable },
  charts: { per_cpu: chart },
}

await runIfMain(import.meta.url, accept)
