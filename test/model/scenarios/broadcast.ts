// What: models of a worker that tells the sessions of another one several things in a turn, which are one slice.
// Flow: worker.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import type { LiveSession } from '../../../src/session/session.ts'
import { load, store } from '../../../src/shared/atomics.ts'
import type { Scenario } from '../explore.ts'
import { Peer } from '../native.ts'
import { check } from '../ops.ts'
import { checkPristine, Ledger, ModelWorker } from '../worker.ts'
import { World } from '../world.ts'

/** Word outside of the plan: the owner has told of a session that has opened. */
const TOLD = 1
/** A payload of three bytes behind its length. */
const FRAME_BYTES = 4
const AUDIENCE = ['AUDIENCE-1', 'SENDLIST-2', 'SENDLIST-3', 'SENDFLAG-1', 'IOCOUNT-1']

interface Options {
  /** Sessions when the threads start. */
  readonly sessions: number
  /** Between the two broadcasts: a message to the first session, or nothing. */
  readonly between?: 'send'
  /** The first broadcast is the thread's, too. */
  readonly hasBoth?: true
  /** What the owner does: sends to the first session, ends it, or takes one more and tells of it. */
  readonly own: 'send' | 'terminate' | 'accept' | 'nothing'
}

function broadcasts(name: string, invariants: readonly string[], options: Options): Scenario {
  const { sessions: count, between, hasBoth = false, own } = options
  const world = new World({ workers: 2, chunkBytes: 512 })
  const { words } = world
  return {
    name,
    invariants,
    words,
    build() {
      world.reset()
      const worker = new ModelWorker(world, 1)
      const other = new ModelWorker(world, 2)
      const ledgers: Ledger[] = []
      for (let i = 0; i < count; i++) ledgers.push(new Ledger(worker.accept()))
      const [{ session: first }] = ledgers
      if (own === 'terminate') worker.driver.successor = new Peer()
      let queued = 0
      let sinceTold = 0
      const tell = () => {
        const isTold = load(words, world.outside(TOLD)) !== 0
        const payload = ledgers[0].payload(2)
        for (const ledger of ledgers) ledger.mayGet(2, payload)
        queued += other.runtime.broadcast(payload).queued
        if (isTold) sinceTold++
      }
      // The first one is on its way when the threads start.
      if (!hasBoth) tell()
      const threads = {
        other() {
          if (hasBoth) tell()
          if (between === 'send') {
            const payload = ledgers[0].payload(2)
            const result = other.runtime.send(first.id, payload)
            check(result === 'queued' || own === 'terminate', 'an open session takes a message')
            ledgers[0].note(2, payload, result)
          }
          tell()
          const isOne = between === undefined && own === 'send'
          check(
            !isOne || other.sender.audienceBytes === 2 * FRAME_BYTES,
            'AUDIENCE-1: it is one slice',
          )
          other.turn()
        },
      }
      return {
        threads,
        daemons: {
          owner() {
            if (own === 'send') {
              const payload = ledgers[0].payload(1)
              ledgers[0].note(1, payload, first.send(payload))
            } else if (own === 'terminate') {
              first.terminate()
            } else if (own === 'accept') {
              worker.accept()
              store(words, world.outside(TOLD), 1)
            }
            worker.turn()
          },
        },
        check() {
          worker.rest()
          let got = 0
          // Who came meanwhile gets those that it was there for.
          for (const session of worker.sessions.slice(count)) got += gotAsNewcomer(worker, session)
          for (const ledger of ledgers)
            got += ledger.check(worker.peerOf(ledger.session), own === 'terminate')
          check(
            own === 'terminate' ? got <= queued : got === queued,
            'AUDIENCE-1: those get a broadcast for whom it was queued',
          )
          if (own === 'accept') {
            const [newcomer] = worker.sessions.slice(count)
            const messages = gotAsNewcomer(worker, newcomer)
            check(messages >= sinceTold, 'AUDIENCE-2: who is known to be open is told, too')
          }
          checkPristine([worker, other], [])
        },
      }
    },
  }
}

/** Messages of four bytes that a session got which opened later. */
function gotAsNewcomer(worker: ModelWorker, session: LiveSession): number {
  const { bytes } = worker.peerOf(session)
  check(bytes.length % FRAME_BYTES === 0, 'a message arrives whole')
  return bytes.length / FRAME_BYTES
}

export const scenarios: readonly Scenario[] = [
  broadcasts('broadcast: two to two sessions are one slice, their owner sends', AUDIENCE, {
    sessions: 2,
    own: 'send',
  }),
  broadcasts('broadcast: the walk and what makes its slice longer', AUDIENCE, {
    sessions: 1,
    hasBoth: true,
    own: 'send',
  }),
  broadcasts('broadcast: a message to the session between two', AUDIENCE, {
    sessions: 1,
    between: 'send',
    own: 'nothing',
  }),
  broadcasts('broadcast: a session is ended between two', [...AUDIENCE, 'IOCOUNT-3'], {
    sessions: 1,
    own: 'terminate',
  }),
  broadcasts('broadcast: a session opens between two', [...AUDIENCE, 'AUDIENCE-2'], {
    sessions: 1,
    own: 'accept',
  }),
]
