// What: counts the receive buffers that each session gets, in all and at most in one turn; `busy` listeners take their time.
// Flow: test/e2e/abuse/fairness.test.ts -> this -> the peers of abuse_client.c.
// Thread: a worker.

import { defineHandler } from 'overlapped'
import { inside } from '../../helpers/inside.mjs'

/** Work for a buffer, so that peers are faster than the server and always have something waiting. */
const BUSY_MS = 0.05

let runtime = null
let turns = 0
const sessions = new Set()

function work() {
  const until = performance.now() + BUSY_MS
  while (performance.now() < until);
}

export default defineHandler({
  onStart(own) {
    runtime = own
    inside.onTurnEnd = () => {
      turns++
    }
  },
  onJoin(session) {
    session.data = { buffers: 0, turn: -1, inTurn: 0, mostInTurn: 0, turns: 0 }
    sessions.add(session)
  },
  onRecv(session, packet) {
    const { data } = session
    if (session.listener === 'echo') session.send(packet)
    else if (session.listener === 'busy') work()
    data.buffers++
    if (data.turn !== turns) {
      data.turn = turns
      data.inTurn = 0
      data.turns++
    }
    data.mostInTurn = Math.max(data.mostInTurn, ++data.inTurn)
  },
  onLeave(session) {
    sessions.delete(session)
  },
  onMessage() {
    runtime.post('main', {
      type: 'shares',
      turns,
      shares: [...sessions].map(({ listener, data }) => ({ listener, ...data })),
    })
  },
})
