// What: models of chunks: acquired, filled, referred to from other threads, retired, freed and acquired again.
// Flow: chunk_pool, chunk_writer, send_buffer -> this -> protocols.test.ts.
// Thread: a model's threads.

import { SESSION_FLUSH_LINK } from '../../../src/layout/layout.ts'
import { ChunkWriter } from '../../../src/outbound/chunk_writer.ts'
import { Sender } from '../../../src/outbound/sender.ts'
import { BufferMaker } from '../../../src/session/send_buffer.ts'
import { ChunkPool, OPEN_CHARGE } from '../../../src/shared/chunk_pool.ts'
import { push, takeAll } from '../../../src/shared/link_stack.ts'
import type { Scenario } from '../explore.ts'
import { check, waitWhile } from '../ops.ts'
import { World } from '../world.ts'

const CHUNK_BYTES = 128
const CHUNKS = 2
const SIZES = { workers: 2, sessionsPerWorker: 4, chunkBytes: CHUNK_BYTES }

/** What every chunk model has: a mailbox of chunk references, and who may write where. */
class Chunks {
  readonly world: World
  /** Chunks that a thread has open, or that have slices out. */
  readonly #users = new Map<number, number>()

  constructor(world: World) {
    this.world = world
  }

  /** A thread opened a chunk: nobody else may have it. */
  opened(chunk: number): void {
    check((this.#users.get(chunk) ?? 0) === 0, 'CHUNK-1: a chunk that is acquired is nobody elses')
    this.#users.set(chunk, 1)
  }

  use(chunk: number): void {
    this.#users.set(chunk, (this.#users.get(chunk) ?? 0) + 1)
  }

  /** Called before the reference is dropped. */
  leave(chunk: number): void {
    const users = this.#users.get(chunk) ?? 0
    check(users > 0, 'CHUNK-2: a chunk is not left twice')
    this.#users.set(chunk, users - 1)
  }

  /** Sends a reference to another thread; `sequence` names the message. */
  mail(sequence: number, chunk: number): void {
    const { words } = this.world
    const link = this.world.arena(0).sessionAt(sequence) + SESSION_FLUSH_LINK
    words[link + 1] = chunk
    push(words, this.world.outside(0), link, sequence + 1)
  }

  /** Drops `count` references that were mailed. */
  receive(pool: ChunkPool, count: number): void {
    const { words } = this.world
    for (let left = count; left > 0; ) {
      waitWhile(words, this.world.outside(0), 0)
      let entry = takeAll(words, this.world.outside(0))
      while (entry !== 0) {
        const link = this.world.arena(0).sessionAt(entry - 1) + SESSION_FLUSH_LINK
        const chunk = words[link + 1]
        entry = words[link]
        this.leave(chunk)
        pool.release(chunk, 1)
        left--
      }
    }
  }

  /** A thread takes a chunk where one is free, and gives it back unused. */
  borrow(thread: number): void {
    const pool = new ChunkPool(this.world.arena(thread))
    const chunk = pool.acquire()
    if (chunk === -1) return
    this.opened(chunk)
    this.leave(chunk)
    pool.retire(chunk, 0)
  }

  check(): void {
    const { words } = this.world
    const { plan } = this.world.arena(0)
    for (let chunk = 0; chunk < plan.chunkCount; chunk++)
      check(words[plan.chunkRefsAt + chunk] === 0, 'CHUNK-2: every reference is dropped')
    const free = new ChunkPool(this.world.arena(0)).freeCount()
    check(free === plan.chunkCount, `CHUNK-2: ${free} of ${plan.chunkCount} chunks are free`)
  }
}

function about(name: string, world: World) {
  return { name, invariants: ['CHUNK-1', 'CHUNK-2'], words: world.words }
}

/** A writer gives slices of its chunks to another thread, and goes on to the next chunk. */
function slices(name: string, isThird: boolean): Scenario {
  const world = new World({ ...SIZES, chunkCount: isThird ? CHUNKS + 1 : CHUNKS })
  return {
    ...about(name, world),
    build() {
      world.reset()
      const chunks = new Chunks(world)
      const writer = new ChunkWriter(world.arena(1))
      let opened = -1
      const give = (sequence: number, bytes: number) => {
        if (writer.chunk !== -1 && bytes > writer.room) chunks.leave(writer.chunk)
        check(writer.reserve(bytes), 'a chunk is free')
        if (writer.chunk !== opened) chunks.opened(writer.chunk)
        opened = writer.chunk
        writer.position += bytes
        writer.give(1)
        chunks.use(writer.chunk)
        chunks.mail(sequence, writer.chunk)
      }
      const threads: Record<string, () => void> = {
        writer() {
          for (let i = 0; i < 3; i++) give(i, CHUNK_BYTES / 2)
          chunks.leave(writer.chunk)
          writer.retire()
        },
        reader() {
          chunks.receive(new ChunkPool(world.arena(0)), 3)
        },
      }
      if (isThird) {
        threads.third = () => {
          chunks.borrow(2)
        }
      }
      return {
        threads,
        check: () => chunks.check(),
      }
    },
  }
}

/** A charge that is used up while references are dropped. */
function charge(name: string): Scenario {
  const world = new World({ ...SIZES, chunkCount: CHUNKS })
  return {
    ...about(name, world),
    build() {
      world.reset()
      const chunks = new Chunks(world)
      const writer = new ChunkWriter(world.arena(1))
      check(writer.reserve(1), 'a chunk is free')
      const { chunk } = writer
      const many = OPEN_CHARGE / 2 + 1
      return {
        threads: {
          writer() {
            writer.give(many)
            world.signal(0)
            writer.give(many)
            world.signal(2)
            writer.retire()
          },
          first() {
            world.awaitSignal(0)
            new ChunkPool(world.arena(0)).release(chunk, many)
          },
          monitor() {
            const free = new ChunkPool(world.arena(0)).freeCount()
            check(free === CHUNKS - 1 || free === CHUNKS, 'CHUNK-1: a bit is a free chunk')
          },
          second() {
            world.awaitSignal(2)
            new ChunkPool(world.arena(2)).release(chunk, many)
          },
        },
        outcome: () =>
          `${writer.chunk} ${world.words.slice(world.arena(0).plan.chunkRefsAt).join()}`,
        check: () => chunks.check(),
      }
    },
  }
}

/** A reservation stays open while its thread sends from another chunk and others drop what it sent. */
function reservation(name: string): Scenario {
  const world = new World({ ...SIZES, chunkCount: CHUNKS + 1 })
  return {
    ...about(name, world),
    build() {
      world.reset()
      const chunks = new Chunks(world)
      const { arena, waker, table } = world.thread(1)
      const sender = new Sender(arena, waker, table, false)
      const maker = new BufferMaker(arena, sender)
      return {
        threads: {
          writer() {
            const open = maker.open(8)
            const { chunk } = sender.writer
            chunks.opened(chunk)
            open.bytes.fill(7)
            // A message that does not fit behind the reservation: another chunk is opened, this one retired.
            check(sender.writer.reserve(CHUNK_BYTES), 'a chunk is free')
            const next = sender.writer.chunk
            chunks.opened(next)
            sender.writer.give(1)
            chunks.use(next)
            chunks.mail(0, next)
            const buffer = open.close(4)
            sender.takeReference(chunk)
            sender.takeReference(chunk)
            chunks.use(chunk)
            chunks.use(chunk)
            chunks.mail(1, chunk)
            // A recipient that was refused takes its charge back.
            chunks.leave(chunk)
            sender.dropReference(chunk)
            chunks.leave(chunk)
            buffer.release()
            sender.settle()
            chunks.leave(next)
            sender.writer.retire()
          },
          reader() {
            chunks.receive(new ChunkPool(world.arena(0)), 2)
          },
          third() {
            chunks.borrow(2)
          },
        },
        check: () => chunks.check(),
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  slices('chunks: slices in another thread, two chunks', false),
  slices('chunks: a third thread takes what is free', true),
  charge('chunks: the charge is used up'),
  reservation('chunks: an open reservation, refused recipients'),
]
