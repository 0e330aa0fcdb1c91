// What: sends to all and to one, many times within one turn, as main orders; rests in between until main lets it go on.
// Flow: broadcasts_of_a_turn.test.ts -> this -> the clients of broadcasts_of_a_turn.test.ts.
// Thread: the content threads' of a server under test.

import { defineHandler } from 'overlapped'
import { numbered } from '../../helpers/pattern.mjs'

/** Nothing passes because of it: a test that fails must be able to stop its server. */
const REST_AT_MOST_MS = 20_000

let runtime = null

/** Stays in the turn: `data` is 1 from now on, until main makes it something else. */
function rest() {
  const word = new Int32Array(runtime.data)
  Atomics.store(word, 0, 1)
  Atomics.wait(word, 0, 1, REST_AT_MOST_MS)
}

/** A call at a time, all of them before this turn ends. */
function take({ rests, number, size, to, except }) {
  if (rests) return rest()
  const message = numbered(number, size)
  return to === undefined ? runtime.broadcast(message, { except }) : runtime.send(to, message)
}

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onJoin(session) {
    runtime.post('main', { type: 'join', id: session.id })
  },
  onMessage({ do: type, steps }) {
    runtime.post('main', { type, result: steps.map(take) })
  },
  onError(error) {
    runtime.post('main', { type: 'error', message: String(error) })
  },
})
