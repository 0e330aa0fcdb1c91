// What: sends and broadcasts to sessions of any worker as main orders; numbers its messages per target.
// Flow: cross_thread.test.ts -> this -> the clients of cross_thread.test.ts.
// Thread: a worker.

import { defineHandler } from 'overlapped'

let runtime = null
let mine = new Map()

function attempt(use) {
  try {
    return use() ?? 'done'
  } catch (error) {
    return error.code ?? error.message
  }
}

/** Waits a turn, so that receivers and other senders come in between. */
const pauseABit = () => new Promise((resolve) => setImmediate(resolve))

const actions = {
  send: ({ id, data }) => runtime.send(id, data),
  close: ({ id }) => runtime.close(id),
  sendAndClose: ({ id, data, times }) => {
    for (let at = 0; at < times; at++) runtime.send(id, data)
    return runtime.close(id)
  },
  broadcast: ({ data, options, where }) => {
    const predicate = where === undefined ? {} : { where: ({ tag }) => tag === where }
    return runtime.broadcast(data, { ...options, ...predicate })
  },
  tag: ({ id, value }) => {
    mine.get(id).tag = value
  },
  /** Numbered messages to every id: `<thread> <number> <filler>`, by every way there is. */
  async stream({ ids, count, burst, filler, broadcasts, whole }) {
    for (let number = 0; number < count; number++) {
      const length = whole ? filler.length : (number * 37) % (filler.length + 1)
      const text = `${runtime.thread} ${number} ${filler.slice(0, length)}`
      if (broadcasts && number % 3 === 1) {
        await until(
          () => runtime.broadcast(text, { to: ids }),
          (counts) => counts.queued === ids.length,
        )
      } else if (broadcasts && number % 3 === 2) {
        const buffer = runtime.prepare(text)
        for (const id of ids) runtime.send(id, buffer)
        buffer.release()
      } else for (const id of ids) runtime.send(id, text)
      if (number % burst === burst - 1) await pauseABit()
    }
    return count
  },
  echo: ({ from, value }) => {
    runtime.post(from, { do: 'answer', value, via: runtime.thread })
  },
  answer: ({ value, via }) => ({ value, via }),
}

async function until(act, check) {
  const result = act()
  if (!check(result)) throw new Error(`broadcast: ${JSON.stringify(result)}`)
}

export default defineHandler({
  onStart(own) {
    runtime = own
    mine = new Map()
  },
  onJoin(session) {
    mine.set(session.id, session)
    runtime.post('main', { type: 'join', id: session.id, listener: session.listener })
  },
  onRecv(session, packet) {
    session.send(packet)
  },
  onLeave(session, reason) {
    runtime.post('main', { type: 'leave', id: session.id, reason })
  },
  async onMessage(order, from) {
    const result = attempt(() => actions[order.do](order))
    const thread = runtime.thread
    runtime.post('main', { type: order.do, sender: from, thread, result: await result })
  },
  onError(error) {
    runtime.post('main', { type: 'error', message: String(error) })
  },
})
