// What: counts ticks, and sends a line to every session of its thread in each.
// Flow: onTick -> sessions -> tick.test.ts.
// Thread: a worker.

import { defineHandler } from 'overlapped'

let runtime
let ticks = 0

export default defineHandler({
  onStart(started) {
    runtime = started
  },
  onTick(dtMs) {
    ticks++
    for (const session of runtime.sessions()) session.send(`tick ${ticks} ${dtMs > 0}`)
    if (ticks === 3) throw new Error('a tick that fails')
  },
  onError(error) {
    runtime.post('main', { type: 'error', message: error.message })
  },
})
