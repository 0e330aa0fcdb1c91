// What: echoes; reports joins, leaves and errors; some messages make it fail or misuse a packet.
// Flow: bad_input.test.ts -> this -> bad_input.test.ts.
// Thread: a worker.

import { defineHandler } from 'overlapped'

let kept = null

function report(session, fields) {
  session.runtime.post('main', { id: session.id, listener: session.listener, ...fields })
}

/** Runs `use` and reports the code of what it throws. */
function tryTo(session, what, use) {
  let code = 'none'
  try {
    use()
  } catch (error) {
    code = error.code
  }
  report(session, { type: 'tried', what, code })
}

export default defineHandler({
  onConnectionRequest({ listener }) {
    return listener !== 'closed'
  },
  onJoin(session) {
    report(session, { type: 'join' })
  },
  async onRecv(session, packet) {
    const text = packet.text(0, Math.min(packet.length, 16))
    if (text === 'keep') {
      kept = packet
    } else if (text === 'kept') {
      const own = packet.length
      tryTo(session, 'same cursor', () => kept.length)
      report(session, { type: 'length', own })
      setImmediate(() => tryTo(session, 'later', () => kept.length))
    } else if (text === 'await') {
      await null
      const uses = {
        length: () => packet.length,
        bytes: () => packet.bytes,
        copy: () => packet.copy(),
        retain: () => packet.retain(),
        text: () => packet.text(),
        u8: () => packet.u8(0),
        f64: () => packet.f64(0),
        send: () => session.send(packet),
        prepare: () => session.runtime.prepare(packet),
      }
      for (const [what, use] of Object.entries(uses)) tryTo(session, what, use)
    } else if (text === 'await and fail') {
      await null
      session.send(packet)
    } else {
      session.send(packet)
    }
  },
  onLeave(session, reason) {
    report(session, { type: 'leave', reason })
  },
  onError(error, session) {
    session?.runtime.post('main', { type: 'error', id: session.id, code: error.code })
  },
})
