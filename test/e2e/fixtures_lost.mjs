// What: a program whose servers lose a worker at a random moment, under load across workers, one server after another.
// Flow: lost_worker.test.ts -> this, in a child process.
// Thread: main of the child.

import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { createServer, lengthPrefix } from 'overlapped'

const [driver, rounds] = process.argv.slice(2)
/** Longest time under load before the worker is terminated. */
const LOAD_MS_MAX = 60

let workers = []
process.on('worker', (worker) => workers.push(worker))

async function round() {
  workers = []
  const server = createServer({
    driver,
    workers: 3,
    listeners: [{ port: 0, framing: lengthPrefix() }],
    handler: new URL('./handlers/lost.mjs', import.meta.url),
    arenaBytes: 64 * 2 ** 20,
    drainTimeout: 100,
  })
  await server.listen()
  const [{ port }] = server.info().listeners
  const frame = Buffer.from('\0\x04ping')
  const sockets = Array.from({ length: 12 }, () => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('data', () => socket.write(frame))
    socket.write(frame)
    return socket
  })
  await new Promise((resolve) => setTimeout(resolve, Math.random() * LOAD_MS_MAX))
  await workers[Math.floor(Math.random() * workers.length)].terminate()
  const code = await server.closed.then(
    () => 'none',
    (error) => error.code,
  )
  await server.stop()
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => setTimeout(resolve, 20))
  return code === 'ERR_WORKER_LOST' ? 1 : 0
}

const open = () => readdirSync('/proc/self/fd').length
let lost = await round()
const before = open()
while (lost < Number(rounds)) lost += await round()
console.log(`${lost} lost, ${Math.max(0, open() - before)} descriptors left`)
