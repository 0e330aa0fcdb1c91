// What: what must hold when a world has ended: every event once, every count, flag and buffer back at its start value.
// Flow: simulation.ts, after the last release -> this.
// Thread: the test's.

import {
  Counter,
  GENERATION_MAX,
  IO_RELEASED,
  JOB_RING_HEAD,
  JOB_RING_TAIL,
  JOB_RING_WORDS,
  JOB_WORDS,
  SESSION_GENERATION,
  SESSION_IO_COUNT,
  SESSION_QUEUED_BYTES,
  SESSION_REQUEST,
  SESSION_SEND_FLAG,
  SESSION_SEND_HEAD,
  SESSION_STATE,
  SessionState,
  THREAD_ASSIGNED_SESSIONS,
  THREAD_COMPLETION_HEAD,
  THREAD_COMPLETION_TAIL,
  THREAD_FLUSH_HEAD,
  THREAD_LOCAL_PENDING,
  THREAD_RELEASE_HEAD,
  THREAD_REQUEST_HEAD,
  THREAD_SUBMISSION_USED,
} from '../../src/layout/layout.ts'
import type { Simulation } from './simulation.ts'

function equal(actual: number, expected: number, what: string): void {
  if (actual !== expected) throw new Error(`END: ${what} is ${actual} and should be ${expected}`)
}

export function checkEnd(sim: Simulation): void {
  checkEvents(sim)
  checkSlots(sim)
  checkThreads(sim)
  checkMemory(sim)
  equal(sim.addon.openSockets(sim.world), 0, 'the number of open sockets')
}

function checkEvents(sim: Simulation): void {
  let joined = 0
  let left = 0
  let taken = 0
  let sent = 0
  for (const { counters } of sim.workers.map(({ rooms }) => rooms.core)) {
    joined += counters[Counter.JOINED]
    left += counters[Counter.LEFT]
  }
  for (const { arena } of sim.threads) sent += arena.counters[Counter.BYTES_OUT]
  for (let connection = 0; connection < sim.addon.connections(sim.world); connection++)
    taken += sim.addon.takenFromServer(sim.world, connection)
  equal(sim.logs.length, joined, 'the number of onJoin calls')
  equal(left, joined, 'the number of onLeave calls')
  equal(sent, taken, 'the count of bytes that sockets took')
  for (const log of sim.logs) {
    if (!log.left) throw new Error(`END: session ${log.id} had no onLeave`)
    const client = sim.clients[log.connection]
    if (!client.isWell) continue
    const { name } = sim.protocols[log.protocol]
    if (client.sawEnd) {
      client.checkOwnArrived(log)
      sim.note('clean end')
    } else if (!log.terminated && !client.isStubborn) {
      throw new Error(
        `END: session ${log.id} of ${name} ended with ${log.reason}, but its client saw no end of stream`,
      )
    }
  }
}

function checkSlots(sim: Simulation): void {
  const { arena } = sim.workers[0].rooms.core
  const { words } = arena
  for (let slot = 0; slot < arena.plan.sessionCapacity; slot++) {
    const at = arena.sessionAt(slot)
    const where = `of slot ${slot}`
    const state = words[at + SESSION_STATE]
    if (state === SessionState.RETIRED) {
      equal(words[at + SESSION_GENERATION] >>> 0, GENERATION_MAX, `generation ${where}, retired,`)
      sim.note('slot retired')
    } else equal(state, SessionState.FREE, `state ${where}`)
    const count = words[at + SESSION_IO_COUNT]
    if (count !== 0) equal(count, IO_RELEASED, `I/O count ${where}`)
    equal(words[at + SESSION_SEND_FLAG], 0, `send flag ${where}`)
    equal(words[at + SESSION_SEND_HEAD], 0, `send list ${where}`)
    equal(words[at + SESSION_REQUEST], 0, `request ${where}`)
    equal(words[at + SESSION_QUEUED_BYTES], 0, `queued bytes ${where}`)
  }
}

function checkThreads(sim: Simulation): void {
  for (const { thread, rooms } of sim.workers) {
    const { core, lifecycle } = rooms
    const { words, plan } = core.arena
    const block = core.arena.threadAt(thread)
    const where = `of worker${thread}`
    equal(lifecycle.registry.live.length, 0, `live sessions ${where}`)
    const retired = core.counters[Counter.SLOTS_RETIRED]
    equal(words[block + THREAD_ASSIGNED_SESSIONS], retired, `assigned sessions ${where}`)
    equal(core.buffers.heldCount(), 0, `receive buffers held ${where}`)
    equal(
      sim.addon.freeBuffers(sim.world, thread),
      plan.recvBuffersPerWorker,
      `receive buffers of the driver ${where}`,
    )
    equal(core.heap.usedBytes, 0, `heap bytes in use ${where}`)
  }
  for (const { thread, name, rooms } of sim.senders) {
    equal(rooms.heap.usedBytes, 0, `heap bytes in use of ${name}`)
    checkRing(sim, thread, name)
  }
  for (const { thread } of sim.workers) checkRing(sim, thread, `worker${thread}`)
  for (const { name, rooms } of sim.updates)
    for (const { id } of rooms.runtime.sessions()) throw new Error(`END: ${name} has session ${id}`)
  for (const { thread, name, arena } of sim.threads) {
    const { words } = arena
    const block = arena.threadAt(thread)
    const where = `of ${name}`
    equal(words[block + THREAD_FLUSH_HEAD], 0, `flush stack ${where}`)
    equal(words[block + THREAD_RELEASE_HEAD], 0, `release stack ${where}`)
    equal(words[block + THREAD_REQUEST_HEAD], 0, `request stack ${where}`)
    equal(words[block + THREAD_LOCAL_PENDING], 0, `pending ${where}`)
    equal(words[block + THREAD_SUBMISSION_USED], 0, `submissions ${where}`)
    equal(
      words[block + THREAD_COMPLETION_HEAD],
      words[block + THREAD_COMPLETION_TAIL],
      `completion ring's head ${where}`,
    )
  }
}

/** Every record that a thread has put into a job ring is consumed. */
function checkRing(sim: Simulation, thread: number, name: string): void {
  const { words, plan } = sim.mainArena
  const ringWords = JOB_RING_WORDS + plan.jobRingCapacity * JOB_WORDS
  for (let at = 0; at < plan.updateCount; at++) {
    const ringAt = plan.jobRingsAt + ((thread - 1) * plan.updateCount + at) * ringWords
    equal(
      words[ringAt + JOB_RING_HEAD],
      words[ringAt + JOB_RING_TAIL],
      `head of the job ring from ${name} to update${at + 1}`,
    )
  }
}

function checkMemory(sim: Simulation): void {
  const { arena } = sim.workers[0].rooms.core
  const { words, plan } = arena
  const senders = [
    { name: 'main', sender: sim.mainSender },
    ...sim.workers.map(({ name, rooms }) => ({ name, sender: rooms.core.sender })),
    ...sim.senders.map(({ name, rooms }) => ({ name, sender: rooms.sender })),
    ...sim.updates.map(({ name, rooms }) => ({ name, sender: rooms.sender })),
  ]
  for (const { sender } of senders) {
    sender.settle()
    sender.writer.retire()
  }
  equal(sim.mainSender.writer.pool.freeCount(), plan.chunkCount, 'the number of free chunks')
  for (let chunk = 0; chunk < plan.chunkCount; chunk++)
    equal(words[plan.chunkRefsAt + chunk], 0, `references of chunk ${chunk}`)
  for (const { name, sender } of senders)
    equal(sender.freeNodes(), plan.nodesPerThread, `free nodes of ${name}`)
}
