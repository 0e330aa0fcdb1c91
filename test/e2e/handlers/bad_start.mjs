// What: a handler whose onStart rejects.
// Flow: stop.test.ts -> this.
// Thread: a worker, which does not start.

import { defineHandler } from 'overlapped'

export default defineHandler({
  async onStart() {
    throw new Error('no database')
  },
})
