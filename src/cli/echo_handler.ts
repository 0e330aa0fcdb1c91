// What: the handler that `overlapped start` serves when it is given none: it sends back what comes.
// Flow: start (by URL) -> this -> session.
// Thread: the threads that run content.

import { defineHandler } from '../session/handler.ts'

export default defineHandler({
  onRecv(session, packet) {
    session.send(packet)
  },
})
