// What: models of sessions that a handler resumes while what others held is gone on with, in both modes.
// Flow: worker.ts, update.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import type { Handler, Session } from '../../../src/session/handler.ts'
import type { Scenario } from '../explore.ts'
import { Peer } from '../native.ts'
import { check } from '../ops.ts'
import { ModelUpdate } from '../update.ts'
import { checkAsleep, checkPristine, frame, ModelWorker, restAll } from '../worker.ts'
import { World } from '../world.ts'

/** Each pauses at its first message and holds the second; the first one's second resumes the other. */
function resumed(name: string, updates: number): Scenario {
  const world = new World({ updates, sessionsPerWorker: 2 })
  return {
    name,
    invariants: ['WAKE-2'],
    words: world.words,
    build() {
      world.reset()
      const heard: string[] = []
      const known: Session[] = []
      const handler: Handler = {
        onRecv(session, packet) {
          const number = known.includes(session) ? known.indexOf(session) : known.push(session) - 1
          const byte = packet.u8(0)
          heard.push(`${number} ${byte}`)
          if (byte === 1) session.pause()
          else if (number === 0) known[1].resume()
        },
      }
      const worker = new ModelWorker(world, 1, { handler })
      const update = updates > 0 ? new ModelUpdate(world, handler) : null
      const others = update === null ? [] : [update]
      const both = [1, 2].flatMap((byte) => frame(Uint8Array.of(byte)))
      for (let i = 0; i < 2; i++) {
        worker.accept(new Peer([], [both]))
        restAll([worker], others)
      }
      const again = () => known[0].resume()
      const isContent = update !== null
      return {
        threads: {},
        daemons: {
          owner() {
            if (!isContent) again()
            worker.runBriefly()
          },
          ...(update === null
            ? {}
            : {
                taker() {
                  again()
                  update.runBriefly()
                },
              }),
        },
        check() {
          check(heard.join() === '0 1,1 1,0 2,1 2', `WAKE-2: of both, handlers heard ${heard}`)
          checkAsleep(worker)
          checkPristine([worker], others, others)
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  resumed('resume: a handler resumes another session, in a worker', 0),
  resumed('resume: a handler resumes another session, in an update thread', 1),
]
