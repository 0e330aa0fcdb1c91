// What: jobs that use files: one that blocks and says so, one that returns a promise.
// Flow: handler.mjs -> this -> handler.mjs.
// Thread: each job thread.

import { appendFileSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { defineJobs } from 'overlapped'

const lines = (text) => text.split('\n').filter((line) => line !== '')

export default defineJobs({
  /** How many notes there are afterwards. While it blocks, another job thread takes its place. */
  append({ line }, runtime) {
    const { file } = runtime.data
    return runtime.jobs.blocking(() => {
      appendFileSync(file, `${line}\n`)
      return lines(readFileSync(file, 'utf8')).length
    })
  },

  /** A promise counts as blocking until it settles. */
  async list(_, runtime) {
    return lines(await readFile(runtime.data.file, 'utf8')).join(', ')
  },
})
