// What: the options of `overlapped load`: their table, checks, and help text.
// Flow: argv -> this (by option_schema's checks) -> load_cli, load_handler.
// Thread: main; workers get the result.

import {
  checkOption,
  nearest,
  parseText,
  refusal,
  show,
  unknownName,
} from '../config/check_option.ts'
import { loadConfig } from '../config/load_config.ts'
import {
  allowedOf,
  framingOptions,
  type OptionSpec,
  serverOptions,
} from '../config/option_schema.ts'
import { WORKERS_MAX } from '../config/option_table.ts'
import type { Framing } from '../index.ts'
import type { DriverChoice } from '../server/options.ts'
import { resolveOptions } from '../server/resolve_options.ts'
import { contentBytesMin } from './message.ts'

/** `echo`: each client gets back what it sends. `broadcast`: all get what client 0 sends. */
export type LoadMode = 'echo' | 'broadcast'

/** Options as they are in force; plain data, for the workers. */
export interface LoadPlan {
  readonly host: string
  readonly port: number
  readonly mode: LoadMode
  readonly connections: number
  /** Messages that a client, or in broadcast client 0, keeps outstanding. */
  readonly depth: number
  /** Bytes of a message without its framing. */
  readonly size: number
  /** Messages per second of all clients; 0 is as fast as answers come. */
  readonly rate: number
  /** Seconds. */
  readonly duration: number
  readonly workers: number
  readonly driver: DriverChoice
  /** Milliseconds that what is outstanding at the end may take. */
  readonly drainTimeout: number
  readonly framing: Framing
  readonly json: boolean
  readonly live: boolean
}

/** Clients: what the ephemeral ports 32768 to 60999 allow towards one address. */
const CONNECTIONS_MAX = 28_000
/** Messages outstanding in all: 12 bytes each for their send time and their place in the window. */
const OUTSTANDING_MAX = 2 ** 20

type Named = Omit<OptionSpec, 'key' | 'flag' | 'env'>

function option(flag: string, spec: Named & Pick<OptionSpec, 'type'>): OptionSpec {
  const key = flag.replace(/-[a-z]/g, (letters) => letters[1].toUpperCase())
  return { ...spec, key, flag, env: '' } as OptionSpec
}

function integer(
  flag: string,
  doc: string,
  [min, fallback, max]: readonly [number, number, number],
  reason: string,
  unit?: 'bytes' | 'milliseconds',
): OptionSpec {
  const limits = { min, max, default: fallback, reason, ...(unit && { unit }) }
  return option(flag, { type: 'integer', doc, ...limits } as Named & { type: 'integer' })
}

const driver = serverOptions.find(({ key }) => key === 'driver') as OptionSpec

/** Options beside the framing, which is said as `start` says it. */
export const loadOptions: readonly OptionSpec[] = [
  option('host', {
    type: 'text',
    pattern: /^[^\s[\]]{1,253}$/,
    allowed: 'an address or host name of 1 to 253 characters, IPv6 without brackets',
    default: '127.0.0.1',
    doc: 'Host of the server.',
    reason: '253 characters are the longest host name, RFC 1035.',
  } as Named & { type: 'text' }),
  integer('port', 'Port of the server.', [1, 9000, 65_535], 'A port has 16 bits.'),
  option('mode', {
    type: 'choice',
    values: ['echo', 'broadcast'],
    default: 'echo',
    doc: 'Each client gets back what it sends, or all get what client 0 sends.',
  } as Named & { type: 'choice' }),
  integer(
    'connections',
    'Clients.',
    [1, 100, CONNECTIONS_MAX],
    'The ephemeral ports 32768 to 60999 allow no more towards one address.',
  ),
  integer(
    'depth',
    'Messages that each client, in broadcast client 0, keeps outstanding.',
    [1, 1, 4096],
    'A window of four times this is remembered for each client.',
  ),
  integer(
    'size',
    'Length of a message, without its framing.',
    [contentBytesMin(false), 64, 16_777_216],
    'It says whose and which it is; under a delimiter framing as text.',
    'bytes',
  ),
  integer(
    'rate',
    'Messages per second of all clients; 0 is as fast as answers come.',
    [0, 0, 100_000_000],
    'Beyond what loopback carries.',
  ),
  integer('duration', 'Seconds of sending.', [1, 10, 86_400], 'A day.'),
  integer(
    'workers',
    'Threads of the load client.',
    [1, 1, WORKERS_MAX],
    'A runtime has 64 threads; 4 of them are kept for main, update, send and jobs.',
  ),
  driver,
  integer(
    'drain-timeout',
    'Time for what is outstanding at the end; what comes later counts as dropped.',
    [1, 5000, 2 ** 31 - 1],
    'Delays are 32-bit: 24.8 days.',
    'milliseconds',
  ),
  option('json', {
    type: 'boolean',
    default: false,
    doc: 'Print the result as one line of JSON.',
  }),
  option('live', {
    type: 'boolean',
    default: false,
    doc: 'Print a line each second also where the output is no terminal; with --json to stderr.',
  }),
]

/** A flag as it was given. */
export interface GivenFlag {
  readonly spec: OptionSpec
  readonly text: string
}

/**
 * Flags as `--name value` or `--name=value`; a boolean alone is true. The last one of a name wins.
 * @throws {OverlappedError} ERR_OPTION_UNKNOWN, ERR_OPTION_TYPE
 */
