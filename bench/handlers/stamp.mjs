// What: the handler of hop.mjs: every message goes back with the time at which it was here.
// Flow: onRecv -> the clock, into a copy of the message -> session.send.
// Thread: the one that runs content.
//
// load/ping.c says where the time stands.

import process from 'node:process'
import { defineHandler } from 'overlapped'

const TIME_OFFSET = 12

export default defineHandler({
  onRecv(session, packet) {
    const arrived = process.hrtime.bigint()
    const answer = packet.copy()
    new DataView(answer.buffer, answer.byteOffset).setBigUint64(TIME_OFFSET, arrived, true)
    session.send(answer)
  },
})
