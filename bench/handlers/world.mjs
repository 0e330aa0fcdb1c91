// What: the tick world of the benchmark: messages change it, at each tick all sessions are told.
// Flow: onRecv -> World.apply; onTick -> World.writeState -> runtime.broadcast.
// Thread: the one that runs content; one of them.

import { defineHandler } from 'overlapped'
import { STATE_BYTES, World } from '../lib/world.mjs'

const SEQUENCE_OFFSET = 4
const MOVE_OFFSET = 12

const world = new World()
const state = new Uint8Array(STATE_BYTES)
let runtime

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onRecv(_session, packet) {
    world.apply(packet.u32(0), packet.u32(SEQUENCE_OFFSET), packet.u32(MOVE_OFFSET))
  },
  onTick() {
    for (let i = 0; i < runtime.data.states; i++) {
      world.writeState(state)
      runtime.broadcast(state, { to: 'all' })
    }
  },
})
