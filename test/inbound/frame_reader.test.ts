// What: tests of cutting a stream into frames, however it was split into receive buffers.
// Flow: bytes in receive buffers -> frame_reader -> a fake handler -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { Encoder } from '../../src/framing/encode.ts'
import {
  delimiter,
  type Framing,
  lengthPrefix,
  maxPayloadLength,
  raw,
} from '../../src/framing/framing.ts'
import { createFrameReader, type FrameReader } from '../../src/inbound/frame_reader.ts'
import { CloseReason, Counter, SessionState } from '../../src/layout/layout.ts'
import type { Core, Protocol } from '../../src/session/core.ts'
import { HandlerCalls } from '../../src/session/handler_calls.ts'
import type { PacketCursor } from '../../src/session/packet.ts'
import type { LiveSession } from '../../src/session/session.ts'
import { WorkerHeap } from '../../src/shared/worker_heap.ts'
import { framed } from '../helpers/framed.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'

const memory = unitMemory()

interface Heard {
  readonly payload: string
  readonly frame: string
  /** Whether it was handed over from the receive buffer. */
  readonly inPlace: boolean
}

/** Latin1, so that a byte is a character. */
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const bytesOf = (characters: string) => Buffer.from(characters, 'latin1')

class Reading {
  readonly heard: Heard[] = []
  readonly ended: CloseReason[] = []
  readonly errors: unknown[] = []
  readonly held: Buffer[] = []
  readonly arena = memory.arena(1)
  readonly heap: WorkerHeap
  readonly session: LiveSession
  readonly reader: FrameReader
  readonly packet = {
    start: -1,
    buffer: -1,
    enter(this: { buffer: number }, buffer: number) {
      this.buffer = buffer
    },
  } as unknown as PacketCursor
  onRecv: (count: number, packet: PacketCursor) => void = () => {}
  #buffer = 0

  constructor(framing: Framing, heapBytes = 65_536) {
    const { plan, bytes, counters } = this.arena
    this.heap = new WorkerHeap(plan.heapByteAt, heapBytes)
    this.session = {
      state: SessionState.OPEN,
      paused: false,
      held: null,
      partialAt: -1,
      partialCapacity: 0,
      partialLength: 0,
      isFresh: true,
      deadline: 5,
    } as LiveSession
    const end = (state: SessionState) => (session: LiveSession, reason: CloseReason) => {
      if (session.state !== SessionState.OPEN) return
      session.state = state
      this.ended.push(reason)
    }
    const core = {
      arena: this.arena,
      heap: this.heap,
      counters,
      packet: this.packet,
      lifecycle: {
        close: end(SessionState.CLOSING),
        terminate: end(SessionState.TERMINATING),
        hold: (_: LiveSession, from: number, to: number) => {
          expect(to).toBeGreaterThan(from)
          this.held.push(Buffer.from(bytes.slice(from, to)))
        },
      },
      calls: new HandlerCalls<LiveSession>(counters, { endFailed: () => {} }),
    } as unknown as Core
    const protocol = {
      framing,
      encoder: new Encoder(framing),
      maxPayloadLength: maxPayloadLength(framing),
      handler: {
        onRecv: (_: unknown, given: unknown) => {
          const packet = given as PacketCursor
          this.heard.push({
            payload: text(bytes.subarray(packet.start, packet.end)),
            frame: text(bytes.subarray(packet.frameStart, packet.frameEnd)),
            inPlace: packet.buffer !== -1,
          })
          this.onRecv(this.heard.length, packet)
        },
        onError: (error: unknown) => this.errors.push(error),
      },
    } as unknown as Protocol
    this.reader = createFrameReader(core, protocol)
  }

