// What: the drivers count which sends and receives were over at once and which waited.
// Flow: clients that read, do not read, and send much -> a server that answers -> counters.
// Thread: the test's; the server's worker.

import { raw, type ServerOptions } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { Client, disconnectAfterEach } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'

disconnectAfterEach()
stopAfterEach()

/** More than both sockets of a connection hold while its client does not read. */
const BIG_BYTES = 10_000_000

const sends = (server: TestServer) =>
  ['sendsInline', 'sendsPending'].map((name) => server.count(name))
const receives = (server: TestServer) =>
  ['recvsInline', 'recvsPending'].map((name) => server.count(name))

describe.each(drivers)('%s', (driver) => {
  const start = (options: Partial<ServerOptions> = {}) =>
    startServer({
      driver,
      listeners: [{ port: 0, framing: raw() }],
      handler: handler('send_path'),
      ...options,
    })

  it('a message that comes by itself was waited for, its answer was sent at once', async () => {
    const server = await start()
    const client = await Client.connect(server.port())
    for (let round = 1; round <= 20; round++) {
      client.write('answers 1')
      await client.take(9)
      await server.until('the completion', () => server.count('bytesOut') === 9 * round)
      expect(receives(server)).toEqual([0, round])
      expect(sends(server)).toEqual([round, 0])
      expect(server.count('gathers')).toBe(round)
    }
  })

  it('what a socket has no room for waits, and every gather is one or the other', async () => {
    const server = await start({ maxBackpressure: 2 * BIG_BYTES })
    const client = await Client.connect(server.port(), { paused: true })
    client.write(`broadcast ${BIG_BYTES}`)
    await server.until('a second send, of what the first left', () => server.count('gathers') > 1)
    // Whoever is answered now is answered after the driver has that send.
    const other = await Client.connect(server.port())
    other.write('answers 1')
    await other.take(9)
    client.resume()
    await client.take(BIG_BYTES)
    await server.until('the last completion', () => server.count('bytesOut') === BIG_BYTES + 9)
    const [inline, pending] = sends(server)
    expect(inline).toBeGreaterThanOrEqual(1)
    expect(pending).toBeGreaterThanOrEqual(1)
    expect(inline + pending).toBe(server.count('gathers'))
  })

  it('what lies behind a full buffer is received at once', async () => {
    const server = await start({ receiveBufferSize: 512 })
    const client = await Client.connect(server.port())
    // One write: more than a buffer of it is in the socket at once.
    client.write(`broadcast 1${' '.repeat(60_000)}`)
    await server.until('all bytes', () => server.count('bytesIn') === 60_011)
    const [inline, pending] = receives(server)
    expect(inline).toBeGreaterThanOrEqual(1)
    expect(pending).toBeGreaterThanOrEqual(1)
    expect(inline + pending).toBeGreaterThanOrEqual(Math.ceil(60_011 / 512))
  })
})
