// What: `npm run bench`: builds what is not built, then runs the benchmarks.
// Flow: setup.mjs -> this -> bench/run.mjs.
// Thread: none; a parent process that waits.

import { runScript } from './run_script.mjs'

runScript('bench/run.mjs', process.argv.slice(2))