  /** Bytes arrive in a receive buffer, which the driver gets back afterwards. */
  feed(piece: Uint8Array): void {
    const { plan, bytes } = this.arena
    this.#buffer = (this.#buffer + 1) % plan.recvBuffersPerWorker
    const start = plan.recvByteAt + this.#buffer * plan.recvBufferStride
    expect(piece.length).toBeLessThanOrEqual(plan.recvBufferStride)
    bytes.set(piece, start)
    this.reader.read(this.session, this.#buffer, start, start + piece.length)
    bytes.fill(0xee, start, start + plan.recvBufferStride)
  }

  /** As the dispatcher resumes. */
  resume(): void {
    this.session.paused = this.session.stopped = false
    const { plan, bytes } = this.arena
    const at = plan.heapByteAt + 500_000
    for (const piece of this.held.splice(0)) {
      if (this.session.paused || this.session.state !== SessionState.OPEN) {
        this.held.push(piece)
        continue
      }
      bytes.set(piece, at)
      this.reader.read(this.session, -1, at, at + piece.length)
    }
  }

  get payloads(): string[] {
    return this.heard.map(({ payload }) => payload)
  }

  /** No partial frame, no memory, no packet. */
  expectAtRest(): void {
    expect(this.session.partialLength).toBe(0)
    expect(this.session.partialAt).toBe(-1)
    expect(this.heap.usedBytes).toBe(0)
    expect(this.packet.start).toBe(-1)
  }
}

function frames(framing: Framing, payloads: readonly string[]): Buffer {
  const encoder = new Encoder(framing)
  return Buffer.concat(payloads.map((payload) => framed(encoder, Buffer.from(payload, 'latin1'))))
}

/** Every split into two, byte by byte, and seeded random ones. */
function* splits(stream: Buffer): Generator<[name: string, pieces: Buffer[]]> {
  yield ['whole', [stream]]
  for (let at = 1; at < stream.length; at++)
    yield [`at ${at}`, [stream.subarray(0, at), stream.subarray(at)]]
  yield ['byte by byte', Array.from(stream, (_, i) => stream.subarray(i, i + 1))]
  for (let seed = 1; seed <= 30; seed++) {
    const random = new Random(seed)
    const pieces: Buffer[] = []
    for (let at = 0; at < stream.length; ) {
      const end = Math.min(stream.length, at + random.between(1, 12))
      pieces.push(stream.subarray(at, end))
      at = end
    }
    yield [`seed ${seed}`, pieces]
  }
}

const MESSAGES = ['', 'a', 'hello', '', '', 'x'.repeat(40), '\0\n\r\xff', 'end']
const prefixes: Framing[] = ([1, 2, 4] as const).flatMap((bytes) =>
  (['little', 'big'] as const).flatMap((endian) =>
    [0, 3].flatMap((offset) =>
      [false, true].map((includesHeader) =>
        lengthPrefix({ bytes, endian, offset, includesHeader }),
      ),
    ),
  ),
)

describe('every split gives the same messages', () => {
  it.each(prefixes)('%j', (framing) => {
    const stream = frames(framing, MESSAGES)
    for (const [name, pieces] of splits(stream)) {
      const reading = new Reading(framing)
      for (const piece of pieces) reading.feed(piece)
      expect(reading.payloads, name).toEqual(MESSAGES)
      expect(reading.heard.map(({ frame }) => frame).join('')).toBe(stream.toString('latin1'))
      expect(reading.session.isFresh).toBe(false)
      reading.expectAtRest()
    }
  })

  const lines: [object, string[]][] = [
    [{ bytes: '\n' }, ['', 'a', 'hello', '', '\r', '\0\xff', 'end']],
    [{ bytes: '\r\n' }, ['', 'a\rb', '\n', '\r', 'x\n\r', '', '\n\n', 'end\r\r']],
    [{ bytes: '\n\n' }, ['', 'a\nb', 'c', '', 'end']],
    [{ bytes: 'aab' }, ['a', '', 'aa', 'ab', 'ba', 'bb', 'aaaa', 'end']],
    [{ bytes: '--boundary--end' }, ['', '--', '--boundary--', 'x--boundary--en', '-']],
  ]
  it.each(
    lines.flatMap(([options, messages]) =>
      [true, false].map((strip) => ({ options, messages, strip })),
    ),
  )('$options, strip $strip', ({ options, messages, strip }) => {
    const stripping = delimiter({ ...options, strip: true })
    const stream = frames(stripping, messages)
    const sequence = text(Uint8Array.from(stripping.bytes))
    const expected = strip ? messages : messages.map((message) => message + sequence)
    for (const [name, pieces] of splits(stream)) {
      const reading = new Reading(delimiter({ ...options, strip }))
      for (const piece of pieces) reading.feed(piece)
      expect(reading.payloads, name).toEqual(expected)
      expect(reading.heard.map(({ frame }) => frame).join('')).toBe(stream.toString('latin1'))
      reading.expectAtRest()
    }
  })

  it('raw: whatever came, as it came', () => {
    const stream = bytesOf('no messages at all')
    for (const [, pieces] of splits(stream)) {
      const reading = new Reading(raw())
      for (const piece of pieces) reading.feed(piece)
      expect(reading.payloads).toEqual(pieces.map(text))
      expect(reading.heard.every(({ inPlace }) => inPlace)).toBe(true)
      reading.expectAtRest()
    }
  })
})

describe('copies', () => {
  it('are made of frames that straddle buffers, of no others', () => {
    const framing = lengthPrefix()
    const reading = new Reading(framing)
    const before = reading.arena.counters[Counter.FRAMES_COPIED]
    const stream = frames(framing, ['one', 'two', 'three', 'four'])
    reading.feed(stream.subarray(0, 12))
    reading.feed(stream.subarray(12))
    expect(reading.heard.map(({ inPlace }) => inPlace)).toEqual([true, true, false, true])
    expect(reading.arena.counters[Counter.FRAMES_COPIED] - before).toBe(1)
  })

  it('grow with what was received, not with what was announced', () => {
    const reading = new Reading(lengthPrefix({ bytes: 4 }), 262_144)
    const message = 'x'.repeat(60_000)
    const stream = frames(lengthPrefix({ bytes: 4 }), [message])
    reading.feed(stream.subarray(0, 10))
    expect(reading.heap.usedBytes).toBe(1024)
    for (let at = 10; at < stream.length; at += 500) {
      reading.feed(stream.subarray(at, at + 500))
      expect(reading.heap.usedBytes).toBeLessThanOrEqual(2 * Math.max(1024, at + 500))
    }
    expect(reading.payloads).toEqual([message])
    reading.expectAtRest()
  })

  it('end the session that there is no memory for', () => {
    const reading = new Reading(lengthPrefix(), 2048)
    const stream = frames(lengthPrefix(), ['x'.repeat(3000)])
    for (let at = 0; at < stream.length && reading.ended.length === 0; at += 500)
      reading.feed(stream.subarray(at, at + 500))
    expect(reading.ended).toEqual([CloseReason.OVERFLOW])
    expect(reading.heard).toEqual([])
  })
})

describe('limits', () => {
  const limited = [
    lengthPrefix({ maxPayloadLength: 8 }),
    lengthPrefix({ bytes: 4, endian: 'little', includesHeader: true, maxPayloadLength: 8 }),
    delimiter({ maxPayloadLength: 8 }),
    delimiter({ bytes: '\r\n', maxPayloadLength: 8 }),
    delimiter({ bytes: 'aab', strip: false, maxPayloadLength: 8 }),
  ]

  it.each(limited)('%j: the longest payload passes, one byte more ends the session', (framing) => {
    const plain = framing.kind === 'delimiter' ? { ...framing, strip: true } : framing
    const tail =
      framing.kind === 'delimiter' && !framing.strip ? text(Uint8Array.from(framing.bytes)) : ''
    for (const [name, pieces] of splits(frames(plain, ['12345678', '123456789', 'never']))) {
      const reading = new Reading(framing)
      for (const piece of pieces) {
        if (reading.session.state !== SessionState.OPEN) break
        reading.feed(piece)
      }
      expect(reading.payloads, name).toEqual([`12345678${tail}`])
      expect(reading.ended, name).toEqual([CloseReason.FRAME_TOO_LONG])
    }
  })

  it('are found in the header, before the payload comes', () => {
    const reading = new Reading(lengthPrefix({ bytes: 4 }))
    reading.feed(Uint8Array.of(0xff, 0xff, 0xff, 0xff))
    expect(reading.ended).toEqual([CloseReason.FRAME_TOO_LONG])
    expect(reading.heap.usedBytes).toBe(0)
  })

  it('are found before a delimiter comes', () => {
    const reading = new Reading(delimiter({ bytes: '\r\n', maxPayloadLength: 8 }))
    reading.feed(bytesOf('123456789'))
    expect(reading.ended).toEqual([])
    reading.feed(bytesOf('0'))
    expect(reading.ended).toEqual([CloseReason.FRAME_TOO_LONG])
  })

  it.each([0, 1, 4])('a length of %i that includes a header of 5 is invalid', (length) => {
    const framing = lengthPrefix({ bytes: 2, offset: 3, includesHeader: true })
    for (const [name, pieces] of splits(Buffer.from([9, 9, 9, 0, 5, 9, 9, 9, 0, length, 1, 2]))) {
      const reading = new Reading(framing)
      for (const piece of pieces) {
        if (reading.session.state !== SessionState.OPEN) break
        reading.feed(piece)
      }
      expect(reading.payloads, name).toEqual([''])
      expect(reading.ended, name).toEqual([CloseReason.FRAME_INVALID])
    }
  })
})

describe('a handler that', () => {
  const kinds = [lengthPrefix(), delimiter()]

  it.each(kinds)('%j: pauses gets the rest when it resumes', (framing) => {
    const messages = ['one', 'two', 'three', 'four', 'five']
    for (const [name, pieces] of splits(frames(framing, messages))) {
      for (const every of [1, 2]) {
        const reading = new Reading(framing)
        reading.onRecv = (count) => {
          if (count % every === 0) reading.session.paused = reading.session.stopped = true
        }
        for (const piece of pieces) {
          if (reading.session.paused || reading.held.length > 0) reading.held.push(piece)
          else reading.feed(piece)
        }
        for (let turns = 0; reading.session.paused || reading.held.length > 0; turns++) {
          expect(turns).toBeLessThan(20)
          const before = reading.heard.length
          reading.resume()
          expect(reading.heard.length - before).toBeLessThanOrEqual(every)
        }
        expect(reading.payloads, name).toEqual(messages)
        reading.expectAtRest()
      }
    }
  })

  it.each(kinds)('%j: pauses at the end of a buffer holds nothing', (framing) => {
    const reading = new Reading(framing)
    reading.onRecv = () => {
      reading.session.paused = reading.session.stopped = true
    }
    reading.feed(frames(framing, ['one']))
    expect(reading.held).toEqual([])
    reading.expectAtRest()
  })

  it.each(kinds)('%j: closes gets nothing more, and nothing is kept', (framing) => {
    for (const [name, pieces] of splits(frames(framing, ['one', 'two', 'three']))) {
      const reading = new Reading(framing)
      reading.onRecv = () => {
        reading.session.state = SessionState.CLOSING
      }
      for (const piece of pieces) {
        if (reading.session.state === SessionState.OPEN) reading.feed(piece)
      }
      expect(reading.payloads, name).toEqual(['one'])
      expect(reading.held).toEqual([])
      reading.expectAtRest()
    }
  })

  it.each(kinds)('%j: throws is heard of, and the packet is over', (framing) => {
    const reading = new Reading(framing)
    reading.onRecv = (count, packet) => {
      expect(packet.start).toBeGreaterThanOrEqual(0)
      if (count === 1) throw new Error('planted')
    }
    reading.feed(frames(framing, ['one', 'two']))
    expect(reading.errors).toEqual([new Error('planted')])
    expect(reading.payloads).toEqual(['one', 'two'])
    reading.expectAtRest()
  })

  it('has had its first message has met the first deadline', () => {
    const reading = new Reading(lengthPrefix())
    reading.feed(Uint8Array.of(0))
    expect([reading.session.deadline, reading.session.isFresh]).toEqual([5, true])
    reading.feed(Uint8Array.of(0))
    expect([reading.session.deadline, reading.session.isFresh]).toEqual([0, false])
  })
})
