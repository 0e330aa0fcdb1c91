// What: a process that submits to a driver what nobody may, and is ended by that.
// Flow: misuse.test.ts -> this, on the built package -> exit code and last words.
// Thread: its main thread; driver_thread.mjs in one of its own.

import { connect } from 'node:net'
import { Worker } from 'node:worker_threads'

const { kind, session, entries } = JSON.parse(process.argv[2])
const built = new URL('../../dist/src/', import.meta.url)
const from = (name) => import(new URL(`${name}.js`, built).href)
const { loadBinding } = await from('binding')
const { planMemory } = await from('server/memory_plan')
const { resolveOptions } = await from('server/resolve_options')
const { Arena } = await from('shared/arena')
const { CONTROL_WORKER_COUNT, CompletionKind, SESSION_GENERATION, SubmissionOp } =
  await from('layout/layout')

const OWNER = 1
const BATCH = 64
const HOST = '127.0.0.1'

const options = { workers: 2, maxSessions: 16, arenaBytes: 4_194_304, chunkBytes: 4096 }
const { control, arena } = planMemory(
  resolveOptions({ ...options, receiveBuffers: 16, receiveBufferSize: 512 }),
)
// As the suite has it: the second thread with a driver would be a send thread.
new Int32Array(control)[CONTROL_WORKER_COUNT] = 1
const binding = loadBinding()
const runtime = binding.createRuntime(new Uint8Array(control), new Uint8Array(arena))
const memories = { runtime, control, arena }
const { words, sessionAt, plan } = (() => {
  const whole = new Arena(binding, memories, 0)
  return { words: whole.words, plan: whole.plan, sessionAt: (slot) => whole.sessionAt(slot) }
})()

const held = new SharedArrayBuffer(4)
const workerData = { thread: OWNER, kind, batch: BATCH, memories, built: built.href, held }
const worker = new Worker(new URL('driver_thread.mjs', import.meta.url), { workerData })

let done = () => {}
let accept = () => {}
const accepted = new Promise((resolve) => {
  accept = resolve
})
worker.on('message', ({ completions = [], done: isDone }) => {
  for (const { kind: what, result } of completions) {
    if (what === CompletionKind.ACCEPT) accept(result)
  }
  if (isDone !== undefined) done()
})
const answered = () =>
  new Promise((resolve) => {
    done = resolve
  })
const submit = (...given) => {
  worker.postMessage({ do: 'submit', entries: given, isPrompt: true })
  return answered()
}

await answered()
const { value: port } = binding.listen(runtime, HOST, 0, 1, true, 0, 0)
binding.startAccepting(runtime, plan.acceptorThread, kind, 0)
connect(port, HOST)
const token = await accepted
const { slot, generation } = session
words[sessionAt(slot) + SESSION_GENERATION] = generation
await submit([SubmissionOp.ATTACH, slot, generation, token], [SubmissionOp.RECV, slot, generation])
await submit(...entries)
process.stdout.write('nothing happened\n')
process.exit(0)
