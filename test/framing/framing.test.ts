// What: tests of framing descriptors: defaults, every wrong option, what each framing can carry.
// Flow: framing -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  DELIMITER_BYTES_MAX,
  delimiter,
  headerBytes,
  lengthPrefix,
  longestPayload,
  maxPayloadLength,
  OFFSET_MAX,
  PAYLOAD_LENGTH_DEFAULT,
  PAYLOAD_LENGTH_LIMIT,
  raw,
  trailerBytes,
} from '../../src/framing/framing.ts'
import { errorOf } from '../helpers/error_of.ts'

describe('descriptors', () => {
  it('are plain data, with defaults', () => {
    expect(lengthPrefix()).toEqual({
      kind: 'length-prefix',
      bytes: 2,
      endian: 'big',
      offset: 0,
      includesHeader: false,
    })
    expect(delimiter()).toEqual({ kind: 'delimiter', bytes: [10], strip: true })
    expect(raw()).toEqual({ kind: 'raw' })
    for (const framing of [lengthPrefix(), delimiter(), raw()]) {
      expect(structuredClone(framing)).toEqual(framing)
      expect(JSON.parse(JSON.stringify(framing))).toEqual(framing)
    }
  })

  it('keep what was given', () => {
    const options = {
      bytes: 4,
      endian: 'little',
      offset: OFFSET_MAX,
      includesHeader: true,
      maxPayloadLength: 5,
    } as const
    expect(lengthPrefix(options)).toEqual({ kind: 'length-prefix', ...options })
    const given = { bytes: '\r\n', strip: false, maxPayloadLength: PAYLOAD_LENGTH_LIMIT }
    expect(delimiter(given)).toEqual({ ...given, kind: 'delimiter', bytes: [13, 10] })
  })

  it('take a delimiter as text, bytes or numbers', () => {
    for (const bytes of ['é\n', new Uint8Array([0xc3, 0xa9, 10]), [0xc3, 0xa9, 10]])
      expect(delimiter({ bytes }).bytes).toEqual([0xc3, 0xa9, 10])
    expect(delimiter({ bytes: new Array(DELIMITER_BYTES_MAX).fill(0) }).bytes).toHaveLength(16)
  })
})

describe('wrong options', () => {
  const whole = (min: number, max: number) => `; it must be a whole number from ${min} to ${max}`
  it.each([
    ['bytes', 3, '3; it must be one of 1, 2, 4'],
    ['bytes', '2', "'2'; it must be one of 1, 2, 4"],
    ['bytes', null, 'null; it must be one of 1, 2, 4'],
    ['endian', 'middle', "'middle'; it must be one of 'little', 'big'"],
    ['offset', -1, `-1${whole(0, 60)}`],
    ['offset', 61, `61${whole(0, 60)}`],
    ['offset', 1.5, `1.5${whole(0, 60)}`],
    ['offset', '4', `'4'${whole(0, 60)}`],
    ['offset', Number.NaN, `NaN${whole(0, 60)}`],
    ['includesHeader', 1, '1; it must be one of true, false'],
    ['maxPayloadLength', 0, `0${whole(1, PAYLOAD_LENGTH_LIMIT)}`],
    ['maxPayloadLength', 16_777_217, `16777217${whole(1, PAYLOAD_LENGTH_LIMIT)}`],
    ['maxPayloadLength', null, `null${whole(1, PAYLOAD_LENGTH_LIMIT)}`],
  ])('lengthPrefix %s: %j', (key, value, rest) => {
    const { code, message } = errorOf(() => lengthPrefix({ [key]: value } as object))
    expect(code).toBe('ERR_OPTION_RANGE')
    expect(message).toBe(`lengthPrefix ${key} is ${rest}`)
  })

  it.each([
    ['bytes', '', `delimiter bytes: the number of bytes is 0${whole(1, 16)}`],
    ['bytes', 'x'.repeat(17), `delimiter bytes: the number of bytes is 17${whole(1, 16)}`],
    ['bytes', [256], `delimiter bytes: a byte is 256${whole(0, 255)}`],
    ['bytes', [-1], `delimiter bytes: a byte is -1${whole(0, 255)}`],
    ['bytes', ['a'], `delimiter bytes: a byte is 'a'${whole(0, 255)}`],
    ['strip', 'no', "delimiter strip is 'no'; it must be one of true, false"],
    ['maxPayloadLength', 0, `delimiter maxPayloadLength is 0${whole(1, PAYLOAD_LENGTH_LIMIT)}`],
  ])('delimiter %s: %j', (key, value, sentence) => {
    const { code, message } = errorOf(() => delimiter({ [key]: value } as object))
    expect(code).toBe('ERR_OPTION_RANGE')
    expect(message).toBe(sentence)
  })

  it.each([5, null, true])('delimiter bytes: %j, which is no sequence', (bytes) => {
    const { message } = errorOf(() => delimiter({ bytes } as object))
    expect(message).toContain('delimiter bytes')
    expect(message).toContain(String(bytes))
  })

  it('that do not exist', () => {
    const prefix = errorOf(() => lengthPrefix({ width: 2 } as object))
    expect(prefix.code).toBe('ERR_OPTION_UNKNOWN')
    expect(prefix.message).toBe(
      "lengthPrefix has no option 'width'; it has bytes, endian, offset, includesHeader, maxPayloadLength",
    )
    const line = errorOf(() => delimiter({ kind: 'delimiter' } as object))
    expect(line.code).toBe('ERR_OPTION_UNKNOWN')
    expect(line.message).toBe(
      "delimiter has no option 'kind'; it has bytes, strip, maxPayloadLength",
    )
  })
})

describe('sizes', () => {
  it.each([
    [lengthPrefix({ bytes: 1 }), 1, 0, 255, 255],
    [lengthPrefix({ bytes: 1, includesHeader: true, offset: 60 }), 61, 0, 194, 194],
    [lengthPrefix({ bytes: 2, offset: 3 }), 5, 0, 65_535, 65_535],
    [lengthPrefix({ bytes: 2, includesHeader: true }), 2, 0, 65_533, 65_533],
    [lengthPrefix({ bytes: 4 }), 4, 0, PAYLOAD_LENGTH_LIMIT, PAYLOAD_LENGTH_DEFAULT],
    [lengthPrefix({ bytes: 4, maxPayloadLength: 9 }), 4, 0, PAYLOAD_LENGTH_LIMIT, 9],
    [lengthPrefix({ bytes: 1, maxPayloadLength: 999 }), 1, 0, 255, 255],
    [delimiter({ bytes: 'abc' }), 0, 3, PAYLOAD_LENGTH_LIMIT, PAYLOAD_LENGTH_DEFAULT],
    [delimiter({ strip: false, maxPayloadLength: 7 }), 0, 1, PAYLOAD_LENGTH_LIMIT, 7],
    [raw(), 0, 0, PAYLOAD_LENGTH_LIMIT, PAYLOAD_LENGTH_LIMIT],
  ])('%j', (framing, header, trailer, longest, inForce) => {
    expect(headerBytes(framing)).toBe(header)
    expect(trailerBytes(framing)).toBe(trailer)
    expect(longestPayload(framing)).toBe(longest)
    expect(maxPayloadLength(framing)).toBe(inForce)
  })
})
