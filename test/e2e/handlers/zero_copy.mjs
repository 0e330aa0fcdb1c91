// What: sends patterns, as many as its peer asks for, as fast as it may; echoes; ends sessions when main says so.
// Flow: zero_copy.test.ts -> this -> clients of zero_copy.test.ts; reports.
// Thread: a worker or an update thread.

import { defineHandler } from 'overlapped'
import { fillPattern } from '../../helpers/pattern.mjs'

const RETRY_MS = 2

let runtime = null
const sessions = new Map()

/** Goes on with what its peer has asked for, until there is no room. */
function push(session) {
  const order = session.data
  while (order !== undefined && order.next < order.count) {
    const message = fillPattern(Buffer.alloc(order.size), order.seed, order.next)
    const result = session.send(message)
    if (result === 'dropped') setTimeout(() => push(session), RETRY_MS)
    if (result !== 'queued') return
    order.next++
  }
}

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onJoin(session) {
    sessions.set(session.id, session)
    runtime.post('main', { type: 'join', id: session.id })
  },
  onRecv(session, packet) {
    if (packet.u8(0) !== 0x21) {
      session.send(packet)
      return
    }
    const [, seed, count, size] = packet.text().split(' ').map(Number)
    session.data = { seed, count, size, next: 0 }
    push(session)
  },
  onDrain: push,
  onLeave(session, reason) {
    sessions.delete(session.id)
    session.data = undefined
    runtime.post('main', { type: 'leave', id: session.id, reason })
  },
  onMessage({ id, end }) {
    if (end === 'terminate') sessions.get(id)?.terminate()
    else sessions.get(id)?.close()
  },
})
