// What: counts messages, sends on order of main; in a worker it answers a channel, also by way of timers.
// Flow: receive_interval.test.ts -> this -> reports, answers over the channel.
// Thread: an update thread; the channel's answers: a worker.

import { BroadcastChannel } from 'node:worker_threads'
import { defineHandler } from 'overlapped'

let runtime = null
let isWorker = false

const channel = new BroadcastChannel('receive_interval.test')
channel.unref()
channel.onmessage = ({ data: { ask, number } }) => {
  if (!isWorker) return
  const answer = () => channel.postMessage({ answer: ask, number })
  if (ask === 'message') answer()
  // A timer that sets another one: each of them is due while the worker rests.
  else if (ask === 'timers') setTimeout(() => setTimeout(answer, 2), 1)
  else if (ask === 'exit') process.exit(3)
}

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onConnectionRequest() {
    isWorker = true
    return true
  },
  onJoin(session) {
    session.data = { messages: 0, bytes: 0 }
    runtime.post('main', { type: 'join', id: session.id })
  },
  onRecv(session, packet) {
    session.data.messages++
    session.data.bytes += packet.length
    if (packet.length === 4 && packet.text() === 'last')
      runtime.post('main', { type: 'last', ...session.data })
  },
  onLeave(session, reason) {
    runtime.post('main', { type: 'leave', id: session.id, reason, ...session.data })
  },
  onMessage({ id, text }) {
    runtime.send(id, text)
  },
})
