// What: the analyses' C programs do what they measure: bytes, connections and slices are all there.
// Flow: cc -> bench/bin -> each way of each program -> this.
// Thread: main; the programs are processes.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import { buildPrograms } from '../../bench/lib/build.mjs'
import { Client, disconnectAfterEach } from '../helpers/e2e_client.ts'
import { until } from '../helpers/e2e_server.ts'
import { root } from '../tidy/files.ts'

disconnectAfterEach()

const program = (name: string) => join(root, 'bench', 'bin', name)
const run = promisify(execFile)

beforeAll(() => {
  buildPrograms(join(root, 'bench'))
})

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise((resolve) => probe.close(resolve))
  return port
}

/** Ends a program by a signal; resolves with what it has written. */
async function endOf(child: ChildProcess, output: () => string): Promise<string> {
  const closed = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGTERM')
  await closed
  return output()
}

function start(name: string, ...words: (string | number)[]) {
  const child = spawn(program(name), words.map(String), { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (part) => {
    text += part
  })
  return { child, output: () => text }
}

async function connect(port: number): Promise<Client> {
  for (;;) {
    try {
      return await Client.connect(port)
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}

const WAYS = [
  ['ready', 'call'],
  ['poll', 'call'],
  ['armed', 'call'],
  ['armed', 'ring'],
  ['armed', 'async'],
  ['lent', 'call'],
  ['lent', 'ring'],
]

describe('echo_ways', () => {
  const cases = WAYS.flatMap((way) => ['plain', 'timed'].map((timing) => [...way, timing]))

  it.each(cases)('%s, %s, %s: gives back what it was sent', async (receive, send, timing) => {
    const port = await freePort()
    // Less room than an answer needs, so that sends wait.
    const { child, output } = start('echo_ways', port, receive, send, 4096, 4096, timing)
    const client = await connect(port)
    const bytes = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => i * 31 + (i >> 8)))
    for (const length of [1, 64, 5000, bytes.length]) {
      client.write(bytes.subarray(0, length))
      expect((await client.take(length)).equals(bytes.subarray(0, length))).toBe(true)
    }
    const report = JSON.parse(await endOf(child, output))
    expect(report.bytes).toBe(305_065)
    if (timing === 'plain') return
    expect(report.sends_whole + report.sends_part + report.sends_none).toBe(report.send_ns.count)
    expect(report.send_ns.count).toBeGreaterThanOrEqual(4)
  })
})

describe('accept', () => {
  it.each(['blocking', 'epoll', 'posted', 'multishot'])('%s: takes each once', async (way) => {
    // It fails where not all that were made were accepted.
    const { stdout } = await run(program('accept'), [way, '16', '0.05', '0', '0'])
    const { accepts } = JSON.parse(stdout)
    expect(accepts % 16).toBe(0)
    expect(accepts).toBeGreaterThan(0)
  })
})

describe('gather_limit', () => {
  it('finds what the layout has as GATHER_MAX', async () => {
    const { stdout } = await run(program('gather_limit'))
    expect(JSON.parse(stdout)).toMatchObject({ sendmsg_most: 1024, ring_most: 1024 })
  })
})

describe('zero_copy', () => {
  const cases = [
    ['call', 5000, 1],
    ['ring', 5000, 1],
    ['ring', 70_000, 16],
    ['zero', 5000, 1],
    ['zero', 70_000, 16],
    ['fixed', 70_000, 1],
  ]

  it.each(cases)('%s, %i bytes, %i slices: all bytes arrive', async (way, size, slices) => {
    const port = await freePort()
    const receiver = start('zero_copy', 'receive', '127.0.0.1', port, size)
    await until('the receiver', () => receiver.output().startsWith('ready'))
    const words = ['send', '127.0.0.1', port, way, size, slices, 0.05].map(String)
    const { stdout } = await run(program('zero_copy'), words)
    await until('the receiver’s report', () => receiver.output().endsWith('}\n'))
    const received = JSON.parse(receiver.output().replace('ready\n', ''))
    const sent = JSON.parse(stdout)
    expect(received).toMatchObject({ bytes: sent.bytes, faults: 0 })
    expect(sent.bytes).toBeGreaterThan(0)
    // What the kernel referred to it has let go of.
    const sends = sent.bytes / Number(size)
    expect(sent.notifications).toBe(way === 'zero' || way === 'fixed' ? sends : 0)
  })
})
