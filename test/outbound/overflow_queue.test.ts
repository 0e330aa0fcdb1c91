// What: tests of the overflow queue: a byte queue in blocks of the heap.
// Flow: overflow_queue -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { OverflowQueue } from '../../src/outbound/overflow_queue.ts'
import { WorkerHeap } from '../../src/shared/worker_heap.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'

const memory = unitMemory()

function setup(heapBytes = 65_536) {
  const arena = memory.arena(1)
  const heap = new WorkerHeap(arena.plan.heapByteAt, heapBytes)
  const queue = new OverflowQueue(arena, heap)
  const source = arena.plan.chunkByteAt
  for (let i = 0; i < 60_000; i++) arena.bytes[source + i] = (i * 7) % 251
  const read = () => queue.blocks.flatMap(({ start, end }) => [...arena.bytes.subarray(start, end)])
  const expected = (from: number, length: number) => [
    ...arena.bytes.subarray(source + from, source + from + length),
  ]
  return { arena, heap, queue, source, read, expected }
}

describe('OverflowQueue', () => {
  it('starts with nothing and takes no memory', () => {
    const { queue, heap } = setup()
    expect([queue.bytes, queue.blocks.length, heap.usedBytes]).toEqual([0, 0, 0])
    queue.clear()
    expect(queue.append(0, 0)).toBe(true)
    expect([queue.bytes, queue.blocks.length, heap.usedBytes]).toEqual([0, 0, 0])
  })

  it('holds what was appended, in order, in few blocks', () => {
    const { queue, source, read, expected, heap } = setup()
    queue.append(source, 10)
    queue.append(source + 10, 1014)
    expect(queue.blocks).toHaveLength(1)
    queue.append(source + 1024, 1)
    expect(queue.blocks).toHaveLength(2)
    expect(queue.bytes).toBe(1025)
    expect(read()).toEqual(expected(0, 1025))
    expect(heap.usedBytes).toBe(2048)
  })

  it('takes blocks that grow with it', () => {
    const { queue, source } = setup()
    for (let at = 0; at < 20_000; at += 100) queue.append(source + at, 100)
    const sizes = queue.blocks.map(({ size }) => size)
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
    expect(sizes[0]).toBe(1024)
    expect(sizes.at(-1)).toBeGreaterThan(1024)
  })

  it('gives blocks back as they are consumed', () => {
    const { queue, source, read, expected, heap } = setup()
    queue.append(source, 1000)
    queue.append(source + 1000, 3000)
    queue.consume(1023)
    expect(heap.usedBytes).toBe(1024 + 4096)
    queue.consume(1)
    expect(heap.usedBytes).toBe(4096)
    expect(read()).toEqual(expected(1024, 2976))
    queue.consume(2976)
    expect([queue.bytes, queue.blocks.length, heap.usedBytes]).toEqual([0, 0, 0])
  })

  it('says when the heap is exhausted, and keeps what it has', () => {
    const { queue, source, read, expected, heap } = setup(8192)
    expect(queue.append(source, 3000)).toBe(true)
    expect(queue.append(source + 3000, 20_000)).toBe(false)
    expect(queue.bytes).toBeGreaterThanOrEqual(3000)
    expect(read()).toEqual(expected(0, queue.bytes))
    queue.clear()
    expect([queue.bytes, queue.blocks.length, heap.usedBytes]).toEqual([0, 0, 0])
  })

  it('is a byte queue, whatever comes and goes', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new Random(seed)
      const { queue, source, read, expected, heap } = setup()
      let from = 0
      let to = 0
      for (let step = 0; step < 60; step++) {
        if (random.chance(55)) {
          const length = random.between(0, random.pick([20, 800, 4000]))
          if (to + length > 60_000 || !queue.append(source + to, length)) break
          to += length
        } else {
          const count = random.between(0, to - from)
          queue.consume(count)
          from += count
        }
        expect(queue.bytes).toBe(to - from)
        expect(queue.heldBytes).toBe(heap.usedBytes)
      }
      expect(read(), `seed ${seed}`).toEqual(expected(from, queue.bytes))
      queue.consume(queue.bytes)
      expect(heap.usedBytes, `seed ${seed}`).toBe(0)
    }
  })
})
