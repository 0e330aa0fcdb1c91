// What: tests of the chunk pool: every chunk once, freed by the last reference whatever the order.
// Flow: chunk_pool -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { ChunkPool, OPEN_CHARGE } from '../../src/shared/chunk_pool.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'

/** 40 chunks: more than one word of the bitmap, the last one not full. */
function pools(chunkCount = 40) {
  const memory = unitMemory({}, { chunkCount })
  const arena = memory.arena(1)
  const refs = (chunk: number) => arena.words[arena.plan.chunkRefsAt + chunk]
  return { pool: new ChunkPool(arena), other: new ChunkPool(memory.arena(2)), refs }
}

function acquireAll(pool: ChunkPool): number[] {
  const chunks: number[] = []
  for (let chunk = pool.acquire(); chunk !== -1; chunk = pool.acquire()) chunks.push(chunk)
  return chunks
}

describe('acquire', () => {
  it.each([1, 31, 32, 33, 40])('gives each of %i chunks once, then -1', (chunkCount) => {
    const { pool, other } = pools(chunkCount)
    expect(pool.freeCount()).toBe(chunkCount)
    const chunks = acquireAll(pool)
    expect(chunks.toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: chunkCount }, (_, i) => i),
    )
    expect(pool.freeCount()).toBe(0)
    expect(pool.acquire()).toBe(-1)
    expect(other.acquire()).toBe(-1)
  })

  it('charges the chunk', () => {
    const { pool, refs } = pools()
    const chunk = pool.acquire()
    expect(refs(chunk)).toBe(OPEN_CHARGE)
    expect(pool.freeCount()).toBe(39)
  })

  it('gives two threads different chunks', () => {
    const { pool, other } = pools()
    const chunks = new Set<number>()
    for (let i = 0; i < 20; i++) chunks.add(pool.acquire()).add(other.acquire())
    expect(chunks.size).toBe(40)
    expect(pool.acquire()).toBe(-1)
  })

  it('finds the one that is free, wherever it is', () => {
    const { pool } = pools()
    for (const chunk of acquireAll(pool)) {
      pool.retire(chunk, 0)
      expect(pool.freeCount()).toBe(1)
      expect(pool.acquire()).toBe(chunk)
      expect(pool.acquire()).toBe(-1)
    }
  })
})

describe('references', () => {
  it('frees a chunk that nothing refers to when it is retired', () => {
    const { pool, refs } = pools()
    const chunk = pool.acquire()
    pool.retire(chunk, 0)
    expect(refs(chunk)).toBe(0)
    expect(pool.freeCount()).toBe(40)
  })

  it('keeps a retired chunk for its slices [CHUNK-2]', () => {
    const { pool, refs } = pools()
    const chunk = pool.acquire()
    pool.retire(chunk, 3)
    expect(refs(chunk)).toBe(3)
    pool.release(chunk, 2)
    expect(pool.freeCount()).toBe(39)
    pool.release(chunk, 1)
    expect(pool.freeCount()).toBe(40)
  })

  it('keeps an open chunk whose slices are all gone', () => {
    const { pool } = pools()
    const chunk = pool.acquire()
    pool.release(chunk, 5)
    expect(pool.freeCount()).toBe(39)
    pool.retire(chunk, 5)
    expect(pool.freeCount()).toBe(40)
  })

  it('counts what is retained beside the charge', () => {
    const { pool, refs } = pools()
    const chunk = pool.acquire()
    pool.retain(chunk, 2)
    pool.retire(chunk, 1)
    expect(refs(chunk)).toBe(3)
    pool.release(chunk, 3)
    expect(pool.freeCount()).toBe(40)
  })

  it('frees exactly once in any order of retire and releases, by any thread', () => {
    const { pool, other, refs } = pools(2)
    for (let seed = 1; seed <= 300; seed++) {
      const random = new Random(seed)
      const chunk = pool.acquire()
      const given = random.below(6)
      const retained = random.below(4)
      pool.retain(chunk, retained)
      const steps: (() => void)[] = [() => pool.retire(chunk, given)]
      for (let left = given + retained; left > 0; ) {
        const count = random.between(1, left)
        left -= count
        const by = random.pick([pool, other])
        steps.push(() => by.release(chunk, count))
      }
      random.shuffle(steps)
      steps.forEach((step, i) => {
        expect(pool.freeCount(), `seed ${seed}, before step ${i}`).toBe(1)
        step()
      })
      expect(pool.freeCount(), `seed ${seed}`).toBe(2)
      expect(refs(chunk)).toBe(0)
    }
  })

  it('can be acquired again and again', () => {
    const { pool } = pools(3)
    for (let i = 0; i < 1000; i++) {
      const chunk = pool.acquire()
      expect(chunk).toBeGreaterThanOrEqual(0)
      pool.retire(chunk, 1)
      pool.release(chunk, 1)
    }
    expect(pool.freeCount()).toBe(3)
  })
})
