// What: a login per message: answered when its job is done.
// Flow: client -> this -> login_jobs.mjs -> this -> client.
// Thread: a worker.

import { defineHandler } from 'overlapped'

export default defineHandler({
  async onRecv(session, packet) {
    const name = packet.text()
    try {
      session.send(await session.runtime.jobs.run('login', { name }, { session: session.id }))
    } catch (error) {
      // The clients go in the middle of a login.
      if (error.code !== 'ERR_SESSION_GONE') throw error
    }
  },
})
