// What: our server as a contestant: options as JSON, frames as all contestants have them.
// Flow: contestants.mjs -> this, a process of its own -> createServer, until a signal ends it.
// Thread: the main thread of the server under test.
//
// node overlapped_server.mjs PORT HANDLER OPTIONS

import path from 'node:path'
import process from 'node:process'
import { createServer, lengthPrefix } from 'overlapped'

const [port, handler, options] = process.argv.slice(2)

const server = createServer({
  ...JSON.parse(options),
  handler: path.resolve(handler),
  listeners: [
    {
      host: '127.0.0.1',
      port: Number(port),
      framing: lengthPrefix({ bytes: 2, endian: 'little' }),
    },
  ],
})
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => server.stop())
await server.listen()
console.log(`listening on ${port}: ${JSON.stringify(server.info())}`)
await server.closed
