// What: a server whose logins block a job thread each, as a query of a database without promises would.
// Flow: blocking_login.mjs starts it -> login_handler.mjs -> login_jobs.mjs.
// Thread: main of a process of its own.

import process from 'node:process'
import { createServer, lengthPrefix } from 'overlapped'

const [threads, blockMs] = process.argv.slice(2).map(Number)
const server = createServer({
  listeners: [{ port: 0, framing: lengthPrefix() }],
  handler: new URL('./login_handler.mjs', import.meta.url),
  workers: 1,
  data: { blockMs },
  jobs: { module: new URL('./login_jobs.mjs', import.meta.url), threads },
})
await server.listen()
process.send(server.info().listeners[0].port)
process.once('message', async () => {
  const { jobsFailed, jobsFull } = server.monitor.snapshot().totals
  process.send({ refused: jobsFailed + jobsFull })
  await server.stop()
  process.disconnect()
})
