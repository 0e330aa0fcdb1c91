// What: twin of src/shared/atomics.ts: before each operation the simulation may let another thread run.
// Flow: the built package, as one simulated thread has it -> this -> the thread's hook.
// Thread: the test's; one instance per simulated thread.

let hook = null

/** `before` runs before each operation; null: nothing does. */
export function setHook(before) {
  hook = before
}

export function load(words, index) {
  if (hook !== null) hook()
  return Atomics.load(words, index)
}

export function store(words, index, value) {
  if (hook !== null) hook()
  Atomics.store(words, index, value)
}

export function add(words, index, value) {
  if (hook !== null) hook()
  return Atomics.add(words, index, value)
}

export function sub(words, index, value) {
  if (hook !== null) hook()
  return Atomics.sub(words, index, value)
}

export function or(words, index, value) {
  if (hook !== null) hook()
  return Atomics.or(words, index, value)
}

export function and(words, index, value) {
  if (hook !== null) hook()
  return Atomics.and(words, index, value)
}

export function exchange(words, index, value) {
  if (hook !== null) hook()
  return Atomics.exchange(words, index, value)
}

export function compareExchange(words, index, expected, value) {
  if (hook !== null) hook()
  return Atomics.compareExchange(words, index, expected, value)
}

/** Threads of the simulation are one thread: who sleeps here sleeps for ever. */
export function wait() {
  throw new Error('a simulated thread waits for a word')
}

export function notify() {
  if (hook !== null) hook()
}
