// What: tests of prepared buffers and reservations: encodings, references, misuse.
// Flow: send_buffer -> sender -> the peer's stream -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { Encoder } from '../../src/framing/encode.ts'
import { delimiter, lengthPrefix, raw } from '../../src/framing/framing.ts'
import type { Outbox } from '../../src/outbound/outbox.ts'
import type { Sender } from '../../src/outbound/sender.ts'
import { BufferMaker, type PreparedBuffer } from '../../src/session/send_buffer.ts'
import { errorOf } from '../helpers/error_of.ts'
import { framed } from '../helpers/framed.ts'
import { assertPristine, type FakeSession, makeRig } from '../helpers/unit_sender.ts'

const encoders = {
  short: new Encoder(lengthPrefix()),
  long: new Encoder(lengthPrefix({ bytes: 4, offset: 60, includesHeader: true })),
  line: new Encoder(delimiter({ bytes: 'sixteen bytes...' })),
  raw: new Encoder(raw()),
}

function setup(options: Parameters<typeof makeRig>[0] = {}) {
  const rig = makeRig(options)
  const { owner } = rig
  const sender = owner.sender as unknown as Sender<Outbox>
  const maker = new BufferMaker(owner.arena, sender)
  /** As session.sendPrepared. */
  const send = (session: FakeSession, prepared: PreparedBuffer): boolean => {
    const encoding = prepared.encode(session.encoder)
    if (encoding === null) return false
    return owner.sender.pushShared(session, encoding.chunk, encoding.offset, encoding.length)
  }
  const free = () => {
    owner.sender.settle()
    return owner.sender.writer.pool.freeCount()
  }
  return { rig, owner, maker, send, free }
}

const PAYLOAD = Buffer.from('the payload of this buffer, of some length')

describe('encodings', () => {
  it.each(Object.keys(encoders) as (keyof typeof encoders)[])(
    'first for %s: around the payload itself; copies for the others',
    (first) => {
      const { rig, owner, maker, send } = setup()
      const prepared = maker.copy(PAYLOAD, 0, PAYLOAD.length) as PreparedBuffer
      const order = [first, ...Object.keys(encoders).filter((name) => name !== first)]
      const places = new Set<number>()
      order.forEach((name, slot) => {
        const session = owner.open(slot, encoders[name as keyof typeof encoders])
        for (let twice = 0; twice < 2; twice++) expect(send(session, prepared)).toBe(true)
        const encoding = prepared.encode(session.encoder)
        expect(encoding).toBe(prepared.encode(session.encoder))
        const payloadAt = (encoding?.offset ?? 0) + session.encoder.headerBytes
        expect(places.has(payloadAt)).toBe(false)
        places.add(payloadAt)
      })
      expect(places.size).toBe(4)
      prepared.release()
      owner.drainAll()
      for (const session of owner.everyone) {
        const frame = framed(session.encoder, PAYLOAD)
        expect(Buffer.from(session.stream)).toEqual(Buffer.concat([frame, frame]))
      }
      assertPristine(rig)
    },
  )

  it('take a part of the source, or of the arena', () => {
    const { rig, owner, maker, send } = setup()
    const session = owner.open(0, encoders.raw)
    const a = maker.copy(PAYLOAD, 4, 7) as PreparedBuffer
    const at = owner.bufferStart(3)
    owner.arena.bytes.set(PAYLOAD, at)
    const b = maker.copy(owner.arena.bytes, at + 4, 7) as PreparedBuffer
    expect([a.length, b.length]).toEqual([7, 7])
    for (const prepared of [a, b]) {
      send(session, prepared)
      prepared.release()
    }
    owner.drainAll()
    expect(session.stream.toString()).toBe('payloadpayload')
    assertPristine(rig)
  })

  it('refuse a payload that the framing cannot carry', () => {
    const { rig, maker } = setup()
    const tiny = new Encoder(lengthPrefix({ bytes: 1 }))
    const prepared = maker.copy(new Uint8Array(300), 0, 300) as PreparedBuffer
    expect(errorOf(() => prepared.encode(tiny)).code).toBe('ERR_PAYLOAD_TOO_LONG')
    expect(prepared.encode(encoders.short)?.length).toBe(302)
    prepared.release()
    assertPristine(rig)
  })

  it('are null when no chunk is free for a copy', () => {
    const { rig, maker } = setup({ chunkCount: 1 })
    const length = maker.payloadMax
    const prepared = maker.copy(new Uint8Array(length), 0, length) as PreparedBuffer
    expect(prepared.encode(encoders.raw)).not.toBe(null)
    expect(prepared.encode(encoders.line)).toBe(null)
    expect(maker.copy(new Uint8Array(1), 0, 1)).toBe(null)
    prepared.release()
    assertPristine(rig)
  })

  it('of the longest payload stay in their chunk, with the longest header and trailer', () => {
    const { rig, owner, maker, send } = setup()
    const length = maker.payloadMax
    const payload = new Uint8Array(length).fill(7)
    for (const [slot, encoder] of [encoders.long, encoders.line].entries()) {
      const session = owner.open(slot, encoder)
      const prepared = maker.copy(payload, 0, length) as PreparedBuffer
      expect(prepared.long).toBe(null)
      send(session, prepared)
      prepared.release()
    }
    owner.drainAll()
    for (const session of owner.everyone)
      expect(Buffer.from(session.stream).equals(framed(session.encoder, payload))).toBe(true)
    assertPristine(rig)
  })

  it('of a longer payload are none: it stays outside of the arena', () => {
    const { rig, maker, free } = setup()
    const before = free()
    const source = new Uint8Array(maker.payloadMax + 2).fill(7)
    const prepared = maker.copy(source, 1, maker.payloadMax + 1) as PreparedBuffer
    source.fill(0)
    expect(prepared.long?.every((byte) => byte === 7)).toBe(true)
    expect(prepared.length).toBe(maker.payloadMax + 1)
    expect(free()).toBe(before)
    prepared.release()
    expect(errorOf(() => prepared.check()).code).toBe('ERR_BUFFER_RELEASED')
    assertPristine(rig)
  })
})

