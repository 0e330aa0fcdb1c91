// What: SIGTERM while the server is abused: it exits with 0, says nothing more, and is gone.
// Flow: abuse_client.c -> the built CLI in a child process -> SIGTERM -> its exit code.
// Thread: the test's; child processes.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { Abuse, type AbuseMode, endAbuseAfterEach } from '../../helpers/abuse_client.ts'
import { drivers } from '../../helpers/drivers.ts'

const cli = fileURLToPath(new URL('../../../dist/src/cli/main.js', import.meta.url))

/** Descriptors of the server where it has few. */
const FEW = 200
const SMALL = ['--arena-bytes', '4194304', '--chunk-bytes', '4096', '--receive-buffers', '16']

/** Flags of the server, what its peers do, and whether they are all connected before the signal. */
const cases: readonly (readonly [
  name: string,
  flags: readonly string[],
  mode: AbuseMode,
  options: Readonly<Record<string, number>>,
  waits: boolean,
])[] = [
  ['a storm of resets', [], 'storm', { count: 1_000_000, at_once: 1_000 }, true],
  ['2,000 silent peers', [], 'hold', { count: 2_000 }, true],
  ['peers that send for ever and never read', [], 'blast', { count: 8, rcvbuf: 4_608 }, true],
  ['peers that blast', [], 'blast', { count: 40, size: 600, reads: 1 }, true],
  ['frames that never end', [], 'hold', { count: 500, partial: 40_000 }, true],
  ['a full table', ['--max-sessions', '50'], 'hold', { count: 200 }, true],
  ['no descriptor left', [], 'hold', { count: 2 * FEW }, true],
  ['no memory left', SMALL, 'blast', { count: 50, rcvbuf: 4_608 }, false],
  ['no receive buffer left', SMALL, 'echo', { count: 200 }, true],
  ['a short backlog', ['--backlog', '1'], 'storm', { count: 1_000_000, at_once: 50 }, false],
]

endAbuseAfterEach()

describe.each(drivers)('SIGTERM under %s', (driver) => {
  it.each(cases)('%s', async (name, flags, mode, options, waits) => {
    const limit = name === 'no descriptor left' ? `ulimit -n ${FEW} && ` : ''
    const child = spawn('sh', [
      ...['-c', `${limit}exec "$@"`, 'sh', process.execPath, cli, 'start'],
      ...['--port', '0', '--workers', '2', '--driver', driver],
      ...['--close-timeout', '200', '--drain-timeout', '2000', ...flags],
    ])
    let output = ''
    let errors = ''
    child.stderr.on('data', (data) => {
      errors += data
    })
    const ended = new Promise((resolve) => {
      child.on('close', (code, signal) => resolve({ code, signal, errors }))
    })
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (data) => {
        output += data
        resolve()
      })
    })
    const port = Number(/:(\d+) /.exec(output)?.[1])
    const peers = new Abuse(mode, port, options)
    // `ready` may never come where most peers are reset at once.
    if (waits) await peers.ready()
    // Some work in between, so that the signal comes in the midst of it.
    await new Promise((resolve) => setTimeout(resolve, 150))
    child.kill('SIGTERM')
    expect(await ended).toEqual({ code: 0, signal: null, errors: '' })
  })
})
