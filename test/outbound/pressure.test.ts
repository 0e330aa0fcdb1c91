// What: tests of what waits for slow sockets: how much may, what is told when there is room, which session goes for the heap.
// Flow: pressure -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { SESSION_DRAIN_WANTED, SESSION_QUEUED_BYTES } from '../../src/layout/layout.ts'
import { ChunkWriter } from '../../src/outbound/chunk_writer.ts'
import { Pressure } from '../../src/outbound/pressure.ts'
import { References } from '../../src/outbound/references.ts'
import { NodePool } from '../../src/shared/node_pool.ts'
import { WorkerHeap } from '../../src/shared/worker_heap.ts'
import { unitMemory } from '../helpers/unit_memory.ts'
import { encoder, FakeSession } from '../helpers/unit_sender.ts'

const LIMIT = 100

function setup({ heapBytes = 65_536, drainsByWord = false } = {}) {
  const arena = unitMemory({}, { chunkCount: 4, nodesPerThread: 8 }).arena(1)
  const nodes = new NodePool(arena)
  const references = new References(arena, nodes, new ChunkWriter(arena), true)
  references.attach({ retainReceiveBuffer() {}, releaseReceiveBuffer() {} })
  const heap = new WorkerHeap(arena.plan.heapByteAt, heapBytes)
  const told: string[] = []
  const pressure = new Pressure<FakeSession>(arena, nodes, references, {
    heap,
    maxBackpressure: LIMIT,
    drainsByWord,
    events: {
      drained: ({ slot }) => told.push(`drained ${slot}`),
      overflowed: (outbox) => {
        told.push(`overflowed ${outbox.slot}`)
        outbox.sendDead = true
      },
    },
  })
  const open = (slot: number) => new FakeSession(slot, 1, arena.sessionAt(slot), 0, encoder)
  /** Bytes of a receive buffer that wait. */
  const wait = (outbox: FakeSession, length: number) => {
    const node = nodes.allocate(arena.plan.recvByteAt, length, -2)
    arena.words[nodes.at(node)] = 0
    outbox.waitFirst = outbox.waitLast = node
    outbox.waitCount = 1
    outbox.bufferedBytes += length
  }
  return { arena, nodes, heap, told, pressure, open, wait }
}

describe('how much may wait', () => {
  it('is a message, however long, or the limit', () => {
    const { pressure, open } = setup()
    const outbox = open(0)
    expect(pressure.isFull(outbox, LIMIT + 1)).toBe(false)
    outbox.bufferedBytes = 1
    expect(pressure.isFull(outbox, LIMIT - 1)).toBe(false)
    expect(pressure.isFull(outbox, LIMIT)).toBe(true)
  })

  it('is told once when half of it is free', () => {
    const { pressure, open, told } = setup()
    const outbox = open(0)
    outbox.bufferedBytes = LIMIT
    outbox.wantsDrain = true
    for (let left = 4; left > 0; left--) {
      pressure.settle(outbox, 25)
      pressure.drainOwn(outbox)
      expect(told).toEqual(left > 3 ? [] : ['drained 0'])
    }
  })

  it('is told by a word to content elsewhere, of what other threads have queued [DRAIN-1]', () => {
    const { arena, pressure, open, told } = setup({ drainsByWord: true })
    const { words } = arena
    const outbox = open(2)
    outbox.bufferedBytes = LIMIT
    outbox.foreignBytes = words[outbox.at + SESSION_QUEUED_BYTES] = 80
    expect(pressure.isAwaited(outbox)).toBe(false)
    words[outbox.at + SESSION_DRAIN_WANTED] = 1
    expect([pressure.isAwaited(outbox), pressure.asksForDrain(outbox)]).toEqual([true, true])
    pressure.settle(outbox, 29)
    expect(told).toEqual([])
    pressure.settle(outbox, 1)
    expect(told).toEqual(['drained 2'])
    expect([words[outbox.at + SESSION_DRAIN_WANTED], outbox.foreignBytes]).toEqual([0, 50])
    pressure.settle(outbox, 70)
    expect([words[outbox.at + SESSION_QUEUED_BYTES], outbox.bufferedBytes]).toEqual([0, 0])
    expect(told).toEqual(['drained 2'])
  })

  it('is told at once where nothing is queued', () => {
    const { arena, pressure, open, told } = setup({ drainsByWord: true })
    const { words } = arena
    const outbox = open(2)
    words[outbox.at + SESSION_DRAIN_WANTED] = 1
    words[outbox.at + SESSION_QUEUED_BYTES] = 1
    pressure.drainIfEmpty(outbox)
    expect(told).toEqual([])
    words[outbox.at + SESSION_QUEUED_BYTES] = 0
    pressure.drainIfEmpty(outbox)
    expect(told).toEqual(['drained 2'])
  })

  it('holds up everybody elsewhere where content asks by no word', () => {
    const { pressure, open } = setup()
    const outbox = open(0)
    expect(pressure.isAwaited(outbox)).toBe(false)
    outbox.foreignBytes = 1
    expect(pressure.isAwaited(outbox)).toBe(true)
  })
})

