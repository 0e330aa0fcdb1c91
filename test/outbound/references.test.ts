// What: tests of references on chunks and receive buffers: who holds a block, when it is settled, what nodes give back.
// Flow: references -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { ChunkWriter } from '../../src/outbound/chunk_writer.ts'
import { References, receiveBufferBlock } from '../../src/outbound/references.ts'
import { NodePool } from '../../src/shared/node_pool.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

function setup(hasTurn = true) {
  const arena = unitMemory({}, { chunkCount: 4, nodesPerThread: 8 }).arena(1)
  const writer = new ChunkWriter(arena)
  const nodes = new NodePool(arena)
  const references = new References(arena, nodes, writer, hasTurn)
  const buffers: string[] = []
  references.attach({
    retainReceiveBuffer: (buffer) => buffers.push(`+${buffer}`),
    releaseReceiveBuffer: (buffer) => buffers.push(`-${buffer}`),
  })
  writer.reserve(1)
  const refsOf = (chunk: number) => arena.words[arena.plan.chunkRefsAt + chunk]
  return { arena, writer, nodes, references, buffers, refsOf }
}

describe('references', () => {
  it('on the open chunk cost no atomic, and keep it when it is closed', () => {
    const { writer, references, refsOf } = setup()
    const { chunk } = writer
    const charged = refsOf(chunk)
    references.retain(chunk)
    expect(refsOf(chunk)).toBe(charged)
    writer.retire()
    expect(refsOf(chunk)).toBe(1)
    references.retain(chunk)
    expect(refsOf(chunk)).toBe(2)
  })

  it('that are dropped are settled together, or when another chunk is dropped', () => {
    const { writer, references, refsOf } = setup()
    const first = writer.chunk
    for (let i = 0; i < 3; i++) references.retain(first)
    writer.retire()
    writer.reserve(1)
    const second = writer.chunk
    references.retain(second)
    writer.retire()
    references.release(first)
    references.release(first)
    expect(refsOf(first)).toBe(3)
    references.release(second)
    expect([refsOf(first), refsOf(second)]).toEqual([1, 1])
    references.settle()
    references.settle()
    expect([refsOf(first), refsOf(second)]).toEqual([1, 0])
  })

  it('are settled at once by a thread without turns', () => {
    const { writer, references, refsOf } = setup(false)
    const { chunk } = writer
    references.retain(chunk)
    writer.retire()
    references.release(chunk)
    expect(refsOf(chunk)).toBe(0)
  })

  it('on receive buffers are their worker’s', () => {
    const { references, buffers } = setup()
    references.retain(receiveBufferBlock(0))
    references.retain(receiveBufferBlock(5))
    references.release(receiveBufferBlock(0))
    expect(buffers).toEqual(['+0', '+5', '-0'])
  })

  it('go with the nodes of a list', () => {
    const { arena, nodes, references, buffers } = setup()
    const free = nodes.freeCount()
    const made = [1, 2, 3].map((buffer) => nodes.allocate(0, 1, receiveBufferBlock(buffer)))
    for (const [at, node] of made.entries()) arena.words[nodes.at(node)] = made[at + 1] ?? 0
    references.releaseNodes(0)
    expect(buffers).toEqual([])
    references.releaseNodes(made[0])
    expect(buffers).toEqual(['-1', '-2', '-3'])
    expect(nodes.freeCount()).toBe(free)
  })
})
