// What: the server of docs/guide/getting_started.md: three listeners, three handlers, one runtime.
// Flow: clients -> workers -> lines.mjs, source.mjs, lobby.mjs.
// Thread: main.

import { createServer, delimiter, lengthPrefix, OverlappedError, raw } from 'overlapped'

const server = createServer({
  listeners: [
    { name: 'lines', port: 0, framing: delimiter({ bytes: '\r\n', maxPayloadLength: 1000 }) },
    {
      name: 'lobby',
      port: 0,
      framing: lengthPrefix({ bytes: 4, endian: 'little', maxPayloadLength: 1000 }),
      handler: new URL('./lobby.mjs', import.meta.url),
    },
    { name: 'source', port: 0, framing: raw(), handler: new URL('./source.mjs', import.meta.url) },
  ],
  handler: new URL('./lines.mjs', import.meta.url), // for listeners without one of their own
  workers: 2,
  idleTimeout: 60_000,
  data: { motd: 'hello' }, // runtime.data in every worker
})

server.closed.catch((error) => console.error(error.message))
try {
  await server.listen()
} catch (error) {
  if (!(error instanceof OverlappedError)) throw error
  console.error(error.code, error.message) // ERR_ADDRESS_IN_USE listener 'lines' cannot listen on …
  process.exit(1)
}

setInterval(() => {
  const { sessions, totals, threads } = server.monitor.snapshot()
  console.error(sessions, totals.messagesIn, threads.map(({ name }) => name).join(' '))
}, 10_000).unref()

process.once('SIGTERM', async () => {
  await server.stop({ drainTimeout: 5000 })
  console.log('stopped')
})

for (const { name, host, port } of server.info().listeners) console.log(`${name} ${host}:${port}`)