describe('what a socket does not take', () => {
  it('is copied from where it was cut, and what waits goes behind it', () => {
    const { arena, nodes, heap, pressure, open, wait } = setup()
    const outbox = open(0)
    const { recvByteAt } = arena.plan
    arena.bytes.set([1, 2, 3, 4, 5], recvByteAt)
    const free = nodes.freeCount()
    outbox.flightFirst = nodes.allocate(recvByteAt, 3, -2)
    const second = nodes.allocate(recvByteAt + 3, 2, -2)
    arena.words[nodes.at(outbox.flightFirst)] = second
    arena.words[nodes.at(second)] = 0
    pressure.keepFlight(outbox, 2)
    wait(outbox, 2)
    pressure.keepWaiting(outbox)
    expect([outbox.waitFirst, outbox.waitLast, outbox.waitCount]).toEqual([0, 0, 0])
    expect(nodes.freeCount()).toBe(free - 2)
    const queue = outbox.overflow
    const [block] = queue?.blocks ?? []
    expect([...arena.bytes.subarray(block.start, block.end)]).toEqual([3, 4, 5, 1, 2])
    pressure.consume(outbox, 4)
    expect(outbox.overflow?.bytes).toBe(1)
    pressure.consume(outbox, 1)
    expect([outbox.overflow, heap.usedBytes]).toEqual([null, 0])
  })

  it('costs the longest queue its session when the heap is full to 7/8, and no other for the same [HEAP-3]', () => {
    const { heap, pressure, open, wait, told } = setup({ heapBytes: 8192 })
    const [long, short] = [open(0), open(1)]
    const keep = (outbox: FakeSession, length: number) => {
      wait(outbox, length)
      pressure.keepWaiting(outbox)
    }
    keep(long, 500)
    for (let i = 0; i < 6; i++) keep(long, 500)
    while (told.length === 0) keep(short, 400)
    expect(told).toEqual(['overflowed 0'])
    expect(heap.usedBytes).toBeGreaterThan((8192 * 7) / 8)
    // Its blocks are free a little later: nobody else goes meanwhile.
    keep(short, 1)
    expect(told).toEqual(['overflowed 0'])
    pressure.clear(long)
    expect([long.overflow, short.overflow?.bytes]).toEqual([null, short.bufferedBytes])
  })

  it('and does not fit ends the session that it is of, of which nothing is sent behind the gap', () => {
    const { pressure, open, wait, told } = setup({ heapBytes: 4096 })
    const outbox = open(3)
    const keep = (length: number) => {
      wait(outbox, length)
      pressure.keepWaiting(outbox)
    }
    keep(1000)
    expect(told).toEqual([])
    keep(4000)
    expect(told).toEqual(['overflowed 3'])
    keep(10)
    expect([outbox.overflow?.bytes, outbox.bufferedBytes]).toEqual([1024, 1024])
    expect(told).toEqual(['overflowed 3'])
  })
})
