// What: models of a job ring: more records than it holds, memory that comes back, both ends asleep by their doorbells.
// Flow: job_ring, waker, native.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import {
  JOB_RING_HEAD,
  JOB_RING_TAIL,
  JobKind,
  THREAD_DOORBELL,
  THREAD_PARKED,
} from '../../../src/layout/layout.ts'
import { JobConsumer, JobProducer } from '../../../src/update/job_ring.ts'
import type { Scenario } from '../explore.ts'
import { ModelDriver, NativeLoop } from '../native.ts'
import { check, waitWhile } from '../ops.ts'
import { World } from '../world.ts'

const WORKER = 1

interface RingOptions {
  readonly records: number
  /** Records that are shown together. */
  readonly batch?: number
  readonly capacity?: number
  /** Records that the consumer takes before it gives them back. */
  readonly pass?: number
  /** Records that are shown before the threads start. */
  readonly before?: number
  /** Who sleeps by the native loop; the other end waits for a word. */
  readonly sleeps: 'both' | 'producer' | 'consumer'
}

/** What is given back of a record, by its number: bytes of the region, a receive buffer, a block of the heap. */
const WAYS = ['packed', 'buffer', 'block'] as const

function ring(
  name: string,
  { records, batch = 1, capacity = 1, pass = capacity, before = 0, sleeps }: RingOptions,
): Scenario {
  const world = new World({ updates: 1, jobRingCapacity: capacity, jobBytesPerRing: 16 })
  const { words, bytes } = world
  return {
    name,
    invariants: ['JOBRING-1', 'JOBRING-2', 'JOBRING-3', 'JOBRING-4', 'BELL-1', 'WAKE-2'],
    words,
    build() {
      world.reset()
      const { arena, waker: ours } = world.thread(WORKER)
      const { plan } = arena
      const { waker: theirs } = world.thread(plan.updateFirst)
      const loops = [WORKER, plan.updateFirst].map((thread) => {
        const driver = new ModelDriver(world, thread, world.outside(0), () => {})
        return new NativeLoop(world, thread, driver)
      })
      const [workerLoop, updateLoop] = loops
      const held = new Map<string, number>()
      let [lent, back] = [0, 0]
      let [wishes, rings] = [0, 0]
      const give = (what: string) => {
        const left = held.get(what) ?? 0
        check(left === 1, 'JOBRING-2: what a record held is given back once')
        held.set(what, 0)
        back++
      }
      const producer = new JobProducer(arena, plan.updateFirst, {
        releaseBuffer: (buffer) => give(`buffer ${buffer}`),
        freeBlock: (at, size) => give(`block ${at} ${size}`),
      })
      const consumer = new JobConsumer(world.arena(plan.updateFirst), WORKER)
      let [put, taken] = [0, 0]
      const payload = (number: number) => [number + 1, 2 * number + 1, 77]
      const putOne = () => {
        const number = put++
        const way = WAYS[number % WAYS.length]
        // Outside of the region, as a receive buffer or block is.
        const at = plan.heapByteAt + 16 * number
        bytes.set(payload(number), at)
        if (way === 'packed') producer.putPacked(JobKind.RECV, number, at, 3)
        else if (way === 'buffer') producer.putInBuffer(JobKind.RECV, number, at, 3, number)
        else producer.putInBlock(JobKind.RECV, number, at, 3, 1024)
        if (way === 'packed') return
        held.set(way === 'buffer' ? `buffer ${number}` : `block ${at} 1024`, 1)
        lent++
      }
      const takeOne = () => {
        check(consumer.kind === JobKind.RECV, 'JOBRING-1: records come whole')
        check(consumer.slot === taken, `JOBRING-3: record ${taken}, not ${consumer.slot}`)
        const at = consumer.first
        const text = [...bytes.slice(at, at + consumer.second)].join()
        check(
          text === payload(taken).join(),
          'JOBRING-2: a payload is there until it is given back',
        )
        taken++
      }
      const workerTurn = () => {
        ours.answerBell()
        while (put < records) {
          let count = 0
          while (count < batch && put < records && producer.hasRoom(3)) {
            putOne()
            count++
          }
          if (producer.publish()) ours.ringBell(producer.update)
          if (count === 0) break
        }
        ours.flush()
        const isWaiting = put < records || lent > back
        if (isWaiting) wishes++
        arena.words[pendingAt] = isWaiting && !producer.wantSpace() ? 1 : 0
      }
      const [headAt, tailAt] = [JOB_RING_HEAD, JOB_RING_TAIL].map((word) => plan.jobRingsAt + word)
      const { pendingAt } = workerLoop
      arena.words[pendingAt] = 1
      const updateTurn = () => {
        theirs.answerBell()
        for (let waiting = consumer.look(); waiting > 0; waiting = consumer.look()) {
          for (let n = Math.min(waiting, pass); n > 0 && consumer.advance(); n--) takeOne()
          if (consumer.consumed()) {
            rings++
            check(rings <= wishes, 'JOBRING-4: who asks once for room is rung once')
            theirs.ringBell(consumer.producer)
          }
          theirs.flush()
        }
      }
      while (put < before) putOne()
      producer.publish()
      if (before > 0) words[arena.threadAt(plan.updateFirst) + THREAD_DOORBELL] = 1
      const asleep = {
        worker() {
          for (;;) {
            workerLoop.sleepBriefly()
            workerLoop.checkAwake()
            workerTurn()
          }
        },
        taker() {
          for (;;) {
            updateLoop.sleepBriefly()
            updateLoop.checkAwake()
            updateTurn()
          }
        },
      }
      const awake = {
        worker() {
          while (put < records) {
            workerTurn()
            if (put < records) waitWhile(words, headAt, put - capacity)
          }
        },
        taker() {
          while (taken < records) {
            waitWhile(words, tailAt, taken)
            updateTurn()
          }
        },
      }
      const { worker, taker } = asleep
      const asleepThreads = [
        ...(sleeps === 'consumer' ? [] : [WORKER]),
        ...(sleeps === 'producer' ? [] : [plan.updateFirst]),
      ]
      return {
        threads: {
          ...(sleeps === 'consumer' ? { worker: awake.worker } : {}),
          ...(sleeps === 'producer' ? { taker: awake.taker } : {}),
        },
        daemons: {
          ...(sleeps === 'consumer' ? {} : { worker }),
          ...(sleeps === 'producer' ? {} : { taker }),
        },
        outcome: () => `${put} ${taken}`,
        check() {
          check(put === records, 'JOBRING-4: a producer that is out of room is rung')
          check(taken === records, 'JOBRING-1: everything that was put is taken')
          if (sleeps !== 'consumer') check(back === lent, 'JOBRING-4: it is rung for memory, too')
          producer.reclaim()
          check(producer.waiting === 0, 'JOBRING-2: the head is behind the last record')
          check(back === lent, 'JOBRING-2: everything is given back')
          check(producer.hasRoom(8), 'JOBRING-2: all bytes are free')
          for (const thread of asleepThreads) {
            const block = arena.threadAt(thread)
            check(words[block + THREAD_DOORBELL] === 0, 'WAKE-2: who sleeps has answered its bell')
            check(words[block + THREAD_PARKED] === 1, 'WAKE-1: it says that it sleeps')
          }
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  ring('job ring: more than it holds, its consumer sleeps', { records: 2, sleeps: 'consumer' }),
  ring('job ring: batches, its consumer sleeps', {
    records: 3,
    batch: 2,
    capacity: 2,
    sleeps: 'consumer',
  }),
  ring('job ring: it is full, its producer sleeps', { records: 2, before: 1, sleeps: 'producer' }),
  ring('job ring: given back one by one, its producer sleeps', {
    records: 2,
    batch: 2,
    capacity: 2,
    pass: 1,
    before: 2,
    sleeps: 'producer',
  }),
  ring('job ring: it is full, both sleep', { records: 2, before: 1, sleeps: 'both' }),
]
