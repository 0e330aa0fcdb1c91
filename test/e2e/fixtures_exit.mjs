// What: a program that serves under load from itself and ends the process, or its workers, after some milliseconds.
// Flow: termination.test.ts -> this, in a child process.
// Thread: main of the child.

import { connect } from 'node:net'
import { parentPort, Worker } from 'node:worker_threads'
import { createServer, lengthPrefix } from 'overlapped'

const [driver, mode, how, afterMs] = process.argv.slice(2)
/** Content in workers, in update threads, and in update threads that handle messages when they tick. */
const modes = {
  worker: {},
  update: { mode: 'update', update: { threads: 2, eager: true } },
  ticking: { mode: 'update', update: { threads: 2, tickRate: 200 } },
}

if (how === 'terminate') {
  // The server of another thread ends with that thread, and its workers with it.
  const worker = new Worker(new URL(import.meta.url), { argv: [driver, mode, 'serve', '0'] })
  worker.once('message', () => {
    setTimeout(async () => {
      await worker.terminate()
      process.exitCode = 0
    }, Number(afterMs))
  })
} else {
  await serve()
}

async function serve() {
  const server = createServer({
    driver,
    ...modes[mode],
    workers: 2,
    listeners: [{ port: 0, framing: lengthPrefix() }],
    handler: new URL('./handlers/fatal.mjs', import.meta.url),
    drainTimeout: 200,
  })
  server.closed.catch((error) => {
    if (how !== 'exit' && how !== 'throw' && how !== 'reject') throw error
    console.log(`lost: ${error.code}`)
  })
  await server.listen()
  const [{ port }] = server.info().listeners
  const frame = (text) => Buffer.concat([Buffer.from([0, text.length]), Buffer.from(text)])
  const sockets = Array.from({ length: 16 }, () => {
    const socket = connect(port, '127.0.0.1')
    socket.on('data', (data) => socket.write(data))
    socket.on('error', () => {})
    socket.write(Buffer.concat(Array.from({ length: 8 }, () => frame('round and round'))))
    return socket
  })
  setTimeout(async () => {
    if (how === 'serve') return parentPort.postMessage('serving')
    if (how === 'process-exit') process.exit(0)
    if (how === 'stop') {
      await server.stop()
      for (const socket of sockets) socket.destroy()
      return
    }
    // The frame goes in whole: the sockets echo frames, so it stands between two of them.
    const victim = connect(port, '127.0.0.1')
    victim.on('error', () => {})
    victim.write(frame(how))
    if (how === 'spin') {
      await new Promise((resolve) => setTimeout(resolve, 100))
      await server.stop()
    } else {
      await server.closed.catch(() => {})
      await server.stop()
    }
    victim.destroy()
    for (const socket of sockets) socket.destroy()
  }, Number(afterMs))
}
