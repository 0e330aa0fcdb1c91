// What: tests of text as UTF-8 in memory that is used again.
// Flow: text_bytes -> this.
// Thread: main.

import { expect, it } from 'vitest'
import { textBytes } from '../../src/session/text_bytes.ts'

const encoded = (text: string) => {
  textBytes.encode(text)
  return Buffer.from(textBytes.bytes.subarray(0, textBytes.length))
}

it.each([
  ['nothing', ''],
  ['ASCII', 'hello'],
  ['two, three and four bytes', 'é€😀'],
  ['a lone surrogate', 'a\ud800b'],
  ['all that its memory holds', '€'.repeat(21_845)],
  ['more than its memory holds', '€'.repeat(21_846)],
  ['much more', 'x'.repeat(1_000_000)],
])('encodes %s', (_, text) => {
  expect(encoded(text).equals(Buffer.from(text, 'utf8'))).toBe(true)
})

it('uses the same memory for every text of ordinary length', () => {
  textBytes.encode('one')
  const { bytes } = textBytes
  textBytes.encode('x'.repeat(30_000))
  expect(textBytes.bytes).not.toBe(bytes)
  textBytes.encode('€'.repeat(21_845))
  expect(textBytes.bytes).toBe(bytes)
  textBytes.encode('two')
  expect(textBytes.bytes).toBe(bytes)
  expect(encoded('two').toString()).toBe('two')
})
