// What: await, timers, immediates, fetch, fs and MessagePort work in a handler, idle and under full load.
// Flow: node:net clients -> a server whose handler uses Node APIs -> answers.
// Thread: the test's; the server's workers.

import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { createServer, lengthPrefix, type Server } from 'overlapped'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { drivers } from '../helpers/drivers.ts'

const APIS = ['microtask', 'timer', 'immediate', 'tick', 'fs', 'fetch', 'port']
const LOAD_CONNECTIONS = 64

/** A client that sends a message and gets the next answer. */
class Client {
  readonly #socket: Socket
  #bytes = Buffer.alloc(0)
  readonly #waiting: ((answer: string) => void)[] = []

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1')
    this.#socket.on('data', (data) => {
      this.#bytes = Buffer.concat([this.#bytes, data])
      while (this.#bytes.length >= 2 && this.#bytes.length >= 2 + this.#bytes.readUInt16BE(0)) {
        const length = this.#bytes.readUInt16BE(0)
        this.#waiting.shift()?.(this.#bytes.toString('utf8', 2, 2 + length))
        this.#bytes = this.#bytes.subarray(2 + length)
      }
    })
  }

  ask(text: string): Promise<string> {
    const payload = Buffer.from(text)
    const header = Buffer.alloc(2)
    header.writeUInt16BE(payload.length)
    this.#socket.write(Buffer.concat([header, payload]))
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  end(): void {
    this.#socket.destroy()
  }
}

describe.each(drivers)('%s', (driver) => {
  // Wine refuses what fetch asks of its socket (missing.mjs).
  const apis = driver === 'iocp' ? APIS.filter((api) => api !== 'fetch') : APIS
  let http: HttpServer
  let server: Server
  let port = 0

  beforeAll(async () => {
    // A connection that is kept, and ended for its idleness in the meantime, would make a fetch fail.
    http = createHttpServer((_, response) => {
      response.setHeader('connection', 'close').end('fetch')
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    server = createServer({
      driver,
      workers: 1,
      listeners: [{ port: 0, framing: lengthPrefix() }],
      handler: new URL('./handlers/node_apis.mjs', import.meta.url),
      data: { httpPort: (http.address() as AddressInfo).port },
    })
    await server.listen()
    port = server.info().listeners[0].port
  })

  afterAll(async () => {
    await server.stop()
    http.closeAllConnections()
    http.close()
  })

  it.each(apis)('%s answers on an idle server', async (api) => {
    const client = new Client(port)
    for (let i = 0; i < 5; i++) expect(await client.ask(`do ${api}`)).toBe(api)
    client.end()
  })

  it.each(apis)('%s answers while 64 connections echo at full rate', async (api) => {
    const load = Array.from({ length: LOAD_CONNECTIONS }, () => new Client(port))
    let loading = true
    let echoes = 0
    const loops = load.map(async (client, i) => {
      for (let n = 0; loading; n++) {
        if ((await client.ask(`echo ${i} ${n}`)) !== `echo ${i} ${n}`)
          throw new Error('a wrong echo')
        echoes++
      }
    })
    const client = new Client(port)
    for (let i = 0; i < 5; i++) expect(await client.ask(`do ${api}`)).toBe(api)
    loading = false
    await Promise.all(loops)
    expect(echoes).toBeGreaterThan(LOAD_CONNECTIONS)
    for (const one of load) one.end()
    client.end()
  })
})
