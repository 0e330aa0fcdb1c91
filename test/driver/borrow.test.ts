// What: a driver sends on sockets that another driver has attached and receives on: each operation, and every end.
// Flow: words for two real drivers in threads of their own, clients on node:net -> completions, bytes -> this.
// Thread: main; an owner and a send thread.

import { closeSync, openSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Binding, DRIVER_EPOLL, DRIVER_URING, loadBinding } from '../../src/binding.ts'
import {
  CONTROL_WORKER_COUNT,
  CompletionKind,
  HANDLE_LOST,
  IoStatus,
  SEND_FLAG_LAZY,
  SEND_FLAG_NOW,
  SESSION_GENERATION,
  SESSION_HANDLE,
  SubmissionOp,
} from '../../src/layout/layout.ts'
import { Arena } from '../../src/shared/arena.ts'
import { load, store } from '../../src/shared/atomics.ts'
import { drivers } from '../helpers/drivers.ts'
import { Client, disconnectAfterEach } from '../helpers/e2e_client.ts'
import { until } from '../helpers/e2e_server.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

const THREAD = new URL('../helpers/driver_thread.mjs', import.meta.url)
const BUILT = new URL('../../dist/src/', import.meta.url)

/** More than both sockets of a connection hold while its client does not read. */
const BIG_BYTES = 1_000_000
/** Sends of a session after which io_uring has its socket in the file table, and some more. */
const MANY_SENDS = 20

interface Completion {
  readonly kind: number
  readonly slot: number
  readonly generation: number
  readonly status: number
  readonly result: number
  readonly bytes?: Uint8Array
}

interface Session {
  readonly slot: number
  readonly generation: number
}

const entryOf = (op: number, { slot, generation }: Session, ...more: number[]) => [
  op,
  slot,
  generation,
  ...more,
]

class DriverThread {
  readonly #worker: Worker
  readonly #completions: Completion[] = []
  #submitted = 0
  #exited = false

