// What: the server of docs/guide/choosing_a_mode.md: two update threads, each of which runs one part of a world.
// Flow: clients -> workers -> world.mjs in update threads.
// Thread: main.

import { createServer, delimiter } from 'overlapped'

const framing = delimiter({ bytes: '\n' })
const server = createServer({
  listeners: [
    { name: 'north', port: Number(process.env.PORT ?? 9000), framing },
    { name: 'south', port: 0, framing },
  ],
  handler: new URL('./world.mjs', import.meta.url),
  mode: process.env.MODE ?? 'update', // or 'send'
  update: { threads: 2, tickRate: 20, overrun: 'catchUp' },
})
process.once('SIGINT', () => server.stop())
await server.listen()
for (const { name, host, port } of server.info().listeners) console.log(`${name} ${host}:${port}`)
