// What: asks for jobs from the thread that runs content, and reports what came of them.
// Flow: client -> this -> job threads -> this -> client, main.
// Thread: the content threads' of a server under test.

import { defineHandler } from 'overlapped'

let runtime

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onJoin(session) {
    runtime.post('main', { type: 'join', id: session.id })
  },
  async onRecv(session, packet) {
    const { name, args, isBound, bound, isClosed, isQuiet, times = 1 } = JSON.parse(packet.text())
    const options = isBound ? { session: session.id } : { session: bound }
    const asked = Array.from({ length: times }, () => runtime.jobs.run(name, args, options))
    if (isClosed) session.terminate()
    for (const outcome of await Promise.allSettled(asked)) {
      const { status, value, reason } = outcome
      const { code, message } = reason ?? {}
      const report = { status, value, code, message, thread: runtime.thread, id: session.id }
      if (!isQuiet) runtime.post('main', { type: 'job', ...report })
      if (session.isOpen) session.send(JSON.stringify(report))
    }
  },
  onLeave(session) {
    runtime.post('main', { type: 'leave', id: session.id })
  },
})