export function parseFlags(
  specs: readonly OptionSpec[],
  argv: readonly string[],
): Map<string, GivenFlag> {
  const known = [...specs.map(({ flag }) => `--${flag}`), '--help']
  const given = new Map<string, GivenFlag>()
  for (let at = 0; at < argv.length; at++) {
    const [name, ...rest] = argv[at].split('=')
    const spec = specs.find(({ flag }) => `--${flag}` === name)
    if (spec === undefined) {
      const value = rest.length === 0 ? '' : ` (${show(rest.join('='))})`
      throw unknownName('a flag', name, value, nearest(name, known))
    }
    let text = rest.length === 0 ? undefined : rest.join('=')
    const next = argv[at + 1]
    const isBare = spec.type === 'boolean' && next !== 'true' && next !== 'false'
    if (text === undefined && isBare) text = 'true'
    if (text === undefined && next !== undefined && !next.startsWith('--')) {
      text = next
      at += 1
    }
    if (text === undefined) {
      throw refusal('ERR_OPTION_TYPE', name, undefined, `followed by ${allowedOf(spec)}`)
    }
    given.set(spec.key, { spec, text })
  }
  return given
}

/**
 * Values of the options, by key: what was given, checked, or the default.
 * @throws {OverlappedError} ERR_OPTION_TYPE, ERR_OPTION_RANGE
 */
export function valuesOf(
  specs: readonly OptionSpec[],
  given: ReadonlyMap<string, GivenFlag>,
): Record<string, unknown> {
  const values: Record<string, unknown> = {}
  for (const spec of specs) {
    const flag = given.get(spec.key)
    values[spec.key] = flag === undefined ? spec.default : parseText(spec, flag.text)
    if (flag !== undefined) checkOption(spec, `--${spec.flag}`, values[spec.key])
  }
  return values
}

/** The framing that the flags say, as `start` reads them. */
function framingOf(given: ReadonlyMap<string, GivenFlag>): Framing {
  const framing = given.get('framing')
  if (framing?.text === 'raw') {
    const allowed = "one of 'length-prefix', 'delimiter', as raw has no messages to check"
    throw refusal('ERR_OPTION_RANGE', '--framing', 'raw', allowed)
  }
  if (given.get('strip')?.text === 'false') {
    const allowed = 'true, as messages are compared without their delimiter'
    throw refusal('ERR_OPTION_RANGE', '--strip', false, allowed)
  }
  const flags = [...given.values()].map(({ spec, text }) => `--${spec.flag}=${text}`)
  const { listeners } = loadConfig({ argv: ['--framing=length-prefix', ...flags] })
  return (listeners as readonly { framing: Framing }[])[0].framing
}

/** The first byte of a delimiter, which contents must not have. */
export function avoidedByte(framing: Framing): number | undefined {
  return framing.kind === 'delimiter' ? framing.bytes[0] : undefined
}

function checkSize(size: number, framing: Framing): void {
  // Any handler will do: only its longest payload is wanted.
  const { outbound } = resolveOptions({
    outbound: [{ name: 'load', framing, handler: import.meta.url }],
  })
  const min = contentBytesMin(avoidedByte(framing) !== undefined)
  const max = outbound[0].maxPayloadLength
  if (size >= min && size <= max) return
  const allowed = `a whole number from ${min} to ${max} (bytes) with this framing`
  throw refusal('ERR_OPTION_RANGE', '--size', size, allowed)
}

function checkOutstanding({ depth, connections }: LoadPlan): void {
  if (depth * connections <= OUTSTANDING_MAX) return
  const most = Math.floor(OUTSTANDING_MAX / connections)
  const allowed = `at most ${most} with ${connections} connections`
  throw refusal('ERR_OPTION_RANGE', '--depth', depth, allowed)
}

/**
 * The options that follow `load`, checked.
 * @throws {OverlappedError} ERR_OPTION_UNKNOWN, ERR_OPTION_TYPE, ERR_OPTION_RANGE
 */
export function readLoadPlan(argv: readonly string[]): LoadPlan {
  const given = parseFlags([...loadOptions, ...framingOptions], argv)
  const isFraming = ({ spec }: GivenFlag) => framingOptions.includes(spec)
  const ofFraming = new Map([...given].filter(([, flag]) => isFraming(flag)))
  const values = valuesOf(loadOptions, given)
  const plan = { ...values, framing: framingOf(ofFraming) } as unknown as LoadPlan
  checkSize(plan.size, plan.framing)
  checkOutstanding(plan)
  return plan
}

function helpLines(spec: OptionSpec): string[] {
  const value = spec.type === 'boolean' ? '[=true|false]' : ' VALUE'
  const fallback = spec.default === undefined ? '' : `; default ${spec.default}`
  return [`  --${spec.flag}${value}`, `      ${spec.doc}`, `      ${allowedOf(spec)}${fallback}`]
}

/** Help of `overlapped load`; ends with a newline. */
export function loadUsage(): string {
  return [
    'Usage: overlapped load [flags]',
    '',
    'Loads a server with clients that check every byte, the order and the number of its answers.',
    'Ends with a verdict: zero loss (exit code 0), or the first fault (exit code 1).',
    '',
    ...loadOptions.flatMap(helpLines),
    '',
    'Framing:',
    ...framingOptions.flatMap(helpLines),
    '',
  ].join('\n')
}
