// What: all analyses: runs them one after another and writes their pages.
// Flow: scenario/*.mjs -> results/, docs/analysis/.
// Thread: one process that starts the others and otherwise sleeps.

import { runAll } from './lib/analysis.mjs'
import { analyses } from './scenario/all.mjs'

await runAll('bench/analyses.mjs', analyses)
