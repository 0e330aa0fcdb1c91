// What: every option as data: type, default, limits with reasons, one sentence.
// Flow: this -> option_schema.
// Thread: main.

import {
  DELIMITER_BYTES_MAX,
  type Framing,
  OFFSET_MAX,
  PAYLOAD_LENGTH_LIMIT,
} from '../framing/framing.ts'
import { GATHER_MAX, GROUPS_MAX, LISTENERS_MAX, SESSIONS_MAX } from '../layout/layout.ts'
import type {
  GroupOptions,
  JobsOptions,
  ListenerOptions,
  OutboundOptions,
  ProtocolOptions,
  SendOptions,
  ServerOptions,
  UpdateOptions,
} from '../server/options.ts'

/** What a value may be. */
type ValueSpec =
  | {
      readonly type: 'integer'
      readonly min: number
      readonly max: number
      readonly powerOfTwo?: true
      /** The word 'auto' is allowed too. */
      readonly auto?: true
      readonly unit?: 'bytes' | 'milliseconds' | 'members'
      /** Why the limits are what they are. */
      readonly reason: string
    }
  /** One of the words, or an object with this number alone; as text the number. */
  | {
      readonly type: 'threshold'
      readonly words: readonly string[]
      readonly number: string
      readonly min: number
      readonly max: number
      readonly unit: 'bytes'
      readonly reason: string
    }
  | { readonly type: 'boolean' }
  | { readonly type: 'choice'; readonly values: readonly string[] }
  | {
      readonly type: 'text'
      readonly pattern: RegExp
      readonly allowed: string
      readonly reason: string
    }
  /** An object with options of its own: a section of a file, and flags that begin with its name. */
  | { readonly type: 'nested'; readonly entries: Readonly<Record<string, Entry>> }
  /** A JavaScript value; resolve_options knows what to do with it. */
  | {
      readonly type: 'module' | 'framing' | 'list' | 'any'
      readonly allowed: string
      readonly reason?: string
    }

interface Described {
  /** One sentence. */
  readonly doc: string
  /** Absent: none, or told in the sentence. */
  readonly default?: number | boolean | string
  /** Has no default and must be given. */
  readonly required?: true
  /** Can be given from code only: it has no flag, no environment name and no key in a file. */
  readonly codeOnly?: true
  /** Has a key in sections of a file, but no flag and no environment name. */
  readonly sectionOnly?: true
  /** Of a framing key: the framings that have it. */
  readonly framings?: readonly Framing['kind'][]
}

export type Entry = ValueSpec & Described

/** Threads of one runtime by kind; with main and the acceptor no more than THREADS_MAX (256). */
export const WORKERS_MAX = 60
const UPDATE_THREADS_MAX = 16
const LANES_MAX = 15
const JOB_THREADS_MAX = 128
/** Milliseconds: the longest delay of setTimeout and of a 32-bit word, 24.8 days. */
const TIMEOUT_MAX = 2 ** 31 - 1
/** Bytes: the kernel doubles SO_SNDBUF and SO_RCVBUF into a C int, socket(7). */
const SOCKET_BUFFER_MAX = 2 ** 30 - 1

const CLOCK = 'Delays are 32-bit: 24.8 days.'

const groups: Readonly<Record<keyof GroupOptions, Entry>> = {
  max: {
    type: 'integer',
    min: 1,
    max: GROUPS_MAX,
    default: 1024,
    doc: "Groups alive at once; the join that would make another one returns 'exhausted'.",
    reason: 'Each has a bit for every session slot in the control memory: 1.4 KiB with 10,000.',
  },
  capacity: {
    type: 'integer',
    min: 0,
    max: SESSIONS_MAX,
    unit: 'members',
    default: 0,
    doc: 'Members of a group whose first join says no capacity; 0 is no limit.',
    reason: 'A session is in a group once, and there are no more sessions.',
  },
}

