// What: the session lock that the runtime does without: a mutex word, as one writes it with Atomics.
// Flow: take -> what the lock protects -> give.
// Thread: any; for pin.mjs only.

const FREE = 0
const TAKEN = 1
/** Taken, and somebody may sleep until it is given. */
const AWAITED = 2

/** Looks at a taken lock before one sleeps: some microseconds, as long as a short section may take. */
const SPINS = 200

export function take(words, at) {
  if (Atomics.compareExchange(words, at, FREE, TAKEN) === FREE) return
  for (let spun = 0; spun < SPINS; spun++) {
    if (Atomics.load(words, at) !== FREE) continue
    if (Atomics.compareExchange(words, at, FREE, TAKEN) === FREE) return
  }
  while (Atomics.exchange(words, at, AWAITED) !== FREE) Atomics.wait(words, at, AWAITED)
}

export function give(words, at) {
  if (Atomics.exchange(words, at, FREE) === AWAITED) Atomics.notify(words, at, 1)
}
