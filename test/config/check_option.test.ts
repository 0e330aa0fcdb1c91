// What: tests of value checks, of text that becomes values, and of the nearest name.
// Flow: check_option -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  checkOption,
  editDistance,
  nearest,
  parseText,
  show,
  unknownName,
} from '../../src/config/check_option.ts'
import { framingOptions, listenerOptions, serverOptions } from '../../src/config/option_schema.ts'

function optionOf(key: string) {
  const spec = [...serverOptions, ...listenerOptions, ...framingOptions].find(
    (each) => each.key === key,
  )
  if (spec === undefined) throw new Error(`no option ${key}`)
  return spec
}

describe('checkOption', () => {
  it.each([
    ['maxSessions', '5', 'ERR_OPTION_TYPE', "'5'", 'a whole number from 1 to 1048575'],
    ['maxSessions', 0, 'ERR_OPTION_RANGE', '0', 'a whole number from 1 to 1048575'],
    ['maxSessions', 1.5, 'ERR_OPTION_RANGE', '1.5', 'a whole number from 1 to 1048575'],
    ['maxSessions', Number.NaN, 'ERR_OPTION_RANGE', 'NaN', 'a whole number from 1 to 1048575'],
    ['maxSessions', 5n, 'ERR_OPTION_TYPE', '5n', 'a whole number from 1 to 1048575'],
    ['chunkBytes', 5000, 'ERR_OPTION_RANGE', '5000', 'a power of two from 4096 to 1048576 (bytes)'],
    ['workers', 'many', 'ERR_OPTION_RANGE', "'many'", "'auto' or a whole number from 0 to 60"],
    ['workers', true, 'ERR_OPTION_TYPE', 'true', "'auto' or a whole number from 0 to 60"],
    ['noDelay', 1, 'ERR_OPTION_TYPE', '1', 'true or false'],
    [
      'driver',
      'kqueue',
      'ERR_OPTION_RANGE',
      "'kqueue'",
      "one of 'auto', 'io_uring', 'epoll', 'iocp'",
    ],
    ['mode', 'async', 'ERR_OPTION_RANGE', "'async'", "one of 'worker', 'update', 'send'"],
    ['host', '', 'ERR_OPTION_RANGE', "''", 'an address or host name'],
    ['zeroCopy', 'on', 'ERR_OPTION_RANGE', "'on'", "'off', 'auto' or { minBytes: a whole number"],
    ['zeroCopy', 5000, 'ERR_OPTION_TYPE', '5000', "'off', 'auto' or { minBytes: a whole number"],
    ['zeroCopy', { minBytes: 0 }, 'ERR_OPTION_RANGE', '{ minBytes: 0 }', 'from 1 to 1073741824'],
    ['zeroCopy', { bytes: 1 }, 'ERR_OPTION_RANGE', '{ bytes: 1 }', '{ minBytes: a whole number'],
    [
      'zeroCopy',
      { minBytes: 1, maxBytes: 2 },
      'ERR_OPTION_RANGE',
      '{ minBytes: 1, maxBytes: 2 }',
      '{ minBytes: a whole number',
    ],
    ['listeners', {}, 'ERR_OPTION_TYPE', '{}', 'an array of listeners'],
    ['delimiter', '\\q', 'ERR_OPTION_RANGE', "'\\\\q'", 'escapes \\n'],
  ])('refuses %s = %s', (key, value, code, shown, allowed) => {
    const check = () => checkOption(optionOf(key), `the ${key}`, value)
    expect(check).toThrow(expect.objectContaining({ code }))
    expect(check).toThrow(`the ${key} is ${shown}; it must be `)
    expect(check).toThrow(allowed)
  })

  it('takes the ends of a range', () => {
    for (const value of [1, 1_048_575]) checkOption(optionOf('maxSessions'), 'x', value)
    for (const value of [4096, 1_048_576]) checkOption(optionOf('chunkBytes'), 'x', value)
    for (const value of ['off', 'auto', { minBytes: 1 }, { minBytes: 2 ** 30 }])
      checkOption(optionOf('zeroCopy'), 'x', value)
  })
})

describe('parseText', () => {
  it('makes a threshold of a number', () => {
    const parse = (text: string) => parseText(optionOf('zeroCopy'), text)
    expect(['65536', 'auto', '64k'].map(parse)).toEqual([{ minBytes: 65_536 }, 'auto', '64k'])
  })

  it.each([
    ['port', '9000', 9000],
    ['port', '-1', -1],
    ['port', '1.5', 1.5],
    ['port', '', ''],
    ['port', '0x10', '0x10'],
    ['port', '1e3', '1e3'],
    ['workers', 'auto', 'auto'],
    ['workers', '2', 2],
    ['strip', 'false', false],
    ['strip', 'no', 'no'],
    ['host', '127', '127'],
  ])('%s %s', (key, text, value) => expect(parseText(optionOf(key), text)).toBe(value))
})

describe('names', () => {
  it('counts edits, a swap of neighbours as one', () => {
    expect(editDistance('', 'abc')).toBe(3)
    expect(editDistance('abc', 'abc')).toBe(0)
    expect(editDistance('prot', 'port')).toBe(1)
    expect(editDistance('kitten', 'sitting')).toBe(3)
  })

  it('finds the nearest, whatever the case', () => {
    expect(nearest('PROT', ['host', 'port', 'name'])).toBe('port')
  })

  it('says what is unknown, its value and the nearest', () => {
    const error = unknownName('an option', 'prot', ' (9)', 'port')
    expect(error.code).toBe('ERR_OPTION_UNKNOWN')
    expect(error.message).toBe('prot (9) is not an option; the nearest known one is port')
  })
})

describe('show', () => {
  it('is one short line', () => {
    expect(show('a\nb')).toBe("'a\\nb'")
    expect(show('x'.repeat(500)).length).toBeLessThanOrEqual(81)
    expect(show(new Map([['key'.repeat(30), { deep: { deeper: 1 } }]]))).not.toContain('\n')
  })
})
