// What: `overlapped load` against servers that are right, and against servers with one fault each.
// Flow: the built CLI -> node:net servers of this file, our own server -> this.
// Thread: main; load and our server are processes of their own.

import { type ChildProcess, spawn } from 'node:child_process'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import {
  DEFAULT_FRAMING,
  encodeFrame,
  FrameParser,
  NetClient,
  type NetFraming,
  verifyEchoes,
} from '../helpers/net_client.ts'
import { CLOSED_PORT } from '../helpers/outbound_peer.ts'

const CLI = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url))
const BROADCAST = fileURLToPath(
  new URL('../../dist/src/load/broadcast_handler.js', import.meta.url),
)

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const children = new Set<ChildProcess>()
const servers = new Set<Server>()
const sockets = new Set<Socket>()

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  for (const socket of sockets) socket.destroy()
  for (const server of servers) await new Promise((resolve) => server.close(resolve))
  children.clear()
  sockets.clear()
  servers.clear()
})

function startNode(script: string, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  return child
}

function startCli(args: readonly string[]): ChildProcess {
  return startNode(CLI, args)
}

function endOf(child: ChildProcess): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (text) => {
    stdout += text
  })
  child.stderr?.on('data', (text) => {
    stderr += text
  })
  return new Promise((resolve) => {
    child.on('close', (code) => {
      children.delete(child)
      resolve({ code, stdout, stderr })
    })
  })
}

function load(flags: string): Promise<Ended> {
  return endOf(startCli(['load', ...flags.split(' ')]))
}

interface Outcome {
  readonly sent: number
  readonly received: number
  readonly verified: number
  readonly seconds: number
  readonly latencyMs: Record<string, number>
  readonly fault: Record<string, unknown> | null
  readonly faults: Record<string, number>
  readonly verdict: string
}

/** What `load --json` printed, which must be one line. */
function outcomeOf({ stdout, stderr }: Ended): Outcome {
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^[^\n]+\n$/)
  return JSON.parse(stdout)
}

type Fault = 'drop' | 'duplicate' | 'reorder' | 'corrupt' | 'close'

/** One message in so many has the fault. */
const FAULT_EVERY = 1_000
/** How long a message that is to come late waits for another one. */
const LATE_MS = 50

interface NetServerOptions {
  readonly mode?: 'echo' | 'broadcast'
  readonly fault?: Fault
  readonly every?: number
  readonly framing?: NetFraming
}

/** An echo or broadcast server on node:net, right or with a fault in one message of many. */
async function serve(options: NetServerOptions = {}): Promise<number> {
  const { mode = 'echo', fault, every = FAULT_EVERY, framing = DEFAULT_FRAMING } = options
  const joined = new Set<Socket>()
  let messages = 0
  const server = createServer({ noDelay: true }, (socket) => {
    const parser = new FrameParser(framing)
    /** A message that waits until the next one of this connection has gone out. */
    let late: Buffer | undefined
    joined.add(socket)
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      joined.delete(socket)
      sockets.delete(socket)
    })
    const answerLate = () => {
      const frames = late === undefined ? [] : [late]
      late = undefined
      return frames
    }
    const write = (frames: readonly Buffer[]) => {
      if (frames.length === 0) return
      const bytes = Buffer.concat(frames)
      for (const target of mode === 'echo' ? [socket] : joined) target.write(bytes)
    }
    const answer = (payload: Buffer): Buffer[] => {
      messages++
      const frame = encodeFrame(framing, payload)
      if (late !== undefined) return [frame, ...answerLate()]
      if (messages % every !== 0) return [frame]
      switch (fault) {
        case 'drop':
          return []
        case 'duplicate':
          return [frame, frame]
        case 'reorder':
          late = frame
          // The last message of a run has none behind it.
          setTimeout(() => {
            if (late === frame) write(answerLate())
          }, LATE_MS)
          return []
        case 'corrupt':
          frame[frame.length - 10] ^= 1
          return [frame]
        case 'close': {
          if (mode === 'echo') {
            socket.destroy()
            return []
          }
          // Another one than the sender, as long as there is one.
          const [other = socket] = [...joined].filter((each) => each !== socket)
          other.destroy()
          return [frame]
        }
        default:
          return [frame]
      }
    }
    socket.on('data', (chunk: Buffer) => {
      write(parser.push(chunk).flatMap(answer))
    })
  })
  servers.add(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

/** `overlapped start` on a free port. */
async function startOurs(...args: readonly string[]): Promise<number> {
  const child = startCli(['start', ...args, '--port', '0'])
  let output = ''
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (text) => {
      output += text
      const port = /^listening 127\.0\.0\.1:(\d+) /.exec(output)?.[1]
      if (port !== undefined) resolve(Number(port))
    })
    child.stderr?.on('data', (text) => {
      output += text
    })
    child.on('close', () => reject(new Error(`start ended: ${output}`)))
  })
}

