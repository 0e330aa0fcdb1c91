// What: a thread with a driver and nothing on top: submits the words that it is told, says what completes.
// Flow: test/driver -> this, on the built modules and the built addon -> completions -> test/driver.
// Thread: a worker thread.

import { parentPort, workerData } from 'node:worker_threads'

const { thread, kind, batch, memories, built, held } = workerData
const from = (name) => import(new URL(`${name}.js`, built).href)
const { loadBinding } = await from('binding')
const { Arena } = await from('shared/arena')
const { Waker } = await from('shared/waker')
const { CompletionRing } = await from('inbound/completion_ring')
const layout = await from('layout/layout')
const { CompletionKind, SubmissionOp } = layout

const binding = loadBinding()
const arena = new Arena(binding, memories, thread)
const waker = new Waker(arena, binding)
const { words, plan } = arena
const usedAt = arena.threadAt(thread) + layout.THREAD_SUBMISSION_USED
const area = plan.submissionsAt + (thread - 1) * plan.submissionWords
const ring = new CompletionRing(arena)
const hold = new Int32Array(held)

/** Receive buffers whose bytes were seen, the oldest first. */
const kept = []
let isKeeping = false
let isIgnoring = false
let turns = 0
let bells = 0

function append(entry) {
  if (words[usedAt] + entry.length > plan.submissionWords) binding.submit()
  words.set(entry, area + words[usedAt])
  words[usedAt] += entry.length
}

function returnBuffers(count) {
  for (const buffer of kept.splice(0, count))
    append([SubmissionOp.BUFFER_RETURN | (1 << 16), buffer])
}

/** A completion as it is told; received bytes are copied. */
function completionAt(at) {
  const word = (field) => words[at + field]
  const completion = {
    kind: word(layout.COMPLETION_KIND),
    flags: word(layout.COMPLETION_FLAGS),
    slot: word(layout.COMPLETION_SLOT),
    generation: word(layout.COMPLETION_GENERATION) >>> 0,
    status: word(layout.COMPLETION_STATUS),
    result: word(layout.COMPLETION_RESULT),
    turn: turns,
  }
  if (completion.kind !== CompletionKind.RECV || completion.result <= 0) return completion
  const offset = word(layout.COMPLETION_OFFSET)
  kept.push(word(layout.COMPLETION_BUFFER))
  return { ...completion, bytes: arena.bytes.slice(offset, offset + completion.result) }
}

function turn() {
  turns++
  if (waker.answerBell()) parentPort.postMessage({ bells: ++bells })
  if (isIgnoring) return
  const completions = []
  for (let at = ring.next(); at !== -1; at = ring.next()) completions.push(completionAt(at))
  if (!isKeeping) returnBuffers(kept.length)
  if (completions.length > 0) parentPort.postMessage({ completions })
}

const orders = {
  nothing: () => 0,
  submit({ entries, isPrompt }) {
    for (const entry of entries) append(entry)
    // Otherwise they go with the next wait, as a turn's do.
    if (isPrompt) binding.submit()
  },
  ignore(order) {
    isIgnoring = order.isIgnoring
  },
  keep(order) {
    isKeeping = order.isKeeping
  },
  give: ({ count }) => returnBuffers(count),
  prepareConnect({ host, port }) {
    const { errno, value } = binding.prepareConnect(host, port, true, 0, 0)
    if (errno !== 0) throw new Error(`prepareConnect: errno ${errno}`)
    return value
  },
  closeListeners: () => binding.closeListeners(),
}

parentPort.on('message', (order) => {
  if (order.do === 'close') {
    binding.closeLoop()
    parentPort.close()
    return
  }
  if (order.do === 'hold') {
    parentPort.postMessage({ done: 0 })
    Atomics.wait(hold, 0, 1)
    return
  }
  parentPort.postMessage({ done: orders[order.do](order) ?? 0 })
})

const why = binding.openLoop(
  memories.runtime,
  thread,
  kind,
  batch,
  0,
  new Uint8Array(memories.control),
  new Uint8Array(memories.arena),
  turn,
)
if (why !== '') throw new Error(why)
parentPort.postMessage({ done: 0 })
