// What: echoes; on command ends its thread in the ways that a thread can end.
// Flow: test client -> this.
// Thread: a worker.

import { defineHandler } from 'overlapped'

const ways = {
  exit: () => process.exit(7),
  throw: () => {
    setTimeout(() => {
      throw new Error('thrown in a timer')
    }, 1)
  },
  reject: () => {
    Promise.reject(new Error('an unhandled rejection'))
  },
  spin: () => {
    for (;;);
  },
}

export default defineHandler({
  onRecv(session, packet) {
    const way = ways[packet.text()]
    if (way === undefined) session.send(packet)
    else way()
  },
})
