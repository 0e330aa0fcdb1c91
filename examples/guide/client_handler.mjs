// What: the handler of client.mjs.
// Flow: main says where -> this connects, sends, and tells main the answer.
// Thread: worker1.

import { defineHandler } from 'overlapped'

let runtime

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  async onMessage({ host, port }) {
    try {
      const session = await runtime.connect({ protocol: 'echo', host, port })
      session.send('ping')
    } catch (error) {
      runtime.post('main', error.code) // ERR_CONNECT_REFUSED
    }
  },
  onRecv(session, packet) {
    runtime.post('main', packet.text())
    session.close()
  },
})
