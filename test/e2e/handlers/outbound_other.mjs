// What: a handler that only connect() names: has every event that a late handler may miss, and tells main of each.
// Flow: outbound.test.ts -> connect() of outbound.mjs -> this -> outbound.test.ts.
// Thread: a worker.

import { defineHandler } from 'overlapped'

let runtime = null
/** Ends its onStart. */
let goOn = null

function tell(type, fields) {
  runtime.post('main', { type, module: 'other', ...fields })
}

export default defineHandler({
  async onStart(own) {
    runtime = own
    tell('starting')
    await new Promise((resolve) => {
      goOn = resolve
    })
    tell('start')
  },
  onStop() {
    tell('stop')
  },
  onJoin(session) {
    tell('join', { id: session.id, listener: session.listener })
    session.send('hello')
  },
  onSend(_session, bytes) {
    tell('bytes', { bytes })
  },
  onTick() {
    tell('tick')
  },
  onMessage({ do: action }) {
    if (action === 'goOn') goOn()
    tell('heard', { action })
  },
  onLeave(session, reason) {
    tell('leave', { id: session.id, reason })
  },
})
