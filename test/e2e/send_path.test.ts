// What: sends of a turn leave in one gather; a broadcast has one copy of the bytes, on all workers.
// Flow: clients -> a server whose handler answers and broadcasts -> counters, bytes.
// Thread: the test's; the server's workers.

import { delimiter, raw } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { Client } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach } from '../helpers/e2e_server.ts'

stopAfterEach()

describe.each(drivers)('%s', (driver) => {
  it('sends everything of a turn to one session in one gather', async () => {
    const server = await startServer({
      driver,
      listeners: [{ port: 0, framing: raw() }],
      handler: handler('send_path'),
    })
    const client = await Client.connect(server.port())
    for (let round = 1; round <= 5; round++) {
      client.write('answers 10')
      expect(String(await client.take(90))).toMatch(/^(answer \d\n){10}$/)
      // Small messages lie behind one another in a chunk: one slice, too.
      expect(server.count('gathers')).toBe(round)
      expect(server.count('gatherSlices')).toBe(round)
      expect(server.count('messagesOut')).toBe(round * 10)
    }
  })

  it('needs maxGather slices at most, and as many gathers as it takes', async () => {
    const server = await startServer({
      driver,
      maxGather: 2,
      chunkBytes: 4096,
      listeners: [{ port: 0, framing: raw() }],
      handler: handler('send_path'),
    })
    const client = await Client.connect(server.port())
    client.write('answers 2000')
    const expected = Array.from({ length: 2000 }, (_, i) => `answer ${i}\n`).join('')
    expect(String(await client.take(expected.length))).toBe(expected)
    await server.until('the last completion', () => server.count('bytesOut') === expected.length)
    const slices = server.count('gatherSlices')
    expect(slices).toBeGreaterThanOrEqual(Math.ceil(expected.length / 4096))
    expect(server.count('gathers')).toBe(Math.ceil(slices / 2))
  })

  it('broadcasts one copy to the sessions of all workers', async () => {
    // Less memory than the 40 recipients would need with a copy each.
    const server = await startServer({
      driver,
      workers: 2,
      arenaBytes: 4 * 2 ** 20,
      receiveBuffers: 16,
      listeners: [{ port: 0, framing: delimiter({ strip: false }) }],
      handler: handler('send_path'),
    })
    const clients = await Promise.all(
      Array.from({ length: 40 }, () => Client.connect(server.port())),
    )
    await server.until('everybody has joined', () => server.seen('join').length === 40)
    const bytes = 60_000
    clients[0].write(`broadcast ${bytes}\n`)
    expect(await server.next('broadcast')).toMatchObject({
      queued: 40,
      full: 0,
      closed: 0,
      dropped: 0,
    })
    const expected = Buffer.alloc(bytes, 7)
    for (const client of clients) expect((await client.take(bytes)).equals(expected)).toBe(true)
  })

  it('listens on IPv6', async () => {
    const server = await startServer({
      driver,
      listeners: [{ host: '::1', port: 0, framing: raw() }],
      handler: handler('send_path'),
    })
    const client = await Client.connect(server.port(), { host: '::1' })
    client.write('answers 1')
    expect(String(await client.take(9))).toBe('answer 0\n')
  })
})
