// What: tests of the open chunk: room, change of chunk, references by those who hold slices.
// Flow: chunk_writer -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { AssertionError } from '../../src/assert.ts'
import { ChunkWriter } from '../../src/outbound/chunk_writer.ts'
import { OPEN_CHARGE } from '../../src/shared/chunk_pool.ts'
import { SMALL, unitMemory } from '../helpers/unit_memory.ts'

const BYTES = SMALL.chunkBytes

function setup(chunkCount = 4) {
  const arena = unitMemory({}, { chunkCount }).arena(1)
  const writer = new ChunkWriter(arena)
  return { arena, writer, free: () => writer.pool.freeCount() }
}

describe('reserve', () => {
  it('opens a chunk when there is something to write', () => {
    const { arena, writer, free } = setup()
    expect([writer.chunk, writer.room, free()]).toEqual([-1, 0, 4])
    expect(writer.reserve(10)).toBe(true)
    expect(writer.chunk).toBeGreaterThanOrEqual(0)
    expect(writer.position).toBe(writer.chunkStart(writer.chunk))
    expect(writer.position).toBe(arena.plan.chunkByteAt + writer.chunk * BYTES)
    expect([writer.room, free()]).toEqual([BYTES, 3])
  })

  it('stays in the chunk to its last byte', () => {
    const { writer } = setup()
    writer.reserve(BYTES)
    const { chunk } = writer
    writer.position += BYTES - 1
    expect(writer.reserve(1)).toBe(true)
    expect(writer.chunk).toBe(chunk)
    writer.position += 1
    expect(writer.room).toBe(0)
    expect(writer.reserve(0)).toBe(true)
    expect(writer.chunk).toBe(chunk)
    expect(writer.reserve(1)).toBe(true)
    expect(writer.chunk).not.toBe(chunk)
  })

  it('lets go of the chunk that is full: free when nothing refers to it', () => {
    const { writer, free } = setup()
    writer.reserve(1)
    writer.position += BYTES
    writer.reserve(1)
    expect(free()).toBe(3)
    writer.give(2)
    const { chunk } = writer
    writer.position += BYTES
    writer.reserve(1)
    expect(free()).toBe(2)
    writer.pool.release(chunk, 2)
    expect(free()).toBe(3)
  })

  it('keeps the open chunk when no other is free', () => {
    const { writer, free } = setup(1)
    writer.reserve(BYTES - 10)
    const { chunk } = writer
    writer.position += BYTES - 10
    expect(writer.reserve(11)).toBe(false)
    expect([writer.chunk, writer.room, free()]).toEqual([chunk, 10, 0])
    expect(writer.reserve(10)).toBe(true)
  })

  it('is never asked for more than a chunk', () => {
    const { writer } = setup()
    expect(() => writer.reserve(BYTES + 1)).toThrow(AssertionError)
  })
})

describe('references', () => {
  it('may be dropped before and after the chunk is retired', () => {
    const { writer, free } = setup()
    writer.reserve(1)
    const { chunk } = writer
    writer.give(3)
    writer.pool.release(chunk, 1)
    writer.retire()
    expect([writer.chunk, writer.room, free()]).toEqual([-1, 0, 3])
    writer.pool.release(chunk, 2)
    expect(free()).toBe(4)
  })

  it('may be taken back', () => {
    const { writer, free } = setup()
    writer.reserve(1)
    writer.give(3)
    writer.give(-3)
    writer.retire()
    expect(free()).toBe(4)
  })

  it('are counted anew for each chunk', () => {
    const { writer, free } = setup()
    for (let i = 0; i < 3; i++) {
      writer.reserve(BYTES)
      writer.position += BYTES
      writer.give(1)
      writer.pool.release(writer.chunk, 1)
    }
    writer.retire()
    writer.retire()
    expect(free()).toBe(4)
  })

  it('that are more than the charge do not free an open chunk', () => {
    // A prepared buffer that is sent again and again: its chunk stays open, because nothing is written.
    const { writer, free } = setup()
    writer.reserve(1)
    const { chunk } = writer
    const batch = OPEN_CHARGE / 16
    for (let i = 0; i < 40; i++) {
      writer.give(batch)
      writer.pool.release(chunk, batch)
      expect(free(), `after ${i + 1} batches`).toBe(3)
    }
    writer.retire()
    expect(free()).toBe(4)
  })
})
