// What: floods its peer with numbered messages, checks those that come from it, stands still on order.
// Flow: both_ways.test.ts -> this -> numbered messages; reports of what came.
// Thread: an update thread.

import { defineHandler } from 'overlapped'

const MESSAGE_BYTES = 1000
let runtime = null
const message = Buffer.alloc(MESSAGE_BYTES)
/** The session, and what it has sent and received. */
let only = null
const state = { isFlooding: false, sent: 0, received: 0, wrong: 0 }

/** As much as there is room for; onDrain goes on. */
function flood() {
  while (state.isFlooding) {
    message.fill(state.sent & 0xff)
    message.writeUInt32BE(state.sent)
    if (only.send(message) !== 'queued') return
    state.sent++
  }
}

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onJoin(session) {
    only = session
    runtime.post('main', { type: 'join', id: session.id })
  },
  onRecv(_, packet) {
    const isNext =
      packet.u32(0, 'big') === state.received &&
      packet.length === MESSAGE_BYTES &&
      packet.u8(MESSAGE_BYTES - 1) === (state.received & 0xff)
    if (!isNext) state.wrong++
    state.received++
  },
  onDrain: flood,
  onMessage({ do: order, gate }) {
    if (order === 'flood') {
      state.isFlooding = true
      flood()
    } else if (order === 'stop') {
      state.isFlooding = false
      runtime.post('main', { type: 'stop', result: state.sent })
    } else if (order === 'received') {
      const { received, wrong } = state
      runtime.post('main', { type: 'received', result: { received, wrong } })
    } else {
      // 1: it stands still; 2: it may go on.
      Atomics.store(gate, 0, 1)
      Atomics.wait(gate, 0, 1)
    }
  },
})
