// What: where io_uring is denied, auto takes epoll and says why, asking for io_uring is one clear sentence.
// Flow: a filter around the built CLI -> its output.
// Thread: the test's; children.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const path = (relative: string) => fileURLToPath(new URL(`../../${relative}`, import.meta.url))

describe('under a filter of system calls', () => {
  let folder = ''
  let deny = ''

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'overlapped-deny-'))
    deny = join(folder, 'deny')
    execFileSync(process.env.CC || 'cc', ['-o', deny, path('test/native/deny_io_uring.c')])
  })

  afterAll(() => rmSync(folder, { recursive: true }))

  it('auto takes epoll, says why, and stops cleanly', async () => {
    const child = spawn(
      deny,
      [process.execPath, path('dist/src/cli/main.js'), 'start', '--port', '0'],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const line = await new Promise<string>((resolve) => {
      child.stdout.once('data', (data) => resolve(String(data)))
    })
    expect(line).toMatch(/^listening 127\.0\.0\.1:\d+ driver=epoll \(auto: io_uring is denied here/)
    child.kill('SIGTERM')
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0)
  })

  it('io_uring by name is refused with one sentence', () => {
    const { status, stdout, stderr } = spawnSync(
      deny,
      [
        process.execPath,
        path('dist/src/cli/main.js'),
        'start',
        '--port',
        '0',
        '--driver',
        'io_uring',
      ],
      { encoding: 'utf8' },
    )
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(/^overlapped: driver is 'io_uring', but io_uring is denied here.*\n$/)
  })

  it('the demo serves, verifies and says which driver and why', () => {
    const { status, stdout } = spawnSync(
      deny,
      [process.execPath, path('dist/src/load/demo.js'), '--seconds', '2', '--connections', '50'],
      { encoding: 'utf8' },
    )
    expect(stdout).toContain('epoll')
    expect(stdout).toContain('io_uring is denied here')
    expect(stdout).toContain('zero loss')
    expect(status).toBe(0)
  })
})
