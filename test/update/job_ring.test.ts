// What: tests of a job ring: order, room, what is given back and when, counts that wrap, asking for room.
// Flow: job_ring -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  JOB_RING_HEAD,
  JOB_RING_SPACE_WANTED,
  JOB_RING_TAIL,
  JOB_RING_WORDS,
  JOB_WORDS,
  JobKind,
  SESSIONS_MAX,
} from '../../src/layout/layout.ts'
import { JobConsumer, type JobMemory, JobProducer } from '../../src/update/job_ring.ts'
import { Random, unitMemory } from '../helpers/unit_memory.ts'

const CAPACITY = 8
const BYTES = 256

interface SetupOptions {
  readonly capacity?: number
  readonly bytes?: number
  /** What head and tail stand at. */
  readonly from?: number
}

function memoryOf({ capacity = CAPACITY, bytes = BYTES }: SetupOptions) {
  return unitMemory(
    { mode: 'update', update: { threads: 2 } },
    { jobRingCapacity: capacity, jobBytesPerRing: bytes },
  )
}

/** Both ends of the ring from worker 2 to the second update thread. */
function setup(options: SetupOptions = {}) {
  const { capacity = CAPACITY, from = 0 } = options
  const memory = memoryOf(options)
  const arena = memory.arena(2)
  const { words, plan } = arena
  const update = plan.updateFirst + 1
  const ringAt = plan.jobRingsAt + 3 * (JOB_RING_WORDS + capacity * JOB_WORDS)
  words[ringAt + JOB_RING_HEAD] = words[ringAt + JOB_RING_TAIL] = from
  const back: string[] = []
  const held: JobMemory = {
    releaseBuffer: (buffer) => back.push(`buffer ${buffer}`),
    freeBlock: (at, bytes) => back.push(`block ${at} ${bytes}`),
  }
  const producer = new JobProducer(arena, update, held)
  const consumer = new JobConsumer(memory.arena(update), 2)
  /** A place outside of every region, with these bytes. */
  const source = (text: Uint8Array) => {
    arena.bytes.set(text, plan.chunkByteAt)
    return plan.chunkByteAt
  }
  const take = () =>
    consumer.advance() ? [consumer.kind, consumer.slot, consumer.first, consumer.second] : undefined
  return { arena, words, producer, consumer, back, ringAt, source, take }
}

const { RECV, JOIN, LEAVE } = JobKind

