// What: writes down ticks as its data says, blocks some of them, echoes; says what was handled outside of a tick.
// Flow: update_tick.test.ts -> runtime.data -> this -> one report of all ticks; reports of sessions.
// Thread: an update thread.

import { performance } from 'node:perf_hooks'
import { defineHandler } from 'overlapped'
import { Counter } from '../../../dist/src/layout/layout.js'
import { inside } from '../../helpers/inside.mjs'

let runtime = null
let startedMs = 0
let dtSumMs = 0
/** Rows of ticks: those that ran without a pause in between. */
let row = 0
const ticks = []
/** Events of sessions since the last tick, which must come in the same task. */
let events = []
const strays = []

function block(ms) {
  const end = performance.now() + ms
  while (performance.now() < end);
}

function event(name) {
  if (events.length === 0) {
    queueMicrotask(() => {
      strays.push(...events)
      events = []
    })
  }
  events.push(name)
}

export default defineHandler({
  onStart(own) {
    runtime = own
    startedMs = performance.now()
  },
  onTick(dtMs) {
    const { counters } = inside.arena
    dtSumMs += dtMs
    const atMs = performance.now() - startedMs
    ticks.push({ atMs, dtMs, dtSumMs, row, skipped: counters[Counter.TICKS_SKIPPED] })
    if (ticks.at(-2)?.row !== row) {
      queueMicrotask(() => {
        row++
      })
    }
    if (events.length > 0) runtime.post('main', { type: 'tick', events })
    events = []
    const { count, blocks = {} } = runtime.data
    if (ticks.length === count) {
      // What belongs to this tick is counted when it is over.
      setImmediate(() => {
        const counted = {
          ticks: counters[Counter.TICKS],
          late: counters[Counter.TICKS_LATE],
          skipped: counters[Counter.TICKS_SKIPPED],
          rows: row,
        }
        runtime.post('main', { type: 'ticks', ticks: ticks.slice(0, count), counted })
      })
    }
    block(blocks[ticks.length] ?? 0)
  },
  onJoin(session) {
    event('join')
    session.send('welcome')
  },
  onRecv(session, packet) {
    event('recv')
    session.send(packet)
  },
  onLeave(session) {
    event('leave')
    runtime.post('main', { type: 'leave', id: session.id })
  },
  onMessage() {
    runtime.post('main', { type: 'strays', strays })
  },
})
