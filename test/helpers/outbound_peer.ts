// What: whom outbound sessions connect to: a node:net server, one whose backlog is full, an address without a way.
// Flow: tests -> this <- sessions under test.
// Thread: the test's; one that sleeps while it listens.

import { connect, createServer, type Server, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import { afterEach } from 'vitest'
import { until } from './e2e_server.ts'

/** Nobody listens there, and no socket is given it as its own, so none connects to itself. */
export const CLOSED_PORT = 1
/** The broadcast address of the loopback network: TCP has no way there, and nothing is sent. */
export const UNREACHABLE_HOST = '127.255.255.255'
/** A label is longer than 63 characters, which no resolver asks for. */
export const NO_NAME = `${'x'.repeat(64)}.invalid`
/** Not the address that sockets which connect to it have themselves, so none connects to itself. */
const PEER_HOST = '127.0.0.2'

const ends: (() => Promise<unknown>)[] = []

/** To be called once by a test file. */
export function endPeersAfterEach(): void {
  afterEach(async () => {
    await Promise.all(ends.splice(0).map((end) => end()))
  })
}

/** One connection, as the peer sees it. */
export interface PeerConnection {
  readonly socket: Socket
  /** Everything that came. */
  bytes: Buffer
  ended: boolean
  closed: boolean
}

export class Peer {
  readonly host = PEER_HOST
  port = 0
  readonly connections: PeerConnection[] = []
  #server: Server | null = null

  static async start(): Promise<Peer> {
    const peer = new Peer()
    ends.push(() => peer.stop())
    await peer.listen()
    return peer
  }

  /** Again on the same port, after stop(). */
  async listen(): Promise<void> {
    const server = createServer((socket) => this.#accept(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.port, PEER_HOST, resolve)
    })
    this.port = (server.address() as { port: number }).port
    this.#server = server
  }

  #accept(socket: Socket): void {
    const connection: PeerConnection = {
      socket,
      bytes: Buffer.alloc(0),
      ended: false,
      closed: false,
    }
    this.connections.push(connection)
    socket.on('data', (chunk: Buffer) => {
      connection.bytes = Buffer.concat([connection.bytes, chunk])
    })
    socket.on('end', () => {
      connection.ended = true
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      connection.closed = true
    })
  }

  /** The nth connection, when it is there. */
  connection(nth = 0): Promise<PeerConnection> {
    return until(`connection ${nth} to the peer`, () => this.connections[nth])
  }

  /** Closes the listening socket and resets every connection. */
  async stop(): Promise<void> {
    const server = this.#server
    if (server === null) return
    this.#server = null
    for (const { socket } of this.connections) socket.resetAndDestroy()
    await new Promise((resolve) => server.close(resolve))
  }
}

const LISTENER = `
  const { createServer } = require('node:net')
  const { parentPort, workerData } = require('node:worker_threads')
  const server = createServer()
  server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    Atomics.wait(workerData, 0, 0)
    server.close()
  })
`

/** Connections that a backlog of 1 holds: the kernel lets it be exceeded by one. */
const BACKLOG_HOLDS = 2

/** Port of a socket that listens on 127.0.0.1 and answers nobody, because its backlog is full. */
export async function silentPort(): Promise<number> {
  const word = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(LISTENER, { eval: true, workerData: word })
  const fillers: Socket[] = []
  ends.push(() => {
    for (const socket of fillers) socket.destroy()
    Atomics.store(word, 0, 1)
    Atomics.notify(word, 0)
    return new Promise((resolve) => worker.once('exit', resolve))
  })
  const port = await new Promise<number>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  for (let i = 0; i < BACKLOG_HOLDS; i++) {
    const socket = connect({ host: '127.0.0.1', port })
    fillers.push(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    socket.on('error', () => {})
  }
  return port
}
