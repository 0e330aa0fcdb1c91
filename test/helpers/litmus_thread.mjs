// What: one thread of the alias litmus test: publishes payloads as production does, checks what others published.
// Flow: alias_litmus.test.ts -> this, on the built modules and the built addon -> counts -> alias_litmus.test.ts.
// Thread: a worker thread for each role; `native` has a native thread as the producer.

import { createRequire } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { parentPort, workerData } from 'node:worker_threads'

const { role, pattern, broken, rounds, memories, built, producer } = workerData
const from = (name) => import(new URL(`${name}.js`, built).href)
const { loadBinding } = await from('binding')
const { Arena } = await from('shared/arena')
const { compareExchange, load, store } = await from('shared/atomics')
const { push, takeAll } = await from('shared/link_stack')
const { NodePool } = await from('shared/node_pool')
const { CompletionRing } = await from('inbound/completion_ring')
const { clear, tryWin } = await from('outbound/send_flag')
const layout = await from('layout/layout')

/** Bytes of the arena for each payload, and how many payloads there are for each thread. */
const STRIDE = 128
const SLOTS = 256
/** Rounds without progress before a thread naps: on one core the other needs it. */
const SPINS = 2000
const NAP_MS = 0.05
/** Words of a slot's own that nobody else uses here: the spin pattern's turn. */
const TURN = layout.SESSION_TAG

const arena = new Arena(loadBinding(), memories, role)
const { words, bytes, buffer, plan } = arena
if (bytes.buffer instanceof SharedArrayBuffer) throw new Error('this Node gave no alias to test')

const payloadAt = (thread, slot) => plan.chunkByteAt + (thread * SLOTS + slot) * STRIDE
const scratchAt = payloadAt(plan.threadCount, role)
const scratch = new Uint8Array(STRIDE)
const byteOf = (seed, i) => ((seed >>> (8 * (i & 3))) ^ (i * 37)) & 0xff
const lengthOf = (seed) => 4 + 4 * (seed % 29)

let violations = 0
let firstViolation = ''

function violation(what) {
  if (violations++ === 0) firstViolation = what
}

/** Writes a payload through the alias, in each of the ways in which production does. */
function fill(at, length, seed) {
  switch ((seed >>> 2) & 3) {
    case 0:
      for (let i = 0; i < length; i++) bytes[at + i] = byteOf(seed, i)
      break
    case 1:
      for (let i = 0; i < length; i++) buffer.writeUInt8(byteOf(seed, i), at + i)
      break
    case 2:
      for (let i = 0; i < length; i++) scratch[i] = byteOf(seed, i)
      bytes.set(scratch.subarray(0, length), at)
      break
    default:
      for (let i = 0; i < length; i++) bytes[scratchAt + i] = byteOf(seed, i)
      bytes.copyWithin(at, scratchAt, scratchAt + length)
  }
}

function check(at, length, seed) {
  let wrong = -1
  switch (seed & 3) {
    case 0:
      for (let i = 0; i < length; i++) if (bytes[at + i] !== byteOf(seed, i)) wrong = i
      break
    case 1:
      for (let i = 0; i < length; i++) if (buffer.readUInt8(at + i) !== byteOf(seed, i)) wrong = i
      break
    case 2:
      bytes.copyWithin(scratchAt, at, at + length)
      for (let i = 0; i < length; i++) if (bytes[scratchAt + i] !== byteOf(seed, i)) wrong = i
      break
    default: {
      const text = buffer.latin1Slice(at, at + length)
      for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== byteOf(seed, i)) wrong = i
    }
  }
  if (wrong !== -1)
    violation(`${pattern}: round ${seed}: byte ${wrong} of ${length} is stale or torn`)
}

setFlagsFromString('--allow-natives-syntax')
const statusOf = new Function('f', 'return %GetOptimizationStatus(f)')
/** The bits that say so change with V8: those that its optimizing compiler sets on a function of one's own. */
const OPTIMIZED = new Function(
  'statusOf',
  // With semicolons: % after an expression would go on with it.
  `const f = (x) => x + 1;
  %PrepareFunctionForOptimization(f);
  f(1);
  const before = statusOf(f);
  %OptimizeFunctionOnNextCall(f);
  f(1);
  return statusOf(f) & ~before`,
)(statusOf)

/** Keeps what calls the hot function out of the optimizer, which would put the hot function into it instead. */
const prepare = new Function(
  'run',
  'hot',
  '%NeverOptimizeFunction(run); %PrepareFunctionForOptimization(hot);',
)
const optimize = new Function('hot', '%OptimizeFunctionOnNextCall(hot)')

/** Rounds between two looks at how it is compiled: what was compiled may be given up, and is compiled again. */
const LOOK_EVERY = 256
let rounded = 0
let wasOptimized = false

