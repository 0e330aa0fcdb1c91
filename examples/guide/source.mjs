// What: the handler of getting_started.md that sends more than a socket takes at once.
// Flow: listener 'source' -> this: a session that says anything gets 4 MiB of zeros.
// Thread: each worker.

import { defineHandler } from 'overlapped'

const block = new Uint8Array(16_384)
const BLOCKS = 256

function pump(session) {
  while (session.data.left > 0) {
    const result = session.send(block)
    if (result === 'full') return // onDrain goes on
    if (result !== 'queued') {
      session.terminate() // dropped: the server has no memory left for it
      return
    }
    session.data.left--
  }
  session.close() // what is queued still goes out
}

export default defineHandler({
  onRecv(session) {
    if (session.data !== undefined) return
    session.data = { left: BLOCKS }
    pump(session)
  },
  onDrain: pump,
})
