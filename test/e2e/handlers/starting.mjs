// What: a handler whose onStart ends, rejects or never ends, thread by thread, and which leaves when it is told to.
// Flow: stop.test.ts -> this -> stop.test.ts.
// Thread: the workers', or the update threads', of a server that starts.

import { defineHandler } from 'overlapped'

export default defineHandler({
  async onStart(runtime) {
    runtime.post('main', { type: 'starting' })
    const how = runtime.data[runtime.thread]
    if (how === 'never') await new Promise(() => {})
    if (how === 'rejects') throw new Error('no database')
  },
  onStop(runtime) {
    runtime.post('main', { type: 'stopping' })
  },
  onMessage() {
    process.exit(0)
  },
})
