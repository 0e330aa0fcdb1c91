// What: what a message leaves for the garbage collector, and the same for a handler that leaves an object.
// Flow: server with a tiny young generation -> warm-up -> 10 million echoes -> its collections, counted.
// Thread: one process that starts the others and otherwise sleeps.

import process from 'node:process'
import { buildPrograms } from './lib/build.mjs'
import { collectionsAfter } from './lib/collections.mjs'
import { contestants, isBuilt } from './lib/contestants.mjs'
import { numberIn, scriptOptions } from './lib/options.mjs'
import { runClient, withServer } from './lib/processes.mjs'
import { benchFolder, endStartedOnSignal, logFile, rootFolder } from './lib/script.mjs'

const CASE = {
  threads: 1,
  client: ['--mode', 'echo', '--size', 64, '--conns', 64, '--depth', 16],
}
const WARM_UP_SECONDS = 2
/** One run of the client is to be enough, though the rate changes. */
const SPARE = 1.1
const RUN_SECONDS_MIN = 0.3

/** The smallest object of V8 on 64 bits is a boxed number: its map and its value. */
const SMALLEST_OBJECT_BYTES = 16
/**
 * The server may allocate per turn, which handles many messages, but not per message: less than one
 * smallest object for 8 messages.
 */
const BYTES_PER_MESSAGE_MAX = SMALLEST_OBJECT_BYTES / 8
/**
 * The first collection counts what was allocated before the run too, up to the semi-space of 1 MiB:
 * with so many messages a quarter of the limit.
 */
const MESSAGES_MIN = (4 * 2 ** 20) / BYTES_PER_MESSAGE_MAX

const usage = `usage: node bench/allocation.mjs [options]
  --only REGEX           drivers whose contestant's name matches (overlapped …)
  --messages N  10000000 echoes of each run, at least`

const defaults = { only: '', messages: '10000000' }
const options = scriptOptions(usage, defaults, ({ only, messages }) => ({
  only: new RegExp(only),
  messages: numberIn('--messages', messages, MESSAGES_MIN, 1e10),
}))
endStartedOnSignal()
if (options.help) console.log(usage)
else process.exitCode = await measureAll()

/** Returns the exit code: 1 when a server leaves too much, the control too little, or a run failed. */
async function measureAll() {
  buildPrograms(benchFolder)
  const faults = []
  const ours = contestants.filter(
    ({ name, role, modes }) => role === 'ours' && modes.includes('echo') && options.only.test(name),
  )
  if (ours.length === 0) faults.push('no server matches --only')
  for (const contestant of ours) {
    const { name } = contestant
    const own = await measure(contestant, 'echo')
    console.log(`${name}, echo: ${own.failure ?? own.text}`)
    if (!(own.bytes < BYTES_PER_MESSAGE_MAX)) {
      faults.push(`${name}: not below ${BYTES_PER_MESSAGE_MAX} bytes per message`)
    }
    const control = await measure(contestant, 'echo_allocating')
    console.log(`${name}, control with an object per message: ${control.failure ?? control.text}`)
    if (!(control.bytes >= SMALLEST_OBJECT_BYTES)) {
      faults.push(`${name}: the control's objects were not seen, so the figure says nothing`)
    }
  }
  for (const fault of faults) console.log(fault)
  return faults.length > 0 ? 1 : 0
}

/** Returns { bytes, text }, bytes by message, or { failure }. */
async function measure(contestant, mode) {
  if (!isBuilt(contestant, rootFolder)) return { failure: `no ${contestant.needs}; build first` }
  const command = (port) => {
    const [node, ...rest] = contestant.command({ port, threads: 1, mode })
    // Flags of the process are those of its workers too. A line is in the log when it is written.
    return ['stdbuf', '-oL', node, '--max-semi-space-size=1', '--trace-gc', ...rest]
  }
  const server = { command, cores: 1, rootFolder, logFile }
  const run = await withServer(server, async ({ server: { pid }, port, words }) => {
    const target = { benchCase: CASE, warmupSeconds: 0, rootFolder, pid, port }
    const warm = await runClient({ ...target, seconds: WARM_UP_SECONDS })
    if (warm.failure) return warm
    const begin = words().length
    const done = { messages: 0, seconds: 0 }
    while (done.messages < options.messages) {
      const left = options.messages - done.messages
      const seconds = Math.max(RUN_SECONDS_MIN, (SPARE * left) / warm.result.msgs_s)
      const { result, failure } = await runClient({ ...target, seconds })
      if (failure) return { failure }
      done.messages += result.messages
      done.seconds += result.seconds
    }
    return { ...done, ...collectionsAfter(words(), begin) }
  })
  if (!run.started) return { failure: `the server did not start: ${run.words.trim()}` }
  if (run.used.failure) return { failure: run.used.failure }
  const { messages, seconds, scavenges, others, bytes } = run.used
  const perMillion = (scavenges / messages) * 1e6
  const text =
    `${Math.round(messages).toLocaleString('en-US')} messages in ${seconds.toFixed(1)} s, ` +
    `${scavenges} scavenges (${perMillion.toPrecision(3)} per million messages, ` +
    `${(scavenges / seconds).toPrecision(3)} per second), ${others} other collections, ` +
    `${(bytes / messages).toPrecision(3)} bytes per message`
  return { bytes: bytes / messages, text }
}
