// What: a socket that listens and answers nobody, because its backlog is full.
// Flow: outbound_peer.ts, remote_peer.mjs -> this <- sessions that connect.
// Thread: the caller's; one that sleeps while it listens.

import { connect } from 'node:net'
import { Worker } from 'node:worker_threads'

const HOST = '127.0.0.1'
const LISTENER = `
  const { createServer } = require('node:net')
  const { parentPort, workerData } = require('node:worker_threads')
  const server = createServer()
  server.listen({ host: '${HOST}', port: 0, backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    Atomics.wait(workerData, 0, 0)
    server.close()
  })
`
/** Connections that a backlog of 1 holds: the kernel lets it be exceeded by one. */
const BACKLOG_HOLDS = 2

/** On 127.0.0.1. @returns {Promise<{ port: number, close: () => Promise<unknown> }>} */
export async function listenSilently() {
  const word = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(LISTENER, { eval: true, workerData: word })
  /** @type {import('node:net').Socket[]} */
  const fillers = []
  const close = () => {
    for (const socket of fillers) socket.destroy()
    Atomics.store(word, 0, 1)
    Atomics.notify(word, 0)
    return new Promise((resolve) => worker.once('exit', resolve))
  }
  /** @type {number} */
  const port = await new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  for (let i = 0; i < BACKLOG_HOLDS; i++) {
    const socket = connect({ host: HOST, port })
    fillers.push(socket)
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    socket.on('error', () => {})
  }
  return { port, close }
}
