// What: `npm run demo`: builds what is not built, then runs the demo.
// Flow: setup.mjs -> this -> dist/src/load/demo.js.
// Thread: none; a parent process that waits.

import { runScript } from './run_script.mjs'

runScript('dist/src/load/demo.js', process.argv.slice(2))
