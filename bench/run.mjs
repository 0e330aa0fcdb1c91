// What: the benchmark: every case, every contestant, interleaved; figures, ratios and their spread.
// Flow: build -> for each case and round, each contestant once -> tables on stdout, in results/.
// Thread: one process that starts servers and load clients and otherwise sleeps.

import { appendFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { buildPrograms } from './lib/build.mjs'
import { cases } from './lib/cases.mjs'
import { contestants, isBuilt } from './lib/contestants.mjs'
import { parseOptions, usage } from './lib/options.mjs'
import { runOnce } from './lib/processes.mjs'
import { markdownReport, summarizeCases } from './lib/report.mjs'
import {
  benchFolder,
  endStartedOnSignal,
  logFile,
  machineFacts,
  rawFolder,
  resultsFolder,
  rootFolder,
} from './lib/script.mjs'

const runsFile = path.join(rawFolder, 'runs.jsonl')

const otherScripts = `other scripts (--help):
  bench/syscalls.mjs    system calls per echo, counted from outside
  bench/allocation.mjs  what a message leaves for the garbage collector
  bench/hop.mjs         the way from a worker to the update thread, beside a wake
  bench/pin.mjs         a pin beside a session lock
  bench/analyses.mjs    the analyses in docs/analysis`

const options = readOptions()
if (options.help) {
  console.log(usage)
} else if (options.list) {
  console.log(`cases:\n${indented(cases)}\ncontestants:\n${indented(contestants)}\n${otherScripts}`)
} else {
  endStartedOnSignal()
  process.exitCode = await runBenchmark()
}

function readOptions() {
  try {
    return parseOptions(process.argv.slice(2))
  } catch (error) {
    console.error(`${error.message}\n${usage}`)
    process.exit(2)
  }
}

function indented(named) {
  return named.map(({ name }) => `  ${name}`).join('\n')
}

/** Returns the exit code: 1 when any run failed. */
async function runBenchmark() {
  writeFileSync(logFile, '')
  writeFileSync(runsFile, '')
  buildPrograms(benchFolder)

  const missing = []
  const present = contestants.filter((contestant) => {
    if (!options.only.test(contestant.name)) return false
    const found = isBuilt(contestant, rootFolder)
    if (!found) {
      console.error(`missing: ${contestant.name} (no ${contestant.needs}; build first); going on`)
      missing.push(contestant.name)
    }
    return found
  })

  const broken = new Set() // Contestants that did not start; they are not tried again.
  const outcomes = []
  for (const benchCase of cases.filter(({ name }) => options.case.test(name))) {
    outcomes.push(await runCase(benchCase, present, broken))
  }
  missing.push(...broken)
  return writeReport(outcomes, missing)
}

function takesPart({ name, role, modes, layout }, { mode, peers, layouts }) {
  const asked = { limit: true, peer: peers.includes(name), ours: layouts.includes(layout) }
  return asked[role] && modes.includes(mode)
}

async function runCase(benchCase, present, broken) {
  const runs = present
    .filter((contestant) => takesPart(contestant, benchCase))
    .map((contestant) => ({ contestant, rounds: [] }))
  for (let round = 1; round <= options.rounds; round++) {
    for (const { contestant, rounds } of runs) {
      if (broken.has(contestant.name)) continue
      const { seconds } = options
      const outcome = await runOnce({ contestant, benchCase, seconds, rootFolder, logFile })
      if (!outcome.started) broken.add(contestant.name)
      rounds.push(outcome)
      note(benchCase, contestant, round, outcome)
    }
  }
  return { benchCase, runs }
}

function note(benchCase, contestant, round, outcome) {
  const entry = { case: benchCase.name, contestant: contestant.name, round, ...outcome }
  appendFileSync(runsFile, `${JSON.stringify(entry)}\n`)
  const figure =
    outcome.failure ?? (outcome.result[benchCase.figure] * benchCase.scale).toPrecision(4)
  console.error(`${benchCase.name} ${round}/${options.rounds} ${contestant.name}: ${figure}`)
}

function writeReport(outcomes, missing) {
  const report = {
    at: new Date().toISOString(),
    machine: machineFacts(),
    options: { seconds: options.seconds, rounds: options.rounds },
    missing,
    cases: summarizeCases(outcomes),
  }
  const markdown = markdownReport(report)
  writeFileSync(
    path.join(resultsFolder, `${options.name}.json`),
    `${JSON.stringify(report, null, 2)}\n`,
  )
  writeFileSync(path.join(resultsFolder, `${options.name}.md`), markdown)
  console.log(markdown)
  const failed = report.cases.some(({ rows }) => rows.some(({ failures }) => failures.length > 0))
  return failed ? 1 : 0
}
