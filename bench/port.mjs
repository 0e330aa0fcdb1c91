// What: what an entry of a completion port costs: taken one by one or 64 at a time, by 1, 2 and 8 threads.
// Flow: lib/port_rounds.mjs -> ns per entry, ratios.
// Thread: main; the takers are threads of their own.

import { numberIn, scriptOptions } from './lib/options.mjs'
import { MANY, measurePort, THREADS } from './lib/port_rounds.mjs'
import { spread, summarize, summarizeRatio } from './lib/statistics.mjs'

const usage = `usage: node bench/port.mjs [options]
  --entries N  200000  entries in each run
  --rounds N   10      rounds; in each, every number of threads takes one by one and ${MANY} at a time`

const options = scriptOptions(
  usage,
  { entries: '200000', rounds: '10' },
  ({ entries, rounds }) => ({
    entries: Math.floor(numberIn('--entries', entries, 1, 100_000_000)),
    rounds: Math.floor(numberIn('--rounds', rounds, 1, 1000)),
  }),
)
if (options.help) console.log(usage)
else report(await measurePort(options))

function report({ one, many }) {
  const figure = (value) => value.toPrecision(3)
  console.log(`threads  one by one ns           ${MANY} at a time ns        ratio`)
  for (const [i, threads] of THREADS.entries()) {
    const cells = [summarize(one[i]), summarize(many[i])].map((of) => spread(of, figure).padEnd(24))
    console.log(
      `${String(threads).padEnd(9)}${cells.join('')}${spread(summarizeRatio(many[i], one[i]), figure)}`,
    )
  }
}
