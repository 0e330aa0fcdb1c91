// What: how long the way from a worker to the update thread is, beside one wake of this machine.
// Flow: rounds of {wake, idle server, loaded server} per layout -> medians, and their difference.
// Thread: one process that starts the others and otherwise sleeps.

import { execFileSync } from 'node:child_process'
import path from 'node:path'
import process from 'node:process'
import { buildPrograms } from './lib/build.mjs'
import { contestants, isBuilt } from './lib/contestants.mjs'
import { coresFor } from './lib/cores.mjs'
import { numberIn, scriptOptions } from './lib/options.mjs'
import { runOnce } from './lib/processes.mjs'
import { benchFolder, endStartedOnSignal, logFile, rootFolder } from './lib/script.mjs'
import { number, spread, summarize } from './lib/statistics.mjs'

/** The update thread is to run on a core of its own; the client shares both, with each layout. */
const CORES = 2
/** Between two messages all threads sleep; after the longer time their code and data are in no cache any more. */
const INTERVALS_MS = [1, 20]
/** What a hop may take beside the wake. */
const SPARE_US = 20

const LAYOUTS = ['worker', 'update eager']

const idles = INTERVALS_MS.map((intervalMs) => ({
  name: `idle: 1 connection, a message every ${intervalMs} ms`,
  intervalMs,
  mode: 'stamp',
  client: ['--mode', 'ping', '--size', 64, '--interval', intervalMs],
  fields: ['there_p50_us', 'there_p99_us', 'p50_us', 'p99_us'],
}))
const loaded = {
  name: 'loaded: 64 connections, 1 message in flight each',
  mode: 'echo',
  client: ['--mode', 'echo', '--size', 64, '--conns', 64, '--depth', 1],
  fields: ['p50_us', 'p99_us'],
}

const usage = `usage: node bench/hop.mjs [options]
  --driver NAME  io_uring  or epoll
  --seconds S    5         measured seconds of each run
  --rounds N     5         rounds; in each, everything runs once, in turn`

const defaults = { driver: 'io_uring', seconds: '5', rounds: '5' }
const options = scriptOptions(usage, defaults, ({ driver, seconds, rounds }) => ({
  driver,
  seconds: numberIn('--seconds', seconds, 0.1, 600),
  rounds: Math.floor(numberIn('--rounds', rounds, 1, 1000)),
}))
endStartedOnSignal()
if (options.help) console.log(usage)
else process.exitCode = await measureAll()

/** Returns the exit code: 1 when a run failed, or a layout is not there. */
async function measureAll() {
  buildPrograms(benchFolder)
  const [first, second] = coresFor(CORES).server
  const servers = contestants.filter(
    (contestant) =>
      contestant.driver === options.driver &&
      LAYOUTS.includes(contestant.layout) &&
      isBuilt(contestant, rootFolder),
  )
  const faults = []
  if (servers.length < LAYOUTS.length) faults.push(`not both are there: ${LAYOUTS.join(', ')}`)
  if (second === undefined) faults.push('a wake needs two cores')
  if (servers.length === 0 || second === undefined) {
    console.error(faults.join('\n'))
    return 1
  }

  // By interval, a result for each round.
  const wakes = Object.fromEntries([...INTERVALS_MS, 0].map((intervalMs) => [intervalMs, []]))
  const runs = [...idles, loaded].flatMap((benchCase) =>
    servers.map((contestant) => ({ benchCase, contestant, results: [] })),
  )
  for (let round = 1; round <= options.rounds; round++) {
    for (const intervalMs of Object.keys(wakes)) {
      wakes[intervalMs].push(measureWake(first, second, intervalMs))
    }
    for (const { benchCase, contestant, results } of runs) {
      const outcome = await runOnce({
        ...{ contestant, benchCase: { ...benchCase, threads: 1, cores: CORES } },
        ...{ seconds: options.seconds, rootFolder, logFile },
      })
      if (outcome.failure) faults.push(`${contestant.name}, ${benchCase.name}: ${outcome.failure}`)
      results.push(outcome.failure ? {} : outcome.result)
    }
  }
  report(wakes, runs)
  for (const fault of faults) console.log(fault)
  return faults.length > 0 ? 1 : 0
}

function measureWake(first, second, intervalMs) {
  const command = path.join(benchFolder, 'bin', 'wake')
  return JSON.parse(execFileSync(command, [first, second, options.seconds, intervalMs].map(String)))
}

function report(wakes, runs) {
  console.log(`µs: median (least..greatest) of ${options.rounds} rounds of ${options.seconds} s\n`)
  for (const intervalMs of INTERVALS_MS) {
    console.log(
      `one wake, the other core idle for ${intervalMs} ms: ${percentiles(wakes[intervalMs])}`,
    )
  }
  console.log(`one wake, again and again: ${percentiles(wakes[0])}`)
  for (const { benchCase, contestant, results } of runs) {
    console.log(`${benchCase.name}; ${contestant.name}`)
    for (const field of benchCase.fields) console.log(`  ${field}: ${figure(results, field)}`)
  }
  for (const idle of idles) reportHop(idle, wakes[idle.intervalMs], runs)
}

function reportHop(idle, wakes, runs) {
  const [worker, update] = runs.filter(({ benchCase }) => benchCase === idle)
  if (update === undefined) return
  const hops = update.results.map((result, round) => {
    return result.there_p50_us - worker.results[round].there_p50_us
  })
  const above = hops.map((hop, round) => hop - wakes[round].p50_us)
  const summary = summarize(above)
  if (summary === undefined) return // Failures, which are told.
  const verdict = summary.median <= SPARE_US ? 'no more' : 'MORE'
  console.log(`\n${idle.name}: hop (there_p50 of update less that of worker): ${text(hops)}`)
  console.log(`above one wake: ${text(above)}, ${verdict} than the ${SPARE_US} it may be`)
}

function percentiles(results) {
  return `p50 ${figure(results, 'p50_us')}, p99 ${figure(results, 'p99_us')}`
}

function figure(results, field) {
  return text(results.map((result) => result[field]))
}

function text(values) {
  const summary = summarize(values)
  return summary === undefined ? 'no figure' : spread(summary, number)
}
