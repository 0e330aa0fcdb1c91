// What: peers on Linux for tests under Wine, inside of which no client can reset: a server of sockets that do as they are told.
// Flow: remote_peer.ts -> lines of JSON on a connection each -> this -> a socket to the server under test.
// Thread: a process of its own, which test_windows.mjs starts.

import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { listenSilently } from './silent_listener.mjs'

const HOST = '127.0.0.1'

function serve(control) {
  let peer
  let silent
  const tell = (event) => control.write(`${JSON.stringify(event)}\n`)
  const orders = {
    connect({ port, isPaused }) {
      peer = connect({ host: HOST, port, noDelay: true, allowHalfOpen: true })
      if (isPaused) peer.pause()
      peer.on('data', (chunk) => tell({ data: chunk.toString('base64') }))
      if (isPaused) peer.pause()
      peer.on('connect', () => tell({ port: peer.localPort }))
      peer.on('end', () => tell({ ended: true }))
      peer.on('error', ({ code }) => tell({ error: code }))
      peer.on('close', () => tell({ closed: true }))
    },
    async listenSilently() {
      silent = await listenSilently()
      tell({ port: silent.port })
    },
    write: ({ data }) => peer.write(Buffer.from(data, 'base64')),
    end: () => peer.end(),
    reset: () => peer.resetAndDestroy(),
    pause: () => peer.pause(),
    resume: () => peer.resume(),
  }
  createInterface({ input: control }).on('line', (line) => {
    const order = JSON.parse(line)
    orders[order.do](order)
    tell({ done: order.do })
  })
  control.on('error', () => {})
  control.on('close', () => {
    peer?.destroy()
    silent?.close()
  })
}

const server = createServer({ noDelay: true }, serve)
server.listen(0, HOST, () => process.send(server.address().port))
process.on('disconnect', () => process.exit(0))
