// What: the peer most users come from: a framed echo or broadcast server on node:net.
// Flow: 'data' chunk -> frames -> handler per message -> answers -> socket.write.
// Thread: the main thread of one process, or of one process per worker (node:cluster).
//
// node node_net.mjs PORT WORKERS echo|bcast chunk|message
//
//   chunk    the answers to one received chunk are written at once (the best node:net does)
//   message  every answer is written by itself (what most applications do)

import cluster from 'node:cluster'
import net from 'node:net'

const HEADER_BYTES = 2
const BACKLOG = 4096

const [port, workers, mode, style] = process.argv.slice(2)
const known = ['echo', 'bcast'].includes(mode) && ['chunk', 'message'].includes(style)
if (!known || !(Number(port) > 0) || !(Number(workers) > 0)) {
  console.error('usage: node_net.mjs PORT WORKERS echo|bcast chunk|message')
  process.exit(2)
}
if (mode === 'bcast' && Number(workers) > 1) {
  console.error('bcast: 1 worker, since a process reaches its own connections only')
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

function serve(socket) {
  sockets.add(socket)
  socket.on('close', () => sockets.delete(socket))
  socket.on('error', () => {}) // 'close' follows.
  const write = mode === 'bcast' ? writeToAll : (bytes) => socket.write(bytes)
  const answers = style === 'chunk' ? new ChunkAnswers(write) : new MessageAnswers(write)
  const onMessage = (payload) => answers.add(payload)

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
