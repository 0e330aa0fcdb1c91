// What: an echo server: each message goes back to whoever sent it.
// Flow: clients -> workers -> handler.mjs -> clients.
// Thread: main.

import { createServer, lengthPrefix } from 'overlapped'

const server = createServer({
  listeners: [{ port: Number(process.env.PORT ?? 9000), framing: lengthPrefix() }],
  handler: new URL('./handler.mjs', import.meta.url),
})
await server.listen()
process.once('SIGINT', () => server.stop())
const [{ host, port }] = server.info().listeners
console.log(`listening on ${host}:${port}`)
