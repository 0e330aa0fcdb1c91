// What: runs of an analysis: interleaved rounds, one server and its load client, one program.
// Flow: scenario/NAME.mjs -> this -> processes.mjs -> figures; what fails throws, with a sentence.
// Thread: the benchmark's own process.

import process from 'node:process'
import { coresFor, pinned } from './cores.mjs'
import { runClient, runToEnd, withServer } from './processes.mjs'
import { logFile, rootFolder } from './script.mjs'
import { summarize, summarizeRatio } from './statistics.mjs'

/** How long a program may take beside what it was asked to measure. */
const GRACE_MS = 20_000

/** In each round everything runs once, in turn: for each run the figures of its rounds. */
export async function interleaved(rounds, runs, measureOne) {
  const figures = runs.map(() => [])
  for (let round = 0; round < rounds; round++) {
    for (const [i, run] of runs.entries()) {
      figures[i].push(await measureOne(run, round))
      note(`round ${round + 1}/${rounds}, run ${i + 1}/${runs.length}`)
    }
  }
  note('')
  return figures
}

/** On one line of a terminal. */
function note(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

/**
 * A server and the load client once. `command` is a function of the port. Returns the load client's figures,
 * and as `words` what the server wrote.
 */
export async function measureServer({ command, client, seconds, warmupSeconds, ...rest }) {
  const { cores = 1, threads = cores, says, prefix } = rest
  const server = { command, cores, rootFolder, logFile, says }
  const run = await withServer(server, ({ server: { pid }, port }) =>
    runClient({
      ...{ benchCase: { threads, cores, client }, seconds, warmupSeconds },
      ...{ rootFolder, pid, port, prefix },
    }),
  )
  const failure = run.started ? run.used.failure : 'the server did not start'
  if (failure) throw new Error(`${command('PORT').join(' ')}: ${failure}\n${run.words}`)
  return { ...run.used.result, words: run.words }
}

/** What overlapped_server.mjs said that its counters came to. */
export function countersIn(words) {
  const [, json] = /^counters (.*)$/m.exec(words) ?? []
  if (json === undefined) throw new Error(`the server did not say its counters: ${words}`)
  return JSON.parse(json)
}

/** Runs a program on the server's core, or on `core`; returns its line of JSON. */
export async function measureProgram(command, { seconds = 0, core = serverCore() } = {}) {
  const limitMs = seconds * 1000 + GRACE_MS
  const { code, output, words } = await runToEnd(pinned([core], command), { rootFolder, limitMs })
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${words.trim()}`)
  return JSON.parse(output)
}

export function serverCore() {
  return coresFor(1).server[0]
}

export function clientCore() {
  return coresFor(1).client[0]
}

/** Median, least and greatest of one field over the rounds. */
export function summaryOf(rounds, field) {
  return summarize(rounds.map((round) => round[field]))
}

/** The same of the ratio, round by round. */
export function ratioOf(rounds, baseRounds, field) {
  const of = (all) => all.map((round) => round[field])
  return summarizeRatio(of(rounds), of(baseRounds))
}
