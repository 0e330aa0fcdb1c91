// What: the client of outbound.md: connects, or goes on until it is connected.
// Flow: HOST PORT [again] of an echo server -> outbound_handler.mjs -> this prints what it hears.
// Thread: main; the connection is a session of worker1.

import { createServer } from 'overlapped'

const [host, port, again] = process.argv.slice(2)
const client = createServer({
  handler: new URL(again ? './reconnect_handler.mjs' : './outbound_handler.mjs', import.meta.url),
  workers: 1,
  data: { host, port: Number(port) },
})
client.on('message', async (text) => {
  console.log(text)
  if (!text.startsWith('attempt')) await client.stop()
})
await client.listen()