const SHORT = '--duration 1 --json'

describe('against a server that is right', () => {
  it.each([
    ['echo', '--connections 10 --depth 16'],
    ['echo', '--connections 1 --size 12'],
    ['echo', '--connections 7 --workers 2 --depth 3 --driver epoll'],
    ['echo', '--connections 4 --size 4096 --depth 4'],
    ['broadcast', '--connections 20'],
    ['broadcast', '--connections 9 --depth 16 --workers 2'],
  ] as const)('%s finds zero loss with %s', async (mode, flags) => {
    const port = await serve({ mode })
    const ended = await load(`--port ${port} --mode ${mode} ${flags} ${SHORT}`)
    const outcome = outcomeOf(ended)
    expect(outcome.verdict).toBe(`zero loss, ${outcome.verified} messages verified`)
    expect(ended.code).toBe(0)
    expect(outcome.fault).toBeNull()
    expect(outcome.verified).toBe(outcome.received)
    const connections = Number(/--connections (\d+)/.exec(flags)?.[1])
    expect(outcome.received).toBe(outcome.sent * (mode === 'echo' ? 1 : connections))
    expect(outcome.sent).toBeGreaterThan(0)
    const { p50, p90, p99, p999, max } = outcome.latencyMs
    expect(p50).toBeGreaterThan(0)
    expect([p50, p90, p99, p999, max]).toEqual([p50, p90, p99, p999, max].sort((a, b) => a - b))
  })

  it.each<[string, NetFraming, string]>([
    ['little endian', { lengthBytes: 2, endian: 'little' }, '--endian little'],
    ['4 bytes', { lengthBytes: 4, endian: 'big' }, '--length-bytes 4'],
    ['1 byte', { lengthBytes: 1, endian: 'big' }, '--length-bytes 1'],
    ['lines', { delimiter: '\n' }, '--framing delimiter'],
    ['letters', { delimiter: 'ab' }, '--framing delimiter --delimiter ab'],
  ])('finds zero loss with framing %s', async (_name, framing, flags) => {
    const port = await serve({ framing })
    const ended = await load(`--port ${port} --connections 3 --depth 4 ${flags} ${SHORT}`)
    expect(outcomeOf(ended).verdict).toMatch(/^zero loss, [1-9]\d* messages verified$/)
    expect(ended.code).toBe(0)
  })

  it('keeps to a rate', async () => {
    const port = await serve()
    const ended = await load(`--port ${port} --connections 10 --depth 64 --rate 500 ${SHORT}`)
    const { sent, verified, seconds, fault } = outcomeOf(ended)
    expect(fault).toBeNull()
    expect(verified).toBe(sent)
    expect(sent).toBeGreaterThan(0)
    expect(sent).toBeLessThanOrEqual(500 * seconds + 1)
  })

  it('tells people', async () => {
    const port = await serve()
    const ended = await load(`--port ${port} --connections 2 --duration 2 --live`)
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    const lines = ended.stdout.trimEnd().split('\n')
    expect(lines[0]).toMatch(/^ +1 s {2}[\d,]+ msgs\/s {2}[\d.]+ MB\/s$/)
    expect(lines.at(-5)).toMatch(/^load +echo, 2 connections, depth 1, 64 bytes, 1 worker, /)
    expect(lines.at(-2)).toMatch(/^latency +p50 [\d.]+ ms {2}p90 .* p99 .* p99\.9 .* max /)
    expect(lines.at(-1)).toMatch(/^verdict: zero loss, [1-9]\d* messages verified$/)
  })

  it('ends with its verdict at SIGINT', async () => {
    const port = await serve()
    const child = startCli(['load', '--port', String(port), '--duration', '60', '--live'])
    child.stdout?.once('data', () => child.kill('SIGINT'))
    const { code, stdout } = await endOf(child)
    expect(stdout).toMatch(/\nverdict: zero loss, [1-9]\d* messages verified\n$/)
    expect(code).toBe(0)
  })
})

