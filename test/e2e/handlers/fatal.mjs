// What: echoes; on command ends its thread in the ways that a thread can end; says which sessions come and go.
// Flow: test client -> this -> reports.
// Thread: one that runs content.

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

let runtime = null

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onStop(own) {
    own.post('main', { type: 'stop' })
  },
  onJoin(session) {
    runtime.post('main', { type: 'join', id: session.id })
  },
  onLeave(session, reason) {
    runtime.post('main', { type: 'leave', id: session.id, reason })
  },
  onRecv(session, packet) {
    const way = ways[packet.text()]
    if (way === undefined) session.send(packet)
    else way()
  },
})
