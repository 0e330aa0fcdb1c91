// What: echoes; takes orders from its peer: another lane, another thread, the end; sends what main orders.
// Flow: send.test.ts -> this -> clients of send.test.ts; reports.
// Thread: an update thread.

import { defineHandler } from 'overlapped'

let runtime = null

/** What an order throws is sent back. */
function attempt(session, use) {
  try {
    use()
  } catch (error) {
    const name = typeof error.code === 'string' ? error.code : error.name
    session.send(`error ${name}: ${error.message}`)
  }
}

const orders = {
  lane(session, lane) {
    attempt(session, () => session.useLane(Number(lane)))
    runtime.post('main', { type: 'lane', lane })
  },
  move: (session, thread) => attempt(session, () => session.moveTo(thread)),
  /** Its data cannot be cloned. Says so when it is on its way already, and nothing was tried. */
  poison(session) {
    session.data = { run: () => {} }
    attempt(session, () => {
      const to = runtime.thread === 'update1' ? 'update2' : 'update1'
      if (!session.moveTo(to)) session.send('moving')
    })
    session.data = { count: 0, unsent: [] }
  },
  fill(session, bytes) {
    const message = Buffer.alloc(Number(bytes), 'f')
    let times = 0
    while (session.send(message) === 'queued') times++
    session.data.filled = times
  },
  close(session) {
    session.send('last')
    session.close()
  },
  terminate: (session) => session.terminate(),
}

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onJoin(session) {
    session.data = { count: 0, filled: 0, drains: 0 }
    session.join('all')
    runtime.post('main', { type: 'join', id: session.id })
  },
  onRecv(session, packet) {
    session.data.count++
    if (packet.length > 0 && packet.u8(0) === 0x21) {
      const [order, argument] = packet.text(1).split(' ')
      orders[order](session, argument)
      return
    }
    session.send(packet)
  },
  onMove(session, from) {
    const { count } = session.data
    const { groups } = session
    runtime.post('main', { type: 'moved', id: session.id, before: from, count, groups })
  },
  onDrain(session) {
    const { filled } = session.data
    runtime.post('main', { type: 'drain', id: session.id, filled })
  },
  onLeave(session, reason) {
    const { count } = session.data
    runtime.post('main', { type: 'leave', id: session.id, reason, count })
  },
  /** Sends each of these sessions `count` messages; until `stop` is 1 some every millisecond. */
  async onMessage({ ids, count, stop, pad = '' }) {
    const isOver = (number) => (stop === undefined ? number === count : Atomics.load(stop, 0) === 1)
    const pause = () =>
      new Promise((resolve) =>
        stop === undefined ? setImmediate(resolve) : setTimeout(resolve, 1),
      )
    let number = 0
    for (; !isOver(number); number++) {
      for (const id of ids)
        while (runtime.send(id, `${runtime.thread} ${number}${pad}`) !== 'queued') await pause()
      if (number % 8 === 7) await pause()
    }
    runtime.post('main', { type: 'sent', count: number })
  },
})
