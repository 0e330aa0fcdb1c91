// What: the peer most users come from: a framed echo, broadcast or tick world server on node:net.
// Flow: 'data' chunk -> frames -> handler per message -> answers -> socket.write.
// Thread: the main thread of one process, or of one process per worker (node:cluster).
//
// node node_net.mjs PORT WORKERS echo|bcast|world chunk|message [STATES]
//
//   chunk    the answers to one received chunk are written at once (the best node:net does);
//            so are the states of a tick
//   message  every answer, every state is written by itself (what most applications do)

import cluster from 'node:cluster'
import net from 'node:net'
import { STATE_BYTES, TICK_MS, World } from '../lib/world.mjs'

const HEADER_BYTES = 2
const BACKLOG = 4096

const [port, workers, mode, style, states = 1] = process.argv.slice(2)
const known = ['echo', 'bcast', 'world'].includes(mode) && ['chunk', 'message'].includes(style)
if (!known || !(Number(port) > 0) || !(Number(workers) > 0)) {
  console.error('usage: node_net.mjs PORT WORKERS echo|bcast|world chunk|message [STATES]')
  process.exit(2)
}
if (mode !== 'echo' && Number(workers) > 1) {
  console.error(`${mode}: 1 worker, since a process reaches its own connections only`)
  process.exit(2)
}

if (Number(workers) > 1 && cluster.isPrimary) {
  for (let i = 0; i < Number(workers); i++) cluster.fork()
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill()
    process.exit(0)
  })
} else {
  net
    .createServer({ noDelay: true }, serve)
    .listen({ port: Number(port), host: '127.0.0.1', backlog: BACKLOG })
}

/** All connections, for broadcast. */
const sockets = new Set()

const world = new World()
if (mode === 'world') tickAt(performance.now() + TICK_MS)

/** A late tick does not move those after it; one that was missed is left out. */
function tickAt(due) {
  setTimeout(() => {
    tellState()
    const missed = Math.floor((performance.now() - due) / TICK_MS)
    tickAt(due + (1 + missed) * TICK_MS)
  }, due - performance.now())
}

/** The states of a tick, each in a frame. */
function tellState() {
  const frames = Array.from({ length: Number(states) }, () => {
    const frame = Buffer.allocUnsafe(HEADER_BYTES + STATE_BYTES)
    frame.writeUInt16LE(STATE_BYTES)
    world.writeState(frame.subarray(HEADER_BYTES))
    return frame
  })
  const writes = style === 'chunk' ? [Buffer.concat(frames)] : frames
  for (const bytes of writes) writeToAll(bytes)
}

function applyMessage(payload) {
  world.apply(payload.readUInt32LE(0), payload.readUInt32LE(4), payload.readUInt32LE(12))
}

function serve(socket) {
  sockets.add(socket)
  socket.on('close', () => sockets.delete(socket))
  socket.on('error', () => {}) // 'close' follows.
  const write = mode === 'bcast' ? writeToAll : (bytes) => socket.write(bytes)
  const collects = style === 'chunk' && mode !== 'world'
  const answers = collects ? new ChunkAnswers(write) : new MessageAnswers(write)
  const onMessage = mode === 'world' ? applyMessage : (payload) => answers.add(payload)

  let rest = null // The beginning of a frame whose end has not arrived.
  socket.on('data', (chunk) => {
    const bytes = rest ? Buffer.concat([rest, chunk]) : chunk
    answers.begin(bytes.length)
    const end = readFrames(bytes, onMessage)
    answers.end()
    rest = end < bytes.length ? bytes.subarray(end) : null
  })
}

function writeToAll(bytes) {
  for (const socket of sockets) socket.write(bytes)
}

/** Calls onMessage with the payload of every whole frame. Returns the bytes that took. */
function readFrames(bytes, onMessage) {
  let at = 0
  while (bytes.length - at >= HEADER_BYTES) {
    const begin = at + HEADER_BYTES
    const end = begin + (bytes[at] | (bytes[at + 1] << 8))
    if (end > bytes.length) break
    onMessage(bytes.subarray(begin, end))
    at = end
  }
  return at
}

function putFrame(target, at, payload) {
  target[at] = payload.length
  target[at + 1] = payload.length >> 8
  target.set(payload, at + HEADER_BYTES)
  return at + HEADER_BYTES + payload.length
}

/** One write for all answers to a chunk. They are as long as the messages, so the room is known. */
class ChunkAnswers {
  constructor(write) {
    this.write = write
    this.bytes = null
    this.used = 0
  }

  begin(length) {
    this.bytes = Buffer.allocUnsafe(length)
    this.used = 0
  }

  add(payload) {
    this.used = putFrame(this.bytes, this.used, payload)
  }

  end() {
    if (this.used > 0) this.write(this.bytes.subarray(0, this.used))
    this.bytes = null
  }
}

/** One write for each answer. */
class MessageAnswers {
  constructor(write) {
    this.write = write
  }

  begin() {}

  add(payload) {
    const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length)
    putFrame(frame, 0, payload)
    this.write(frame)
  }

  end() {}
}
