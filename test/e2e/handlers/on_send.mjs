// What: sends what its peer orders; sums up what onSend says of each session, and who said it where.
// Flow: on_send.test.ts -> this -> its clients; sums on order.
// Thread: an update thread.

import { threadId } from 'node:worker_threads'
import { defineHandler } from 'overlapped'

let runtime = null
/** By session id. */
const sums = {}

const orders = {
  sums: () => sums,
  broadcast({ bytes, times }) {
    for (let n = 0; n < times; n++) runtime.broadcast(Buffer.alloc(bytes, 'b'), { to: 'all' })
    return times
  },
}

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onJoin(session) {
    session.data = { threadId }
    sums[session.id] = { bytes: 0, calls: 0, wrong: 0 }
    runtime.post('main', { type: 'join', id: session.id })
  },
  onRecv(session, packet) {
    const [bytes, times] = packet.text().split(' ').map(Number)
    for (let n = 0; n < times; n++) session.send(Buffer.alloc(bytes, 'r'))
  },
  onSend(session, bytes) {
    const sum = sums[session.id]
    sum.bytes += bytes
    sum.calls++
    if (session.data.threadId !== threadId || !(bytes > 0)) sum.wrong++
  },
  onMessage({ do: order, ...fields }) {
    runtime.post('main', { type: order, result: orders[order](fields) })
  },
})
