// What: the echo handler of the benchmark: every message goes back to its sender.
// Flow: onRecv -> session.send.
// Thread: each I/O worker of the server under test.

import { defineHandler } from 'overlapped'

export default defineHandler({
  onRecv(session, packet) {
    session.send(packet)
  },
})