describe('a job ring', () => {
  it('has nothing at first', () => {
    const { consumer, producer, take } = setup()
    expect(producer.publish()).toBe(false)
    expect(consumer.look()).toBe(0)
    expect(take()).toBeUndefined()
  })

  it('gives what was published, in order, and nothing that was only put [JOBRING-1]', () => {
    const { consumer, producer, take } = setup()
    producer.put(JOIN, 3, 7, 1)
    expect(consumer.look()).toBe(0)
    expect(producer.publish()).toBe(true)
    expect(producer.publish()).toBe(false)
    producer.put(LEAVE, 3, -1, 0)
    expect(consumer.look()).toBe(1)
    expect(take()).toEqual([JOIN, 3, 7, 1])
    expect(take()).toBeUndefined()
    producer.publish()
    // Nothing is there that no look has seen.
    expect(take()).toBeUndefined()
    expect(consumer.look()).toBe(1)
    expect(take()).toEqual([LEAVE, 3, -1, 0])
  })

  it('carries every kind, slot and value', () => {
    const { consumer, producer, take } = setup()
    for (const kind of Object.values(JobKind)) {
      for (const slot of [0, 1, SESSIONS_MAX - 1]) {
        producer.put(kind, slot, 0xffffffff, -0x80000000)
        producer.publish()
        consumer.look()
        expect(take()).toEqual([kind, slot, -1, -0x80000000])
        consumer.consumed()
        producer.reclaim()
      }
    }
  })

  it('has room again once records are given back, not when they are read [JOBRING-2]', () => {
    const { consumer, producer, take } = setup()
    for (let i = 0; i < CAPACITY; i++) {
      expect(producer.hasRoom(0)).toBe(true)
      producer.put(RECV, i, 0, 0)
    }
    expect(producer.hasRoom(0)).toBe(false)
    expect(producer.waiting).toBe(CAPACITY)
    producer.publish()
    expect(consumer.look()).toBe(CAPACITY)
    take()
    take()
    expect(producer.hasRoom(0)).toBe(false)
    consumer.consumed()
    expect(producer.hasRoom(0)).toBe(true)
    expect(producer.waiting).toBe(CAPACITY - 2)
  })

  it('takes no record for which there is no room [JOBRING-3]', () => {
    const { producer } = setup()
    for (let i = 0; i < CAPACITY; i++) producer.put(RECV, i, 0, 0)
    expect(() => producer.put(RECV, 0, 0, 0)).toThrow('JOBRING-3')
  })

  it('keeps apart the rings of each pair of threads', () => {
    const memory = memoryOf({})
    const nothing: JobMemory = { releaseBuffer() {}, freeBlock() {} }
    const { updateFirst } = memory.arena(1).plan
    const seen: number[] = []
    const pairs = [1, 2].flatMap((worker) =>
      [updateFirst, updateFirst + 1].map((update) => {
        const producer = new JobProducer(memory.arena(worker), update, nothing)
        const consumer = new JobConsumer(memory.arena(update), worker)
        expect(producer.update).toBe(update)
        expect(consumer.producer).toBe(worker)
        return { producer, consumer, number: worker * 100 + update }
      }),
    )
    for (const { producer, number } of pairs) {
      const { bytes, plan } = memory.arena(1)
      bytes.fill(number, plan.chunkByteAt, plan.chunkByteAt + BYTES / 2)
      for (let i = 0; i < CAPACITY; i++) producer.put(RECV, number, i, 0)
      producer.publish()
    }
    for (const { consumer, number } of pairs) {
      expect(consumer.look()).toBe(CAPACITY)
      for (let i = 0; i < CAPACITY; i++) {
        consumer.advance()
        expect([consumer.slot, consumer.first]).toEqual([number, i])
      }
      seen.push(number)
      consumer.consumed()
    }
    expect(new Set(seen).size).toBe(4)
    for (const { producer, number } of pairs) {
      producer.reclaim()
      const { bytes, plan } = memory.arena(1)
      bytes.fill(number, plan.chunkByteAt, plan.chunkByteAt + BYTES / 2)
      producer.putPacked(RECV, 0, plan.chunkByteAt, BYTES / 2)
      producer.publish()
    }
    for (const { consumer, number } of pairs) {
      consumer.look()
      consumer.advance()
      const { bytes } = memory.arena(1)
      const payload = bytes.subarray(consumer.first, consumer.first + consumer.second)
      expect(payload.every((byte) => byte === number)).toBe(true)
    }
  })
})

