// What: echoes; on order its thread stands still until a gate opens; its pools are looked into from outside.
// Flow: update_behind.test.ts -> this -> echoes; reports of joins and leaves.
// Thread: an update thread.

import { defineHandler } from 'overlapped'
import '../../helpers/inside.mjs'

let runtime = null
const paused = new Map()

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onJoin(session) {
    session.data = { messages: 0, unsent: [] }
    runtime.post('main', { type: 'join', id: session.id })
  },
  onRecv(session, packet) {
    const { data } = session
    data.messages++
    if (packet.length === 5 && packet.text() === 'pause') {
      session.pause()
      paused.set(session.id, session)
      runtime.post('main', { type: 'paused' })
    }
    // What the peer does not read waits here, and is sent in order when there is room.
    if (data.unsent.length > 0 || session.send(packet) !== 'queued') {
      data.unsent.push(packet.copy())
      session.pause()
    }
  },
  onDrain(session) {
    const { unsent } = session.data
    while (unsent.length > 0 && session.send(unsent[0]) === 'queued') unsent.shift()
    if (unsent.length === 0) session.resume()
  },
  onLeave(session, reason) {
    const { messages, unsent } = session.data
    runtime.post('main', { type: 'leave', id: session.id, reason, messages, unsent: unsent.length })
  },
  onMessage({ gate, resume }) {
    if (gate === undefined) {
      paused.get(resume).resume()
      return
    }
    // 1: it stands still; 2: it may go on.
    Atomics.store(gate, 0, 1)
    Atomics.notify(gate, 0)
    Atomics.wait(gate, 0, 1)
    runtime.post('main', { type: 'on again' })
  },
})
