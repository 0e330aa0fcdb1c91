// What: does to any session what main orders, puts its own on the board, says when they come and go.
// Flow: any_thread.test.ts -> this -> the clients of any_thread.test.ts.
// Thread: the content threads' of a server under test.

import { defineHandler } from 'overlapped'
import { actions, show, stamp } from '../../helpers/any_thread.mjs'
import { threadState } from '../../helpers/inside.mjs'

let runtime = null
let joined = 0

export default defineHandler({
  onStart(own) {
    runtime = own
    joined = 0
  },
  onJoin(session) {
    session.join('all')
    show(runtime, session.id, joined++)
    runtime.post('main', { type: 'join', id: session.id })
  },
  onRecv(session, packet) {
    session.send(packet)
  },
  onLeave(session, reason) {
    runtime.post('main', { type: 'leave', id: session.id, reason, stamped: stamp(runtime) })
  },
  async onMessage(order, from) {
    if (order.do === 'inspect') runtime.post('main', { type: 'inspect', ...threadState() })
    else if (order.do === 'hello') runtime.post('main', { type: 'hello', sender: from })
    else runtime.post('main', { type: order.do, result: await actions[order.do](runtime, order) })
  },
  onError(error) {
    runtime.post('main', { type: 'error', message: String(error) })
  },
})
