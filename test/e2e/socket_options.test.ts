// What: what a listener's options say is so on the sockets that it accepts.
// Flow: a connection to a server in this process -> getsockopt on the accepted socket, from a helper program.
// Thread: the test's; the server's workers.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { raw } from 'overlapped'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { Client } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach } from '../helpers/e2e_server.ts'

const source = fileURLToPath(new URL('../native/socket_options.c', import.meta.url))

stopAfterEach()

describe.each(drivers)('%s', (driver) => {
  let folder = ''

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'overlapped-options-'))
    execFileSync(process.env.CC || 'cc', ['-o', join(folder, 'socket_options'), source])
  })

  afterAll(() => rmSync(folder, { recursive: true }))

  async function accepted(options: object) {
    const server = await startServer({
      driver,
      listeners: [{ port: 0, framing: raw(), ...options }],
      handler: handler('blocking_echo'),
      data: { blockMs: 0 },
    })
    const client = await Client.connect(server.port())
    client.write('x')
    await client.take(1)
    const { localPort } = client.socket as unknown as AddressInfo & { localPort: number }
    const args = [String(process.pid), String(localPort)]
    const printed = execFileSync(join(folder, 'socket_options'), args, { encoding: 'utf8' })
    client.end()
    return JSON.parse(printed) as Record<string, number>
  }

  it('noDelay is on by default, and off when asked for', async () => {
    expect((await accepted({})).noDelay).toBe(1)
    expect((await accepted({ noDelay: false })).noDelay).toBe(0)
  })

  it('buffer sizes are inherited', async () => {
    // The kernel doubles what it is given, socket(7).
    expect(await accepted({ sendBufferBytes: 20_000, receiveBufferBytes: 30_000 })).toEqual({
      noDelay: 1,
      sendBufferBytes: 40_000,
      receiveBufferBytes: 60_000,
    })
  })
})