  constructor(arena: Arena, thread: number, driver: number) {
    const { memories } = arena
    const workerData = { thread, driver, memories, built: BUILT.href }
    this.#worker = new Worker(THREAD, { workerData })
    this.#worker.on('message', (message: { completions?: Completion[] }) => {
      if (message.completions === undefined) this.#submitted++
      else this.#completions.push(...message.completions)
    })
    this.#worker.once('exit', () => {
      this.#exited = true
    })
  }

  async opened(): Promise<void> {
    await until('the driver to open', () => this.#submitted > 0)
  }

  async submit(...entries: number[][]): Promise<void> {
    await this.#submit(entries, true)
  }

  /** With the next wait. */
  async submitLater(...entries: number[][]): Promise<void> {
    await this.#submit(entries, false)
  }

  async #submit(entries: number[][], isPrompt: boolean): Promise<void> {
    const before = this.#submitted
    this.#worker.postMessage({ entries, isPrompt })
    await until('a submission', () => this.#submitted > before)
  }

  async next(kind: number): Promise<Completion> {
    await until(`a completion of kind ${kind}`, () => this.#completions.length > 0)
    const [next] = this.#completions.splice(0, 1)
    expect(next.kind).toBe(kind)
    return next
  }

  get waiting(): number {
    return this.#completions.length
  }

  async close(): Promise<void> {
    this.#worker.postMessage({})
    await until('the end of the thread', () => this.#exited)
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate()
  }
}

let binding: Binding
let arena: Arena
let bytes: Uint8Array
let port = 0
let owner: DriverThread
let sender: DriverThread

/** A session that the owner receives on and the sender has borrowed, and its client. */
async function join(slot: number, generation = 1, isPaused = false) {
  const client = await Client.connect(port, { paused: isPaused, allowHalfOpen: true })
  const session = { slot, generation }
  const { result: token } = await owner.next(CompletionKind.ACCEPT)
  store(arena.words, arena.sessionAt(slot) + SESSION_GENERATION, generation)
  expect(handleOf(slot)).toBe(0)
  await owner.submit(
    entryOf(SubmissionOp.ATTACH, session, token),
    entryOf(SubmissionOp.RECV, session),
  )
  expect(handleOf(slot)).toBeGreaterThan(0)
  await sender.submit(entryOf(SubmissionOp.BORROW, session))
  return { client, session }
}

const handleOf = (slot: number) => load(arena.words, arena.sessionAt(slot) + SESSION_HANDLE)

/** Slices of the arena from `start` on, with a byte for each place. */
function send(session: Session, flags: number, start: number, ...lengths: number[]): number[] {
  const pairs: number[] = []
  let at = arena.plan.chunkByteAt + start
  for (const length of lengths) {
    pairs.push(at, length)
    at += length
  }
  const total = lengths.reduce((sum, length) => sum + length, 0)
  const head = SubmissionOp.SEND | (flags << 8) | (lengths.length << 16)
  return entryOf(head, session, total, ...pairs)
}

const sentBytes = (start: number, length: number) =>
  Buffer.from(bytes.slice(arena.plan.chunkByteAt + start, arena.plan.chunkByteAt + start + length))

async function sendCompletes(session: Session, status: number): Promise<number> {
  const { slot, generation, status: is, result } = await sender.next(CompletionKind.SEND)
  expect({ slot, generation, status: is }).toEqual({ ...session, status })
  return result
}

/** Sends until a send waits for room; how much of what is in the arena was taken. */
async function fill(session: Session): Promise<number> {
  await sender.submit(send(session, SEND_FLAG_NOW, 0, BIG_BYTES))
  let taken = await sendCompletes(session, IoStatus.OK)
  expect(taken).toBeLessThan(BIG_BYTES)
  // What the peer's socket takes afterwards makes room for more, until that is full, too.
  for (;;) {
    await sender.submit(send(session, 0, taken, BIG_BYTES - taken))
    await sender.submit(entryOf(SubmissionOp.CANCEL, session))
    const { status, result } = await sender.next(CompletionKind.SEND)
    taken += result
    if (status === IoStatus.CANCELLED) return taken
    expect(status).toBe(IoStatus.OK)
    expect(taken).toBeLessThan(BIG_BYTES)
  }
}

async function ownerHears(client: Client, session: Session, text: string): Promise<void> {
  client.write(text)
  const { slot, bytes: received } = await owner.next(CompletionKind.RECV)
  expect(slot).toBe(session.slot)
  expect(Buffer.from(received as Uint8Array).toString()).toBe(text)
}

/** The client ends its stream, the owner closes: everything is over. */
async function leave(client: Client, session: Session): Promise<void> {
  client.end()
  expect((await owner.next(CompletionKind.RECV)).status).toBe(IoStatus.END_OF_STREAM)
  await owner.submit(entryOf(SubmissionOp.CLOSE, session))
  expect(handleOf(session.slot)).toBe(0)
  await client.untilClosed()
}

disconnectAfterEach()

describe.each(drivers)('%s: a driver that borrows', (driver) => {
  beforeEach(async () => {
    const { memories, words } = unitMemory()
    // The second thread with a driver is a send thread.
    words[CONTROL_WORKER_COUNT] = 1
    binding = loadBinding()
    const control = new Uint8Array(memories.control)
    const runtime = binding.createRuntime(control, new Uint8Array(memories.arena))
    arena = new Arena(binding, { ...memories, runtime }, 0)
    bytes = new Uint8Array(memories.arena)
    for (let i = arena.plan.chunkByteAt; i < bytes.length; i++) bytes[i] = (i * 40_503) >>> 9
    const kind = driver === 'io_uring' ? DRIVER_URING : DRIVER_EPOLL
    owner = new DriverThread(arena, 1, kind)
    sender = new DriverThread(arena, 2, kind)
    await Promise.all([owner.opened(), sender.opened()])
    // The smallest send buffer that there is.
    const { errno, value } = binding.listen(runtime, '127.0.0.1', 0, 16, true, 1, 0)
    expect(errno).toBe(0)
    port = value
    binding.startAccepting(runtime, arena.plan.acceptorThread, kind, 0)
  })

  afterEach(async () => {
    await sender.terminate()
    await owner.terminate()
    binding.destroyRuntime(arena.memories.runtime)
  })

  it('sends while the owner receives; lazily, at once, in slices', async () => {
    const { client, session } = await join(3)
    for (let i = 0; i < MANY_SENDS; i++) {
      const flags = i % 2 === 0 ? SEND_FLAG_NOW | SEND_FLAG_LAZY : SEND_FLAG_NOW
      const entry = send(session, flags, 100 * i, 50, 30, 20)
      if (i % 3 === 0) await sender.submit(entry)
      else await sender.submitLater(entry)
      expect(await client.take(100)).toEqual(sentBytes(100 * i, 100))
      // Ends the wait that the completion of a lazy send is reported after.
      await sender.submit()
      expect(await sendCompletes(session, IoStatus.OK)).toBe(100)
      await ownerHears(client, session, `heard ${i}`)
    }
    await sender.submit(entryOf(SubmissionOp.GIVE_BACK, session))
    await leave(client, session)
    expect(sender.waiting + owner.waiting).toBe(0)
  })

  it('waits for room, as often as there is none', async () => {
    const { client, session } = await join(0, 1, true)
    let taken = await fill(session)
    let received = Buffer.alloc(0)
    while (taken < BIG_BYTES) {
      await sender.submit(send(session, 0, taken, BIG_BYTES - taken))
      await ownerHears(client, session, 'receiving goes on')
      client.resume()
      taken += await sendCompletes(session, IoStatus.OK)
      client.socket.pause()
      received = Buffer.concat([received, client.drain()])
    }
    client.resume()
    received = Buffer.concat([received, await client.take(BIG_BYTES - received.length)])
    expect(received.equals(sentBytes(0, BIG_BYTES))).toBe(true)
    await sender.submit(entryOf(SubmissionOp.GIVE_BACK, session))
    await leave(client, session)
  })

  it('cancels a send that waits, and nothing else', async () => {
    const { client, session } = await join(0, 1, true)
    const other = await join(1)
    const taken = await fill(session)
    await sender.submit(
      entryOf(SubmissionOp.CANCEL, session),
      entryOf(SubmissionOp.CANCEL, other.session),
    )
    await sender.submit(send(other.session, SEND_FLAG_NOW, 0, 10))
    expect(await sendCompletes(other.session, IoStatus.OK)).toBe(10)
    await ownerHears(client, session, 'one')
    await ownerHears(other.client, other.session, 'two')
    client.resume()
    expect((await client.take(taken)).equals(sentBytes(0, taken))).toBe(true)
    expect(sender.waiting).toBe(0)
  })

  it('ends the stream for writing alone', async () => {
    const { client, session } = await join(2)
    await sender.submit(send(session, SEND_FLAG_NOW, 0, 10))
    await sendCompletes(session, IoStatus.OK)
    await sender.submit(entryOf(SubmissionOp.SHUTDOWN, session))
    await client.take(10)
    await client.untilEnded()
    await ownerHears(client, session, 'still heard')
    await sender.submit(entryOf(SubmissionOp.GIVE_BACK, session))
    await leave(client, session)
  })

  it('hears of a reset', async () => {
    const { client, session } = await join(0, 1, true)
    const taken = await fill(session)
    await sender.submit(send(session, 0, taken, 1000))
    client.reset()
    await sendCompletes(session, IoStatus.RESET)
    const { kind, result } = await owner.next(CompletionKind.RECV)
    expect({ kind, result }).toEqual({ kind: CompletionKind.RECV, result: 0 })
    await sender.submit(entryOf(SubmissionOp.GIVE_BACK, session))
    await owner.submit(entryOf(SubmissionOp.CLOSE, session))
  })

  it('borrows the next session of a slot', async () => {
    for (let generation = 1; generation <= 5; generation++) {
      const { client, session } = await join(1, generation, true)
      const taken = await fill(session)
      client.resume()
      expect((await client.take(taken)).equals(sentBytes(0, taken))).toBe(true)
      for (let i = 0; i < MANY_SENDS; i++) {
        await sender.submit(send(session, SEND_FLAG_NOW, i, 1))
        await sendCompletes(session, IoStatus.OK)
      }
      expect(await client.take(MANY_SENDS)).toEqual(sentBytes(0, MANY_SENDS))
      await sender.submit(entryOf(SubmissionOp.GIVE_BACK, session))
      await leave(client, session)
    }
  })

  it('ends with sends that wait, and leaves the sockets to their owner', async () => {
    const { client, session } = await join(0, 1, true)
    const other = await join(1)
    const taken = await fill(session)
    await sender.submit(send(session, 0, taken, 1000))
    await sender.submit(send(other.session, SEND_FLAG_NOW | SEND_FLAG_LAZY, 0, 5))
    await sender.close()
    expect(await other.client.take(5)).toEqual(sentBytes(0, 5))
    await ownerHears(other.client, other.session, 'two')
    await ownerHears(client, session, 'one')
    client.resume()
    await leave(other.client, other.session)
    await leave(client, session)
  })

  it('touches no descriptor after its owner has ended', async () => {
    const { client, session } = await join(0)
    const other = await join(1, 1, true)
    const taken = await fill(other.session)
    await sender.submit(entryOf(SubmissionOp.GIVE_BACK, session))
    await sender.submit(send(other.session, 0, taken, 1000))
    await owner.close()
    expect([handleOf(0), handleOf(1)]).toEqual([HANDLE_LOST, HANDLE_LOST])
    await client.untilEnded()
    // They get the descriptors that were closed.
    const files = Array.from({ length: 8 }, () => openSync('/dev/null', 'r'))
    await sender.submit(
      entryOf(SubmissionOp.BORROW, session),
      entryOf(SubmissionOp.CANCEL, other.session),
    )
    const waited = await sender.next(CompletionKind.SEND)
    expect(waited.slot).toBe(1)
    for (const each of [session, other.session]) {
      for (const flags of [0, SEND_FLAG_NOW, SEND_FLAG_NOW | SEND_FLAG_LAZY]) {
        await sender.submit(send(each, flags, 0, 10))
        expect(await sendCompletes(each, IoStatus.RESET)).toBe(0)
      }
      await sender.submit(
        entryOf(SubmissionOp.SHUTDOWN, each),
        entryOf(SubmissionOp.GIVE_BACK, each),
      )
    }
    for (const file of files) closeSync(file)
  })
})
