// What: a server that appends messages to a log file and reads it, by jobs, so that no worker waits for a disk.
// Flow: clients -> workers -> handler.mjs -> jobs.mjs -> clients.
// Thread: main.

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, delimiter } from 'overlapped'

const file = process.env.FILE ?? join(mkdtempSync(join(tmpdir(), 'notes-')), 'notes.txt')
const server = createServer({
  listeners: [{ port: Number(process.env.PORT ?? 9000), framing: delimiter({ bytes: '\n' }) }],
  handler: new URL('./handler.mjs', import.meta.url),
  data: { file },
  jobs: { module: new URL('./jobs.mjs', import.meta.url), threads: 4 },
})
process.once('SIGINT', () => server.stop())
await server.listen()
const [{ host, port }] = server.info().listeners
console.log(`listening on ${host}:${port}, notes in ${file}`)
