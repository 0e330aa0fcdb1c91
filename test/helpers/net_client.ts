// What: a client on node:net that checks what it gets, with nothing of src/ in it.
// Flow: tests -> this -> a server under test -> this -> what was wrong, if anything.
// Thread: the test's.

import { connect as connectSocket, type Socket } from 'node:net'

/** How messages are cut: a length field, or a delimiter. */
export type NetFraming =
  | { readonly lengthBytes: 1 | 2 | 4; readonly endian: 'little' | 'big' }
  | { readonly delimiter: string }

/** How long nothing may come; nothing passes because of it. */
const PATIENCE_MS = 20_000

export const DEFAULT_FRAMING: NetFraming = { lengthBytes: 2, endian: 'big' }

/** A payload with its length field or delimiter. */
export function encodeFrame(framing: NetFraming, payload: Uint8Array): Buffer {
  if ('delimiter' in framing) return Buffer.concat([payload, Buffer.from(framing.delimiter)])
  const { lengthBytes, endian } = framing
  const header = Buffer.alloc(lengthBytes)
  if (endian === 'big') header.writeUIntBE(payload.length, 0, lengthBytes)
  else header.writeUIntLE(payload.length, 0, lengthBytes)
  return Buffer.concat([header, payload])
}

/** Cuts a stream into payloads. */
export class FrameParser {
  readonly #framing: NetFraming
  #rest: Buffer = Buffer.alloc(0)

  constructor(framing: NetFraming) {
    this.#framing = framing
  }

  /** The payloads that are whole now. */
  push(chunk: Buffer): Buffer[] {
    const stream = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const payloads: Buffer[] = []
    let at = 0
    for (;;) {
      const frame = this.#frameAt(stream, at)
      if (frame === undefined) break
      payloads.push(stream.subarray(frame.start, frame.end))
      at = frame.next
    }
    this.#rest = stream.subarray(at)
    return payloads
  }

  #frameAt(stream: Buffer, at: number) {
    const framing = this.#framing
    if ('delimiter' in framing) {
      const end = stream.indexOf(framing.delimiter, at)
      return end === -1 ? undefined : { start: at, end, next: end + framing.delimiter.length }
    }
    const start = at + framing.lengthBytes
    if (start > stream.length) return undefined
    const length =
      framing.endian === 'big'
        ? stream.readUIntBE(at, framing.lengthBytes)
        : stream.readUIntLE(at, framing.lengthBytes)
    const end = start + length
    return end > stream.length ? undefined : { start, end, next: end }
  }
}

/** One connection. */
export class NetClient {
  readonly socket: Socket
  readonly #framing: NetFraming
  readonly #frames: Buffer[] = []
  #isEnded = false
  #wake = () => {}

  static connect(port: number, framing = DEFAULT_FRAMING, host = '127.0.0.1'): Promise<NetClient> {
    return new Promise((resolve, reject) => {
      const socket = connectSocket({ port, host, noDelay: true })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new NetClient(socket, framing))
      })
    })
  }

  constructor(socket: Socket, framing: NetFraming) {
    this.socket = socket
    this.#framing = framing
    const parser = new FrameParser(framing)
    socket.on('data', (chunk: Buffer) => {
      this.#frames.push(...parser.push(chunk))
      this.#wake()
    })
    // A reset is an end, too; `close` follows.
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#isEnded = true
      this.#wake()
    })
  }

  /** Whether the connection has ended. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  send(...payloads: readonly (Uint8Array | string)[]): void {
    const frames = payloads.map((payload) => encodeFrame(this.#framing, Buffer.from(payload)))
    this.socket.write(Buffer.concat(frames))
  }

  /** The next `count` payloads; fewer where the connection ends, or nothing comes for `silenceMs`. */
  async collect(count: number, silenceMs = PATIENCE_MS): Promise<Buffer[]> {
    while (this.#frames.length < count && !this.#isEnded) {
      const isSilent = await new Promise<boolean>((resolve) => {
        // What came while nobody looked is read before the immediate.
        const timer = setTimeout(() => setImmediate(resolve, true), silenceMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve(false)
        }
      })
      if (isSilent) break
    }
    return this.#frames.splice(0, count)
  }

  /** Ends the stream and waits for the other side's end. */
  close(): Promise<void> {
    this.socket.end()
    return this.#isEnded
      ? Promise.resolve()
      : new Promise((resolve) => this.socket.once('close', () => resolve()))
  }
}

export type NetFault = 'dropped' | 'duplicated' | 'reordered' | 'corrupted' | 'connection lost'

export interface NetVerdict {
  readonly verified: number
  readonly fault: NetFault | undefined
}

export interface EchoCheck {
  readonly port: number
  readonly connections: number
  /** Of each connection. */
  readonly messages: number
  /** Messages written at once; then their echoes are awaited. */
  readonly depth?: number
  readonly size?: number
  readonly framing?: NetFraming
  /** How long an echo may take until it counts as dropped. */
  readonly silenceMs?: number
}

/** `client number` and filler, `size` characters without a control character. */
function payloadOf(client: number, number: number, size: number): string {
  const name = `${client} ${number} `
  const letter = String.fromCharCode(97 + ((client * 7 + number) % 26))
  return name.padEnd(size, letter)
}

/** What is wrong with the payloads that came for `first` to `first + count - 1`. */
function faultOf(
  got: readonly string[],
  expected: readonly string[],
  isEnded: boolean,
): NetFault | undefined {
  const at = expected.findIndex((payload, index) => payload !== got[index])
  if (at === -1) return got.length > expected.length ? 'duplicated' : undefined
  const wrong = got[at]
  if (wrong === undefined) return isEnded ? 'connection lost' : 'dropped'
  if (expected.indexOf(wrong) === -1) return 'corrupted'
  if (expected.indexOf(wrong) < at) return 'duplicated'
  return got.includes(expected[at]) ? 'reordered' : 'dropped'
}

async function checkClient(check: EchoCheck, client: number): Promise<NetVerdict> {
  const { port, messages, depth = 1, size = 64, framing = DEFAULT_FRAMING, silenceMs } = check
  const connection = await NetClient.connect(port, framing)
  try {
    let verified = 0
    while (verified < messages) {
      const count = Math.min(depth, messages - verified)
      const expected = Array.from({ length: count }, (_, at) => {
        return payloadOf(client, verified + at, size)
      })
      connection.send(...expected)
      const got = (await connection.collect(count, silenceMs)).map((payload) => payload.toString())
      // What a reorder or a duplicate pushed out of this batch.
      if (got.join() !== expected.join()) {
        got.push(...(await connection.collect(count, 100)).map((payload) => payload.toString()))
      }
      const fault = faultOf(got, expected, connection.isEnded)
      if (fault !== undefined) return { verified, fault }
      verified += count
    }
    const more = await connection.collect(1, 50)
    return { verified, fault: more.length > 0 ? 'duplicated' : undefined }
  } finally {
    connection.socket.destroy()
  }
}

/** Sends numbered messages over each connection and compares every echo, in order. */
export async function verifyEchoes(check: EchoCheck): Promise<NetVerdict> {
  const verdicts = await Promise.all(
    Array.from({ length: check.connections }, (_, client) => checkClient(check, client)),
  )
  const verified = verdicts.reduce((total, verdict) => total + verdict.verified, 0)
  return { verified, fault: verdicts.find(({ fault }) => fault !== undefined)?.fault }
}
