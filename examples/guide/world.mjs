// What: the handler of docs/guide/choosing_a_mode.md: people walk, each tick tells those who are in the same part.
// Flow: world_server.mjs -> this.
// Thread: each update thread; assign: the worker that accepts.

import { defineHandler } from 'overlapped'

// Each update thread has its own.
let runtime
let steps = 0
let stepsTold = 0

export const assign = ({ listener }) => (listener === 'north' ? 0 : 1) // in workers

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onJoin(session) {
    session.data = { steps: 0 }
    session.join(runtime.thread) // a group: update1, update2
  },
  onRecv(session, packet) {
    const [, place] = /^go (update[12])$/.exec(packet.text()) ?? []
    if (place !== undefined) {
      session.moveTo(place)
      return
    }
    session.data.steps++
    steps++
  },
  onMove(session, from) {
    session.leave(from) // its groups came with it
    session.join(runtime.thread)
    session.send(`${session.data.steps} steps, now in ${runtime.thread}`)
  },
  onTick() {
    if (steps === stepsTold) return
    runtime.broadcast(`${runtime.thread}: ${steps} steps`, { to: { group: runtime.thread } })
    stepsTold = steps
  },
})
