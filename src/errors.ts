// What: the one error class that is thrown to whoever can mend the call.
// Flow: layout (codes) -> this -> every room.
// Thread: any.

import type { ErrorCode } from './layout/layout.ts'

/** Misuse, or a start that failed. `code` is stable (docs/reference/errors.md), `message` is one sentence. */
export class OverlappedError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'OverlappedError'
    this.code = code
  }
}
