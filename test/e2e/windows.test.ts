// What: a server on Windows' Node under Wine, as a client on Linux sees it: echoes, storms, its end, in every mode.
// Flow: scripts/wine-node with the built CLI and the cross-built addon -> sockets on loopback -> clients on node:net -> this.
// Thread: the test's; a child process.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { buildWindows } from '../../scripts/build_windows.mjs'
import { windowsNode } from '../../scripts/wine_node.mjs'
import { Client, disconnectAfterEach, pattern } from '../helpers/e2e_client.ts'
import { until } from '../helpers/e2e_server.ts'
import { verifyEchoes } from '../helpers/net_client.ts'

const pathOf = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

/** Wine starts slowly, the first time most of all. */
const SET_UP_MS = 600_000
/** Of a server, under Wine. */
const START_MS = 120_000
const STORM = 300
const PAYLOAD_MAX = 65_535

/** Where nothing may be skipped it is installed. */
const isUsable = process.env.TESTS_SKIP_NOTHING === '1' || existsSync('/usr/lib/wine/wine64')
if (!isUsable) console.warn('SKIPPED: a server under Wine: apt-get install -y wine64 wine')

let child: ChildProcess | undefined
let hasEnded = false
let output = ''

/** The built CLI, which serves an echo; its port. */
async function start(...args: string[]): Promise<number> {
  output = ''
  hasEnded = false
  const started = spawn(pathOf('scripts/wine-node'), [
    ...[pathOf('dist/src/cli/main.js'), 'start', '--host', '127.0.0.1', '--port', '0'],
    ...['--driver', 'iocp', ...args],
  ])
  child = started
  for (const stream of [started.stdout, started.stderr])
    stream?.on('data', (data: Buffer) => {
      output += data
    })
  started.once('exit', () => {
    hasEnded = true
  })
  const isListening = () => {
    if (hasEnded) throw new Error(`the server has ended: ${output}`)
    return /listening [^\s]*:(\d+) driver=iocp/.exec(output)
  }
  const line = await until('the server to listen', isListening, START_MS)
  return Number(line[1])
}

afterEach(async () => {
  child?.kill('SIGTERM')
  await until('the end of the server', () => child === undefined || hasEnded)
  child = undefined
})

disconnectAfterEach()

describe.skipIf(!isUsable)('a server under Wine', () => {
  beforeAll(() => {
    expect(buildWindows()).toBe(0)
    windowsNode()
  }, SET_UP_MS)

  it.each(['worker', 'update', 'send'])(
    'echoes every byte, in mode %s',
    async (mode) => {
      const port = await start('--mode', mode, '--workers', '2')
      const check = { port, connections: 50, messages: 40 }
      expect(await verifyEchoes({ ...check, depth: 8 })).toEqual({ verified: 2000 })
      const large = { ...check, connections: 4, messages: 8, size: 20_000, depth: 4 }
      expect(await verifyEchoes(large)).toEqual({ verified: 32 })
    },
    SET_UP_MS,
  )

  it(
    'outlives a storm of connections that reset, end and stay silent',
    async () => {
      const port = await start('--mode', 'worker', '--workers', '2')
      const message = pattern(500)
      const clients = Array.from({ length: STORM }, () => new Client(port))
      clients.forEach((client, nth) => {
        client.socket.once('connect', () => {
          // A part of a frame, at another byte each.
          client.write(Buffer.concat([Buffer.of(1, 244), message]).subarray(0, nth))
          if (nth % 3 === 0) client.reset()
          else if (nth % 3 === 1) client.end()
        })
      })
      await until('those to be closed that left', () =>
        clients.every(({ closed }, nth) => closed || nth % 3 === 2),
      )
      expect(await verifyEchoes({ port, connections: 20, messages: 20 })).toEqual({ verified: 400 })
    },
    SET_UP_MS,
  )

  it(
    'closes who sends what no frame can be',
    async () => {
      const port = await start('--mode', 'worker', '--max-payload-length', '1000')
      const client = await Client.connect(port)
      client.write(Buffer.of(PAYLOAD_MAX >> 8, PAYLOAD_MAX & 255, 0))
      await client.untilClosed()
      expect(await verifyEchoes({ port, connections: 2, messages: 10 })).toEqual({ verified: 20 })
    },
    SET_UP_MS,
  )
})
