// What: assertions: `assert` for what must hold.
// Flow: this -> every room.
// Thread: any.

/** A bug of this package, never of its user: thrown when an invariant does not hold. */
export class AssertionError extends Error {
  override name = 'AssertionError'
}

/** Always on; cold paths and once per batch. The message starts with the invariant's id where it has one. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}