function lookAtCode() {
  if (++rounded % LOOK_EVERY !== 0) return
  if ((statusOf(hot) & OPTIMIZED) !== 0) wasOptimized = true
  else optimize(hot)
}

const napWord = new Int32Array(new SharedArrayBuffer(4))
let idle = 0

function waitABit(progressed) {
  lookAtCode()
  idle = progressed ? 0 : idle + 1
  if (idle > SPINS) Atomics.wait(napWord, 0, 0, NAP_MS)
}

/** A test that waits for what never comes must end: the others have stopped when this one has seen enough. */
const stopAt = plan.sessionsAt + layout.SESSION_WORDS + TURN
const stopped = () => load(words, stopAt) !== 0
const found = () => broken !== '' && violations > 0

// --- completion ring: entries and payload, published by the tail; given back by the head ---------

/** Producer half in JavaScript, as native/shared/completion_ring.h is. */
class RingProducer {
  constructor(thread) {
    this.at = plan.completionsAt + (thread - 1) * plan.completionCapacity * layout.COMPLETION_WORDS
    this.headAt = arena.threadAt(thread) + layout.THREAD_COMPLETION_HEAD
    this.tailAt = arena.threadAt(thread) + layout.THREAD_COMPLETION_TAIL
    this.tail = 0
    this.thread = thread
  }

  /** Claims up to `most` entries, publishes them once. Returns how many. */
  produce(first, most) {
    const free = plan.completionCapacity - ((this.tail - load(words, this.headAt)) | 0)
    const count = Math.min(most, free)
    if (broken === 'publish first') store(words, this.tailAt, (this.tail + count) | 0)
    for (let i = 0; i < count; i++) {
      const slot = (this.tail + i) & (plan.completionCapacity - 1)
      const entry = this.at + slot * layout.COMPLETION_WORDS
      const seed = first + i
      const at = payloadAt(this.thread, slot)
      fill(at, lengthOf(seed), seed)
      words[entry + layout.COMPLETION_SLOT] = seed
      words[entry + layout.COMPLETION_OFFSET] = at
      words[entry + layout.COMPLETION_RESULT] = lengthOf(seed)
    }
    this.tail = (this.tail + count) | 0
    store(words, this.tailAt, this.tail)
    return count
  }
}

/** Consumer half: the production class, or one that does not look at the tail. */
function drainRing(ring, expected) {
  for (;;) {
    let at = -1
    if (broken === 'no load') {
      const slot = expected & (plan.completionCapacity - 1)
      at =
        plan.completionsAt + ((role - 1) * plan.completionCapacity + slot) * layout.COMPLETION_WORDS
      check(payloadAt(role, slot), lengthOf(expected), expected)
      if (found()) return expected
      at = ring.next()
    } else {
      at = ring.next()
    }
    if (at === -1) return expected
    const seed = words[at + layout.COMPLETION_SLOT]
    const length = words[at + layout.COMPLETION_RESULT]
    if (seed !== expected || length !== lengthOf(seed))
      violation(`ring: entry ${seed} for ${expected}`)
    check(words[at + layout.COMPLETION_OFFSET], length, seed)
    if (++expected >= rounds) return expected
  }
}

function runRing() {
  const ring = new CompletionRing(arena)
  const out = new RingProducer(3 - role)
  let sent = 0
  let got = 0
  while ((sent < rounds || got < rounds) && !stopped() && !found()) {
    const before = sent + got
    if (sent < rounds) sent += out.produce(sent, Math.min(1 + (sent & 7), rounds - sent))
    if (got < rounds) got = drainRing(ring, got)
    waitABit(sent + got > before)
  }
  return got
}

function runNative() {
  const addon = createRequire(import.meta.url)(producer)
  addon.start(
    new Uint8Array(memories.control),
    new Uint8Array(memories.arena),
    role,
    rounds,
    STRIDE,
    payloadAt(role, 0),
  )
  const ring = new CompletionRing(arena)
  let got = 0
  while (got < rounds && !found()) {
    const before = got
    got = drainRing(ring, got)
    waitABit(got > before)
  }
  addon.stop()
  return got
}

// --- send list: pushed by compare-exchange, taken by exchange, nodes returned by a stack ---------

const listAt = arena.sessionAt(0) + layout.SESSION_SEND_HEAD
const nodes = new NodePool(arena)

function runListProducer() {
  let sent = 0
  for (; sent < rounds && !stopped(); sent++) {
    let node = 0
    while (node === 0 && !stopped()) {
      node = nodes.allocate(0, 0, 0)
      waitABit(node !== 0)
    }
    if (node === 0) break
    const at = payloadAt(0, node)
    const length = lengthOf(sent)
    const put = () => {
      fill(at, length, sent)
      words[nodes.at(node) + layout.NODE_OFFSET] = at
      words[nodes.at(node) + layout.NODE_LENGTH] = length
      words[nodes.at(node) + layout.NODE_BLOCK] = sent
    }
    if (broken !== 'publish first') put()
    push(words, listAt, nodes.at(node), node)
    if (broken === 'publish first') put()
  }
  return sent
}

