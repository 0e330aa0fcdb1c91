// What: tests of send nodes: own, returned by other threads, exhausted, used again.
// Flow: node_pool -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  NODE_BLOCK,
  NODE_LENGTH,
  NODE_OFFSET,
  THREAD_NODE_RETURN_HEAD,
} from '../../src/layout/layout.ts'
import { NodePool } from '../../src/shared/node_pool.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'

const COUNT = 6

function pools() {
  const memory = unitMemory({}, { nodesPerThread: COUNT })
  const [main, worker, other] = [0, 1, 2].map((thread) => new NodePool(memory.arena(thread)))
  const arena = memory.arena(1)
  const returned = (thread: number) => arena.words[arena.threadAt(thread) + THREAD_NODE_RETURN_HEAD]
  return { main, worker, other, returned }
}

function allocateAll(pool: NodePool): number[] {
  const nodes: number[] = []
  for (let node = pool.allocate(0, 1, 0); node !== 0; node = pool.allocate(0, 1, 0))
    nodes.push(node)
  return nodes
}

describe('NodePool', () => {
  it('gives each thread nodes of its own, then 0', () => {
    const { main, worker, other } = pools()
    const all = [main, worker, other].map(allocateAll)
    for (const nodes of all) expect(nodes).toHaveLength(COUNT)
    expect(new Set(all.flat()).size).toBe(3 * COUNT)
    expect(all.flat()).not.toContain(0)
    expect(worker.allocate(0, 1, 0)).toBe(0)
  })

  it('fills in the slice and nothing beside it', () => {
    const { worker, other } = pools()
    const [first, second] = [worker.allocate(10, 20, 30), worker.allocate(11, 21, -2)]
    const { words } = worker
    const read = (node: number) =>
      [NODE_OFFSET, NODE_LENGTH, NODE_BLOCK].map((field) => words[worker.at(node) + field])
    expect(read(first)).toEqual([10, 20, 30])
    expect(read(second)).toEqual([11, 21, -2])
    expect(read(other.allocate(1, 2, 3))).toEqual([1, 2, 3])
    expect(read(first)).toEqual([10, 20, 30])
  })

  it('uses again what its thread freed', () => {
    const { worker, returned } = pools()
    const nodes = allocateAll(worker)
    worker.free(nodes[2])
    worker.free(nodes[4])
    expect(returned(1)).toBe(0)
    expect(allocateAll(worker).toSorted()).toEqual([nodes[2], nodes[4]].toSorted())
  })

  it('gets back by its return stack what other threads freed [NODE-1]', () => {
    const { main, worker, other, returned } = pools()
    const nodes = allocateAll(worker)
    other.free(nodes[0])
    main.free(nodes[5])
    expect(returned(1)).toBe(nodes[5])
    expect([returned(0), returned(2)]).toEqual([0, 0])
    expect(allocateAll(worker)).toEqual([nodes[5], nodes[0]])
    expect(returned(1)).toBe(0)
    expect(worker.allocate(0, 1, 0)).toBe(0)
  })

  it('does not give a freed node to the thread that freed it', () => {
    const { worker, other } = pools()
    const node = worker.allocate(0, 1, 0)
    other.free(node)
    expect(allocateAll(other)).not.toContain(node)
  })

  it('never has a node out twice, and has all of them in the end', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = new Random(seed)
      const { main, worker, other } = pools()
      const all = [main, worker, other]
      const out: number[] = []
      for (let step = 0; step < 100; step++) {
        if (random.chance(55)) {
          const node = random.pick(all).allocate(step, 1, 0)
          if (node === 0) continue
          expect(out, `seed ${seed}`).not.toContain(node)
          out.push(node)
        } else if (out.length > 0) {
          const [node] = out.splice(random.below(out.length), 1)
          random.pick(all).free(node)
        }
      }
      for (const node of out) random.pick(all).free(node)
      for (const pool of all) expect(new Set(allocateAll(pool)).size, `seed ${seed}`).toBe(COUNT)
    }
  })
})
