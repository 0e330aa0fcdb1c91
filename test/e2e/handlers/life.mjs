// What: tells main of every event and does to its sessions what main says: { do, id, ... }.
// Flow: session_life, flow_control, messages and stop.test.ts -> this -> the tests.
// Thread: a worker.

import { defineHandler } from 'overlapped'

let runtime = null
const sessions = new Map()
const buffers = []

function tell(type, session, fields) {
  runtime.post('main', { type, id: session.id, ...fields })
}

function attempt(use) {
  try {
    return use() ?? 'done'
  } catch (error) {
    return error.code ?? error.message
  }
}

const actions = {
  send: ({ session, data, times = 1 }) => {
    const results = {}
    for (let at = 0; at < times; at++) {
      const result = session.send(data)
      results[result] = (results[result] ?? 0) + 1
    }
    return results
  },
  /** Sends until 'full', or `times`. */
  fill: ({ session, data, times }) => {
    for (let sent = 0; sent < times; sent++) {
      const result = session.send(data)
      if (result !== 'queued') return { sent, result, buffered: session.bufferedAmount }
    }
    return { sent: times, result: 'queued', buffered: session.bufferedAmount }
  },
  sendAndClose: ({ session, data, times }) => {
    for (let at = 0; at < times; at++) session.send(data)
    session.close()
    return [session.send(data), session.isOpen]
  },
  close: ({ session }) => session.close(),
  terminate: ({ session }) => session.terminate(),
  pause: ({ session }) => session.pause(),
  resume: ({ session }) => session.resume(),
  pauseResume: ({ session, times }) => {
    for (let at = 0; at < times; at++) {
      session.pause()
      session.resume()
    }
  },
  runtimeSend: ({ to, data }) => runtime.send(to, data),
  runtimeClose: ({ to }) => runtime.close(to),
  staleSession: ({ session }) => {
    session.close()
    session.terminate()
    session.pause()
    session.resume()
    return [session.send('late'), session.isOpen, session.tag]
  },
  remoteAddress: ({ session }) => session.remoteAddress,
  tag: ({ session, value }) => {
    session.tag = value
    return session.tag
  },
  buffered: ({ session }) => session.bufferedAmount,
  prepare: ({ data }) => {
    buffers.push(runtime.prepare(data))
    return buffers.at(-1).length
  },
  sendPrepared: ({ session, which = 0, times = 1 }) => {
    let result = 'none'
    for (let at = 0; at < times; at++) result = session.send(buffers[which])
    return result
  },
  releasePrepared: ({ which = 0 }) => buffers[which].release(),
  sendRetained: ({ session, which }) => session.send(session.data.retained[which]),
  releaseRetained: ({ session, which }) => session.data.retained[which].release(),
  /** Writes in place, with sends in between. */
  open: ({ session, max, used, between = 0 }) => {
    const reservation = runtime.open(max)
    for (let at = 0; at < between; at++) session.send(`between ${at}`)
    const { bytes } = reservation
    if (bytes.length !== max) return `room for ${bytes.length}`
    for (let at = 0; at < used; at++) bytes[at] = at * 7
    const buffer = reservation.close(used)
    const after = attempt(() => reservation.bytes)
    const result = session.send(buffer)
    buffer.release()
    return [buffer.length, result, after]
  },
  openTwice: () => {
    const reservation = runtime.open(10)
    const code = attempt(() => runtime.open(10))
    reservation.close(0).release()
    return code
  },
  leaveOpen: ({ session }) => {
    session.data.reservation = runtime.open(100)
  },
  closeLeftOpen: ({ session }) => session.data.reservation.close(1),
}

/** What the packet readers say of a message. */
function readers(packet) {
  return {
    length: packet.length,
    u8: packet.u8(4),
    i8: packet.i8(4),
    u16: [packet.u16(4), packet.u16(4, 'big')],
    i16: [packet.i16(4), packet.i16(4, 'big')],
    u32: [packet.u32(4), packet.u32(4, 'big')],
    i32: [packet.i32(4), packet.i32(4, 'big')],
    f32: [packet.f32(8), packet.f32(12, 'big')],
    f64: [packet.f64(16), packet.f64(24, 'big')],
    text: [packet.text(32), packet.text(0, 4), packet.text(4, 4)],
    copied: Buffer.from(packet.copy()).equals(Buffer.from(packet.bytes)),
    outside: [
      attempt(() => packet.u8(packet.length)),
      attempt(() => packet.u8(-1)),
      attempt(() => packet.u16(packet.length - 1)),
      attempt(() => packet.f64(packet.length - 7)),
      attempt(() => packet.text(0, packet.length + 1)),
      attempt(() => packet.text(3, 2)),
    ],
  }
}

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onStop(own) {
    own.post('main', { type: 'stop', thread: own.thread })
  },
  onJoin(session) {
    session.data = { retained: [], copies: [], messages: 0 }
    sessions.set(session.id, session)
    const { host, port } = session.remoteAddress
    tell('join', session, { host, port, listener: session.listener })
    if (session.listener === 'pausing') session.pause()
  },
  onRecv(session, packet) {
    const { data } = session
    data.messages++
    const command = packet.length >= 4 ? packet.text(0, 4) : ''
    if (command === 'read') tell('read', session, { read: readers(packet) })
    else if (command === 'keep') {
      data.retained.push(packet.retain())
      data.copies.push(packet.copy())
      tell('kept', session, { count: data.retained.length })
    } else if (command === 'copy') {
      for (const copy of data.copies) session.send(copy)
    } else if (command === 'both') {
      session.send(packet)
      session.send(packet.bytes)
      session.send(packet.text(4))
      session.send(packet)
    } else if (command === 'quit') {
      session.send('bye')
      session.close()
    } else if (command === 'wait') {
      tell('recv', session, { text: packet.text() })
      session.pause()
    } else if (command === 'note') {
      tell('recv', session, { text: packet.text() })
    } else session.send(packet)
  },
  onDrain(session) {
    tell('drain', session, { buffered: session.bufferedAmount })
  },
  onSend(session, bytes) {
    tell('sent', session, { bytes })
  },
  onLeave(session, reason) {
    const { messages } = session.data
    tell('leave', session, { reason, messages, isOpen: session.isOpen, late: session.send('late') })
  },
  onMessage({ do: action, id, ...rest }) {
    const session = sessions.get(id)
    const result = attempt(() => actions[action]({ session, ...rest }))
    runtime.post('main', { type: action, id, result })
  },
  onError(error, session) {
    runtime.post('main', { type: 'error', id: session?.id, message: String(error) })
  },
})
