// What: a login that blocks its thread for as long as the server was told.
// Flow: login_handler.mjs -> this.
// Thread: a job thread.

import { defineJobs } from 'overlapped'

const word = new Int32Array(new SharedArrayBuffer(4))

export default defineJobs({
  login({ name }, { data, jobs }) {
    jobs.blocking(() => Atomics.wait(word, 0, 0, data.blockMs))
    return name
  },
})
