// What: echoes bytes; the first message blocks the thread, for a while or until a gate opens: events pile up behind it.
// Flow: driver.test.ts -> this.
// Thread: a worker.

import { defineHandler } from 'overlapped'

let blocked = false

export default defineHandler({
  onRecv(session, packet) {
    if (!blocked) {
      blocked = true
      const { blockMs = 0, gate } = session.runtime.data
      if (gate !== undefined) {
        Atomics.store(gate, 1, 1)
        Atomics.wait(gate, 0, 0)
      }
      const end = performance.now() + blockMs
      while (performance.now() < end);
    }
    session.send(packet)
  },
})