const update: Readonly<Record<keyof UpdateOptions, Entry>> = {
  threads: {
    type: 'integer',
    min: 1,
    max: UPDATE_THREADS_MAX,
    default: 1,
    doc: 'Update threads; each session has its content on one of them.',
    reason: 'Each has a ring from each worker.',
  },
  tickRate: {
    type: 'integer',
    min: 1,
    max: 1000,
    doc: "Calls of onTick a second; the server's `tickRate` where absent.",
    reason: 'Timers have a resolution of one millisecond.',
  },
  eager: {
    type: 'boolean',
    default: false,
    doc: 'Messages are handled as they come, not only when a tick begins.',
  },
  receiveInterval: {
    type: 'integer',
    min: 0,
    max: 1000,
    unit: 'milliseconds',
    doc: 'Time between two looks of a worker at what it receives, where that is little. Where absent a sixteenth of a tick, from 1 to 4; with `eager` 0, which is at once.',
    reason: 'A second is a tick of the lowest rate.',
  },
  overrun: {
    type: 'choice',
    values: ['skip', 'catchUp'],
    default: 'skip',
    doc: 'Ticks that are overdue: `skip` leaves them out, `catchUp` runs up to `catchUpMax` of them at once.',
  },
  catchUpMax: {
    type: 'integer',
    min: 1,
    max: 1000,
    default: 5,
    doc: 'Ticks that are run at once when they are overdue; the rest is left out.',
    reason: 'A second of ticks at the highest rate.',
  },
}

const jobs: Readonly<Record<keyof JobsOptions, Entry>> = {
  module: {
    type: 'module',
    allowed: 'a path or a file: URL of a module',
    required: true,
    doc: 'Module that exports jobs, made by defineJobs; relative paths start at the working directory.',
  },
  threads: {
    type: 'integer',
    min: 1,
    max: JOB_THREADS_MAX,
    default: 4,
    doc: 'Job threads; for work that blocks, as many as may block at once.',
    reason: 'Of 256 threads; the notes have 30 to 40 for databases.',
  },
  concurrency: {
    type: 'integer',
    min: 0,
    max: JOB_THREADS_MAX,
    default: 0,
    doc: 'Job threads that run at once, those that block left out; 0 is one per available core.',
    reason: 'There are no more job threads.',
  },
  queue: {
    type: 'integer',
    min: 16,
    max: 16_384,
    default: 1024,
    doc: 'Jobs that one thread may have in the queue, or results on their way; each takes one for every 1024 bytes.',
    reason: 'A MiB for each thread by default; a job has at most 1024 bytes times this.',
  },
}

const send: Readonly<Record<keyof SendOptions, Entry>> = {
  flushInterval: {
    type: 'integer',
    min: 0,
    max: 1000,
    unit: 'milliseconds',
    default: 0,
    doc: 'Time between flushes of a send thread; 0 sends at once.',
    reason: 'A second is more than a tick of any rate.',
  },
  lanes: {
    type: 'integer',
    min: 0,
    max: LANES_MAX,
    default: 0,
    doc: 'Send threads beside the first, for sessions that ask for one.',
    reason: 'Each has a driver, a heap and a ring to each update thread.',
  },
}

