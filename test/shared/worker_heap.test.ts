// What: tests of the buddy allocator against a model: no overlap, full coalescing, exhaustion, misuse.
// Flow: worker_heap -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { AssertionError } from '../../src/assert.ts'
import { BLOCK_BYTES_MIN, WorkerHeap } from '../../src/shared/worker_heap.ts'
import { Random } from '../helpers/unit_memory.ts'

const KIB = 1024
const BASE = 12_345_344

/** Everything that can be had, largest blocks first: the same for every heap in its start state. */
function drain(heap: WorkerHeap): { offset: number; size: number }[] {
  const blocks: { offset: number; size: number }[] = []
  for (let size = 2 ** 30; size >= BLOCK_BYTES_MIN; size /= 2) {
    for (let at = heap.allocate(size); at !== -1; at = heap.allocate(size))
      blocks.push({ offset: at - BASE, size })
  }
  return blocks.toSorted((a, b) => a.offset - b.offset)
}

describe('blockBytes', () => {
  it.each([
    [1, 1024],
    [1024, 1024],
    [1025, 2048],
    [2048, 2048],
    [65_535, 65_536],
    [65_537, 131_072],
    [2 ** 30, 2 ** 30],
  ])('%i -> %i', (bytes, block) => {
    expect(WorkerHeap.blockBytes(bytes)).toBe(block)
  })
})

describe('allocate', () => {
  it.each([1, 2, 3, 7, 64, 65, 100, 127])('uses every one of %i units', (units) => {
    const heap = new WorkerHeap(BASE, units * KIB)
    expect(heap.capacityBytes).toBe(units * KIB)
    const blocks = drain(heap)
    let end = 0
    for (const { offset, size } of blocks) {
      expect(offset).toBe(end)
      expect(offset % size).toBe(0)
      end += size
    }
    expect(end).toBe(units * KIB)
    expect(heap.usedBytes).toBe(units * KIB)
    expect(heap.allocate(1)).toBe(-1)
  })

  it('leaves out what is no whole unit', () => {
    const heap = new WorkerHeap(BASE, 3 * KIB + 1023)
    expect(heap.capacityBytes).toBe(3 * KIB)
    expect(drain(heap)).toHaveLength(2)
  })

  it('refuses what is larger than the largest free block, and stays as it was', () => {
    const heap = new WorkerHeap(BASE, 64 * KIB)
    expect(heap.allocate(65 * KIB)).toBe(-1)
    expect(heap.allocate(2 ** 30)).toBe(-1)
    expect(heap.allocate(2 ** 31)).toBe(-1)
    expect(heap.usedBytes).toBe(0)
    const half = heap.allocate(20 * KIB)
    expect(half).not.toBe(-1)
    expect(heap.allocate(33 * KIB)).toBe(-1)
    expect(heap.allocate(32 * KIB)).not.toBe(-1)
    expect(heap.usedBytes).toBe(64 * KIB)
  })
})

describe('free', () => {
  it('takes the size as asked for, or as it was rounded', () => {
    for (const size of [1500, 2048]) {
      const heap = new WorkerHeap(BASE, 8 * KIB)
      heap.free(heap.allocate(1500), size)
      expect(heap.usedBytes).toBe(0)
      expect(drain(heap)).toEqual([{ offset: 0, size: 8 * KIB }])
    }
  })

  it('puts buddies together again in any order', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const heap = new WorkerHeap(BASE, 32 * KIB)
      const blocks = Array.from({ length: 32 }, () => heap.allocate(1))
      for (const block of new Random(seed).shuffle(blocks)) heap.free(block, 1)
      expect(drain(heap), `seed ${seed}`).toEqual([{ offset: 0, size: 32 * KIB }])
    }
  })

  it.each([40, 64, 101])('agrees with a model over %i units', (units) => {
    const start = drain(new WorkerHeap(BASE, units * KIB))
    for (let seed = 1; seed <= 25; seed++) {
      const random = new Random(seed)
      const heap = new WorkerHeap(BASE, units * KIB)
      const owner = new Int32Array(units)
      const live: { at: number; bytes: number; id: number }[] = []
      for (let id = 1; id <= 300; id++) {
        if (random.chance(55)) {
          const bytes = random.between(1, 1 << random.between(0, 15))
          const at = heap.allocate(bytes)
          if (at === -1) continue
          const size = WorkerHeap.blockBytes(bytes)
          const unit = (at - BASE) / KIB
          expect((at - BASE) % size).toBe(0)
          for (let i = unit; i < unit + size / KIB; i++) {
            if (owner[i] !== 0) throw new Error(`seed ${seed}: unit ${i} is given out twice`)
            owner[i] = id
          }
          live.push({ at, bytes, id })
        } else if (live.length > 0) {
          const [{ at, bytes, id: was }] = live.splice(random.below(live.length), 1)
          heap.free(at, bytes)
          for (let i = 0; i < units; i++) if (owner[i] === was) owner[i] = 0
        }
        expect(heap.usedBytes).toBe(KIB * owner.filter((id) => id !== 0).length)
      }
      for (const { at, bytes } of live) heap.free(at, bytes)
      expect(heap.usedBytes).toBe(0)
      expect(drain(heap), `seed ${seed}`).toEqual(start)
    }
  })
})

describe('misuse asserts', () => {
  it('a block that is none of this heap [HEAP-1]', () => {
    const heap = new WorkerHeap(BASE, 8 * KIB)
    heap.allocate(1)
    for (const offset of [BASE - KIB, BASE + 1, BASE + 8 * KIB, 0])
      expect(() => heap.free(offset, 1)).toThrow(AssertionError)
  })

  it('a second free while the block is free by itself [HEAP-2]', () => {
    const heap = new WorkerHeap(BASE, 8 * KIB)
    const [block] = [heap.allocate(1), heap.allocate(1)]
    heap.free(block, 1)
    expect(() => heap.free(block, 1)).toThrow('HEAP-2')
  })

  it('a second free after the block was put together with its buddy [HEAP-2]', () => {
    const heap = new WorkerHeap(BASE, 8 * KIB)
    const [left, right] = [heap.allocate(1), heap.allocate(1)]
    heap.free(left, 1)
    heap.free(right, 1)
    expect(() => heap.free(left, 1)).toThrow('HEAP-2')
    expect(() => heap.free(right, 1)).toThrow('HEAP-2')
    expect(heap.usedBytes).toBe(0)
  })

  it('the middle of a block [HEAP-2]', () => {
    const heap = new WorkerHeap(BASE, 8 * KIB)
    const block = heap.allocate(4 * KIB)
    expect(() => heap.free(block + KIB, 1)).toThrow(AssertionError)
    expect(heap.usedBytes).toBe(4 * KIB)
  })

  it('a size that the block does not have [HEAP-2]', () => {
    const heap = new WorkerHeap(BASE, 8 * KIB)
    const block = heap.allocate(4 * KIB)
    expect(() => heap.free(block, KIB)).toThrow(AssertionError)
    expect(heap.usedBytes).toBe(4 * KIB)
  })
})
