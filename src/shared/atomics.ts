// What: the one door to Atomics, so that models can turn each operation into a yield point.
// Flow: this -> everything that touches words of other threads.
// Thread: any. Every operation is sequentially consistent, as the language has it.

export function load(words: Int32Array, index: number): number {
  return Atomics.load(words, index)
}

export function store(words: Int32Array, index: number, value: number): void {
  Atomics.store(words, index, value)
}

/** Returns the value before. */
export function add(words: Int32Array, index: number, value: number): number {
  return Atomics.add(words, index, value)
}

/** Returns the value before. */
export function sub(words: Int32Array, index: number, value: number): number {
  return Atomics.sub(words, index, value)
}

/** Returns the value before. */
export function or(words: Int32Array, index: number, value: number): number {
  return Atomics.or(words, index, value)
}

/** Returns the value before. */
export function and(words: Int32Array, index: number, value: number): number {
  return Atomics.and(words, index, value)
}

/** Returns the value before. */
export function exchange(words: Int32Array, index: number, value: number): number {
  return Atomics.exchange(words, index, value)
}

/** Returns the value before; it took place when that is `expected`. */
export function compareExchange(
  words: Int32Array,
  index: number,
  expected: number,
  value: number,
): number {
  return Atomics.compareExchange(words, index, expected, value)
}

/**
 * Sleeps while the word has this value, until notify(). False: nobody came within `timeoutMs`. Not on threads that
 * must not sleep.
 */
export function wait(
  words: Int32Array,
  index: number,
  expected: number,
  timeoutMs: number,
): boolean {
  return Atomics.wait(words, index, expected, timeoutMs) !== 'timed-out'
}

/** Wakes at most `count` threads that sleep on the word. */
export function notify(words: Int32Array, index: number, count: number): void {
  Atomics.notify(words, index, count)
}
