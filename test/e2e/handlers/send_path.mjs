// What: answers a message with as many small messages as it says, or broadcasts as many bytes as it says.
// Flow: send_path.test.ts -> this.
// Thread: a worker.

import { defineHandler } from 'overlapped'

export default defineHandler({
  onJoin(session) {
    session.runtime.post('main', { type: 'join' })
  },
  onRecv(session, packet) {
    const [what, count] = packet.text().split(' ')
    if (what === 'answers') {
      for (let i = 0; i < Number(count); i++) session.send(`answer ${i}\n`)
    } else {
      const result = session.runtime.broadcast(Buffer.alloc(Number(count), 7))
      session.runtime.post('main', { type: 'broadcast', ...result })
    }
  },
})
