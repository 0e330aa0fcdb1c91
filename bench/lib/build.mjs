// What: builds the C programs of the benchmark with the system's compiler, when out of date.
// Flow: bench/limit, bench/load, bench/scenario -> cc -> bench/bin.
// Thread: the benchmark's own process.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'

const FLAGS = ['-O2', '-std=gnu11', '-Wall', '-Wextra']

const programs = [
  { name: 'uring_echo', sources: ['limit/uring_echo.c'] },
  { name: 'epoll_echo', sources: ['limit/epoll_echo.c'] },
  { name: 'wake', sources: ['load/wake.c'] },
  ...['accept', 'echo_ways', 'gather_client', 'gather_limit', 'zero_copy'].map((name) => ({
    name,
    sources: [`scenario/${name}.c`],
  })),
  {
    name: 'load_client',
    sources: [
      'load_client',
      'client_socket',
      'connect_storm',
      'exchange',
      'idle_hold',
      'measure',
      'ping',
      'tick_world',
      'window',
    ].map((part) => `load/${part}.c`),
  },
]

/** Builds every program older than any source or header; throws with the compiler's words. */
export function buildPrograms(benchFolder) {
  const newestSource = Math.max(
    ...['limit', 'load', 'scenario'].map((folder) => newestFile(path.join(benchFolder, folder))),
  )
  mkdirSync(path.join(benchFolder, 'bin'), { recursive: true })
  for (const { name, sources } of programs) {
    const binary = path.join(benchFolder, 'bin', name)
    const built = statSync(binary, { throwIfNoEntry: false })?.mtimeMs ?? 0
    if (built > newestSource) continue
    console.error(`building bench/bin/${name}`)
    execFileSync('cc', [...FLAGS, '-o', binary, ...sources, '-lpthread'], {
      cwd: benchFolder,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
  }
}

function newestFile(folder) {
  const sources = readdirSync(folder).filter((name) => /\.[ch]$/.test(name))
  return Math.max(...sources.map((name) => statSync(path.join(folder, name)).mtimeMs))
}
