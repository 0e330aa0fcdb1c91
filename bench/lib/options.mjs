// What: the command lines of the benchmark's scripts.
// Flow: process.argv -> parseOptions -> run.mjs; scriptOptions -> the others.
// Thread: the benchmark's own process.

import process from 'node:process'
import { parseArgs } from 'node:util'

export const usage = `usage: node bench/run.mjs [options]
  --seconds S    2    measured seconds of each run
  --rounds N     5    rounds; in each, every contestant runs once, in turn
  --case REGEX        only the cases whose name matches
  --only REGEX        only the contestants whose name matches
  --name NAME  latest the report is results/NAME.md and .json
  --quick             1 second, 2 rounds: a look, not a result
  --list              show cases and contestants, run nothing
  --help`

/** Returns the options, or throws an error whose message says which option and what is allowed. */
export function parseOptions(argv) {
  const { values } = parseArgs({
    args: argv,
    options: {
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      case: { type: 'string', default: '' },
      only: { type: 'string', default: '' },
      name: { type: 'string', default: 'latest' },
      quick: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  return {
    seconds: numberIn('--seconds', values.seconds ?? (values.quick ? '1' : '2'), 0.1, 600),
    rounds: Math.floor(numberIn('--rounds', values.rounds ?? (values.quick ? '2' : '5'), 1, 1000)),
    case: new RegExp(values.case),
    only: new RegExp(values.only),
    name: fileName('--name', values.name),
    quick: values.quick,
    list: values.list,
    help: values.help,
  }
}

/** @throws {RangeError} which says what is allowed. */
function fileName(name, text) {
  if (/^[a-z][a-z0-9_]*$/.test(text)) return text
  throw new RangeError(`${name} ${text}: must be small letters, digits and _`)
}

/** @throws {RangeError} which says what is allowed. */
export function numberIn(name, text, least, most) {
  const value = Number(text)
  if (value >= least && value <= most) return value
  throw new RangeError(`${name} ${text}: must be a number from ${least} to ${most}`)
}

/**
 * The options of a script that are texts, with their defaults; `read` makes of them what the script
 * needs. `help` is one more. What is wrong ends the process, with the usage.
 */
export function scriptOptions(usage, defaults, read) {
  const texts = Object.entries(defaults).map(([name, text]) => [
    name,
    { type: 'string', default: text },
  ])
  try {
    const { values } = parseArgs({
      options: { ...Object.fromEntries(texts), help: { type: 'boolean', default: false } },
    })
    return { help: values.help, ...read(values) }
  } catch (error) {
    console.error(`${error.message}\n${usage}`)
    process.exit(2)
  }
}