describe('release', () => {
  it('keeps the chunk until queued sends are out', () => {
    const { rig, owner, maker, send, free } = setup()
    const all = free()
    const session = owner.open(0, encoders.short)
    const prepared = maker.copy(PAYLOAD, 0, PAYLOAD.length) as PreparedBuffer
    send(session, prepared)
    prepared.release()
    owner.sender.writer.retire()
    expect(free()).toBe(all - 1)
    owner.drainAll()
    expect(free()).toBe(all)
    assertPristine(rig)
  })

  it('frees the chunk of a buffer that was never sent', () => {
    const { rig, owner, maker, free } = setup()
    const all = free()
    const prepared = maker.copy(PAYLOAD, 0, PAYLOAD.length) as PreparedBuffer
    owner.sender.writer.retire()
    expect(free()).toBe(all - 1)
    prepared.release()
    expect(free()).toBe(all)
    assertPristine(rig)
  })

  it('happens once, and ends every use', () => {
    const { rig, maker } = setup()
    const prepared = maker.copy(PAYLOAD, 0, PAYLOAD.length) as PreparedBuffer
    prepared.check()
    prepared.release()
    for (const use of [() => prepared.release(), () => prepared.check()]) {
      const { code, message } = errorOf(use)
      expect(code).toBe('ERR_BUFFER_RELEASED')
      expect(message).toBe('a send buffer was used after release()')
    }
    assertPristine(rig)
  })
})

