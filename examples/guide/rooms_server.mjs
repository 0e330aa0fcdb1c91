// What: the server of docs/guide/groups.md: rooms across workers, and main that speaks to one of them.
// Flow: clients -> workers -> rooms.mjs.
// Thread: main.

import { createServer, delimiter } from 'overlapped'

const server = createServer({
  listeners: [{ port: Number(process.env.PORT ?? 9000), framing: delimiter({ bytes: '\n' }) }],
  handler: new URL('./rooms.mjs', import.meta.url),
  workers: 2,
  groups: { max: 100 }, // rooms at once
})
process.once('SIGINT', () => server.stop())
await server.listen()

process.on('SIGHUP', () => {
  const { members, capacity } = server.group('lobby') ?? { members: 0, capacity: 0 }
  server.broadcast(`lobby: ${members} of ${capacity} are here`, { to: { group: 'lobby' } })
})

const [{ host, port }] = server.info().listeners
console.log(`listening on ${host}:${port}`)
