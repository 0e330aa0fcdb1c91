// What: onTick runs in every worker, its sends go out, a tick that throws does not end the next ones.
// Flow: timer of a worker -> handler -> clients.
// Thread: the test's; the server's workers.

import { delimiter } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'
import { Client } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach } from '../helpers/e2e_server.ts'

stopAfterEach()

describe.each(drivers)('%s', (driver) => {
  it('ticks at its rate in each worker, and goes on after an error', async () => {
    const server = await startServer({
      driver,
      workers: 2,
      tickRate: 100,
      listeners: [{ port: 0, framing: delimiter() }],
      handler: handler('tick'),
    })
    // One session on each worker: accepts are balanced.
    const clients = [await Client.connect(server.port()), await Client.connect(server.port())]
    await server.until('both workers have failed once', () => server.seen('error').length === 2)
    expect(
      server
        .seen('error')
        .map(({ from, message }) => `${from} ${message}`)
        .sort(),
    ).toEqual(['worker1 a tick that fails', 'worker2 a tick that fails'])
    for (const client of clients) {
      const lines = String(await client.take(200)).split('\n')
      // Ticks are numbered without a gap from the one in which the session was there.
      const numbers = lines.slice(1, -1).map((line) => Number(/^tick (\d+) true$/.exec(line)?.[1]))
      expect(numbers.length).toBeGreaterThan(5)
      numbers.forEach((number, i) => {
        expect(number).toBe(numbers[0] + i)
      })
    }
  })
})
