// What: the handler of getting_started.md that has every event.
// Flow: listener 'lines' -> this.
// Thread: each worker.

import { defineHandler } from 'overlapped'

export default defineHandler({
  async onStart(runtime) {
    console.error(`${runtime.thread} starts`) // worker1, worker2
  },
  onConnectionRequest({ remoteAddress, listener }) {
    return listener === 'lines' && remoteAddress.port > 0 // false resets the connection
  },
  onJoin(session) {
    session.data = { count: 0 }
    session.send(session.runtime.data.motd)
  },
  onRecv(session, packet) {
    session.data.count++
    session.send(`${session.data.count}: ${packet.text()}`)
  },
  onSend(session, bytes) {
    session.data.sent = (session.data.sent ?? 0) + bytes
  },
  onDrain(_session) {}, // see source.mjs
  onMessage(message, from) {
    console.error(from, message)
  },
  onLeave(session, reason) {
    session.runtime.post('main', { left: session.id, reason })
  },
  onError(error, session) {
    console.error(session?.id ?? 'no session', error)
  },
  async onStop(runtime) {
    console.error(`${runtime.thread} stops`)
  },
})
