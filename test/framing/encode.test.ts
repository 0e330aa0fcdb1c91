// What: tests of headers and trailers, byte by byte.
// Flow: encode -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { OverlappedError } from '../../src/errors.ts'
import { Encoder } from '../../src/framing/encode.ts'
import { delimiter, type Framing, lengthPrefix, raw } from '../../src/framing/framing.ts'

/** What is written around a payload of `length` bytes; 0xee is what is left alone. */
function around(framing: Framing, length: number): { header: number[]; trailer: number[] } {
  const encoder = new Encoder(framing)
  const bytes = new Uint8Array(200).fill(0xee)
  encoder.writeHeader(bytes, 10, length)
  encoder.writeTrailer(bytes, 100)
  const [header, trailer] = [encoder.headerBytes, encoder.trailerBytes]
  const outside = [
    ...bytes.subarray(0, 10),
    ...bytes.subarray(10 + header, 100),
    ...bytes.subarray(100 + trailer),
  ]
  expect(outside.every((byte) => byte === 0xee)).toBe(true)
  return {
    header: [...bytes.subarray(10, 10 + header)],
    trailer: [...bytes.subarray(100, 100 + trailer)],
  }
}

describe('length prefix', () => {
  const cases: [object, number, number[]][] = [
    [{ bytes: 1 }, 0, [0]],
    [{ bytes: 1 }, 255, [255]],
    [{ bytes: 1, includesHeader: true }, 254, [255]],
    [{ bytes: 2 }, 0x1234, [0x12, 0x34]],
    [{ bytes: 2, endian: 'little' }, 0x1234, [0x34, 0x12]],
    [{ bytes: 2, includesHeader: true }, 0x1234, [0x12, 0x36]],
    [{ bytes: 2, endian: 'little', includesHeader: true }, 0xfffd, [0xff, 0xff]],
    [{ bytes: 4 }, 0x123456, [0, 0x12, 0x34, 0x56]],
    [{ bytes: 4, endian: 'little' }, 0x123456, [0x56, 0x34, 0x12, 0]],
    [{ bytes: 4, endian: 'little' }, 16_777_216, [0, 0, 0, 1]],
    [{ bytes: 4, includesHeader: true, offset: 2 }, 0x100, [0, 0, 0, 0, 1, 6]],
    [{ bytes: 1, offset: 3 }, 7, [0, 0, 0, 7]],
    [{ bytes: 2, offset: 1, includesHeader: true }, 7, [0, 0, 10]],
  ]
  it.each(cases)('%j before %i bytes', (options, length, header) => {
    expect(around(lengthPrefix(options), length)).toEqual({ header, trailer: [] })
  })

  it('fills the longest offset with zeros', () => {
    const { header } = around(lengthPrefix({ offset: 60, bytes: 4 }), 1)
    expect(header).toEqual([...new Array(63).fill(0), 1])
  })
})

describe('delimiter and raw', () => {
  it('write the sequence behind the payload where receiving strips it', () => {
    expect(around(delimiter({ bytes: '\r\n' }), 5)).toEqual({ header: [], trailer: [13, 10] })
    expect(around(delimiter({ bytes: '\r\n', strip: false }), 5)).toEqual({
      header: [],
      trailer: [],
    })
    expect(around(raw(), 5)).toEqual({ header: [], trailer: [] })
  })
})

describe('echoes', () => {
  it.each([
    [lengthPrefix(), true],
    [lengthPrefix({ includesHeader: true }), true],
    [lengthPrefix({ offset: 1 }), false],
    [delimiter(), true],
    [delimiter({ strip: false }), true],
    [raw(), true],
  ])('%j: %s', (framing, echoes) => {
    expect(new Encoder(framing).echoes).toBe(echoes)
  })
})

describe('check', () => {
  it.each([
    [lengthPrefix({ bytes: 1 }), 255],
    [lengthPrefix({ bytes: 1, includesHeader: true, offset: 4 }), 250],
    [lengthPrefix({ bytes: 2 }), 65_535],
    [lengthPrefix({ bytes: 4 }), 16_777_216],
    [delimiter(), 16_777_216],
    [raw(), 16_777_216],
  ])('%j takes %i bytes, not one more', (framing, most) => {
    const encoder = new Encoder(framing)
    expect(encoder.payloadMax).toBe(most)
    encoder.check(0)
    encoder.check(most)
    expect(() => encoder.check(most + 1)).toThrow(OverlappedError)
    expect(() => encoder.check(most + 1)).toThrow(
      `a payload of ${most + 1} bytes was to be sent; this framing carries at most ${most}`,
    )
  })
})
