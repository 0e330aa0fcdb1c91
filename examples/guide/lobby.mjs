// What: the handler of getting_started.md that sends one message to many sessions.
// Flow: listener 'lobby' -> this.
// Thread: each worker.

import { defineHandler } from 'overlapped'

let welcome

export default defineHandler({
  onStart(runtime) {
    welcome = runtime.prepare('welcome') // written once, sent often
  },
  onJoin(session) {
    session.send(welcome)
  },
  onRecv(session, packet) {
    const { runtime } = session
    const room = runtime.open(packet.length + 8)
    new DataView(room.bytes.buffer, room.bytes.byteOffset).setFloat64(0, session.id, true)
    room.bytes.set(packet.bytes, 8)
    const message = room.close(packet.length + 8)
    const { queued } = runtime.broadcast(message, { listener: 'lobby', except: session.id })
    message.release()
    session.send(`told ${queued}`)
  },
  onStop() {
    welcome.release()
  },
})
