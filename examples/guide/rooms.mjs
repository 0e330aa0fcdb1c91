// What: the handler of docs/guide/groups.md: people are in rooms, and what one says all others in his rooms hear.
// Flow: rooms_server.mjs -> this -> groups of all workers.
// Thread: each worker.

import { defineHandler } from 'overlapped'

export default defineHandler({
  onRecv(session, packet) {
    const { runtime, id } = session
    const line = packet.text()
    const [, command, room] = /^\/(join|leave) (\w{1,20})$/.exec(line) ?? []
    if (command === 'join') {
      session.send(session.join(room, { capacity: 3 })) // joined, full, exhausted
    } else if (command === 'leave') {
      session.leave(room)
    } else {
      for (const group of session.groups)
        runtime.broadcast(`${group}: ${line}`, { to: { group }, except: id })
    }
  },
  onLeave({ groups, runtime }) {
    for (const group of groups) runtime.broadcast(`${group}: bye`, { to: { group } })
  },
})
