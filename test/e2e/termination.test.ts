// What: process exit, a thread's end and stop under load are clean at any moment; an idle server burns no CPU.
// Flow: child processes -> exit codes, CPU time.
// Thread: the test's; children.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'

const fixture = fileURLToPath(new URL('./fixtures_exit.mjs', import.meta.url))
const cli = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url))

interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly output: string
}

function run(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [fixture, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (data) => {
      output += data
    })
    child.stderr.on('data', (data) => {
      output += data
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), 30_000)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, output })
    })
  })
}

/** Jiffies of CPU time that a process has used in all its threads. */
function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

const places = drivers.flatMap((driver) =>
  ['worker', 'update', 'ticking'].map((mode) => ({ driver, mode })),
)

describe.each(places)('$driver, $mode', ({ driver, mode }) => {
  it.each([0, 1, 5, 20, 50])('process.exit after %d ms of load is clean', async (afterMs) => {
    expect(await run(driver, mode, 'process-exit', String(afterMs))).toEqual({
      code: 0,
      signal: null,
      output: '',
    })
  })

  it.each([0, 1, 2, 5, 10, 20, 50])(
    'terminate() of its threads after %d ms of load is clean',
    async (afterMs) => {
      const ended = await run(driver, mode, 'terminate', String(afterMs))
      expect(ended).toEqual({ code: 0, signal: null, output: '' })
    },
  )

  it.each([0, 3, 30])('stop() after %d ms of load is clean', async (afterMs) => {
    expect(await run(driver, mode, 'stop', String(afterMs))).toEqual({
      code: 0,
      signal: null,
      output: '',
    })
  })

  it.each(['exit', 'throw', 'reject'])(
    'a thread with handlers that ends by %s is reported, the process lives',
    async (how) => {
      const ended = await run(driver, mode, how, '10')
      expect(ended).toMatchObject({ code: 0, signal: null })
      expect(ended.output).toContain('lost: ERR_WORKER_LOST')
    },
  )

  it('a thread that spins for ever is terminated by stop()', async () => {
    expect(await run(driver, mode, 'spin', '10')).toMatchObject({ code: 0, signal: null })
  })

  // Windows has no /proc (missing.mjs).
  if (mode === 'worker' && driver !== 'iocp')
    it('an idle server uses no CPU', async () => {
      const child = spawn(
        process.execPath,
        [cli, 'start', '--port', '0', '--workers', '2', '--driver', driver],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      )
      await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
      const pid = child.pid as number
      // What Node does after its start is over in one of the first stretches.
      let used = Number.POSITIVE_INFINITY
      for (let stretch = 0; stretch < 5 && used > 2; stretch++) {
        const before = cpuTicks(pid)
        await new Promise((resolve) => setTimeout(resolve, 3000))
        used = cpuTicks(pid) - before
      }
      // 100 jiffies are a second: two in three seconds are less than one percent.
      expect(used).toBeLessThanOrEqual(2)
      child.kill('SIGTERM')
      const code = await new Promise((resolve) => child.on('close', resolve))
      expect(code).toBe(0)
    })
})
