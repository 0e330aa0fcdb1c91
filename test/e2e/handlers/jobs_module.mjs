// What: jobs for end-to-end tests: they answer, block, wait, fail, and use the runtime.
// Flow: job thread -> this.
// Thread: the job threads' of a server under test.

import { readFile, writeFile } from 'node:fs/promises'
import { defineJobs } from 'overlapped'

const cell = new Int32Array(new SharedArrayBuffer(4))
const sleep = (ms) => Atomics.wait(cell, 0, 0, ms)

export default defineJobs({
  add: ({ a, b }) => a + b,
  echo: (args) => args,
  thread: (_, runtime) => ({ thread: runtime.thread, data: runtime.data }),
  later: async ({ ms, value }) => {
    await new Promise((resolve) => setTimeout(resolve, ms))
    return value
  },
  /** Until another thread sets the word, or for so long. */
  block: ({ ms }, runtime) =>
    runtime.jobs.blocking(() => Atomics.wait(new Int32Array(runtime.data), 0, 0, ms)),
  spin: ({ ms }) => sleep(ms),
  fail: ({ message }) => {
    throw Object.assign(new RangeError(message), { code: 'E_TEST' })
  },
  reject: async () => {
    throw 'no error'
  },
  exit: () => process.exit(0),
  closure: () => () => {},
  long: ({ bytes }) => new Uint8Array(bytes),
  nested: (_, runtime) => runtime.jobs.run('add', { a: 1, b: 1 }),
  send: ({ id, text }, runtime) => runtime.send(id, text),
  file: async ({ path, text }) => {
    await writeFile(path, text)
    return (await readFile(path)).toString()
  },
})
