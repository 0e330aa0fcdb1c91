// What: tests of the packet cursor: readers, their range, expiry.
// Flow: packet -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { Encoder } from '../../src/framing/encode.ts'
import { lengthPrefix } from '../../src/framing/framing.ts'
import { NO_BLOCK, receiveBufferBlock } from '../../src/outbound/references.ts'
import { SubmissionRing } from '../../src/outbound/submission_ring.ts'
import { PacketCursor } from '../../src/session/packet.ts'
import { ReceiveBuffers } from '../../src/session/receive_buffers.ts'
import type { PreparedBuffer } from '../../src/session/send_buffer.ts'
import { errorOf } from '../helpers/error_of.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

const PAYLOAD = Buffer.from([
  0xff, 0x80, 0x01, 0x02, 0x40, 0x09, 0x21, 0xfb, 0x54, 0x44, 0x2d, 0x18,
])

function setup(payload: Uint8Array = PAYLOAD) {
  const arena = unitMemory().arena(1)
  const buffers = new ReceiveBuffers(arena, new SubmissionRing(arena))
  const retained = {} as PreparedBuffer
  const packet = new PacketCursor(arena, buffers, () => retained)
  // Neighbours that must not be read.
  const start = arena.plan.recvByteAt + 100
  arena.bytes.fill(0xaa, start - 50, start + payload.length + 50)
  arena.bytes.set(payload, start)
  packet.enter(0, new Encoder(lengthPrefix({ bytes: 2 })), 1000)
  Object.assign(packet, { start, end: start + payload.length })
  Object.assign(packet, { frameStart: start - 2, frameEnd: start + payload.length })
  return { arena, packet, retained, buffers }
}

type Reader = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'f64'
const sizes: [Reader, number][] = [
  ['u8', 1],
  ['i8', 1],
  ['u16', 2],
  ['i16', 2],
  ['u32', 4],
  ['i32', 4],
  ['f32', 4],
  ['f64', 8],
]

describe('readers', () => {
  it('read what a Buffer reads, little-endian unless asked', () => {
    const { packet } = setup()
    expect(packet.u8(0)).toBe(255)
    expect(packet.i8(0)).toBe(-1)
    for (const offset of [0, 1, 4]) {
      expect(packet.u16(offset)).toBe(PAYLOAD.readUInt16LE(offset))
      expect(packet.u16(offset, 'big')).toBe(PAYLOAD.readUInt16BE(offset))
      expect(packet.i16(offset, 'little')).toBe(PAYLOAD.readInt16LE(offset))
      expect(packet.i16(offset, 'big')).toBe(PAYLOAD.readInt16BE(offset))
      expect(packet.u32(offset)).toBe(PAYLOAD.readUInt32LE(offset))
      expect(packet.u32(offset, 'big')).toBe(PAYLOAD.readUInt32BE(offset))
      expect(packet.i32(offset)).toBe(PAYLOAD.readInt32LE(offset))
      expect(packet.i32(offset, 'big')).toBe(PAYLOAD.readInt32BE(offset))
      expect(packet.f32(offset)).toBe(PAYLOAD.readFloatLE(offset))
      expect(packet.f32(offset, 'big')).toBe(PAYLOAD.readFloatBE(offset))
      expect(packet.f64(offset)).toBe(PAYLOAD.readDoubleLE(offset))
    }
    expect(packet.f64(4, 'big')).toBe(Math.PI)
  })

  it.each(sizes)('%s reads to the last byte and no further', (reader, size) => {
    const { packet } = setup()
    const last = PAYLOAD.length - size
    expect(typeof packet[reader](last)).toBe('number')
    for (const offset of [last + 1, -1, PAYLOAD.length, 2 ** 31, Number.NaN]) {
      const { code, message } = errorOf(() => packet[reader](offset))
      expect(code).toBe('ERR_ARGUMENT')
      expect(message).toContain(`${offset}`)
      expect(message).toContain('packet of 12 bytes')
    }
  })

  it('refuse an offset that is no whole number', () => {
    const { packet } = setup()
    for (const [reader] of sizes)
      expect(errorOf(() => packet[reader](0.5)).code).toBe('ERR_ARGUMENT')
  })

  it('read an empty packet as nothing', () => {
    const { packet } = setup(new Uint8Array(0))
    expect(packet.length).toBe(0)
    expect(packet.text()).toBe('')
    expect(packet.copy()).toHaveLength(0)
    expect(packet.bytes).toHaveLength(0)
    expect(errorOf(() => packet.u8(0)).code).toBe('ERR_ARGUMENT')
  })
})

describe('text', () => {
  it('is UTF-8, whole or in part', () => {
    const { packet } = setup(Buffer.from('grüße €'))
    expect(packet.text()).toBe('grüße €')
    expect(packet.text(6)).toBe('e €')
    expect(packet.text(0, 2)).toBe('gr')
    expect(packet.text(3, 3)).toBe('')
  })

  it.each([
    [-1, 2],
    [0, 13],
    [3, 2],
    [13, 13],
    [Number.NaN, 2],
  ])('(%d, %d) is outside', (start, end) => {
    const { packet } = setup()
    const { code, message } = errorOf(() => packet.text(start, end))
    expect(code).toBe('ERR_ARGUMENT')
    expect(message).toBe(`text(${start}, ${end}) is outside a packet of 12 bytes`)
  })
})

describe('bytes', () => {
  it('are a view of a receive buffer, after which the frame counts as touched', () => {
    const { packet, arena } = setup()
    expect(packet.echoBlock).toBe(receiveBufferBlock(0))
    const view = packet.bytes
    expect(view).toEqual(new Uint8Array(PAYLOAD))
    expect(packet.echoBlock).toBe(NO_BLOCK)
    arena.bytes[packet.start] = 1
    expect(view[0]).toBe(1)
  })

  it('are a copy where the frame lies in no receive buffer', () => {
    const { packet, arena } = setup()
    packet.enter(-1, new Encoder(lengthPrefix({ bytes: 2 })), 1000)
    expect(packet.echoBlock).toBe(NO_BLOCK)
    const view = packet.bytes
    arena.bytes[packet.start] = 1
    expect(view).toEqual(new Uint8Array(PAYLOAD))
  })

  it('do not echo by reference where the header is more than the length', () => {
    const { packet } = setup()
    packet.enter(0, new Encoder(lengthPrefix({ bytes: 2, offset: 4 })), 1000)
    expect(packet.echoBlock).toBe(NO_BLOCK)
  })

  it('that were copied are the reader’s own', () => {
    const { packet, arena } = setup()
    const copy = packet.copy()
    expect(packet.echoBlock).toBe(receiveBufferBlock(0))
    arena.bytes[packet.start] = 1
    expect(copy).toEqual(new Uint8Array(PAYLOAD))
    expect(copy.buffer.byteLength).toBe(PAYLOAD.length)
  })
})

describe('expiry', () => {
  it('ends every use', () => {
    const { packet, retained } = setup()
    expect(packet.retain()).toBe(retained)
    packet.start = -1
    const uses: (() => unknown)[] = [
      () => packet.length,
      () => packet.bytes,
      () => packet.copy(),
      () => packet.retain(),
      () => packet.text(),
      () => packet.text(0, 1),
      () => packet.check(),
      ...sizes.map(
        ([reader]) =>
          () =>
            packet[reader](0),
      ),
    ]
    for (const use of uses) expect(errorOf(use).code).toBe('ERR_PACKET_EXPIRED')
    expect(errorOf(uses[0]).message).toContain('packet.copy() or packet.retain() keeps it')
  })
})