describe('packed payloads', () => {
  it('fill their region and no more [JOBRING-3]', () => {
    const { arena, consumer, producer, source, take } = setup()
    const { jobByteAt, jobBytesPerRing } = arena.plan
    const from = jobByteAt + 3 * jobBytesPerRing
    expect(producer.packedMax).toBe(BYTES / 2)
    expect(producer.hasRoom(BYTES)).toBe(true)
    producer.putPacked(RECV, 1, source(new Uint8Array(100).fill(1)), 100)
    producer.putPacked(RECV, 2, source(new Uint8Array(100).fill(2)), 100)
    expect(producer.hasRoom(56)).toBe(true)
    expect(producer.hasRoom(57)).toBe(false)
    producer.putPacked(RECV, 3, source(new Uint8Array(56).fill(3)), 56)
    expect(producer.hasRoom(1)).toBe(false)
    expect(producer.hasRoom(0)).toBe(true)
    producer.publish()
    consumer.look()
    expect([take(), take(), take()]).toEqual([
      [RECV, 1, from, 100],
      [RECV, 2, from + 100, 100],
      [RECV, 3, from + 200, 56],
    ])
    const region = arena.bytes.subarray(from, from + BYTES)
    expect([region[0], region[99], region[100], region[199], region[200], region[255]]).toEqual([
      1, 1, 2, 2, 3, 3,
    ])
  })

  it('do not go around the end: the rest of the region counts as used', () => {
    const { arena, consumer, producer, source, take } = setup()
    const from = arena.plan.jobByteAt + 3 * arena.plan.jobBytesPerRing
    const step = (length: number) => {
      producer.putPacked(RECV, 0, source(new Uint8Array(length)), length)
      producer.publish()
      consumer.look()
      const [, , at] = take() as number[]
      return at - from
    }
    expect(step(128)).toBe(0)
    expect(step(100)).toBe(128)
    // 28 bytes are left at the end, 0 are free at the start.
    expect(producer.hasRoom(28)).toBe(true)
    expect(producer.hasRoom(29)).toBe(false)
    consumer.consumed()
    // One record waits, so that the region does not begin anew.
    expect(producer.hasRoom(28)).toBe(true)
    expect(step(1)).toBe(228)
    expect(producer.hasRoom(28)).toBe(true)
    expect(step(29)).toBe(0)
    // The end, which was skipped, and 29 of the start are in use.
    expect(producer.hasRoom(BYTES - 28 - 29)).toBe(true)
    expect(producer.hasRoom(BYTES - 28 - 28)).toBe(false)
  })

  it('begin anew at the start of the region when nothing waits', () => {
    const { arena, consumer, producer, source, take } = setup()
    const from = arena.plan.jobByteAt + 3 * arena.plan.jobBytesPerRing
    for (let round = 0; round < 5; round++) {
      producer.putPacked(RECV, 0, source(new Uint8Array(60)), 60)
      producer.publish()
      consumer.look()
      const [, , at] = take() as number[]
      expect(at - from).toBe(0)
      consumer.consumed()
      expect(producer.reclaim()).toBe(true)
      expect(producer.hasRoom(BYTES)).toBe(true)
    }
  })

  it('always fit when nothing waits, up to packedMax, wherever the last one ended', () => {
    for (let offset = 0; offset < BYTES; offset += 5) {
      const { consumer, producer, source } = setup()
      for (let left = offset; left > 0; ) {
        const length = Math.min(left, producer.packedMax)
        producer.putPacked(RECV, 0, source(new Uint8Array(length)), length)
        left -= length
      }
      producer.publish()
      consumer.look()
      while (consumer.advance());
      consumer.consumed()
      expect(producer.hasRoom(producer.packedMax), `after ${offset} bytes`).toBe(true)
    }
  })

  it('arrive as they were, whatever their lengths and however far the consumer is', () => {
    const random = new Random(6)
    const { arena, consumer, producer, back, source } = setup()
    const waiting: { text: Uint8Array; slot: number }[] = []
    let number = 0
    let bytes = 0
    const same = (start: number, text: Uint8Array) =>
      Buffer.compare(arena.bytes.subarray(start, start + text.length), text) === 0
    const readable: { start: number; text: Uint8Array }[] = []
    while (bytes < 200 * BYTES) {
      for (let tries = random.below(6); tries > 0; tries--) {
        const length = random.below(producer.packedMax + 1)
        if (!producer.hasRoom(length)) break
        const text = Uint8Array.from({ length }, () => random.below(256))
        producer.putPacked(RECV, number & 0xfffff, source(text), length)
        waiting.push({ text, slot: number & 0xfffff })
        number++
        bytes += length
      }
      producer.publish()
      // Payloads that were read and not given back are still there.
      for (const { start, text } of readable)
        if (!same(start, text)) throw new Error(`the payload at ${start} is gone`)
      consumer.look()
      for (let count = random.below(5); count > 0 && consumer.advance(); count--) {
        const { text, slot } = waiting.shift() as { text: Uint8Array; slot: number }
        readable.push({ start: consumer.first, text })
        if (
          consumer.slot !== slot ||
          consumer.second !== text.length ||
          !same(consumer.first, text)
        )
          throw new Error(`record ${slot} came as ${consumer.slot}`)
      }
      if (random.chance(60)) {
        consumer.consumed()
        readable.length = 0
      }
    }
    expect(number).toBeGreaterThan(50 * CAPACITY)
    expect(back).toEqual([])
  })
})

