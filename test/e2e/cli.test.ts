// What: `overlapped start` as a person types it: one line when ready, one sentence when not, exit codes.
// Flow: the built CLI in a child process -> stdout, stderr, exit code.
// Thread: the test's; children.

import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer as createNetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { Client } from '../helpers/e2e_client.ts'
import { requireTool } from '../helpers/require_tool.ts'

const cli = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url))
const echo = fileURLToPath(new URL('./handlers/blocking_echo.mjs', import.meta.url))

function start(...args: string[]) {
  const child = spawn(process.execPath, [cli, 'start', ...args])
  let output = ''
  child.stdout.on('data', (data) => {
    output += data
  })
  let errors = ''
  child.stderr.on('data', (data) => {
    errors += data
  })
  const ended = new Promise<{ code: number | null; output: string; errors: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, output, errors }))
  })
  const ready = new Promise<string>((resolve) => child.stdout.once('data', () => resolve(output)))
  return { child, ready: Promise.race([ready, ended.then(() => '')]), ended }
}

/** Runs a start that must fail. */
function refused(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'start', ...args], {
    encoding: 'utf8',
  })
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toMatch(/^overlapped: [^\n]+\n$/)
  return stderr
}

describe.each(drivers)('start --driver %s', (driver) => {
  it('prints one line when it is ready, serves, and exits with 0 on SIGTERM', async () => {
    const { child, ready, ended } = start(
      ...['--host', '127.0.0.1', '--port', '0', '--workers', '2', '--mode', 'worker'],
      ...['--driver', driver, '--framing', 'length-prefix', '--length-bytes', '2'],
      ...['--endian', 'little', '--max-sessions', '12000'],
    )
    const line = await ready
    expect(line).toMatch(
      new RegExp(
        `^listening 127\\.0\\.0\\.1:\\d+ driver=${driver} \\(asked for\\) workers=2 mode=worker memory: 12000 sessions[^\n]*\n$`,
      ),
    )
    const client = await Client.connect(Number(/:(\d+) /.exec(line)?.[1]))
    client.write(Buffer.from([3, 0, 1, 2, 3]))
    expect([...(await client.take(5))]).toEqual([3, 0, 1, 2, 3])
    child.kill('SIGTERM')
    expect(await ended).toEqual({ code: 0, output: line, errors: '' })
    await client.untilClosed()
    expect(client.ended).toBe(true)
  })

  it('loses nothing that it answered when SIGTERM comes', async () => {
    const { child, ready, ended } = start('--port', '0', '--driver', driver)
    const client = await Client.connect(Number(/:(\d+) /.exec(await ready)?.[1]))
    const frame = Buffer.alloc(1026, 7)
    frame.writeUInt16BE(1024)
    for (let i = 0; i < 2000; i++) client.write(frame)
    await client.take(1)
    child.kill('SIGTERM')
    expect((await ended).code).toBe(0)
    await client.untilClosed()
    // Whole frames only: what was answered arrived to its end, and the end was a FIN.
    expect({ rest: client.received % 1026, error: client.error }).toEqual({ rest: 0, error: '' })
  })
})

describe('start', () => {
  it('runs a handler module', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'overlapped-cli-'))
    const config = join(folder, 'server.json')
    writeFileSync(config, JSON.stringify({ 'max-sessions': 50, handler: echo }))
    const { child, ready, ended } = start('--config', config, '--port', '0', '--framing', 'raw')
    expect(await ready).toContain('memory: 50 sessions')
    child.kill('SIGTERM')
    expect((await ended).code).toBe(0)
    rmSync(folder, { recursive: true })
  })

  it('takes SIGINT too', async () => {
    const { child, ready, ended } = start('--port', '0')
    await ready
    child.kill('SIGINT')
    expect((await ended).code).toBe(0)
  })
})

describe('start is refused with one sentence', () => {
  const taken = createNetServer()
  beforeAll(() => new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve)))
  afterAll(() => taken.close())

  it('unknown option', () => {
    expect(refused('--prot', '9000')).toMatch(/--prot.*--port/)
  })

  it('bad value', () => {
    expect(refused('--workers', 'many')).toMatch(/workers.*many/)
    expect(refused('--port', '70000')).toMatch(/port.*70000.*65,?535/)
  })

  it('port in use', () => {
    const { port } = taken.address() as AddressInfo
    expect(refused('--port', String(port))).toMatch(
      new RegExp(`127\\.0\\.0\\.1:${port}: another socket listens there`),
    )
  })

  it('bad host', () => {
    expect(refused('--host', '192.0.2.1', '--port', '0')).toMatch(
      /192\.0\.2\.1.*not an address of this machine/,
    )
    expect(refused('--host', 'no.such.host.invalid', '--port', '0')).toMatch(
      /no\.such\.host\.invalid.*cannot be resolved/,
    )
  })

  it.skipIf(!requireTool('setpriv', 'apt-get install -y util-linux'))('privileged port', () => {
    const from = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
    expect(from).toBeGreaterThan(80)
    // Root may listen there, so the right to is taken away.
    const caps = '-net_bind_service'
    const wrap =
      process.getuid?.() === 0
        ? ['setpriv', `--bounding-set=${caps}`, `--inh-caps=${caps}`]
        : ['env']
    const { status, stdout, stderr } = spawnSync(
      wrap[0],
      [...wrap.slice(1), process.execPath, cli, 'start', '--port', '80'],
      { encoding: 'utf8' },
    )
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(
      /^overlapped: [^\n]*127\.0\.0\.1:80: the system does not allow it[^\n]*\n$/,
    )
  })

  it('a handler that is not there, or is none', () => {
    expect(refused('nowhere.mjs', '--port', '0')).toContain('nowhere.mjs')
    const none = fileURLToPath(new URL('../../dist/src/errors.js', import.meta.url))
    expect(refused(none, '--port', '0')).toContain('defineHandler')
  })
})
