// What: a peer whose socket is another process's on Linux: what a client inside of Wine cannot do.
// Flow: real_place.ts, bad_input.test.ts -> this -> remote_peer.mjs -> the driver under test.
// Thread: the test's.

import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { Peer } from '../driver/place.ts'
import { until } from './e2e_server.ts'

/** Set by scripts/test_windows.mjs: where such peers are had. */
const PORT = Number(process.env.TESTS_REMOTE_PEERS ?? 0)

export const hasRemotePeers = PORT !== 0

interface Event {
  readonly data?: string
  readonly port?: number
  readonly ended?: boolean
  readonly error?: string
  readonly closed?: boolean
  readonly done?: string
}

export class RemotePeer implements Peer {
  readonly socket: Socket
  port = 0
  received = Buffer.alloc(0)
  ended = false
  isReset = false
  isClosed = false
  #asked = 0
  #done = 0

  /** `first`: the first thing that it does. */
  private constructor(first: object) {
    this.socket = connect(PORT, '127.0.0.1')
    this.socket.on('error', () => {})
    createInterface({ input: this.socket }).on('line', (line) => this.#hear(JSON.parse(line)))
    this.#tell(first)
  }

  static connect(port: number, isPaused: boolean): RemotePeer {
    return new RemotePeer({ do: 'connect', port, isPaused })
  }

  /** It listens, and answers nobody. */
  static async listenSilently(): Promise<RemotePeer> {
    const peer = new RemotePeer({ do: 'listenSilently' })
    await until('a remote peer to listen', () => peer.port !== 0)
    return peer
  }

  #hear({ data, port, ended, error, closed, done }: Event): void {
    if (data !== undefined)
      this.received = Buffer.concat([this.received, Buffer.from(data, 'base64')])
    if (port !== undefined) this.port = port
    if (ended) this.ended = true
    if (error === 'ECONNRESET') this.isReset = true
    if (closed) this.isClosed = true
    if (done !== undefined) this.#done++
  }

  #tell(order: object): void {
    this.#asked++
    this.socket.write(`${JSON.stringify(order)}\n`)
  }

  /** When it has done what it was told. */
  async settled(): Promise<void> {
    await until('a remote peer to do it', () => this.#done === this.#asked)
  }

  write(bytes: Uint8Array): void {
    this.#tell({ do: 'write', data: Buffer.from(bytes).toString('base64') })
  }

  end(): void {
    this.#tell({ do: 'end' })
  }

  reset(): void {
    this.#tell({ do: 'reset' })
  }

  pause(): void {
    this.#tell({ do: 'pause' })
  }

  resume(): void {
    this.#tell({ do: 'resume' })
  }
}
