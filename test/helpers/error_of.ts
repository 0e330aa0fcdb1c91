// What: the error of this package that a call throws.
// Flow: unit tests -> this -> the call under test -> tests.
// Thread: the test's.

import { expect } from 'vitest'
import { OverlappedError } from '../../src/errors.ts'

/** Fails when nothing is thrown, or something else. */
export function errorOf(act: () => unknown): OverlappedError {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(OverlappedError)
    return error as OverlappedError
  }
  throw new Error('nothing was thrown')
}
