// What: sends every message back.
// Flow: worker -> this -> the same session.
// Thread: each worker.

import { defineHandler } from 'overlapped'

export default defineHandler({
  onRecv(session, packet) {
    session.send(packet)
  },
})
