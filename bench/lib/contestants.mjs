// What: the servers that are compared, as data.
// Flow: run.mjs picks those that serve a case -> processes.mjs starts command().
// Thread: the benchmark's own process.
//
// role      limit: what C reaches; peer: what one would use instead; ours.
// needs     a file, from the repository root, without which the contestant is left out.
// command   server on 127.0.0.1:port; mode is 'echo', 'bcast' or 'relay'; run from the repository root.
// warmupSeconds   before measuring: how long its compiler takes to settle.

import { existsSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'

const C_WARMUP_SECONDS = 0.5
const JAVASCRIPT_WARMUP_SECONDS = 1.5

/** More sessions than any case opens (idle_memory_10000c). */
const SESSIONS_MAX = 12_000

function limit(name, program) {
  return {
    name,
    role: 'limit',
    modes: ['echo', 'bcast'],
    warmupSeconds: C_WARMUP_SECONDS,
    command: ({ port, threads, mode }) => [`bench/bin/${program}`, port, threads, mode],
  }
}

function nodeNet(style) {
  return {
    name: `node:net ${style}`,
    role: 'peer',
    modes: ['echo', 'bcast'],
    warmupSeconds: JAVASCRIPT_WARMUP_SECONDS,
    command: ({ port, threads, mode }) => [
      process.execPath,
      'bench/versus/node_net.mjs',
      port,
      threads,
      mode,
      style,
    ],
  }
}

const OVERLAPPED_CLI = 'dist/src/cli/main.js'

function overlapped(driver) {
  return {
    name: `overlapped ${driver}`,
    role: 'ours',
    modes: ['echo', 'bcast', 'relay'],
    warmupSeconds: JAVASCRIPT_WARMUP_SECONDS,
    needs: OVERLAPPED_CLI,
    command: ({ port, threads, mode }) => [
      ...[process.execPath, OVERLAPPED_CLI, 'start', `bench/handlers/${mode}.mjs`],
      ...['--host', '127.0.0.1', '--port', port, '--workers', threads, '--driver', driver],
      ...['--framing', 'length-prefix', '--length-bytes', 2, '--endian', 'little'],
      ...['--max-sessions', SESSIONS_MAX],
    ],
  }
}

export const contestants = [
  limit('C io_uring', 'uring_echo'),
  limit('C epoll', 'epoll_echo'),
  nodeNet('chunk'),
  nodeNet('message'),
  overlapped('io_uring'),
  overlapped('epoll'),
]

export function isBuilt({ needs }, rootFolder) {
  return needs === undefined || existsSync(path.join(rootFolder, needs))
}
