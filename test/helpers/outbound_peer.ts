// What: whom outbound sessions connect to: a node:net server, one whose backlog is full, an address without a way.
// Flow: tests -> this <- sessions under test.
// Thread: the test's.

import { createServer, type Server, type Socket } from 'node:net'
import { afterEach } from 'vitest'
import { until } from './e2e_server.ts'
import { hasRemotePeers, RemotePeer } from './remote_peer.ts'
import { listenSilently } from './silent_listener.mjs'

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

  /** Closes the listening socket and resets every connection, in this order: whoever connects again at once is refused. */
  async stop(): Promise<void> {
    const server = this.#server
    if (server === null) return
    this.#server = null
    const closed = new Promise((resolve) => server.close(resolve))
    for (const { socket } of this.connections) socket.resetAndDestroy()
    await closed
  }
}

/** Port of a socket that listens on 127.0.0.1 and answers nobody, because its backlog is full. */
export async function silentPort(): Promise<number> {
  // On Windows libuv accepts ahead, and no backlog is ever full: there it is one on Linux.
  if (hasRemotePeers) {
    const peer = await RemotePeer.listenSilently()
    ends.push(async () => peer.socket.destroy())
    return peer.port
  }
  const { port, close } = await listenSilently()
  ends.push(close)
  return port
}
