// What: `npm run demo`: a server on all cores under verified load, shown while it runs.
// Flow: flags -> this -> createServer, `overlapped load` as a child process -> the terminal.
// Thread: main; the clients are another process.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { allowedOf, type OptionSpec, serverOptions } from '../config/option_schema.ts'
import { createServer, lengthPrefix, OverlappedError, type Server } from '../index.ts'
import type { DriverChoice } from '../server/options.ts'
import { parseFlags, valuesOf } from './load_plan.ts'
import { grouped, type LoadResult, latencyText } from './report.ts'

/** What the load client prints; `verdict` is text for people. */
type Outcome = LoadResult & { readonly verdict: string }

interface DemoPlan {
  readonly seconds: number
  readonly connections: number
  readonly driver: DriverChoice
}

/** Part of the time that is spent on echo; the rest is broadcast. */
const ECHO_SHARE = 0.6
/** Everyone gets every message: as many clients as in echo would be one long broadcast. */
const BROADCAST_CONNECTIONS_MAX = 500
/** Descriptors of either process that are not connections. */
const OTHER_DESCRIPTORS = 200
const CONNECTIONS_DEFAULT = 2000
const MESSAGE_BYTES = 64
const DEPTH = 4
const LIVE_INTERVAL_MS = 1000
/** Where the output is no terminal, every table is kept. */
const LOG_INTERVAL_MS = 2000

const flags: readonly OptionSpec[] = [
  {
    ...{ key: 'seconds', flag: 'seconds', env: '', type: 'integer', min: 2, max: 3600 },
    ...{ default: 8, doc: 'Seconds of load.', reason: 'One each for echo and broadcast; an hour.' },
  },
  {
    ...{ key: 'connections', flag: 'connections', env: '', type: 'integer', min: 1, max: 10_000 },
    ...{ doc: 'Clients.', reason: 'Sessions that a server has by default.' },
  },
  serverOptions.find(({ key }) => key === 'driver') as OptionSpec,
]

function demoUsage(): string {
  const lines = flags.flatMap((spec) => {
    const fallback = spec.key === 'connections' ? CONNECTIONS_DEFAULT : spec.default
    return [`  --${spec.flag} VALUE`, `      ${spec.doc} ${allowedOf(spec)}; default ${fallback}`]
  })
  return ['Usage: npm run demo -- [flags]', '', ...lines, ''].join('\n')
}

/** Descriptors that this process may have; Node raised the limit as far as it could. Windows has none. */
function descriptorLimit(): number {
  if (process.platform === 'win32') return Number.POSITIVE_INFINITY
  const limits = readFileSync('/proc/self/limits', 'utf8')
  const soft = /^Max open files\s+(\d+)/m.exec(limits)
  return soft === null ? Number.POSITIVE_INFINITY : Number(soft[1])
}

function readPlan(argv: readonly string[]): DemoPlan {
  const values = valuesOf(flags, parseFlags(flags, argv))
  const most = Math.max(1, descriptorLimit() - OTHER_DESCRIPTORS)
  values.connections ??= Math.min(CONNECTIONS_DEFAULT, most)
  return values as unknown as DemoPlan
}

// --- the table ---------------------------------------------------------------------------------

type Counters = Readonly<Record<string, number>>

const COLUMNS = [
  ['thread', 10],
  ['sessions', 9],
  ['msgs in/s', 12],
  ['msgs out/s', 12],
  ['MB/s', 9],
  ['CPU', 9],
  ['sleeps/s', 10],
  ['wakes/s', 9],
] as const

function tableRow(cells: readonly string[]): string {
  const columns = COLUMNS.map(([, width], at) => {
    return at === 0 ? cells[at].padEnd(width) : cells[at].padStart(width)
  })
  return columns.join('')
}

/** The row of one thread, or of all of them together, from its counters now and before. */
function counterRow(name: string, now: Counters, before: Counters, seconds: number): string {
  const perSecond = (key: string) => (now[key] - (before[key] ?? 0)) / seconds
  const cpuPercent = perSecond('cpuNs') / 10_000_000
  const bytes = perSecond('bytesIn') + perSecond('bytesOut')
  return tableRow([
    name,
    grouped(now.joined - now.left),
    grouped(perSecond('messagesIn')),
    grouped(perSecond('messagesOut')),
    (bytes / 1_000_000).toFixed(1),
    `${cpuPercent.toFixed(0)} %`,
    grouped(perSecond('sleeps')),
    grouped(perSecond('wakesSent')),
  ])
}

interface Table {
  /** What is shown from now on is of this phase. */
  readonly begin: (phase: string) => void
  readonly stop: () => void
}

