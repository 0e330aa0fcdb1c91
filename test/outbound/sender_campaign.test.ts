// What: seeded random runs of the send path: sizes, threads, short sends, errors, kills, exhaustion, in any order.
// Flow: a seed -> actions on owner, producers and driver -> streams and pristine memory.
// Thread: main.

import { expect, it } from 'vitest'
import { IoStatus } from '../../src/layout/layout.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'
import {
  assertPristine,
  checkStream,
  type FakeSession,
  LATER,
  makeRig,
  type Outcome,
  OWNER,
  payloadOf,
  reuse,
  type Send,
} from '../helpers/unit_sender.ts'

const RUNS = 1500
const STEPS_MAX = 40
const SLOTS = 4
/** A campaign is many tests in one. */
const TIMEOUT_MS = 300_000
/** A memory serves many runs: each leaves it as it was. */
const SEEDS_PER_MEMORY = 100

/** How often something happened in the whole campaign: a fault that never occurs is not tested. */
const seen = new Map<string, number>()
const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)

function lengthOf(random: Random): number {
  const kind = random.below(100)
  if (kind < 60) return random.between(3, 60)
  if (kind < 92) return random.between(61, 900)
  return random.between(3000, 9000)
}

function run(seed: number, memory: ReturnType<typeof unitMemory>): void {
  const random = new Random(seed)
  const rig = makeRig({
    memory,
    maxGather: random.between(1, 6),
    maxBackpressure: random.pick([1, 500, 5000]),
    wantsSent: random.chance(50),
    sendsPend: random.chance(25),
  })
  const { owner, main, other } = rig
  const sessions: FakeSession[] = []
  for (let slot = 0; slot < SLOTS; slot++) sessions.push(owner.open(slot))
  let sequence = 0
  const next = (producer: number) => payloadOf(producer, ++sequence, lengthOf(random))
  const some = () => sessions.filter(() => random.chance(60))

  const [short, late, failing] = random.pick([
    [0, 0, 0],
    [30, 60, 0],
    [70, 90, 0],
    [30, 50, 8],
  ])
  const policy = (send: Send): Outcome => {
    if (random.chance(failing)) {
      note('failed')
      return { status: IoStatus.RESET, taken: 0 }
    }
    if ((!send.now || owner.sendsPend) && random.chance(late)) {
      note(send.now ? 'pending' : 'later')
      return LATER
    }
    if (!random.chance(short)) return { taken: send.bytes }
    note('short')
    return { taken: random.below(send.bytes + 1) }
  }
  owner.policy = policy

  const ownSend = () => {
    const session = random.pick(sessions)
    if (!owner.send(session, next(OWNER)) && !session.ending) note('refused')
    // What session.send does when it says 'full'.
    if (session.bufferedBytes > 0 && random.chance(30)) session.wantsDrain = true
  }
  const foreignSend = () => {
    const producer = random.pick([main, other])
    if (!producer.send(random.pick(sessions), next(producer.thread))) note('refused foreign')
    if (random.chance(50)) producer.publish()
  }
  const share = () => {
    if (random.chance(50)) owner.share(some(), next(OWNER))
    else {
      const producer = random.pick([main, other])
      producer.share(some(), next(producer.thread))
      if (random.chance(50)) producer.publish()
    }
  }
  const toAll = () => {
    const producer = random.pick([main, other, other])
    for (let i = random.between(1, 3); i > 0; i--)
      note(producer.toAll(some(), next(producer.thread)))
    if (random.chance(30)) producer.publish()
  }
  const echo = () => {
    const payloads = Array.from({ length: random.between(1, 3) }, () =>
      payloadOf(OWNER, ++sequence, random.between(3, 150)),
    )
    owner.echo(random.pick(sessions), payloads)
  }
  const finishLater = () => {
    if (owner.later.length === 0) return
    const send = random.pick(owner.later)
    if (random.chance(failing)) owner.complete(send, { status: IoStatus.RESET, taken: 0 })
    else owner.complete(send, { taken: random.chance(50) ? send.bytes : random.below(send.bytes) })
  }
  const replace = () => {
    const index = random.below(SLOTS)
    const session = sessions[index]
    if (!session.released) {
      if (random.chance(50)) {
        owner.terminate(session)
        note('terminated')
      } else {
        owner.end(session)
        note('ended')
      }
    } else if (!owner.sessions.has(session.slot)) {
      sessions[index] = owner.open(session.slot)
      note('slot used again')
    }
  }
  const sending = [ownSend, ownSend, ownSend, foreignSend, foreignSend, share, toAll, echo]
  const handlers = () => {
    if (random.chance(20)) random.pick(sending)()
  }
  owner.handlers = { between: handlers, sent: handlers, drained: handlers }

  const steps = random.between(5, STEPS_MAX)
  for (let step = 0; step < steps; step++) {
    const kind = random.below(100)
    if (kind < 65) random.pick(sending)()
    else if (kind < 80) owner.turn()
    else if (kind < 92) finishLater()
    else if (kind < 96) replace()
    else random.pick([main, other]).publish()
  }

  owner.handlers = {}
  main.publish()
  other.publish()
  owner.drainAll()
  // Nodes came back: slices that had to stay open go out.
  main.publish()
  other.publish()
  owner.drainAll()
  for (const session of owner.everyone) checkStream(session)
  for (const session of sessions) owner.end(session)
  owner.drainAll()
  for (const session of owner.everyone) {
    expect(session.released).toBe(true)
    for (const event of session.events)
      if (event === 'pressure' || event === 'exhausted') note(event)
  }
  assertPristine(rig)
}

it(`survives ${RUNS} random runs`, { timeout: TIMEOUT_MS }, () => {
  const sizes = { chunkCount: 12, submissionWords: 40 }
  for (let first = 1; first <= RUNS; first += SEEDS_PER_MEMORY) {
    const random = new Random(-first)
    const memory = unitMemory(
      {},
      {
        ...sizes,
        nodesPerThread: random.pick([6, 12, 24]),
        heapBytesPerWorker: random.pick([6144, 18_432, 40_960]),
      },
    )
    for (let seed = first; seed < first + SEEDS_PER_MEMORY; seed++) {
      try {
        run(seed, memory)
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
      }
      reuse(memory)
    }
  }
  const kinds = [
    'failed',
    'later',
    'pending',
    'short',
    'refused',
    'refused foreign',
    'terminated',
    'ended',
    'joined',
  ]
  for (const kind of [...kinds, 'slot used again', 'pressure', 'exhausted'])
    expect(seen.get(kind) ?? 0, `'${kind}' occurred`).toBeGreaterThan(20)
})
