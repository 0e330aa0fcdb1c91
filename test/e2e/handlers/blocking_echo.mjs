// What: echoes bytes; the first message blocks the thread, so that completions pile up behind it.
// Flow: driver.test.ts -> this.
// Thread: a worker.

import { defineHandler } from 'overlapped'

let blocked = false

export default defineHandler({
  onRecv(session, packet) {
    if (!blocked && session.runtime.data.blockMs > 0) {
      blocked = true
      const end = performance.now() + session.runtime.data.blockMs
      while (performance.now() < end);
    }
    session.send(packet)
  },
})