/** Shows what the server's threads do, until `stop()`. */
function showTable(server: Server): Table {
  const isTerminal = process.stdout.isTTY === true
  let before = server.monitor.snapshot()
  let beforeMs = performance.now()
  let linesShown = 0
  let title = ''
  const draw = () => {
    const now = server.monitor.snapshot()
    const nowMs = performance.now()
    const seconds = (nowMs - beforeMs) / 1000
    const countersBefore = (name: string) =>
      before.threads.find((thread) => thread.name === name)?.counters ?? {}
    const workers = now.threads.filter(({ name }) => name.startsWith('worker'))
    const lines = [
      title,
      tableRow(COLUMNS.map(([column]) => column)),
      ...workers.map(({ name, counters }) =>
        counterRow(name, counters, countersBefore(name), seconds),
      ),
      counterRow('total', now.totals, before.totals, seconds),
    ]
    // Up over the last table, and clear what is below.
    if (isTerminal && linesShown > 0) process.stdout.write(`\x1b[${linesShown}A\x1b[J`)
    process.stdout.write(`${lines.join('\n')}\n${isTerminal ? '' : '\n'}`)
    linesShown = lines.length
    before = now
    beforeMs = nowMs
  }
  let timer: NodeJS.Timeout | undefined
  const stop = () => clearInterval(timer)
  const begin = (phase: string) => {
    stop()
    title = phase
    before = server.monitor.snapshot()
    beforeMs = performance.now()
    timer = setInterval(draw, isTerminal ? LIVE_INTERVAL_MS : LOG_INTERVAL_MS)
  }
  return { begin, stop }
}

// --- the load ----------------------------------------------------------------------------------

interface Child {
  readonly outcome: Promise<Outcome>
  readonly kill: () => void
}

/** Runs `overlapped load` in a process of its own. */
function startLoad(args: Readonly<Record<string, string | number>>): Child {
  const cli = fileURLToPath(new URL('../cli/main.js', import.meta.url))
  const given = Object.entries(args).map(([name, value]) => `--${name}=${value}`)
  const child = spawn(process.execPath, [cli, 'load', '--json', ...given], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const outcome = new Promise<Outcome>((resolve, reject) => {
    let output = ''
    child.stdout.setEncoding('utf8')
    child.stdout.on('data', (text: string) => {
      output += text
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (output !== '') resolve(JSON.parse(output) as Outcome)
      else reject(new Error(`the load client ended with ${signal ?? code} and no result`))
    })
  })
  return { outcome, kill: () => child.kill('SIGINT') }
}

function summary(name: string, outcome: Outcome): string {
  const { connections, messagesPerSecond, megabytesPerSecond, latencyMs } = outcome
  const rate = `${grouped(messagesPerSecond)} msgs/s, ${megabytesPerSecond.toFixed(1)} MB/s`
  return [
    `${name.padEnd(10)}${connections} connections, ${rate}`,
    `          latency ${latencyText(latencyMs)}`,
    `          verdict: ${outcome.verdict}`,
    '',
  ].join('\n')
}

async function runDemo(plan: DemoPlan): Promise<number> {
  const framing = lengthPrefix()
  const server = createServer({
    listeners: [
      { name: 'echo', port: 0, framing },
      {
        ...{ name: 'broadcast', port: 0, framing },
        handler: new URL('./broadcast_handler.js', import.meta.url),
      },
    ],
    handler: new URL('../cli/echo_handler.js', import.meta.url),
    driver: plan.driver,
  })
  await server.listen()
  const { driver, driverReason, workers, listeners, plan: memory } = server.info()
  const how = `driver ${driver} (${driverReason}), workers ${workers}`
  process.stdout.write(`overlapped demo: ${how}\nmemory: ${memory}\n\n`)

  let running: Child | undefined
  let isInterrupted = false
  const onInterrupt = () => {
    isInterrupted = true
    running?.kill()
  }
  process.on('SIGINT', onInterrupt)
  process.on('SIGTERM', onInterrupt)
  const table = showTable(server)
  const run = async (mode: 'echo' | 'broadcast', connections: number, duration: number) => {
    const { host, port } = listeners.find(({ name }) => name === mode) as (typeof listeners)[0]
    table.begin(`${mode}: ${connections} clients, ${MESSAGE_BYTES} bytes, depth ${DEPTH}`)
    const load = { host, port, mode, connections, duration, depth: DEPTH, size: MESSAGE_BYTES }
    running = startLoad({ ...load, driver: plan.driver })
    return running.outcome
  }
  try {
    const echoSeconds = Math.max(1, Math.round(plan.seconds * ECHO_SHARE))
    const outcomes = [await run('echo', plan.connections, echoSeconds)]
    if (!isInterrupted && outcomes[0].fault === null) {
      const connections = Math.min(plan.connections, BROADCAST_CONNECTIONS_MAX)
      outcomes.push(await run('broadcast', connections, plan.seconds - echoSeconds))
    }
    table.stop()
    const verified = outcomes.reduce((total, outcome) => total + outcome.verified, 0)
    process.stdout.write(`\n${how}: ${grouped(verified)} messages verified\n`)
    for (const outcome of outcomes) process.stdout.write(summary(outcome.mode, outcome))
    return outcomes.every(({ fault }) => fault === null) ? 0 : 1
  } finally {
    table.stop()
    process.off('SIGINT', onInterrupt)
    process.off('SIGTERM', onInterrupt)
    await server.stop()
  }
}

try {
  const argv = process.argv.slice(2)
  if (argv.includes('--help') || argv.includes('-h')) process.stdout.write(demoUsage())
  else process.exitCode = await runDemo(readPlan(argv))
} catch (error) {
  // Anything else is a bug, and keeps its stack.
  if (!(error instanceof OverlappedError)) throw error
  process.stderr.write(`overlapped: ${error.message}\n`)
  process.exitCode = 1
}
