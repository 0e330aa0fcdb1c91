// What: tests of the I/O count: released exactly once, never revived.
// Flow: io_count -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { IO_RELEASED } from '../../src/layout/layout.ts'
import { open, release, retain, tryRetain } from '../../src/shared/io_count.ts'
import { Random } from '../helpers/unit_memory.ts'

const AT = 1

function count(value: number): Int32Array {
  const words = new Int32Array(new SharedArrayBuffer(12))
  words[AT] = value
  return words
}

describe('io_count', () => {
  it('opens with the base reference, also a slot that was released before [IOCOUNT-1]', () => {
    for (const before of [0, IO_RELEASED]) {
      const words = count(before)
      open(words, AT)
      expect([...words]).toEqual([0, 1, 0])
    }
  })

  it('counts references up and down', () => {
    const words = count(1)
    retain(words, AT)
    expect(tryRetain(words, AT)).toBe(true)
    expect(words[AT]).toBe(3)
    expect(release(words, AT)).toBe(false)
    expect(release(words, AT)).toBe(false)
    expect(words[AT]).toBe(1)
  })

  it('is released by the last reference, and says so to it alone [IOCOUNT-3]', () => {
    const words = count(0)
    open(words, AT)
    retain(words, AT)
    expect(release(words, AT)).toBe(false)
    expect(release(words, AT)).toBe(true)
    expect(words[AT]).toBe(IO_RELEASED)
  })

  it.each([0, IO_RELEASED, IO_RELEASED + 1])('refuses a pin at %i [IOCOUNT-2]', (value) => {
    const words = count(value)
    expect(tryRetain(words, AT)).toBe(false)
    expect(words[AT]).toBe(value)
  })

  it('is released once in any order of random pins', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed)
      const words = count(0)
      open(words, AT)
      let held = 1
      let released = 0
      for (let step = 0; step < 50; step++) {
        if (random.chance(45)) {
          expect(tryRetain(words, AT), `seed ${seed}`).toBe(held > 0)
          if (held > 0) held++
        } else if (held > 0) {
          held--
          if (release(words, AT)) released++
          expect(released, `seed ${seed}`).toBe(held === 0 ? 1 : 0)
        }
      }
      expect(words[AT]).toBe(held === 0 ? IO_RELEASED : held)
    }
  })
})
