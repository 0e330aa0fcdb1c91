// What: echoes length-prefixed messages; a message that starts with 'do ' is answered after the named Node API.
// Flow: test client -> this -> promises, timers, fetch, fs, MessagePort -> test client.
// Thread: a worker.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { MessageChannel } from 'node:worker_threads'
import { defineHandler } from 'overlapped'

const self = fileURLToPath(import.meta.url)
let httpPort = 0

const apis = {
  microtask: async () => 'microtask',
  timer: () => new Promise((resolve) => setTimeout(resolve, 20, 'timer')),
  immediate: () => new Promise((resolve) => setImmediate(resolve, 'immediate')),
  tick: () => new Promise((resolve) => process.nextTick(resolve, 'tick')),
  fs: async () => ((await readFile(self, 'utf8')).includes('What:') ? 'fs' : 'wrong file'),
  fetch: async () => (await fetch(`http://127.0.0.1:${httpPort}/`)).text(),
  port: () =>
    new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel()
      port2.once('message', (message) => {
        resolve(message)
        port1.close()
      })
      port1.postMessage('port')
    }),
}

export default defineHandler({
  onStart(runtime) {
    httpPort = runtime.data.httpPort
  },
  async onRecv(session, packet) {
    if (packet.length < 4 || packet.u8(0) !== 0x64 || packet.u8(2) !== 0x20) {
      session.send(packet)
      return
    }
    const name = packet.text(3)
    session.send(await apis[name]())
  },
})