describe('against a server with a fault in one message of many', () => {
  const expected = {
    drop: { kind: 'dropped', got: /^sequence \d+$/ },
    duplicate: { kind: 'duplicated', got: /^sequence \d+$/ },
    reorder: { kind: 'reordered', got: /^sequence \d+$/ },
    corrupt: { kind: 'corrupted', got: /^it with another byte at 54$/ },
    close: { kind: 'connection lost', got: /^the end of the connection \(peer\w+\)$/ },
  } as const

  it.each<[Fault, 'echo' | 'broadcast', number]>([
    ['drop', 'echo', FAULT_EVERY],
    ['duplicate', 'echo', FAULT_EVERY],
    ['reorder', 'echo', FAULT_EVERY],
    ['corrupt', 'echo', FAULT_EVERY],
    ['close', 'echo', FAULT_EVERY],
    ['drop', 'broadcast', 200],
    ['duplicate', 'broadcast', 200],
    ['reorder', 'broadcast', 200],
    ['corrupt', 'broadcast', 200],
    ['close', 'broadcast', 200],
  ])('names %s in %s', async (fault, mode, every) => {
    const port = await serve({ mode, fault, every })
    // Only what never comes is waited for in vain.
    const drainTimeout = fault === 'drop' ? 500 : 20_000
    const flags = `--mode ${mode} --connections 4 --depth 16 --drain-timeout ${drainTimeout}`
    const ended = await load(
      `--port ${port} ${flags} --duration ${every === FAULT_EVERY ? 2 : 1} --json`,
    )
    const outcome = outcomeOf(ended)
    const { kind, got } = expected[fault]
    expect(outcome.fault).toMatchObject({ kind })
    expect(outcome.fault?.got).toMatch(got)
    expect(outcome.verdict).toBe(
      `FAULT: ${kind}: client ${outcome.fault?.client} ` +
        `expected sequence ${outcome.fault?.sequence} got ${outcome.fault?.got}`,
    )
    expect(ended.code).toBe(1)
    const others = Object.entries(outcome.faults).filter(([name]) => name !== kind)
    expect(outcome.faults[kind]).toBeGreaterThan(0)
    expect(others.every(([, count]) => count === 0)).toBe(true)
  })

  it('names a drop that no later message shows', async () => {
    const port = await serve({ fault: 'drop', every: 20 })
    const flags = '--connections 1 --depth 1 --drain-timeout 300'
    const ended = await load(`--port ${port} ${flags} --duration 1`)
    expect(ended.stdout).toMatch(
      /\nverdict: FAULT: dropped: client 0 expected sequence 19 got nothing\n$/,
    )
    expect(ended.stdout).toMatch(/\nfaults +dropped 1\n/)
    expect(ended.code).toBe(1)
  })

  it('names the last message when that comes twice', async () => {
    // 1 message a second: the one message of the run is duplicated.
    const port = await serve({ fault: 'duplicate', every: 1 })
    const ended = await load(`--port ${port} --connections 1 --rate 1 ${SHORT}`)
    expect(outcomeOf(ended).fault).toMatchObject({ kind: 'duplicated', sequence: 1 })
    expect(ended.code).toBe(1)
  })

  it('says in one sentence that nothing listens', async () => {
    const port = CLOSED_PORT
    const { code, stdout, stderr } = await load(`--port ${port} --connections 5`)
    expect(stderr).toBe('')
    expect(stdout).toMatch(
      /^verdict: FAULT: connect failed: client \d expected a connection got none: [^\n]*nobody listens there\n$/,
    )
    expect(stdout).toContain(`127.0.0.1:${port}`)
    expect(code).toBe(1)
  })
})

describe('wrong options', () => {
  it.each([
    ['--port 99999', '--port is 99999; it must be a whole number from 1 to 65535'],
    ['--mode chat', "--mode is 'chat'; it must be one of 'echo', 'broadcast'"],
    ['--deph 3', '--deph is not a flag; the nearest known one is --depth'],
    [
      '--host no-such-host.invalid',
      "--host is 'no-such-host.invalid'; it must be an address, or a name that has one",
    ],
  ])('refuses %s', async (flags, sentence) => {
    expect(await load(flags)).toEqual({ code: 1, stdout: '', stderr: `overlapped: ${sentence}\n` })
  })

  it('shows help', async () => {
    const { code, stdout, stderr } = await load('--help')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^Usage: overlapped load /)
  })
})

