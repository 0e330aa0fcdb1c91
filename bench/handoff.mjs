// What: what handing a message to an update thread costs by its size: packed into the ring's region, or left in its buffer.
// Flow: job ring of the built package, both ends in one thread -> rounds of {packed, by reference} per size -> ns, ratios.
// Thread: main.

import process from 'node:process'
import { loadBinding } from '../dist/src/binding.js'
import { JobKind } from '../dist/src/layout/layout.js'
import { planMemory } from '../dist/src/server/memory_plan.js'
import { resolveOptions } from '../dist/src/server/resolve_options.js'
import { Arena } from '../dist/src/shared/arena.js'
import { JobConsumer, JobProducer } from '../dist/src/update/job_ring.js'
import { numberIn, scriptOptions } from './lib/options.mjs'
import { spread, summarize, summarizeRatio } from './lib/statistics.mjs'

const SIZES = [16, 64, 256, 512, 1024, 2048, 4096, 8192, 16_384]
/** Records that are put before they are consumed: what a turn of a busy worker brings. */
const BATCH = 64
const WARM_UP_BATCHES = 3000
/** Receive buffers in use: drivers take the one that came back last. */
const BUFFERS = 8
const CACHE_LINE_BYTES = 64

const usage = `usage: node bench/handoff.mjs [options]
  --batches N  5000  batches of ${BATCH} messages in each run
  --rounds N   10    rounds; in each, both ways once for each size, in turn`

const options = scriptOptions(usage, { batches: '5000', rounds: '10' }, ({ batches, rounds }) => ({
  batches: Math.floor(numberIn('--batches', batches, 1, 10_000_000)),
  rounds: Math.floor(numberIn('--rounds', rounds, 1, 1000)),
}))
const figure = (value) => value.toPrecision(3)

if (options.help) console.log(usage)
else measureAll()

/** Both ends of a ring in this thread, over memory that is aliased as in a server. */
function makeRing() {
  const binding = loadBinding()
  const plan = planMemory(resolveOptions({ workers: 1, mode: 'update' }))
  const control = new Uint8Array(plan.control)
  const runtime = binding.createRuntime(control, new Uint8Array(plan.arena))
  const memories = { runtime, control: plan.control, arena: plan.arena }
  const worker = new Arena(binding, memories, 1)
  const update = new Arena(binding, memories, worker.plan.updateFirst)
  const references = new Int32Array(worker.plan.recvBuffersPerWorker)
  const memory = {
    releaseBuffer: (buffer) => {
      references[buffer]--
    },
    freeBlock: () => {},
  }
  const producer = new JobProducer(worker, worker.plan.updateFirst, memory)
  return { worker, update, references, producer, consumer: new JobConsumer(update, 1) }
}

function measureAll() {
  const { worker, update, references, producer, consumer } = makeRing()
  const { recvBufferStride } = worker.plan
  let sum = 0

  /** Nanoseconds for each message, with what gives its memory back. */
  const run = (isPacked, size, batches) => {
    const start = process.hrtime.bigint()
    for (let batch = 0; batch < batches; batch++) {
      for (let i = 0; i < BATCH; i++) {
        const buffer = i % BUFFERS
        const at = buffer * recvBufferStride
        if (!producer.hasRoom(isPacked ? size : 0)) throw new Error('a consumed ring has room')
        if (isPacked) producer.putPacked(JobKind.RECV, i, at, size)
        else {
          references[buffer]++
          producer.putInBuffer(JobKind.RECV, i, at, size, buffer)
        }
      }
      producer.publish()
      consumer.look()
      while (consumer.advance()) {
        const end = consumer.first + consumer.second
        for (let at = consumer.first; at < end; at += CACHE_LINE_BYTES) sum += update.bytes[at]
      }
      consumer.consumed()
      producer.reclaim()
    }
    return Number(process.hrtime.bigint() - start) / (batches * BATCH)
  }

  for (const size of SIZES)
    for (const isPacked of [true, false]) run(isPacked, size, WARM_UP_BATCHES)
  const packed = SIZES.map(() => [])
  const referred = SIZES.map(() => [])
  for (let round = 0; round < options.rounds; round++) {
    SIZES.forEach((size, i) => {
      packed[i].push(run(true, size, options.batches))
      referred[i].push(run(false, size, options.batches))
    })
  }
  console.log('bytes    packed ns               by reference ns         ratio')
  SIZES.forEach((size, i) => {
    const cells = [summarize(packed[i]), summarize(referred[i])].map((of) =>
      spread(of, figure).padEnd(24),
    )
    const ratio = summarizeRatio(packed[i], referred[i])
    console.log(`${String(size).padEnd(9)}${cells.join('')}${spread(ratio, figure)}`)
  })
  if (references.some((count) => count !== 0)) throw new Error('a buffer was not given back')
  console.log(`checked ${sum}`)
}