export const server: Readonly<Record<keyof ServerOptions, Entry>> = {
  listeners: {
    type: 'list',
    allowed: 'an array of listeners',
    doc: 'Addresses to listen on; in a file, a section `[listener.NAME]` each.',
    reason: `At most ${LISTENERS_MAX} with the outbound protocols: LISTENERS_MAX of the layout.`,
    codeOnly: true,
  },
  outbound: {
    type: 'list',
    allowed: 'an array of outbound protocols',
    doc: 'Protocols of runtime.connect(); in a file, a section `[outbound.NAME]` each.',
    codeOnly: true,
  },
  handler: {
    type: 'module',
    allowed: 'a path or a file: URL of a module',
    doc: 'Module that exports a handler; relative paths start at the working directory.',
  },
  data: {
    type: 'any',
    allowed: 'a value that structuredClone() can copy',
    doc: 'Given to onStart as runtime.data.',
    codeOnly: true,
  },
  workers: {
    type: 'integer',
    min: 0,
    max: WORKERS_MAX,
    auto: true,
    default: 'auto',
    doc: "I/O workers; 'auto' or 0 is one per available core, by affinity and cgroup quota; one less in modes `update` and `send`.",
    reason: 'A runtime has 256 threads; the others are for main, update, send and jobs.',
  },
  mode: {
    type: 'choice',
    values: ['worker', 'update', 'send'],
    default: 'worker',
    doc: 'Which thread runs content: `worker` is the one that owns the session, `update` update threads; `send` is `update` with threads that send.',
  },
  update: {
    type: 'nested',
    entries: update,
    doc: 'Update threads, in modes `update` and `send`.',
  },
  send: {
    type: 'nested',
    entries: send,
    doc: 'Send threads, in mode `send`.',
  },
  driver: {
    type: 'choice',
    values: ['auto', 'io_uring', 'epoll', 'iocp'],
    default: 'auto',
    doc: 'Completion driver; `auto` is io_uring where it works, else epoll; on Windows iocp.',
  },
  ioUringWithout: {
    type: 'list',
    allowed:
      "an array of 'multishotRecv', 'multishotAccept', 'deferTaskrun', 'registeredRing', 'skipSuccess', 'fileTable'",
    doc: 'Features of io_uring not to use although the kernel has them: to measure, or to rule them out.',
    codeOnly: true,
  },
  iocpWithout: {
    type: 'list',
    allowed: "an array of 'zeroByteReceive', 'trySend', 'queuedSuccess'",
    doc: 'Ways of IOCP not to use: to measure the other way.',
    codeOnly: true,
  },
  maxSessions: {
    type: 'integer',
    min: 1,
    max: SESSIONS_MAX,
    default: 10_000,
    doc: 'Sessions open at once; further connections are refused.',
    reason: '2^20 - 1 slots are what the 20 slot bits of a session id can say.',
  },
  maxBackpressure: {
    type: 'integer',
    min: 1,
    max: 2 ** 30,
    unit: 'bytes',
    default: 1_048_576,
    doc: "Unsent bytes of one session beyond which send() returns 'full'.",
    reason:
      'The count is a signed 32-bit word, and one more payload is added before it is compared.',
  },
  arenaBytes: {
    type: 'integer',
    min: 4_194_304,
    max: 2 ** 31 - 65_536,
    unit: 'bytes',
    default: 268_435_456,
    doc: 'Memory for receive buffers, chunks and overflow.',
    reason: 'Offsets are signed 32-bit words; under 4 MiB not even one small worker fits.',
  },
  chunkBytes: {
    type: 'integer',
    min: 4096,
    max: 1_048_576,
    powerOfTwo: true,
    unit: 'bytes',
    default: 65_536,
    doc: 'Size of a chunk that outgoing messages are written into.',
    reason:
      'From a page to a 256th of the default arena; an offset becomes a chunk index by a shift.',
  },
  receiveBuffers: {
    type: 'integer',
    min: 16,
    max: 32_768,
    powerOfTwo: true,
    default: 512,
    doc: 'Receive buffers of a worker.',
    reason: 'What a provided-buffer ring of io_uring can have: a power of two up to 2^15.',
  },
  receiveBufferSize: {
    type: 'integer',
    min: 512,
    max: 1_048_576,
    unit: 'bytes',
    default: 32_768,
    doc: 'Size of a receive buffer.',
    reason: 'Less is under half a TCP segment; more is beyond what one receive returns.',
  },
  maxGather: {
    type: 'integer',
    min: 1,
    max: GATHER_MAX,
    default: 64,
    doc: 'Slices in one gathered send.',
    reason: 'UIO_MAXIOV is 1024, uio(7).',
  },
  zeroCopy: {
    type: 'threshold',
    words: ['off', 'auto'],
    number: 'minBytes',
    min: 1,
    max: 2 ** 30,
    unit: 'bytes',
    default: 'off',
    doc: 'Gathered sends of so many bytes are read by the kernel where they lie (io_uring, Linux 6.2; IOCP, there sends of any size). `auto` begins at 32768 and ends where the kernel copies all the same. In files and flags the number alone.',
    reason: 'A gather is at most what a session may have queued.',
  },
  completionBatch: {
    type: 'integer',
    min: 1,
    max: 32_768,
    default: 1024,
    doc: 'Completions taken per turn of a worker.',
    reason: 'A turn takes at most what one completion ring holds.',
  },
  idleTimeout: {
    type: 'integer',
    min: 0,
    max: TIMEOUT_MAX,
    unit: 'milliseconds',
    default: 120_000,
    doc: 'Time without receiving anything after which a session is closed; 0 is off.',
    reason: CLOCK,
  },
  firstMessageTimeout: {
    type: 'integer',
    min: 0,
    max: TIMEOUT_MAX,
    unit: 'milliseconds',
    default: 0,
    doc: 'Time within which a new session must send a whole message; 0 is off.',
    reason: CLOCK,
  },
  closeTimeout: {
    type: 'integer',
    min: 1,
    max: TIMEOUT_MAX,
    unit: 'milliseconds',
    default: 5000,
    doc: 'Time from close() to RST for a peer that does not end its stream.',
    reason: `${CLOCK} Not 0: a peer that never ends its stream must not hold a slot.`,
  },
  drainTimeout: {
    type: 'integer',
    min: 1,
    max: TIMEOUT_MAX,
    unit: 'milliseconds',
    default: 30_000,
    doc: 'Time that stop() waits for sessions to flush and close.',
    reason: `${CLOCK} Not 0: a stop must end.`,
  },
  tickRate: {
    type: 'integer',
    min: 1,
    max: 1000,
    default: 20,
    doc: 'Calls of onTick a second, in each thread that runs content.',
    reason: 'Timers have a resolution of one millisecond.',
  },
  jobs: {
    type: 'nested',
    entries: jobs,
    doc: 'Job threads: runtime.jobs.',
  },
  groups: {
    type: 'nested',
    entries: groups,
    doc: 'Groups of sessions: session.join(), and broadcasts to a group.',
  },
  poison: {
    type: 'boolean',
    default: false,
    doc: 'Memory that is given back is overwritten at once: finds who still reads it, and costs time.',
    codeOnly: true,
  },
}

