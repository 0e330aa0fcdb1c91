// What: echo that leaves one small object per message: the control of allocation.mjs.
// Flow: onRecv -> a new object, which the session keeps until the next one -> session.send.
// Thread: the I/O worker of the server under test.

import { defineHandler } from 'overlapped'

export default defineHandler({
  onRecv(session, packet) {
    session.data = { length: packet.length } // Kept, so that the compiler cannot leave it out.
    session.send(packet)
  },
})
