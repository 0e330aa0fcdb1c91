// What: our server as a contestant: options as JSON, frames as all contestants have them.
// Flow: contestants.mjs -> this, a process of its own -> createServer, until a signal ends it.
// Thread: the main thread of the server under test.
//
// node overlapped_server.mjs PORT HANDLER OPTIONS
//
// `listener` in the options is the listener's own. The last line says what the counters came to.

import path from 'node:path'
import process from 'node:process'
import { createServer, lengthPrefix } from 'overlapped'

const [port, handler, optionText] = process.argv.slice(2)
const { listener, ...options } = JSON.parse(optionText)

const server = createServer({
  ...options,
  handler: path.resolve(handler),
  listeners: [
    {
      host: '127.0.0.1',
      port: Number(port),
      framing: lengthPrefix({ bytes: 2, endian: 'little' }),
      ...listener,
    },
  ],
})
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    console.log(`counters ${JSON.stringify(server.monitor.snapshot().totals)}`)
    server.stop()
  })
}
await server.listen()
console.log(`listening on ${port}: ${JSON.stringify(server.info())}`)
await server.closed