describe('payloads that were received together', () => {
  /** Payloads of 10 bytes, each behind a header of 2. */
  function received(options: SetupOptions = {}) {
    const made = setup(options)
    const { arena, producer, source } = made
    const at = source(Uint8Array.from({ length: 96 }, (_, i) => i))
    const put = (index: number, limit = at + 96) =>
      producer.putPacked(RECV, index, at + 12 * index + 2, 10, limit)
    /** The next record's slot, and the first byte of its payload. */
    const look = () => {
      producer.publish()
      made.consumer.look()
      const [, slot, from] = made.take() as number[]
      return [slot, arena.bytes[from], from - at]
    }
    return { ...made, at, put, look }
  }

  it('are copied at once: what lies there later does not count', () => {
    const { arena, at, put, look } = received()
    put(0)
    arena.bytes.fill(255, at, at + 96)
    put(1)
    put(7)
    const [first, second, last] = [look(), look(), look()]
    expect([first, second, last].map(([slot, byte]) => [slot, byte])).toEqual([
      [0, 2],
      [1, 14],
      [7, 86],
    ])
    expect(second[2]).toBe(first[2] + 12)
  })

  it('are copied anew when others were received, or something else was put between them', () => {
    const { arena, producer, at, put, look, take } = received()
    put(0)
    producer.endSpan()
    arena.bytes[at + 14] = 99
    put(1)
    producer.put(JOIN, 5, 0, 0)
    arena.bytes[at + 26] = 98
    put(2)
    expect(look().slice(0, 2)).toEqual([0, 2])
    expect(look().slice(0, 2)).toEqual([1, 99])
    expect(take()?.[0]).toBe(JOIN)
    expect(look().slice(0, 2)).toEqual([2, 98])
  })

  it('are each given back when it was consumed, not with the first of them [JOBRING-3]', () => {
    const { consumer, producer, put, look } = received()
    for (const index of [0, 1, 2]) put(index)
    look()
    consumer.consumed()
    producer.reclaim()
    // 94 bytes were copied, with the header of the first message left out; 10 of them are free.
    expect(producer.hasRoom(BYTES - 94)).toBe(true)
    for (const index of [1, 2]) expect(look().slice(0, 2)).toEqual([index, 12 * index + 2])
    expect(producer.hasRoom(BYTES - 94 + 1)).toBe(false)
  })

  it('begin anew with the region', () => {
    const { arena, consumer, producer, at, put, look } = received()
    put(0)
    look()
    consumer.consumed()
    producer.reclaim()
    arena.bytes[at + 14] = 99
    put(1)
    expect(look().slice(0, 2)).toEqual([1, 99])
  })

  it('are copied one by one where no other like it is there', () => {
    const { producer, at, put } = received()
    put(0, at + 12 + 9)
    expect(producer.hasRoom(BYTES - 10)).toBe(true)
    expect(producer.hasRoom(BYTES - 9)).toBe(false)
  })
})

describe('memory that records hold', () => {
  it('is given back once, in order, when they were consumed [JOBRING-2]', () => {
    const { consumer, producer, back, source, take } = setup()
    producer.putInBuffer(RECV, 1, 640, 600, 17)
    producer.put(JOIN, 1, 1, 0)
    producer.putInBlock(RECV, 2, 8192, 3000, 4096)
    producer.putPacked(RECV, 3, source(Uint8Array.of(1, 2)), 2)
    producer.putInBuffer(RECV, 4, 1300, 500, 17)
    producer.publish()
    consumer.look()
    expect(take()).toEqual([RECV, 1, 640, 600])
    take()
    expect(take()).toEqual([RECV, 2, 8192, 3000])
    expect(producer.reclaim()).toBe(false)
    expect(back).toEqual([])
    consumer.consumed()
    expect(back).toEqual([])
    expect(producer.reclaim()).toBe(true)
    expect(back).toEqual(['buffer 17', 'block 8192 4096'])
    expect(producer.reclaim()).toBe(false)
    take()
    take()
    consumer.consumed()
    producer.reclaim()
    expect(back).toEqual(['buffer 17', 'block 8192 4096', 'buffer 17'])
    // The next records in the same places hold nothing.
    for (let i = 0; i < 3 * CAPACITY; i++) {
      producer.put(JOIN, 1, 1, 0)
      producer.publish()
      consumer.look()
      take()
      consumer.consumed()
      producer.reclaim()
    }
    expect(back).toHaveLength(3)
  })

  it('buffer 0 is a buffer', () => {
    const { consumer, producer, back, take } = setup()
    producer.putInBuffer(RECV, 1, 0, 10, 0)
    producer.publish()
    consumer.look()
    take()
    consumer.consumed()
    producer.reclaim()
    expect(back).toEqual(['buffer 0'])
  })
})

