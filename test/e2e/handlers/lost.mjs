// What: sends to sessions of every worker all the time, and dies on order while it holds a pin or a send flag of another's.
// Flow: lost_worker.test.ts, fixtures_lost.mjs -> this.
// Thread: a worker.

import { defineHandler } from 'overlapped'
import { SESSION_IO_COUNT, SESSION_SEND_FLAG } from '../../../dist/src/layout/layout.js'
import { add, store } from '../../../dist/src/shared/atomics.js'
import { slotOf } from '../../../dist/src/shared/session_id.js'
import { inside } from '../../helpers/inside.mjs'

let runtime = null

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onStop(own) {
    own.post('main', { type: 'stop', thread: own.thread })
  },
  onJoin(session) {
    runtime.post('main', { type: 'join', id: session.id })
  },
  onRecv(session, packet) {
    session.send(packet)
    runtime.broadcast(packet.text())
  },
  onLeave(session, reason) {
    runtime.post('main', { type: 'leave', id: session.id, reason })
  },
  onMessage({ id, holding }) {
    const { arena } = inside
    const at = arena.sessionAt(slotOf(id))
    if (holding === 'nothing') process.exit(0)
    // What a thread has done when it has pinned a session, and when it has won its flag.
    if (holding !== 'a flag') add(arena.words, at + SESSION_IO_COUNT, 1)
    if (holding !== 'a pin') {
      store(arena.words, at + SESSION_SEND_FLAG, arena.thread + 1)
      add(arena.words, at + SESSION_IO_COUNT, 1)
    }
    process.exit(0)
  },
})