function runListConsumer() {
  const next = new Map()
  const free = (node) => nodes.free(node)
  let got = 0
  const total = 2 * rounds
  while (got < total && !found()) {
    let node = takeAll(words, listAt)
    waitABit(node !== 0)
    let oldest = 0
    while (node !== 0) {
      const older = words[nodes.at(node)]
      words[nodes.at(node)] = oldest
      oldest = node
      node = older
    }
    for (node = oldest; node !== 0; ) {
      const at = nodes.at(node)
      const behind = words[at]
      const [offset, length, seed] = [
        words[at + layout.NODE_OFFSET],
        words[at + layout.NODE_LENGTH],
        words[at + layout.NODE_BLOCK],
      ]
      const thread = Math.floor((node - 1) / plan.nodesPerThread)
      if (seed !== (next.get(thread) ?? 0)) violation(`list: message ${seed} of thread ${thread}`)
      next.set(thread, seed + 1)
      if (broken === 'give back first') free(node)
      check(offset, length, seed)
      if (broken !== 'give back first') free(node)
      got++
      node = behind
    }
  }
  store(words, stopAt, 1)
  return got
}

// --- send flag: whoever wins it owns a block of bytes --------------------------------------------

const flagAt = arena.sessionAt(0) + layout.SESSION_SEND_FLAG
const BLOCK_BYTES = 64

function runFlag() {
  const at = payloadAt(1, 0)
  let last = -1
  let done = 0
  while (done < rounds && !stopped() && !found()) {
    if (broken !== 'no flag') {
      const won = tryWin(words, flagAt, role)
      waitABit(won)
      if (!won) continue
    }
    let seed = 0
    for (let i = 0; i < 4; i++) seed |= (bytes[at + i] ^ byteOf(0, i)) << (8 * i)
    if (seed < last) violation(`flag: ${seed} after ${last}`)
    check(at, BLOCK_BYTES, seed)
    last = seed + 1
    fill(at, BLOCK_BYTES, last)
    if (broken !== 'no flag') clear(words, flagAt)
    done++
  }
  return done
}

// --- spin: the same address, turn by turn, in one hot function ------------------------------------

const turnAt = arena.sessionAt(0) + TURN

/** Waits until the word is `turn`, then reads: an optimizer must not take the reads out of the loop. */
function spin(index, turn, at) {
  for (let spins = 0; load(words, index) !== turn; spins++) {
    if (broken === 'no load') break
    if (spins > SPINS) {
      if (stopped()) return -1
      Atomics.wait(napWord, 0, 0, NAP_MS)
    }
  }
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
}

function runSpin() {
  const at = payloadAt(1, 0)
  let done = 0
  for (let turn = role - 1; turn < 2 * rounds && !stopped() && !found(); turn += 2) {
    const seen = spin(turnAt, turn, at)
    lookAtCode()
    if (seen !== turn) violation(`spin: ${seen} at turn ${turn}`)
    const next = turn + 1
    bytes[at] = next
    bytes[at + 1] = next >>> 8
    bytes[at + 2] = next >>> 16
    bytes[at + 3] = next >>> 24
    // The one who waits for it wins nothing else by it: a compare-exchange publishes as well as a store.
    if ((turn & 2) === 0) store(words, turnAt, next)
    else compareExchange(words, turnAt, turn, next)
    done++
  }
  return done
}

// --------------------------------------------------------------------------------------------------

// What the first holder of the flag finds; published by the words of the start below.
if (pattern === 'flag' && role === 1) fill(payloadAt(1, 0), BLOCK_BYTES, 0)

const readyAt = plan.sessionsAt + 2 * layout.SESSION_WORDS + TURN
const threads = { ring: 2, list: 3, flag: 2, spin: 2, native: 1 }[pattern]
for (;;) {
  const ready = load(words, readyAt)
  if (compareExchange(words, readyAt, ready, ready + 1) === ready) break
}
while (load(words, readyAt) < threads) Atomics.wait(napWord, 0, 0, NAP_MS)

const [run, hot] = {
  ring: [runRing, drainRing],
  list: [role === 1 ? runListConsumer : runListProducer, role === 1 ? check : fill],
  flag: [runFlag, check],
  spin: [runSpin, spin],
  native: [runNative, drainRing],
}[pattern]
prepare(run, hot)
const done = run()
if (found()) store(words, stopAt, 1)
parentPort.postMessage({
  done,
  violations,
  firstViolation,
  wasOptimized,
})
