// What: a client on node:net that sees bytes: what came, FIN, reset, closed.
// Flow: tests -> this -> a server under test -> this -> tests.
// Thread: the test's.

import { connect, type Socket } from 'node:net'
import { afterEach } from 'vitest'
import { type TestServer, until } from './e2e_server.ts'

export interface ClientOptions {
  /** Does not answer the server's FIN by itself. */
  readonly allowHalfOpen?: boolean
  /** Reads nothing until resume(). */
  readonly paused?: boolean
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Address that the connection comes from; the system's choice where absent. */
  readonly localAddress?: string
}

const open = new Set<Client>()

export class Client {
  readonly socket: Socket
  #chunks: Buffer[] = []
  /** Bytes that came and were not taken. */
  length = 0
  /** Bytes that came. */
  received = 0
  /** The server's FIN came. */
  ended = false
  closed = false
  /** Code of the socket's error, '' without one. */
  error = ''

  static async connect(port: number, options: ClientOptions = {}): Promise<Client> {
    const client = new Client(port, options)
    await new Promise<void>((resolve, reject) => {
      client.socket.once('connect', resolve)
      client.socket.once('error', reject)
    })
    return client
  }

  /** A socket that is there, or one that connects, which the server may answer with a reset before or after it is done. */
  constructor(
    to: number | Socket,
    { allowHalfOpen = false, paused = false, host = '127.0.0.1', localAddress }: ClientOptions = {},
  ) {
    const from = localAddress === undefined ? {} : { localAddress }
    this.socket =
      typeof to === 'number'
        ? connect({ port: to, host, ...from, noDelay: true, allowHalfOpen })
        : to
    open.add(this)
    if (paused) this.socket.pause()
    this.socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.length += chunk.length
      this.received += chunk.length
    })
    if (paused) this.socket.pause()
    this.socket.on('end', () => {
      this.ended = true
    })
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message
    })
    this.socket.on('close', () => {
      this.closed = true
      open.delete(this)
    })
  }

  write(data: Uint8Array | string): void {
    this.socket.write(data)
  }

  /** The next `count` bytes. */
  async take(count: number): Promise<Buffer> {
    await until(`${count} bytes from the server`, () => this.length >= count || this.closed)
    if (this.length < count) {
      throw new Error(`closed (${this.error}) after ${this.length} bytes, ${count} wanted`)
    }
    return this.drain(count)
  }

  /** What came so far, at most `count` bytes of it. */
  drain(count = this.length): Buffer {
    const all = Buffer.concat(this.#chunks)
    this.#chunks = all.length > count ? [all.subarray(count)] : []
    this.length = Math.max(0, all.length - count)
    return all.subarray(0, count)
  }

  /** Everything until the connection closed. */
  async rest(): Promise<Buffer> {
    await this.untilClosed()
    return this.drain()
  }

  resume(): void {
    this.socket.resume()
  }

  end(): void {
    this.socket.end()
  }

  reset(): void {
    this.socket.resetAndDestroy()
  }

  untilEnded(): Promise<boolean> {
    return until('FIN from the server', () => this.ended)
  }

  untilClosed(): Promise<boolean> {
    return until('the connection to close', () => this.closed)
  }

  // --- messages with a 4-byte big-endian length, as most tests use -----------------------------

  /** Sends messages. */
  say(...messages: readonly (Uint8Array | string)[]): void {
    this.socket.write(Buffer.concat(messages.map(frame)))
  }

  /** The next message. */
  async hear(): Promise<Buffer> {
    const header = await this.take(4)
    return this.take(header.readUInt32BE(0))
  }

  async ask(message: Uint8Array | string): Promise<string> {
    this.say(message)
    return (await this.hear()).toString()
  }
}

export interface Peer {
  readonly client: Client
  /** Its session, and the thread that runs its content. */
  readonly id: number
  readonly worker: string
}

/** A client, where its session is the next one whose handler reports that it has joined. */
export async function join(
  test: TestServer,
  listener?: string,
  options: ClientOptions = {},
): Promise<Peer> {
  const before = test.seen('join').length
  const client = await Client.connect(test.port(listener), options)
  const { id, from } = await test.next('join', {}, before)
  return { client, id: id as number, worker: from }
}

/** A message with its 4-byte big-endian length. */
export function frame(message: Uint8Array | string): Buffer {
  const payload = Buffer.from(message as string)
  const header = Buffer.alloc(4)
  header.writeUInt32BE(payload.length)
  return Buffer.concat([header, payload])
}

/** The payloads of whole frames; throws when the last one is cut. */
export function unframe(bytes: Buffer): Buffer[] {
  const payloads: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32BE(at)
    if (end > bytes.length) throw new Error(`a frame is cut: ${end - bytes.length} bytes missing`)
    payloads.push(bytes.subarray(at + 4, end))
    at = end
  }
  return payloads
}

/** Bytes that differ everywhere: a gap, a repetition or an exchange shows. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed | 0 || 1
  for (let at = 0; at < length; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[at] = state
  }
  return bytes
}

/** To be called once by a test file: connections that a test left open are destroyed. */
export function disconnectAfterEach(): void {
  afterEach(() => {
    for (const client of open) client.socket.destroy()
    open.clear()
  })
}
