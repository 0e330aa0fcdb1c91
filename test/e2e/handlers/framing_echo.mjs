// What: echoes in every way there is; answers '?...' with what it was given, '!n' with how sending n bytes failed.
// Flow: framing.test.ts -> this -> framing.test.ts.
// Thread: a worker.

import { defineHandler } from 'overlapped'

const ways = [
  (packet) => packet,
  (packet) => packet.copy(),
  (packet) => packet.bytes,
  (packet) => packet,
]

export default defineHandler({
  onJoin(session) {
    session.data = 0
  },
  onRecv(session, packet) {
    const first = packet.length === 0 ? '' : packet.text(0, 1)
    if (first === '?') {
      session.send(`${packet.length}:${Buffer.from(packet.bytes).toString('hex')}`)
    } else if (first === '!') {
      try {
        session.send(new Uint8Array(Number.parseInt(packet.text(1), 10)))
        session.send('sent')
      } catch (error) {
        session.send(error.code)
      }
    } else {
      session.send(ways[session.data++ % ways.length](packet))
    }
  },
})
