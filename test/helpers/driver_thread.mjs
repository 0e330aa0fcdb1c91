// What: a thread with a driver and nothing on top: submits the words that it is told, says what completes.
// Flow: test/driver -> this, on the built modules and the built addon -> completions -> test/driver.
// Thread: a worker thread.

import { parentPort, workerData } from 'node:worker_threads'

const { thread, driver, memories, built } = workerData
const from = (name) => import(new URL(`${name}.js`, built).href)
const { loadBinding } = await from('binding')
const { Arena } = await from('shared/arena')
const { CompletionRing } = await from('inbound/completion_ring')
const layout = await from('layout/layout')
const { CompletionKind, SubmissionOp } = layout

const BATCH = 64

const binding = loadBinding()
const arena = new Arena(binding, memories, thread)
const { words, plan } = arena
const usedAt = arena.threadAt(thread) + layout.THREAD_SUBMISSION_USED
const area = plan.submissionsAt + (thread - 1) * plan.submissionWords
const ring = new CompletionRing(arena)

function append(entry) {
  words.set(entry, area + words[usedAt])
  words[usedAt] += entry.length
}

/** Bytes are copied, and their buffers returned. */
function turn() {
  const completions = []
  for (let at = ring.next(); at !== -1; at = ring.next()) {
    const word = (field) => words[at + field]
    const result = word(layout.COMPLETION_RESULT)
    const completion = {
      kind: word(layout.COMPLETION_KIND),
      slot: word(layout.COMPLETION_SLOT),
      generation: word(layout.COMPLETION_GENERATION),
      status: word(layout.COMPLETION_STATUS),
      result,
    }
    if (completion.kind === CompletionKind.RECV && result > 0) {
      const offset = word(layout.COMPLETION_OFFSET)
      completion.bytes = arena.bytes.slice(offset, offset + result)
      append([SubmissionOp.BUFFER_RETURN | (1 << 16), word(layout.COMPLETION_BUFFER)])
    }
    completions.push(completion)
  }
  if (completions.length > 0) parentPort.postMessage({ completions })
}

parentPort.on('message', ({ entries, isPrompt }) => {
  if (entries === undefined) {
    binding.closeLoop()
    parentPort.close()
    return
  }
  for (const entry of entries) append(entry)
  // Otherwise they go with the next wait, as a turn's do.
  if (isPrompt) binding.submit()
  parentPort.postMessage({ submitted: true })
})

const why = binding.openLoop(
  memories.runtime,
  thread,
  driver,
  BATCH,
  0,
  new Uint8Array(memories.control),
  new Uint8Array(memories.arena),
  turn,
)
if (why !== '') throw new Error(why)
parentPort.postMessage({ submitted: true })
