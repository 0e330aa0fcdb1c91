// What: the second handler of outbound.md: goes on until somebody answers.
// Flow: outbound.mjs -> this -> main hears of each attempt, and of the answer.
// Thread: worker1.

import { defineHandler, lengthPrefix } from 'overlapped'

let runtime

export default defineHandler({
  onStart(own) {
    runtime = own
    const { host, port } = runtime.data
    const connecting = runtime.connect({
      host,
      port,
      framing: lengthPrefix(),
      reconnect: { minDelay: 100, maxDelay: 30_000, factor: 2, jitter: 0.5 },
      data: { pings: 0 },
    })
    // Not awaited: the server starts all the same. It rejects when the server stops before.
    connecting.catch((error) => console.error(error.message))
  },
  onJoin(session) {
    session.send(`ping ${++session.data.pings}`)
  },
  onConnectFailed({ code }, { attempt, retryInMs }) {
    runtime.post('main', `attempt ${attempt}: ${code}, again in ${Math.round(retryInMs)} ms`)
  },
  onRecv(_session, packet) {
    runtime.post('main', packet.text())
  },
})