describe('reservations', () => {
  it('are written in place, and become a buffer of what was used', () => {
    const { rig, owner, maker, send } = setup()
    const session = owner.open(0, encoders.line)
    const reservation = maker.open(100)
    expect(reservation.bytes).toHaveLength(100)
    reservation.bytes.set(PAYLOAD)
    const prepared = reservation.close(11) as PreparedBuffer
    expect(prepared.length).toBe(11)
    send(session, prepared)
    prepared.release()
    owner.drainAll()
    expect(session.stream.toString()).toBe('the payloadsixteen bytes...')
    assertPristine(rig)
  })

  it('give back what was not used, if nothing was written behind it', () => {
    const { rig, owner, maker } = setup()
    const { writer } = owner.sender
    maker.open(1000).close(10).release()
    const tight = writer.position
    maker.open(1000).close(1000).release()
    const full = writer.position
    expect(full - tight).toBe(tight - writer.chunkStart(writer.chunk) + 990)
    const reservation = maker.open(1000)
    const behind = maker.copy(PAYLOAD, 0, PAYLOAD.length) as PreparedBuffer
    const after = writer.position
    reservation.close(1).release()
    expect(writer.position).toBe(after)
    behind.release()
    assertPristine(rig)
  })

  it('do not give back what lies in a chunk that was left', () => {
    const { rig, owner, maker, send } = setup()
    const session = owner.open(0, encoders.raw)
    const reservation = maker.open(2000)
    reservation.bytes.fill(65)
    const other = maker.copy(new Uint8Array(3000).fill(66), 0, 3000) as PreparedBuffer
    const { position } = owner.sender.writer
    const prepared = reservation.close(3) as PreparedBuffer
    expect(owner.sender.writer.position).toBe(position)
    for (const buffer of [prepared, other]) {
      send(session, buffer)
      buffer.release()
    }
    owner.drainAll()
    expect(session.stream.toString()).toBe(`AAA${'B'.repeat(3000)}`)
    assertPristine(rig)
  })

  it('are open one at a time', () => {
    const { rig, maker } = setup()
    const reservation = maker.open(10)
    expect(errorOf(() => maker.open(10)).code).toBe('ERR_OPEN_NESTED')
    reservation.close(0).release()
    maker.open(10).close(10).release()
    assertPristine(rig)
  })

  it.each([0, -1, 1.5, Number.NaN, 4097, '5', null])('of %s bytes are refused', (bytes) => {
    const { rig, maker } = setup()
    const { code, message } = errorOf(() => maker.open(bytes as number))
    expect(code).toBe('ERR_ARGUMENT')
    expect(message).toContain(`whole number from 1 to ${maker.payloadMax}`)
    maker.open(maker.payloadMax).close(0).release()
    assertPristine(rig)
  })

  it.each([-1, 11, 0.5, Number.NaN])('of 10 bytes cannot be closed with %d used', (used) => {
    const { rig, maker } = setup()
    const reservation = maker.open(10)
    const { code, message } = errorOf(() => reservation.close(used))
    expect(code).toBe('ERR_ARGUMENT')
    expect(message).toBe(`close(${used}): the bytes used must be a whole number from 0 to 10`)
    reservation.close(10).release()
    assertPristine(rig)
  })

  it('are over once they are closed', () => {
    const { rig, maker } = setup()
    const reservation = maker.open(10)
    reservation.close(1).release()
    for (const use of [() => reservation.bytes, () => reservation.close(1)])
      expect(errorOf(use).code).toBe('ERR_BUFFER_RELEASED')
    assertPristine(rig)
  })

  it('that are left open are abandoned, once', () => {
    const { rig, maker } = setup()
    const reservation = maker.open(10)
    expect(maker.abandon()).toBe(true)
    expect(maker.abandon()).toBe(false)
    expect(errorOf(() => reservation.bytes).code).toBe('ERR_BUFFER_RELEASED')
    maker.open(10).close(1).release()
    assertPristine(rig)
  })

  it('need a free chunk', () => {
    const { rig, owner, maker } = setup({ chunkCount: 1 })
    const prepared = maker.copy(new Uint8Array(3900), 0, 3900) as PreparedBuffer
    const { code, message } = errorOf(() => maker.open(1000))
    expect(code).toBe('ERR_MEMORY_PLAN')
    expect(message).toContain('no chunk is free')
    expect(maker.abandon()).toBe(false)
    prepared.release()
    owner.sender.writer.retire()
    owner.sender.settle()
    maker.open(1000).close(0).release()
    assertPristine(rig)
  })
})