describe('asking for room', () => {
  it('is answered once, by who consumes next [JOBRING-4]', () => {
    const { consumer, producer, take, words, ringAt } = setup()
    producer.put(JOIN, 1, 1, 0)
    producer.put(JOIN, 2, 1, 0)
    producer.publish()
    consumer.look()
    take()
    expect(consumer.consumed()).toBe(false)
    // The head has moved since the producer looked: it must not wait.
    expect(producer.wantSpace()).toBe(false)
    expect(producer.waiting).toBe(1)
    expect(producer.wantSpace()).toBe(true)
    expect(words[ringAt + JOB_RING_SPACE_WANTED]).toBe(1)
    take()
    expect(consumer.consumed()).toBe(true)
    expect(words[ringAt + JOB_RING_SPACE_WANTED]).toBe(0)
    expect(consumer.consumed()).toBe(false)
  })
})

describe('counts', () => {
  // Head and tail are signed words: they go from 2^31 - 1 to -2^31, and from -1 to 0.
  it.each([
    ['2^31', 0x7fffffff - 3],
    ['2^32', -4],
  ])('of records pass %s', (_, from) => {
    const { consumer, producer, back, take, words, ringAt } = setup({ from })
    let [put, taken] = [0, 0]
    for (let round = 0; round < 12; round++) {
      for (; producer.hasRoom(0); put++) {
        if (put % 3 === 0) producer.putInBuffer(RECV, put, 0, 1, put)
        else producer.put(RECV, put, 0, put)
      }
      expect(producer.waiting).toBe(CAPACITY)
      expect(() => producer.put(RECV, 0, 0, 0)).toThrow('JOBRING-3')
      producer.publish()
      expect(words[ringAt + JOB_RING_TAIL]).toBe((from + put) | 0)
      expect(consumer.look()).toBe(CAPACITY)
      for (let n = 1 + (round % CAPACITY); n > 0; n--) expect(take()?.[1]).toBe(taken++)
      consumer.consumed()
      expect(words[ringAt + JOB_RING_HEAD]).toBe((from + taken) | 0)
      producer.reclaim()
      expect(back).toHaveLength(Math.ceil(taken / 3))
    }
    expect(taken).toBeGreaterThan(4 * CAPACITY)
  })

  it('of bytes pass 2^31 and 2^32', () => {
    const bytes = 65_536
    const { arena, consumer, producer, take } = setup({ bytes })
    // Behind the arena: nothing is copied, which would take most of the time.
    const start = arena.bytes.length
    const from = arena.plan.jobByteAt + 3 * bytes
    const third = Math.floor(bytes / 3)
    let position = 0
    let laps = 0
    for (let total = 0; total < 2 ** 32 + 4 * bytes; ) {
      if (!producer.hasRoom(third)) throw new Error(`no room in lap ${laps}`)
      producer.putPacked(RECV, 0, start, third)
      producer.publish()
      consumer.look()
      const [, , at] = take() as number[]
      if (position + third > bytes) {
        total += bytes - position
        position = 0
        laps++
      }
      if (at !== from + position) throw new Error(`${at - from} in lap ${laps}, not ${position}`)
      position += third
      total += third
      consumer.consumed()
    }
    expect(laps).toBeGreaterThan(2 ** 32 / bytes)
    // All of it is free: nothing was counted twice.
    expect(producer.hasRoom(producer.packedMax)).toBe(true)
  })
})
