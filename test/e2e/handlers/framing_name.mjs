// What: answers every message with this handler's name, the listener's and the message.
// Flow: framing.test.ts -> this -> framing.test.ts.
// Thread: a worker.

import { defineHandler } from 'overlapped'

export default defineHandler({
  onRecv(session, packet) {
    session.send(`name ${session.listener} ${packet.text()}`)
  },
})
