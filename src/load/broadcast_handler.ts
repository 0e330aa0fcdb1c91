// What: a handler that sends each message to every session of its listener.
// Flow: start or demo (by URL) -> this -> runtime.broadcast, for `load --mode broadcast`.
// Thread: the threads that run content.

import { defineHandler } from '../index.ts'

export default defineHandler({
  onRecv(session, packet) {
    session.runtime.broadcast(packet, { listener: session.listener })
  },
})
