// What: what all analyses have in common: their command line, their result, the generated parts of their pages.
// Flow: scenario/NAME.mjs -> measure -> results/NAME.json -> parts of docs/analysis/NAME.md, docs/analysis/NAME_*.svg.
// Thread: the benchmark's own process.
//
// analysis  { name, what, seconds, rounds, measure, parts, charts }
//   what       a sentence for --help
//   seconds    of each run; rounds: in each, everything runs once, in turn; both as [usual, --quick]
//   measure    ({ seconds, rounds }) -> the figures, which must survive JSON
//   parts      { PART: (figures) -> Markdown }, between <!-- PART --> and <!-- /PART --> of the page
//   charts     { CHART: (figures) -> SVG }, in NAME_CHART.svg
//
// The rest of a page is written by hand, the verdict above all.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { buildPrograms } from './build.mjs'
import { numberIn } from './options.mjs'
import {
  benchFolder,
  endStartedOnSignal,
  machineFacts,
  resultsFolder,
  rootFolder,
} from './script.mjs'

const pagesFolder = path.join(rootFolder, 'docs', 'analysis')

export function analysisUsage(script) {
  return `usage: node ${script} [options]
  --quick        short runs, few rounds: a look, not a result
  --seconds S    measured seconds of each run
  --rounds N     in each, everything runs once, in turn
  --draw         draws what was measured before; measures nothing
  --into FOLDER  results and pages go there; otherwise to results/ and docs/analysis/
  --help`
}

/** @throws {Error} whose message says which option and what is allowed. */
export function parseAnalysisOptions(argv) {
  const { values } = parseArgs({
    args: argv,
    options: {
      quick: { type: 'boolean', default: false },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      draw: { type: 'boolean', default: false },
      into: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const number = (name, least, most) =>
    values[name] === undefined ? undefined : numberIn(`--${name}`, values[name], least, most)
  return {
    ...values,
    seconds: number('seconds', 0.02, 60),
    rounds: number('rounds', 1, 100),
  }
}

/** Measures, unless it is only to draw, and writes what came of it. */
export async function runAnalysis(analysis, { quick, seconds, rounds, draw, into }) {
  const kind = quick ? 1 : 0
  const folders =
    into === undefined
      ? { results: resultsFolder, pages: pagesFolder }
      : { results: path.resolve(into), pages: path.resolve(into) }
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true })
  const resultFile = path.join(folders.results, `${analysis.name}.json`)
  if (!draw) {
    buildPrograms(benchFolder)
    const options = {
      seconds: seconds ?? analysis.seconds[kind],
      rounds: Math.floor(rounds ?? analysis.rounds[kind]),
    }
    const begin = Date.now()
    const figures = await analysis.measure(options)
    const result = {
      at: new Date(begin).toISOString(),
      machine: machineFacts(),
      quick,
      options,
      figures,
    }
    writeFileSync(resultFile, `${JSON.stringify(result, null, 1)}\n`)
    console.error(`${analysis.name}: ${Math.round((Date.now() - begin) / 1000)} s`)
  }
  const result = JSON.parse(readFileSync(resultFile, 'utf8'))
  // A page that is made elsewhere begins as a copy of the one in docs, with its hand-written parts.
  const page = readFileSync(path.join(pagesFolder, `${analysis.name}.md`), 'utf8')
  for (const [name, text] of Object.entries(drawAnalysis(analysis, result, page))) {
    writeFileSync(path.join(folders.pages, name), text)
  }
}

/** Files of a page by name: the page with its generated parts, and its charts. */
export function drawAnalysis({ name, parts, charts }, result, page) {
  const withHead = { measured: () => head(result), ...parts }
  const text = Object.entries(withHead).reduce(
    (before, [part, write]) => replacePart(before, part, write(result.figures)),
    page,
  )
  const drawn = Object.entries(charts).map(([chart, write]) => [
    `${name}_${chart}.svg`,
    write(result.figures),
  ])
  return { [`${name}.md`]: text, ...Object.fromEntries(drawn) }
}

/** @throws {Error} where the page has no such part, or several. */
export function replacePart(page, part, text) {
  const [begin, end] = [`<!-- ${part} -->`, `<!-- /${part} -->`]
  const pieces = page.split(begin)
  const rest = pieces[1]?.split(end)
  if (pieces.length !== 2 || rest.length !== 2) {
    throw new Error(`the page must have one part between ${begin} and ${end}`)
  }
  return `${pieces[0]}${begin}\n\n${text.trim()}\n\n${end}${rest[1]}`
}

function head({ at, machine: { cpu, cores, kernel, node }, quick, options }) {
  const look = quick ? ' **A look, not a result.**' : ''
  return (
    `${at.slice(0, 10)}. ${cpu}, ${cores} cores, ${kernel}, Node ${node}. ` +
    `${options.rounds} interleaved rounds; ${options.seconds} s for each run.${look}`
  )
}

/** Runs the analysis when `url` is the script that Node was started with. */
export async function runIfMain(url, analysis) {
  if (pathToFileURL(process.argv[1] ?? '').href !== url) return
  await runAll(`bench/scenario/${analysis.name}.mjs`, [analysis])
}

/** The command line of a script that runs these. What is wrong ends the process, with the usage. */
export async function runAll(script, analyses) {
  let options
  try {
    options = parseAnalysisOptions(process.argv.slice(2))
  } catch (error) {
    console.error(`${error.message}\n${analysisUsage(script)}`)
    process.exit(2)
  }
  if (options.help) {
    console.log(analysisUsage(script))
    for (const { name, what } of analyses) console.log(`  ${name.padEnd(12)} ${what}`)
    return
  }
  endStartedOnSignal()
  for (const analysis of analyses) {
    try {
      await runAnalysis(analysis, options)
    } catch (error) {
      // The others are measured all the same.
      console.error(`${analysis.name}: ${error.stack}`)
      process.exitCode = 1
    }
  }
}