describe('the demo', () => {
  const DEMO = fileURLToPath(new URL('../../dist/src/load/demo.js', import.meta.url))
  const run = (...args: readonly string[]) => endOf(startNode(DEMO, args))

  it('shows tables and a verdict for echo and for broadcast', async () => {
    const ended = await run('--seconds=4', '--connections=50')
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    expect(ended.stdout).toMatch(
      /^overlapped demo: driver (io_uring|epoll) \(auto: .+\), workers \d/,
    )
    expect(ended.stdout).toMatch(/\necho: 50 clients, .*\nthread +sessions .*\nworker1 +\d+ /)
    expect(ended.stdout).toMatch(/\ntotal +\d+ /)
    const verdicts = ended.stdout.match(/^ +verdict: zero loss, [1-9]\d* messages verified$/gm)
    expect(verdicts).toHaveLength(2)
    // No terminal, no escape codes.
    expect(ended.stdout).not.toContain('\x1b')
  })

  it('refuses wrong options', async () => {
    expect(await run('--seconds', '1')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'overlapped: --seconds is 1; it must be a whole number from 2 to 3600\n',
    })
  })
})

describe('the load client and an independent one agree', () => {
  it('about our own echo server', async () => {
    const port = await startOurs()
    const verdict = await verifyEchoes({ port, connections: 20, messages: 200, depth: 10 })
    expect(verdict).toEqual({ verified: 4000, fault: undefined })
    const ended = await load(`--port ${port} --connections 50 --depth 8 ${SHORT}`)
    const outcome = outcomeOf(ended)
    expect(outcome.fault).toBeNull()
    expect(outcome.verified).toBe(outcome.sent)
    expect(ended.code).toBe(0)
  })

  it.each<[string, NetFraming, readonly string[]]>([
    [
      '4 bytes, little endian',
      { lengthBytes: 4, endian: 'little' },
      ['--length-bytes=4', '--endian=little'],
    ],
    ['lines', { delimiter: '\r\n' }, ['--framing=delimiter', '--delimiter=\\r\\n']],
  ])('about our own echo server with framing %s', async (_name, framing, flags) => {
    const port = await startOurs(...flags)
    const check = { port, connections: 5, messages: 100, depth: 5, framing }
    expect(await verifyEchoes(check)).toEqual({ verified: 500, fault: undefined })
    const ended = await load(`--port ${port} --connections 5 ${flags.join(' ')} ${SHORT}`)
    expect(outcomeOf(ended).fault).toBeNull()
  })

  it('about our own broadcast server', async () => {
    const port = await startOurs(BROADCAST)
    const clients: NetClient[] = []
    // Who is greeted has joined, and is greeted again with each later one.
    for (let index = 0; index < 10; index++) {
      const client = await NetClient.connect(port)
      clients.push(client)
      client.send('hello')
      expect((await client.collect(1)).map(String)).toEqual(['hello'])
    }
    for (const [index, client] of clients.entries()) {
      const later = clients.length - 1 - index
      expect((await client.collect(later)).map(String)).toEqual(Array(later).fill('hello'))
    }
    const numbers = Array.from({ length: 100 }, (_, number) => String(number))
    clients[3].send(...numbers)
    for (const client of clients) {
      expect((await client.collect(100)).map(String)).toEqual(numbers)
      await client.close()
    }
    const flags = '--mode broadcast --connections 50 --depth 4 --workers 2'
    const ended = await load(`--port ${port} ${flags} ${SHORT}`)
    const outcome = outcomeOf(ended)
    expect(outcome.fault).toBeNull()
    expect(outcome.received).toBe(outcome.sent * 50)
    expect(ended.code).toBe(0)
  })

  it.each([
    ['drop', 'dropped'],
    ['duplicate', 'duplicated'],
    ['reorder', 'reordered'],
    ['corrupt', 'corrupted'],
    ['close', 'connection lost'],
  ] as const)('about a server with %s', async (fault, kind) => {
    // One in 107: never the last message of a batch of 10, so that a batch shows its kind.
    const port = await serve({ fault, every: 107 })
    const silenceMs = fault === 'drop' ? 2_000 : 20_000
    const check = { port, connections: 1, messages: 500, depth: 10, silenceMs }
    expect(await verifyEchoes(check)).toMatchObject({ fault: kind })
    const flags = '--connections 1 --depth 10 --drain-timeout 300'
    const ended = await load(`--port ${port} ${flags} ${SHORT}`)
    expect(outcomeOf(ended).fault).toMatchObject({ kind })
    expect(ended.code).toBe(1)
  })
})
