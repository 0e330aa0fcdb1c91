// What: sets the package up, then runs one of its scripts as if it had been started in its place.
// Flow: demo.mjs, bench.mjs -> this -> setup.mjs, a child process.
// Thread: none; a parent process that waits.

// biome-ignore-start lint/style/useNodejsImportProtocol: see preflight.mjs.
import { spawn } from 'child_process'
import { constants } from 'os'
import { join } from 'path'
// biome-ignore-end lint/style/useNodejsImportProtocol: see above.
import { root, setup } from './setup.mjs'

/** Output, exit code and signals are the child's; ends the process. */
export function runScript(path, args) {
  const code = setup()
  if (code !== 0) process.exit(code)
  const child = spawn(process.execPath, [join(root, path), ...args], { stdio: 'inherit' })
  // A terminal sends SIGINT to the whole group: a second one from here would be the user's second.
  const isTerminal = process.stdin.isTTY === true
  process.on('SIGINT', () => {
    if (!isTerminal) child.kill('SIGINT')
  })
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.on('error', (error) => {
    console.error(`${path} cannot be started: ${error.message}`)
    process.exit(1)
  })
  child.on('exit', (status, signal) => {
    process.exit(signal === null ? status : 128 + constants.signals[signal])
  })
}
