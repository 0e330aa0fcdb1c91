// What: echoes, and writes down in which threads and in which order the events of each session ran.
// Flow: update.test.ts -> this -> reports; what runs in workers says so over a channel.
// Thread: an update thread; assign and onConnectionRequest: a worker.

import { BroadcastChannel, threadId } from 'node:worker_threads'
import { defineHandler } from 'overlapped'
import { inside } from '../../helpers/inside.mjs'

const channel = new BroadcastChannel('update.test')
channel.unref()
console.error = (...words) => channel.postMessage({ type: 'printed', text: words.join(' ') })

let runtime = null

function heard(type, fields) {
  channel.postMessage({ type, thread: inside.arena.thread, ...fields })
}

export function assign({ remoteAddress, listener }) {
  heard('assign', { listener, ...remoteAddress })
  if (listener === 'throws') throw new Error('nobody knows')
  if (listener === 'bad') return remoteAddress.port + 0.5
  return listener === 'numbers' ? -remoteAddress.port : remoteAddress.host
}

/** An event of this session: its place in the order is right, or it is reported. */
function note(session, event) {
  const { data } = session
  data.threads.add(threadId)
  const before = data.last
  const fits = event === 'join' ? before === '' : before !== '' && before !== 'leave'
  if (!fits) data.wrong.push(`${event} after ${before}`)
  data.last = event
}

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onConnectionRequest({ remoteAddress, listener }) {
    heard('request', { listener, ...remoteAddress })
    return listener !== 'refused'
  },
  onJoin(session) {
    session.data = { threads: new Set(), last: '', wrong: [], messages: 0, unsent: 0 }
    note(session, 'join')
    const { host, port } = session.remoteAddress
    runtime.post('main', { type: 'join', id: session.id, host, port, listener: session.listener })
  },
  onRecv(session, packet) {
    note(session, 'recv')
    session.data.messages++
    if (session.send(packet) !== 'queued') session.data.unsent++
  },
  onSend(session) {
    note(session, 'send')
  },
  onLeave(session, reason) {
    note(session, 'leave')
    const { threads, wrong, messages, unsent } = session.data
    const fields = { id: session.id, reason, threads: threads.size, wrong, messages, unsent }
    runtime.post('main', { type: 'leave', ...fields })
  },
})
