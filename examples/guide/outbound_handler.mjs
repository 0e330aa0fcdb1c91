// What: the first handler of outbound.md.
// Flow: outbound.mjs -> this connects, sends, and tells main the answer or the error.
// Thread: worker1.

import { defineHandler, lengthPrefix } from 'overlapped'

export default defineHandler({
  async onStart(runtime) {
    const { host, port } = runtime.data
    try {
      await runtime.connect({ host, port, framing: lengthPrefix(), timeout: 5_000 })
    } catch (error) {
      runtime.post('main', `${error.code}: ${error.message}`)
    }
  },
  onJoin(session) {
    session.send('ping')
  },
  onRecv(session, packet) {
    session.runtime.post('main', packet.text())
  },
})
