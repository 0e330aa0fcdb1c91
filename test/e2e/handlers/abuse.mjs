// What: echoes in every way there is, tells main of its sessions, and does what the abuse tests order.
// Flow: test/e2e/abuse/ -> this -> the peers of abuse_client.c.
// Thread: a worker.

import { defineHandler } from 'overlapped'
import { inside, threadState } from '../../helpers/inside.mjs'

/** Joined ids go to main in batches: a message each would be most of the work. */
const IDS_PER_POST = 64

let runtime = null
const sessions = new Map()
let ids = []

function postIds() {
  if (ids.length > 0) runtime.post('main', { type: 'ids', ids })
  ids = []
}

/** What each call returned, counted. */
function tally(results) {
  const counts = {}
  for (const result of results) counts[result] = (counts[result] ?? 0) + 1
  return counts
}

/** Sessions of a listener; of all where none is named. */
function* of(listener) {
  for (const session of sessions.values()) {
    if (listener === undefined || session.listener === listener) yield session
  }
}

const actions = {
  inspect: () => {
    postIds()
    return threadState()
  },
  ids: ({ listener }) => ({ ids: [...of(listener)].map(({ id }) => id) }),
  /** Ends the thread's open chunk, so that what is left of it shows. */
  turnChunk: ({ chunkBytes }) => {
    for (let round = 0; round < 2; round++) {
      runtime.prepare(new Uint8Array(chunkBytes / 2)).release()
    }
    return {}
  },
  /** A message to every session that has nothing unsent; how many have something. */
  fill: ({ listener, data }) => {
    let full = 0
    for (const session of of(listener)) {
      if (session.bufferedAmount > 0) full++
      else session.send(data)
    }
    return { full }
  },
  /** A message to every session, each in a chunk of its own. */
  sendApart: async ({ listener, data, chunkBytes }) => {
    const results = []
    for (const session of of(listener)) {
      results.push(session.send(data))
      actions.turnChunk({ chunkBytes })
      // What the socket does not take is copied at the end of a turn.
      await new Promise((resolve) => setImmediate(resolve))
    }
    return { counts: tally(results) }
  },
  broadcast: ({ data, times }) => {
    const counts = { queued: 0, full: 0, closed: 0, dropped: 0 }
    for (let at = 0; at < times; at++) {
      const result = runtime.broadcast(data)
      for (const name of Object.keys(counts)) counts[name] += result[name]
    }
    return { counts }
  },
  unsent: ({ listener }) => {
    let most = 0
    for (const { bufferedAmount } of of(listener)) most = Math.max(most, bufferedAmount)
    return { most }
  },
  close: ({ listener }) => {
    for (const session of of(listener)) session.close()
    return {}
  },
  terminate: ({ listener }) => {
    for (const session of of(listener)) session.terminate()
    return {}
  },
  /** Waits, with the thread, until main opens the gate; then takes a slot. */
  connectAfter: ({ gate, port }) => {
    runtime.post('main', { type: 'gated' })
    Atomics.wait(gate, 0, 0)
    runtime.connect({ protocol: 'out', host: '127.0.0.1', port })
    return {}
  },
  /** Takes every chunk that there is; the first refusal is told. */
  hoard: ({ bytes }) => {
    hoarded = []
    try {
      for (;;) hoarded.push(runtime.prepare(new Uint8Array(bytes)))
    } catch (error) {
      return { code: error.code, count: hoarded.length }
    }
  },
  releaseHoard: () => {
    for (const buffer of hoarded.splice(0)) buffer.release()
    return {}
  },
}
let hoarded = []

function sendRetained(session, packet) {
  let buffer
  try {
    buffer = packet.retain()
  } catch (error) {
    if (error.code !== 'ERR_MEMORY_PLAN') throw error
    return 'dropped'
  }
  const result = session.send(buffer)
  buffer.release()
  return result
}

export default defineHandler({
  onStart(own) {
    runtime = own
    inside.onTurnEnd = () => {}
  },
  onJoin(session) {
    sessions.set(session.id, session)
    session.data = { messages: 0, counts: {} }
    ids.push(session.id)
    if (ids.length >= IDS_PER_POST) postIds()
  },
  onRecv(session, packet) {
    const { data } = session
    // By reference, by copy, and as one buffer for many.
    const way = data.messages++ % 3
    let result
    if (way === 0) result = session.send(packet)
    else if (way === 1) result = session.send(packet.copy())
    else {
      result = sendRetained(session, packet)
    }
    data.counts[result] = (data.counts[result] ?? 0) + 1
  },
  onLeave(session) {
    sessions.delete(session.id)
  },
  async onMessage(order) {
    const result = await actions[order.do](order)
    runtime.post('main', { type: order.do, ...result })
  },
  onError(error) {
    runtime.post('main', { type: 'error', message: error.stack })
  },
})
