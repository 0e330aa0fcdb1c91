// What: the servers that are compared, as data.
// Flow: run.mjs picks those that serve a case -> processes.mjs starts command().
// Thread: the benchmark's own process.
//
// role      limit: what C reaches; peer: what one would use instead; ours.
// needs     a file, from the repository root, without which the contestant is left out.
// command   server on 127.0.0.1:port, run from the repository root. mode is what it does: 'echo',
//           'bcast', 'relay', 'world' or 'stamp'; states: in a world, those of a tick.
// driver, layout   ours: which threads it has is one of `layouts`.
// base      ours: the contestant with whom its ratio is made too.
// warmupSeconds   before measuring: how long its compiler takes to settle.

import { existsSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { serverKnows } from './server_options.mjs'

const C_WARMUP_SECONDS = 0.5
const JAVASCRIPT_WARMUP_SECONDS = 1.5

/** More sessions than any case opens (idle_memory_10000c). */
const SESSIONS_MAX = 12_000
/** Ticks per second of every world (limit/tick_world.h, versus/node_net.mjs). */
const TICK_RATE = 20

function limit(name, program) {
  return {
    name,
    role: 'limit',
    modes: ['echo', 'bcast', 'world'],
    warmupSeconds: C_WARMUP_SECONDS,
    command: ({ port, threads, mode, states = 1 }) => [
      ...[`bench/bin/${program}`, port, threads, mode, states],
    ],
  }
}

function nodeNet(style) {
  return {
    name: `node:net ${style}`,
    role: 'peer',
    modes: ['echo', 'bcast', 'world'],
    warmupSeconds: JAVASCRIPT_WARMUP_SECONDS,
    command: ({ port, threads, mode, states = 1 }) => [
      ...[process.execPath, 'bench/versus/node_net.mjs', port, threads, mode, style, states],
    ],
  }
}

const WORKERS_ALONE = 'worker'

/** The threads of our server, as options. One that the built server does not know takes no part. */
const layouts = [
  { name: WORKERS_ALONE, modes: ['echo', 'bcast', 'relay', 'world', 'stamp'], options: {} },
  {
    name: 'update eager',
    modes: ['echo', 'stamp'],
    options: { mode: 'update', update: { eager: true } },
  },
  {
    name: 'update',
    modes: ['world'],
    options: { mode: 'update', update: { tickRate: TICK_RATE } },
  },
  {
    name: 'send',
    modes: ['echo'],
    options: { mode: 'send', update: { eager: true }, send: { flushInterval: 0 } },
  },
].filter(({ name, options }) => name === WORKERS_ALONE || serverKnows(options))

/** Starts our server on a port, with a handler of handlers/ and these options. */
export function ourCommand(port, handler, options) {
  const script = [process.execPath, 'bench/lib/overlapped_server.mjs']
  return [...script, port, `bench/handlers/${handler}.mjs`, JSON.stringify(options)]
}

function overlapped(driver, { name, modes, options }) {
  const alone = `overlapped ${driver}`
  return {
    name: name === WORKERS_ALONE ? alone : `${alone} ${name}`,
    role: 'ours',
    driver,
    layout: name,
    base: name === WORKERS_ALONE ? undefined : alone,
    modes,
    warmupSeconds: JAVASCRIPT_WARMUP_SECONDS,
    needs: 'dist/src/index.js',
    command: ({ port, threads, mode, states }) =>
      ourCommand(port, mode, {
        ...{ driver, workers: threads, maxSessions: SESSIONS_MAX, data: { states } },
        ...options,
      }),
  }
}

export const contestants = [
  limit('C io_uring', 'uring_echo'),
  limit('C epoll', 'epoll_echo'),
  nodeNet('chunk'),
  nodeNet('message'),
  ...['io_uring', 'epoll'].flatMap((driver) => layouts.map((layout) => overlapped(driver, layout))),
]

export function isBuilt({ needs }, rootFolder) {
  return needs === undefined || existsSync(path.join(rootFolder, needs))
}