const protocol: Readonly<Record<keyof ProtocolOptions, Entry>> = {
  name: {
    type: 'text',
    pattern: /^[A-Za-z0-9_-]{1,64}$/,
    allowed: 'text of 1 to 64 letters, digits, - and _',
    doc: 'Unique over listeners and outbound; the first listener is `listener0` by default.',
    reason: 'It is a section of INI files and a label of metrics.',
    codeOnly: true,
  },
  framing: {
    type: 'framing',
    allowed: 'what lengthPrefix(), delimiter() or raw() returns',
    doc: 'How the stream is cut into messages; outside code by the keys under Framing.',
    required: true,
    codeOnly: true,
  },
  handler: {
    type: 'module',
    allowed: 'a path or a file: URL of a module',
    doc: "Module that exports a handler; the server's where absent.",
    sectionOnly: true,
  },
  closeMode: {
    type: 'choice',
    values: ['graceful', 'reset'],
    default: 'graceful',
    doc: '`reset` ends sessions with RST, which leaves no TIME_WAIT.',
  },
  noDelay: {
    type: 'boolean',
    default: true,
    doc: 'TCP_NODELAY.',
  },
  sendBufferBytes: {
    type: 'integer',
    min: 0,
    max: SOCKET_BUFFER_MAX,
    unit: 'bytes',
    default: 0,
    doc: "SO_SNDBUF; 0 is the system's.",
    reason: 'The kernel doubles it into a C int, socket(7).',
  },
  receiveBufferBytes: {
    type: 'integer',
    min: 0,
    max: SOCKET_BUFFER_MAX,
    unit: 'bytes',
    default: 0,
    doc: "SO_RCVBUF; 0 is the system's.",
    reason: 'The kernel doubles it into a C int, socket(7).',
  },
}

export const listener: Readonly<Record<keyof ListenerOptions, Entry>> = {
  host: {
    type: 'text',
    pattern: /^[^\s[\]]{1,253}$/,
    allowed: 'an address or host name of 1 to 253 characters, IPv6 without brackets',
    default: '127.0.0.1',
    doc: 'Address to listen on.',
    reason: '253 characters are the longest host name, RFC 1035.',
  },
  port: {
    type: 'integer',
    min: 0,
    max: 65_535,
    required: true,
    doc: 'TCP port; 0 picks a free one.',
    reason: 'A port has 16 bits.',
  },
  backlog: {
    type: 'integer',
    min: 1,
    max: 65_535,
    default: 1024,
    doc: 'Connections that wait to be accepted.',
    reason: 'The system takes no more than net.core.somaxconn, which began as 16 bits.',
  },
  ...protocol,
}

export const outbound: Readonly<Record<keyof OutboundOptions, Entry>> = {
  ...protocol,
  name: { ...protocol.name, required: true },
}

