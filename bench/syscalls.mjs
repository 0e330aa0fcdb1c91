// What: system calls per echo of each server, counted from outside by perf or strace.
// Flow: server -> warm-up load -> counter attached -> load -> counter stopped -> one line per server.
// Thread: one process that starts the others and otherwise sleeps.

import process from 'node:process'
import { buildPrograms } from './lib/build.mjs'
import { contestants, isBuilt } from './lib/contestants.mjs'
import { numberIn, scriptOptions } from './lib/options.mjs'
import { runClient, withServer } from './lib/processes.mjs'
import { benchFolder, endStartedOnSignal, logFile, rootFolder } from './lib/script.mjs'
import { findTool, startCounter, toolNames } from './lib/syscall_counter.mjs'

/** Of the server's CPU time: the ends of the window are not taken at one instant. */
const COUNTED_SHARE_MIN = 0.98

const usage = `usage: node bench/syscalls.mjs [options]
  --only REGEX     overlapped  servers whose name matches (those of run.mjs)
  --seconds S      2           measured seconds
  --connections N  64
  --depth N        1           messages in flight per connection
  --tool NAME                  perf or strace; otherwise the first that works`

const defaults = {
  only: 'overlapped',
  seconds: '2',
  connections: '64',
  depth: '1',
  tool: undefined,
}
const options = scriptOptions(usage, defaults, ({ only, seconds, connections, depth, tool }) => {
  if (tool !== undefined && !toolNames.includes(tool)) {
    throw new RangeError(`--tool ${tool}: must be one of ${toolNames.join(', ')}`)
  }
  return {
    tool,
    only: new RegExp(only),
    seconds: numberIn('--seconds', seconds, 0.1, 600),
    connections: numberIn('--connections', connections, 1, 10_000),
    depth: numberIn('--depth', depth, 1, 1024),
  }
})
endStartedOnSignal()
if (options.help) console.log(usage)
else process.exitCode = await countAll()

/** Returns the exit code: 1 when a server could not be counted, or none took part. */
async function countAll() {
  buildPrograms(benchFolder)
  let counted = 0
  let failed = 0
  try {
    const tool = findTool(options.tool)
    for (const contestant of contestants.filter(isAsked)) {
      const line = isBuilt(contestant, rootFolder)
        ? await countOne(contestant, tool)
        : { failure: `no ${contestant.needs}; build first` }
      if (line.failure) failed++
      else counted++
      console.log(`${contestant.name}: ${line.failure ?? line.text}`)
    }
  } catch (error) {
    console.error(error.message)
    failed++
  }
  return failed > 0 || counted === 0 ? 1 : 0
}

function isAsked({ name, modes }) {
  return modes.includes('echo') && options.only.test(name)
}

/** Returns { text } or { failure }. */
async function countOne(contestant, tool) {
  const { seconds, connections, depth } = options
  const benchCase = {
    threads: 1,
    client: ['--mode', 'echo', '--size', 64, '--conns', connections, '--depth', depth],
  }
  const { warmupSeconds } = contestant
  const command = (port) => contestant.command({ port, threads: 1, mode: 'echo' })
  const server = { command, cores: 1, rootFolder, logFile }
  const run = await withServer(server, async ({ server: { pid }, port }) => {
    const target = { benchCase, warmupSeconds: 0, rootFolder, pid, port }
    const warm = await runClient({ ...target, seconds: warmupSeconds })
    if (warm.failure) return warm
    const counter = await startCounter(tool, pid)
    const loaded = await runClient({ ...target, seconds })
    return { ...loaded, ...(await counter.stop()) }
  })
  if (!run.started) return { failure: `the server did not start: ${run.words.trim()}` }
  const { result, failure, calls, countedCpuSeconds } = run.used
  if (failure) return { failure }
  if (countedCpuSeconds < result.server_cpu_s * COUNTED_SHARE_MIN) {
    return { failure: `${tool.name} counted for a part of the run only; try again` }
  }
  const whole = (value) => Math.round(value).toLocaleString('en-US')
  const ratio = (calls / result.messages).toPrecision(3)
  return {
    text:
      `${whole(calls)} system calls, ${whole(result.messages)} echoes, ${ratio} per echo ` +
      `(${connections} connections, ${depth} in flight, ${tool.name})`,
  }
}
