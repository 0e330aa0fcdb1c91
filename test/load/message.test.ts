// What: tests of message content and of the check of what arrives.
// Flow: message -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  ArrivalCheck,
  type Content,
  contentBytesMin,
  earliest,
  MessageContent,
  noFaults,
  powerOfTwoFrom,
  START_CLIENT,
} from '../../src/load/message.ts'

/** A packet of these bytes. */
function packetOf(bytes: Uint8Array): Content {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return {
    length: bytes.length,
    bytes,
    u8: (offset) => view.getUint8(offset),
    i32: (offset, endian = 'little') => view.getInt32(offset, endian === 'little'),
  }
}

const NEWLINE = 10
const kinds = [
  { name: 'bytes', avoid: undefined },
  { name: 'text', avoid: NEWLINE },
]

describe.each(kinds)('MessageContent of $name', ({ avoid }) => {
  const min = contentBytesMin(avoid !== undefined)
  const sizes = [min, min + 1, min + 7, 64, 511, 512, 513, 4096]

  it.each(sizes)('reads what it built, of %d bytes', (size) => {
    const content = new MessageContent(size, avoid)
    for (const client of [0, 1, 27_999, START_CLIENT]) {
      for (const sequence of [0, 1, 255, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 44 - 1]) {
        const bytes = content.build(client, sequence)
        expect(bytes.length).toBe(size)
        expect(content.read(packetOf(bytes.slice()))).toBe('right')
        expect([content.client, content.sequence]).toEqual([client, sequence])
      }
    }
  })

  it.each([min, 64, 700])('notices every byte that changed, of %d bytes', (size) => {
    const content = new MessageContent(size, avoid)
    const right = content.build(3, 1234).slice()
    for (let at = 0; at < size; at++) {
      const wrong = right.slice()
      wrong[at] ^= 1
      const verdict = content.read(packetOf(wrong))
      expect(verdict).toBe(at < min ? 'stamp' : 'pattern')
      expect(content.differsAt(packetOf(wrong), 3, 1234)).toBe(at)
    }
    expect(content.differsAt(packetOf(right), 3, 1234)).toBe(-1)
  })

  it('says which message it is whose pattern is wrong', () => {
    const content = new MessageContent(64, avoid)
    const wrong = content.build(5, 77).slice()
    wrong[63] ^= 1
    content.build(1, 2)
    expect(content.read(packetOf(wrong))).toBe('pattern')
    expect([content.client, content.sequence]).toEqual([5, 77])
  })

  it('notices another length', () => {
    const content = new MessageContent(64, avoid)
    const right = content.build(0, 0)
    expect(content.read(packetOf(right.slice(0, 63)))).toBe('length')
    expect(content.read(packetOf(new Uint8Array(65)))).toBe('length')
    expect(content.read(packetOf(new Uint8Array(0)))).toBe('length')
  })

  it('has other bytes for another client or sequence', () => {
    const content = new MessageContent(200, avoid)
    const seen = new Set<string>()
    for (let client = 0; client < 10; client++) {
      for (let sequence = 0; sequence < 100; sequence++) {
        seen.add(Buffer.from(content.build(client, sequence).subarray(min)).toString('latin1'))
      }
    }
    // Patterns start at 8192 places: some of the 1000 share one.
    expect(seen.size).toBeGreaterThan(800)
  })

  it('builds the same bytes in every instance', () => {
    const one = new MessageContent(64, avoid).build(7, 8)
    expect(new MessageContent(64, avoid).build(7, 8)).toEqual(one)
  })
})

describe('MessageContent as text', () => {
  it.each([...Buffer.from('\n0af|')])(
    'does not contain byte %d, with which its delimiter begins',
    (avoid) => {
      const content = new MessageContent(300, avoid)
      for (let sequence = 0; sequence < 200; sequence++) {
        expect(content.build(sequence, sequence).includes(avoid)).toBe(false)
      }
    },
  )

  it('takes no other digit for a stamp', () => {
    const content = new MessageContent(64, NEWLINE)
    for (const filler of [0, 0x67, 0xff]) {
      expect(content.read(packetOf(new Uint8Array(64).fill(filler)))).toBe('stamp')
    }
  })
})