const TIMER_MAX = 2_147_483_647

/** Options of every runtime.connect(). */
export const dial: Readonly<Record<string, Entry>> = {
  host: {
    type: 'text',
    pattern: /^[^\s[\]]{1,253}$/,
    allowed: 'an address or host name of 1 to 253 characters, IPv6 without brackets',
    required: true,
    doc: 'Whom to connect to.',
    reason: '253 characters are the longest host name, RFC 1035.',
    codeOnly: true,
  },
  port: {
    type: 'integer',
    min: 1,
    max: 65_535,
    required: true,
    doc: 'TCP port.',
    reason: 'A port has 16 bits.',
    codeOnly: true,
  },
  timeout: {
    type: 'integer',
    min: 1,
    max: TIMER_MAX,
    unit: 'milliseconds',
    default: 10_000,
    doc: 'For one attempt: resolving the name, and all of its addresses.',
    reason: 'A timer of Node has 31 bits.',
    codeOnly: true,
  },
  data: {
    type: 'any',
    allowed: 'any value',
    doc: 'What session.data is from onJoin on; it does not leave the thread.',
    codeOnly: true,
  },
  signal: {
    type: 'any',
    allowed: 'an AbortSignal',
    doc: 'Aborted, it ends connecting and reconnecting; a session that is connected stays.',
    codeOnly: true,
  },
  reconnect: {
    type: 'any',
    allowed: 'true, false, or { minDelay, maxDelay, factor, jitter, attempts }',
    default: false,
    doc: 'Whether to go on until connected, and to connect again when the session ends.',
    codeOnly: true,
  },
}

const { name: protocolName, ...unnamed } = protocol
/** A protocol that has no name. */
export const unnamedProtocol = unnamed
export const connectByName: Readonly<Record<string, Entry>> = {
  protocol: { ...protocolName, required: true, doc: 'Name of one of the `outbound` protocols.' },
  ...dial,
}

export const framing = {
  framing: {
    type: 'choice',
    values: ['length-prefix', 'delimiter', 'raw'],
    default: 'length-prefix',
    doc: 'How the stream is cut into messages.',
  },
  lengthBytes: {
    type: 'integer',
    min: 1,
    max: 4,
    powerOfTwo: true,
    unit: 'bytes',
    default: 2,
    framings: ['length-prefix'],
    doc: 'Width of the length field.',
    reason: 'Whole machine words; a payload ends far below 4 GiB.',
  },
  endian: {
    type: 'choice',
    values: ['little', 'big'],
    default: 'big',
    framings: ['length-prefix'],
    doc: 'Byte order of the length field.',
  },
  lengthOffset: {
    type: 'integer',
    min: 0,
    max: OFFSET_MAX,
    unit: 'bytes',
    default: 0,
    framings: ['length-prefix'],
    doc: 'Bytes before the length field, sent as zeros.',
    reason: 'A header fits a cache line.',
  },
  lengthIncludesHeader: {
    type: 'boolean',
    default: false,
    framings: ['length-prefix'],
    doc: 'Whether the length counts the header too.',
  },
  delimiter: {
    type: 'text',
    pattern: /^(?:[^\\]|\\[nrt0\\]|\\x[0-9a-fA-F]{2})+$/s,
    allowed: `1 to ${DELIMITER_BYTES_MAX} bytes, with the escapes \\n \\r \\t \\0 \\\\ \\xNN`,
    default: '\\n',
    framings: ['delimiter'],
    doc: 'Byte sequence after each payload.',
    reason: 'A delimiter fits a vector register.',
  },
  strip: {
    type: 'boolean',
    default: true,
    framings: ['delimiter'],
    doc: 'Whether onRecv gets the payload without the delimiter.',
  },
  maxPayloadLength: {
    type: 'integer',
    min: 1,
    max: PAYLOAD_LENGTH_LIMIT,
    unit: 'bytes',
    framings: ['length-prefix', 'delimiter'],
    doc: 'Longest payload; by default the smaller of 65536 and what the length field can say.',
    reason:
      'And no more than the length field can say; 16 MiB is a sixteenth of the default arena.',
  },
} as const satisfies Readonly<Record<string, Entry>>

/** Keys that say a framing in files, flags and environment. */
export type FramingKey = keyof typeof framing
