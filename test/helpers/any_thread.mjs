// What: what any thread can do to sessions, in one place: once each, as numbered streams, and as blows that never end.
// Flow: any_thread.mjs, any_thread_jobs.mjs, any_thread.test.ts -> this -> runtime of the thread.
// Thread: any.

/** Where sessions stand, so that every thread knows of them, also of those that have left: `data` of the server. */
export const BOARD_SESSIONS = 64
/** Bytes of `data`: a word that ends blows and holds, one that counts stamps, then the board. */
export const BOARD_BYTES = 8 + 8 * BOARD_SESSIONS

const FILLER = 'abcdefghij'.repeat(30)
const COUNTS = ['queued', 'full', 'closed', 'dropped']

const ends = (runtime) => new Int32Array(runtime.data, 0, 1)
const board = (runtime) => new BigInt64Array(runtime.data, 8)

export function isOver(runtime) {
  return Atomics.load(ends(runtime), 0) !== 0
}

/** Ends what goes on in any thread; `isOver` false lets it begin again. */
export function end(runtime, isEnd = true) {
  Atomics.store(ends(runtime), 0, isEnd ? 1 : 0)
  Atomics.notify(ends(runtime), 0)
}

/** Stays until end(): for job threads, which may block. */
export function untilEnd(runtime) {
  Atomics.wait(ends(runtime), 0, 0)
}

/**
 * A number that is higher than those which any thread got before: what reports of different threads cannot tell, as they
 * come through ports of their own.
 */
export function stamp(runtime) {
  return Atomics.add(new Int32Array(runtime.data, 4, 1), 0, 1)
}

/** Tells every thread of a session. */
export function show(runtime, id, at) {
  Atomics.store(board(runtime), at % BOARD_SESSIONS, BigInt(id))
}

function attempt(use) {
  try {
    return use()
  } catch (error) {
    return error.code ?? String(error)
  }
}

const pauseABit = () => new Promise((resolve) => setImmediate(resolve))

/** What message `number` of a stream reads; every length from 0. */
export function textOf(stream, number) {
  return `${stream} ${number} ${FILLER.slice(0, (number * 37) % (FILLER.length + 1))}`
}

const pins = new Map()

export const actions = {
  send: (runtime, { id, data }) => attempt(() => runtime.send(id, data)),
  close: (runtime, { id }) => attempt(() => runtime.close(id)),
  broadcast: (runtime, { data, options }) => attempt(() => runtime.broadcast(data, options)),
  post: (runtime, { to, message }) => attempt(() => runtime.post(to, message) ?? 'posted'),
  /** Pins, uses and lets go, once too often. */
  pinOnce: (runtime, { id, data }) => {
    const pin = runtime.pin(id)
    if (pin === undefined) return 'undefined'
    const { isOpen, bufferedAmount } = pin
    pin.tag = 7
    const found = { isOpen, tag: pin.tag, hasAmount: bufferedAmount >= 0, sent: pin.send(data) }
    pin.unpin()
    return { ...found, again: attempt(() => pin.unpin()), isOpenAfter: pin.isOpen }
  },
  pin: (runtime, { id }) => {
    const pin = runtime.pin(id)
    if (pin === undefined) return 'undefined'
    pins.set(id, pin)
    return 'pinned'
  },
  /** Stamped while it is still held. */
  unpin: (runtime, { id }) => {
    const pin = pins.get(id)
    pins.delete(id)
    const stamped = stamp(runtime)
    pin.unpin()
    return stamped
  },
  /** Numbered messages to each id, by every way there is. */
  async stream(runtime, { name, ids, count, burst }) {
    for (let number = 0; number < count; number++) {
      const text = textOf(name, number)
      const way = number % 4
      if (way === 1) {
        const { queued } = runtime.broadcast(text, { to: ids })
        if (queued !== ids.length) throw new Error(`${name}: ${queued} of ${ids.length} by ids`)
      } else if (way === 2) {
        const { queued } = runtime.broadcast(text)
        if (queued !== ids.length) throw new Error(`${name}: ${queued} of ${ids.length} by all`)
      } else if (way === 3) {
        const buffer = runtime.prepare(text)
        for (const id of ids) runtime.send(id, buffer)
        buffer.release()
      } else for (const id of ids) runtime.send(id, text)
      if (number % burst === burst - 1) await pauseABit()
    }
    return count
  },
  /** Every call on whatever sessions the board has, until the end; how often which outcome came. */
  async blows(runtime, { name }) {
    const outcomes = {}
    const count = (outcome) => {
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }
    for (let round = 0; !isOver(runtime); round++) {
      const ids = [...new Set(Array.from(board(runtime), Number))].filter((id) => id !== 0)
      const text = textOf(name, round)
      for (const [at, id] of ids.entries()) {
        const act = (round + at) % 5
        if (act === 0) count(`send ${attempt(() => runtime.send(id, text))}`)
        else if (act === 1 && round % 16 === 1) count(`close ${attempt(() => runtime.close(id))}`)
        else if (act === 2) {
          const found = attempt(() => {
            const pin = runtime.pin(id)
            if (pin === undefined) return 'undefined'
            const sent = pin.send(text)
            pin.unpin()
            return sent
          })
          count(`pin ${found}`)
        }
      }
      for (const options of [{}, { to: ids }, { to: { group: 'all' } }]) {
        const result = attempt(() => runtime.broadcast(text, options))
        if (typeof result === 'string') count(`broadcast ${result}`)
        else for (const each of COUNTS) if (result[each] > 0) count(`broadcast ${each}`)
      }
      await pauseABit()
    }
    return outcomes
  },
}
