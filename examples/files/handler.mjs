// What: asks for a job per line: `list` reads the notes, anything else is a note.
// Flow: client -> this -> jobs.mjs -> this -> client.
// Thread: each worker.

import { defineHandler } from 'overlapped'

export default defineHandler({
  async onRecv(session, packet) {
    const { jobs } = session.runtime
    const line = packet.text().trimEnd()
    try {
      if (line === 'list') session.send(await jobs.run('list', {}, { session: session.id }))
      else session.send(`note ${await jobs.run('append', { line }, { session: session.id })}`)
    } catch (error) {
      // The client has left meanwhile: nobody is there to be told.
      if (error.code !== 'ERR_SESSION_GONE') throw error
    }
  },
})
