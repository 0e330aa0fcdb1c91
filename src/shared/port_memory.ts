// What: the memory of a completion port: its sizes, and where everything is.
// Flow: CompletionPort.create -> this -> CompletionPort.open in each thread.
// Thread: the one that makes the port.

import { OverlappedError } from '../errors.ts'
import {
  CACHE_LINE_WORDS,
  LAYOUT_HASH,
  PORT_CAPACITY,
  PORT_CELLS_AT,
  PORT_ENTRIES_AT,
  PORT_ENTRY_BYTES,
  PORT_ENTRY_WORDS,
  PORT_HASH,
  PORT_LIMIT,
  PORT_PAYLOAD_BYTE_AT,
  PORT_PLACES_AT,
  PORT_QUEUE_BITS,
  PORT_THREAD_WORDS,
  PORT_THREADS,
  PORT_THREADS_AT,
  PORT_THREADS_MAX,
  PORT_WORDS,
} from '../layout/layout.ts'
import { availableCores } from './cores.ts'

export interface CompletionPortOptions {
  /** Threads that may have the port open at once, those that only post among them: 1 to 256. Default 64. */
  readonly threads?: number
  /** Threads that may run at once: 1 to 256; 0 is one per available core. Default 0. */
  readonly concurrency?: number
  /** Entries that each thread may have posted and nobody has taken: 1 to 65,536. Default 1024. */
  readonly capacity?: number
  /**
   * Bytes of payload memory per entry, rounded up to a multiple of 4: 0 to 1 MiB. A longer payload takes the place of
   * several entries. Default 0: no payloads.
   */
  readonly payloadBytes?: number
}

/** What crosses to another thread, by workerData or a message. */
export interface CompletionPortHandle {
  readonly memory: SharedArrayBuffer
}

const CAPACITY_MAX = 65_536
const PAYLOAD_BYTES_MAX = 1_048_576
/** Bytes of a SharedArrayBuffer that an Int32Array can have in every Node. */
const MEMORY_BYTES_MAX = 2 ** 31 - 1

function checkOption(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw new OverlappedError(
    'ERR_ARGUMENT',
    `create() was given ${String(value)} as ${name}; it takes a whole number from ${min} to ${max}`,
  )
}

/** @throws {OverlappedError} ERR_ARGUMENT */
export function createPort(options: CompletionPortOptions): CompletionPortHandle {
  const { threads = 64, concurrency = 0, capacity = 1024, payloadBytes = 0 } = options
  checkOption('threads', threads, 1, PORT_THREADS_MAX)
  checkOption('concurrency', concurrency, 0, PORT_THREADS_MAX)
  checkOption('capacity', capacity, 1, CAPACITY_MAX)
  checkOption('payloadBytes', payloadBytes, 0, PAYLOAD_BYTES_MAX)
  const limit = concurrency === 0 ? Math.min(availableCores(), PORT_THREADS_MAX) : concurrency
  const entryBytes = Math.ceil(payloadBytes / 4) * 4
  const entries = threads * capacity
  const queueBits = Math.ceil(Math.log2(entries + 1))
  let at = PORT_WORDS
  const region = (words: number) => {
    const from = at
    at += Math.ceil(words / CACHE_LINE_WORDS) * CACHE_LINE_WORDS
    return from
  }
  const placesAt = region(limit)
  const threadsAt = region(threads * PORT_THREAD_WORDS)
  const cellsAt = region(2 ** queueBits)
  const entriesAt = region(entries * PORT_ENTRY_WORDS)
  const memoryBytes = 4 * at + entries * entryBytes
  if (memoryBytes > MEMORY_BYTES_MAX) {
    throw new OverlappedError(
      'ERR_ARGUMENT',
      `create() was given threads ${threads}, capacity ${capacity} and payloadBytes ${payloadBytes}, which take ${memoryBytes} bytes; a completion port has at most ${MEMORY_BYTES_MAX}`,
    )
  }
  const memory = new SharedArrayBuffer(memoryBytes)
  const words = new Int32Array(memory, 0, at)
  words[PORT_HASH] = LAYOUT_HASH
  words[PORT_THREADS] = threads
  words[PORT_LIMIT] = limit
  words[PORT_CAPACITY] = capacity
  words[PORT_ENTRY_BYTES] = entryBytes
  words[PORT_QUEUE_BITS] = queueBits
  words[PORT_PLACES_AT] = placesAt
  words[PORT_THREADS_AT] = threadsAt
  words[PORT_CELLS_AT] = cellsAt
  words[PORT_ENTRIES_AT] = entriesAt
  words[PORT_PAYLOAD_BYTE_AT] = 4 * at
  return { memory }
}