describe('ArrivalCheck', () => {
  let now = 0
  const make = (depth = 16, clients = 1) =>
    new ArrivalCheck(
      clients,
      depth,
      (index) => index * 10,
      () => ++now,
    )
  const take = (check: ArrivalCheck, ...sequences: readonly number[]) => {
    for (const sequence of sequences) check.take(0, sequence)
  }
  const WINDOW = 256

  it('verifies what comes in order', () => {
    const check = make()
    for (let sequence = 0; sequence < 1000; sequence++) check.take(0, sequence)
    check.finish(0, 1000)
    expect(check).toMatchObject({ verified: 1000, missing: 0, counts: noFaults() })
    expect(check.first).toBeUndefined()
  })

  it('calls reordered what comes late', () => {
    const check = make()
    take(check, 0, 2, 3)
    expect(check.missing).toBe(1)
    take(check, 1, 4)
    check.finish(0, 5)
    expect(check).toMatchObject({ verified: 5, missing: 0 })
    expect(check.counts).toEqual({ ...noFaults(), reordered: 1 })
    expect(check.first).toMatchObject({
      kind: 'reordered',
      client: 0,
      sequence: 1,
      expected: 'sequence 1',
      got: 'sequence 2',
    })
  })

  it('calls dropped what was skipped and does not come', () => {
    const check = make()
    take(check, 0, 2, 3)
    check.finish(0, 4)
    expect(check.counts).toEqual({ ...noFaults(), dropped: 1 })
    expect(check.first).toMatchObject({ kind: 'dropped', sequence: 1, got: 'sequence 2' })
  })

  it('calls dropped what leaves the window, while it goes on', () => {
    const check = make()
    take(check, 0)
    for (let sequence = 2; sequence <= WINDOW; sequence++) check.take(0, sequence)
    expect(check.counts.dropped).toBe(0)
    check.take(0, WINDOW + 1)
    expect(check.counts.dropped).toBe(1)
    expect(check.missing).toBe(0)
  })

  it('takes the last moment of the window for reordered', () => {
    const check = make()
    for (let sequence = 1; sequence < WINDOW; sequence++) check.take(0, sequence)
    take(check, 0)
    expect(check.counts).toEqual({ ...noFaults(), reordered: 1 })
  })

  it('has a window of four times the depth', () => {
    const check = make(100)
    for (let sequence = 1; sequence < 400; sequence++) check.take(0, sequence)
    take(check, 0)
    expect(check.counts).toEqual({ ...noFaults(), reordered: 1 })
  })

  it('calls dropped what a silence swallowed', () => {
    const check = make()
    take(check, 0)
    check.finish(0, 3)
    expect(check.counts).toEqual({ ...noFaults(), dropped: 2 })
    expect(check.first).toMatchObject({ kind: 'dropped', sequence: 1, got: 'nothing' })
  })

  it('calls duplicated what comes twice, also after it was late', () => {
    const check = make()
    take(check, 0, 0, 2, 1, 1)
    check.finish(0, 3)
    expect(check.counts).toEqual({ ...noFaults(), duplicated: 2, reordered: 1 })
    expect(check.first).toMatchObject({ kind: 'duplicated', sequence: 1, got: 'sequence 0' })
    expect(check.verified).toBe(3)
  })

  it('calls duplicated what comes after its window', () => {
    const check = make()
    for (let sequence = 0; sequence < WINDOW * 2; sequence++) check.take(0, sequence)
    take(check, 0)
    expect(check.counts).toEqual({ ...noFaults(), duplicated: 1 })
  })

  it('keeps the kind of a first fault that another sequence resolves', () => {
    const check = make()
    take(check, 2, 1)
    check.finish(0, 3)
    expect(check.counts).toEqual({ ...noFaults(), dropped: 1, reordered: 1 })
    expect(check.first).toMatchObject({ kind: 'dropped', sequence: 0 })
  })

  it('takes a corrupted message for the one it says, or the one expected', () => {
    const check = make()
    check.takeCorrupted(0, undefined, 'a')
    check.takeCorrupted(0, 1, 'b')
    take(check, 2)
    check.finish(0, 3)
    expect(check.counts).toEqual({ ...noFaults(), corrupted: 2 })
    expect(check.first).toMatchObject({ kind: 'corrupted', sequence: 0, got: 'a' })
    expect(check.verified).toBe(1)
  })

  it('takes a corrupted message for one that is missing', () => {
    const check = make()
    take(check, 1)
    check.takeCorrupted(0, 0, 'a')
    check.takeCorrupted(0, 3, 'b')
    check.finish(0, 4)
    expect(check.counts).toEqual({ ...noFaults(), corrupted: 2, dropped: 1 })
    expect(check.missing).toBe(0)
  })

  it('keeps clients apart, and finds the first fault of all', () => {
    const check = make(16, 3)
    check.take(2, 0)
    check.take(1, 1)
    check.take(2, 0)
    expect(check.nextOf(0)).toBe(0)
    expect(check.nextOf(1)).toBe(2)
    expect(check.nextOf(2)).toBe(1)
    expect(check.first).toMatchObject({ client: 10, kind: 'dropped' })
    expect(earliest([undefined, check.first, undefined])).toBe(check.first)
  })
})

describe('powerOfTwoFrom', () => {
  it.each([
    [1, 1],
    [2, 2],
    [3, 4],
    [4096, 4096],
    [4097, 8192],
  ])('of %d is %d', (least, power) => {
    expect(powerOfTwoFrom(least)).toBe(power)
  })
})
