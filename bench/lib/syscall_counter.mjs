// What: counts the system calls of a process from outside: perf's tracepoint, or strace.
// Flow: startCounter(pid) -> the process works -> stop() -> calls.
// Thread: the benchmark's own process.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { start } from './processes.mjs'

const ATTACH_TIMEOUT_MS = 10_000
const ATTACH_POLL_MS = 20
/** perf does not say when it counts; parse() notices when this was not enough. */
const PERF_ATTACH_MS = 500
const EVENT = 'raw_syscalls:sys_enter'

/** In the order of preference: perf hardly slows the process; strace does, by several times. */
const tools = [
  {
    name: 'perf',
    probe: ['perf', 'stat', '-e', EVENT, 'true'],
    command: (pid, file) => ['perf', 'stat', '-x', ',', '-e', EVENT, '-o', file, '-p', pid],
    attached: () => sleep(PERF_ATTACH_MS).then(() => true),
    /** Fields: count, unit, event, nanoseconds of CPU time in which it counted, … */
    parse(text) {
      const fields =
        text
          .split('\n')
          .find((line) => line.includes(EVENT))
          ?.split(',') ?? []
      return { calls: Number(fields[0]), countedCpuSeconds: Number(fields[3]) / 1e9 }
    },
  },
  {
    name: 'strace',
    probe: ['strace', '-c', '-o', '/dev/null', 'true'],
    command: (pid, file) => ['strace', '-c', '-f', '-o', file, '-p', pid],
    attached: (words) => until(() => words().includes('attached')),
    /** The last line: % time, seconds, µs per call, calls, errors if any, total. */
    parse(text) {
      const fields =
        text
          .split('\n')
          .find((line) => / total$/.test(line))
          ?.trim()
          .split(/\s+/) ?? []
      return { calls: Number(fields[3]) }
    },
  },
]

export const toolNames = tools.map(({ name }) => name)

/** The first tool that works here, or the one of that name. @throws when it does not work */
export function findTool(wanted) {
  const reasons = []
  for (const tool of tools.filter(({ name }) => wanted === undefined || name === wanted)) {
    try {
      execFileSync(tool.probe[0], tool.probe.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] })
      return tool
    } catch (error) {
      reasons.push(`${tool.name}: ${String(error.stderr ?? error.message).trim() || error.message}`)
    }
  }
  throw new Error(`no tool counts system calls here:\n${reasons.join('\n')}`)
}

/** Attaches to all threads of a process. stop() resolves with { calls, countedCpuSeconds? }. */
export async function startCounter(tool, pid) {
  const folder = mkdtempSync(path.join(tmpdir(), 'bench-syscalls-'))
  const file = path.join(folder, 'count')
  const [program, ...rest] = tool.command(pid, file).map(String)
  const counter = start([program, ...rest], { stdio: ['ignore', 'ignore', 'pipe'] })
  let words = ''
  let ended = false
  counter.stderr.on('data', (text) => (words += text))
  counter.ended.then(() => {
    ended = true
  })
  const attached = await tool.attached(() => words)
  if (!attached || ended) {
    counter.kill('SIGINT')
    rmSync(folder, { recursive: true })
    throw new Error(`${tool.name} does not attach to the server: ${words.trim()}`)
  }
  return {
    async stop() {
      counter.kill('SIGINT') // Both tools write their count and let the process go on.
      await counter.ended
      const counted = tool.parse(readFileSync(file, 'utf8'))
      rmSync(folder, { recursive: true })
      if (!(counted.calls > 0)) throw new Error(`${tool.name} counted nothing: ${words.trim()}`)
      return counted
    },
  }
}

async function until(holds) {
  const deadline = Date.now() + ATTACH_TIMEOUT_MS
  while (!holds() && Date.now() < deadline) await sleep(ATTACH_POLL_MS)
  return holds()
}
