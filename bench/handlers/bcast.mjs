// What: the broadcast handler of the benchmark: every message goes to all sessions.
// Flow: onRecv -> runtime.broadcast.
// Thread: the I/O worker of the server under test.

import { defineHandler } from 'overlapped'

export default defineHandler({
  onRecv(session, packet) {
    session.runtime.broadcast(packet, { to: 'all' })
  },
})
