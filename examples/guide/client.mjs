// What: the client of getting_started.md: an outbound session of a worker.
// Flow: HOST PORT of an echo server -> client_handler.mjs -> this prints the answer.
// Thread: main; the connection is a session of worker1.

import { createServer, lengthPrefix } from 'overlapped'

const [host, port] = process.argv.slice(2)
const client = createServer({
  outbound: [{ name: 'echo', framing: lengthPrefix() }],
  handler: new URL('./client_handler.mjs', import.meta.url),
  workers: 1,
})
client.on('message', async (answer) => {
  console.log(answer)
  await client.stop()
})
await client.listen()
client.post('worker1', { host, port: Number(port) })
