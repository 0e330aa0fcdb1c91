// What: a chat server: starts the workers, and keeps what they share, which is who has which nickname.
// Flow: handler.mjs in each worker -> messages to main -> this -> notices and talk to everyone.
// Thread: main.

import { createServer, delimiter } from 'overlapped'

/** Bytes of a line; a longer one ends the session. */
const LINE_BYTES_MAX = 4096

const server = createServer({
  listeners: [
    {
      port: Number(process.env.PORT ?? 9000),
      framing: delimiter({ bytes: '\n', maxPayloadLength: LINE_BYTES_MAX }),
    },
  ],
  handler: new URL('./handler.mjs', import.meta.url),
  workers: Number(process.env.WORKERS ?? 0),
  idleTimeout: 0,
  // nc does not end its stream when we end ours: after this time it is reset.
  closeTimeout: 500,
})

/** Nickname by session id: the sessions that are in the room. */
const names = new Map()
/** Nicknames in lower case: nobody may be Ann while somebody is ann. */
const taken = new Set()

function tellRoom(line) {
  server.broadcast(line, { to: names.keys() })
}

server.on('message', (message, from) => {
  const { type, id } = message
  const name = names.get(id)
  if (type === 'join') {
    const isFree = !taken.has(message.name.toLowerCase())
    if (isFree) {
      taken.add(message.name.toLowerCase())
      names.set(id, message.name)
      tellRoom(`* ${message.name} joined`)
    }
    server.post(from, { id, name: isFree ? message.name : '' })
  } else if (name === undefined) {
    // It left before it had a nickname.
  } else if (type === 'say') {
    tellRoom(`${name}: ${message.text}`)
  } else if (type === 'who') {
    server.send(id, `* here: ${[...names.values()].join(', ')}`)
  } else if (type === 'leave') {
    names.delete(id)
    taken.delete(name.toLowerCase())
    tellRoom(`* ${name} left (${message.reason})`)
  }
})

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.stop())
await server.listen()
const [{ host, port }] = server.info().listeners
console.log(`listening on ${host}:${port}, ${server.info().workers} workers`)
