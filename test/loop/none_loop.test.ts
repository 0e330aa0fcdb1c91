// What: the nested loop of a thread without sockets: doorbells, Node's own APIs, deafness until a tick, its end.
// Flow: waker -> loop_thread.mjs in a real thread, on the built package -> its messages -> this.
// Thread: main; one worker thread.

import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Binding, loadBinding } from '../../src/binding.ts'
import {
  Counter,
  THREAD_DOORBELL,
  THREAD_PARKED,
  THREAD_SUBMISSION_USED,
} from '../../src/layout/layout.ts'
import { Arena } from '../../src/shared/arena.ts'
import { load } from '../../src/shared/atomics.ts'
import { Waker } from '../../src/shared/waker.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

const THREAD = new URL('../helpers/loop_thread.mjs', import.meta.url)
const BUILT = new URL('../../dist/src/', import.meta.url)

interface Message {
  readonly type: string
  readonly order?: string
  readonly turns?: number
  readonly bells?: number
  readonly promises?: number
  readonly why?: string
  readonly bytes?: number
}

let binding: Binding
let arena: Arena
let waker: Waker
let worker: Worker
let thread = 0
let messages: Message[] = []
let exited = false

const word = (field: number) => load(arena.words, arena.threadAt(thread) + field)
const counter = (which: number) => new Arena(binding, arena.memories, thread).counters[which]

/** As long as the test may take: what never comes true fails by its name. */
async function until(what: string, isTrue: () => boolean): Promise<void> {
  while (!isTrue()) {
    expect(exited, `the thread lives until ${what}`).toBe(false)
    await setImmediate()
  }
}

async function next(type: string): Promise<Message> {
  let found: Message | undefined
  await until(`it says '${type}'`, () => {
    const at = messages.findIndex((message) => message.type === type)
    if (at >= 0) [found] = messages.splice(at, 1)
    return found !== undefined
  })
  return found as Message
}

async function tell(order: string): Promise<Message> {
  worker.postMessage(order)
  const did = await next('did')
  expect(did.order).toBe(order)
  return did
}

function ring(): void {
  waker.ringBell(thread)
  waker.flush()
}

beforeEach(async () => {
  const { memories } = unitMemory()
  binding = loadBinding()
  const runtime = binding.createRuntime(
    new Uint8Array(memories.control),
    new Uint8Array(memories.arena),
  )
  arena = new Arena(binding, { ...memories, runtime }, 0)
  waker = new Waker(arena, binding)
  // The first thread without a driver.
  thread = arena.plan.driverCount + 1
  messages = []
  exited = false
  worker = new Worker(THREAD, {
    workerData: { thread, memories: arena.memories, built: BUILT.href },
  })
  worker.on('message', (message: Message) => messages.push(message))
  worker.once('exit', () => {
    exited = true
  })
  expect((await next('opened')).why).toBe('')
})

afterEach(async () => {
  await worker.terminate()
  binding.destroyRuntime(arena.memories.runtime)
})

describe('a loop without sockets', () => {
  it('sleeps, and is woken by its doorbell, each time [WAKE-1]', async () => {
    for (let bells = 1; bells <= 200; bells++) {
      // Every other time it may still be on its way to sleep.
      if (bells % 2 === 0) await until('it sleeps', () => word(THREAD_PARKED) === 1)
      const before = arena.counters[Counter.WAKES_SENT]
      ring()
      if (bells % 2 === 0) expect(arena.counters[Counter.WAKES_SENT]).toBe(before + 1)
      const bell = await next('bell')
      expect(bell.bells).toBe(bells)
      // Promises of a turn have run when it is over.
      expect(bell.promises).toBe(bells)
    }
    await until('it sleeps', () => word(THREAD_PARKED) === 1)
    expect(word(THREAD_DOORBELL)).toBe(0)
    expect(word(THREAD_SUBMISSION_USED)).toBe(0)
    expect(counter(Counter.TURNS)).toBeGreaterThanOrEqual(200)
    expect(counter(Counter.SLEEPS)).toBeGreaterThanOrEqual(100)
    for (const which of [Counter.WAITED_NS, Counter.CPU_NS, Counter.SYSCALLS])
      expect(counter(which)).toBeGreaterThan(0)
  })

  it('runs timers, promises, files and message ports while it sleeps', async () => {
    for (let i = 0; i < 20; i++) {
      await tell('use')
      if (i % 2 === 0) ring()
      expect((await next('used')).bytes).toBeGreaterThan(0)
      if (i % 2 === 0) await next('bell')
    }
  })

  it('calls a turn for what JavaScript has left pending', async () => {
    for (let i = 0; i < 20; i++) {
      const { turns = 0 } = await tell('pend')
      await next('pending')
      expect((await tell('look')).turns).toBe(turns + 1)
    }
  })

  it('does not hear its doorbell while it is deaf, and does afterwards [BELL-2]', async () => {
    const { turns, bells } = await tell('deaf')
    const woken = arena.counters[Counter.WAKES_SENT]
    for (let i = 0; i < 10; i++) {
      const sleeps = counter(Counter.SLEEPS)
      ring()
      // It sleeps with the bell that it has.
      expect(await tell('look')).toMatchObject({ turns, bells })
      await until('it sleeps', () => counter(Counter.SLEEPS) > sleeps)
      expect(word(THREAD_PARKED)).toBe(0)
    }
    expect(arena.counters[Counter.WAKES_SENT]).toBe(woken)
    expect(word(THREAD_DOORBELL)).toBe(1)

    // As at a tick: what rang meanwhile is answered by the next turn.
    await tell('hear')
    expect((await next('bell')).bells).toBe(1)
    await until('it sleeps', () => word(THREAD_PARKED) === 1)
    expect(word(THREAD_DOORBELL)).toBe(0)
    ring()
    expect((await next('bell')).bells).toBe(2)
  })

  it('does what is pending while it is deaf', async () => {
    await tell('deaf')
    for (let i = 1; i <= 10; i++) {
      await tell('pend')
      await next('pending')
    }
    expect((await tell('look')).turns).toBe(10)
  })

  it('ends when it is closed', async () => {
    const ended = new Promise((resolve) => {
      worker.once('exit', resolve)
    })
    worker.postMessage('close')
    expect(await ended).toBe(0)
  })

  it.each(['hear', 'deaf'])('ends when it is terminated while it sleeps (%s)', async (order) => {
    await tell(order)
    if (order === 'hear') await until('it sleeps', () => word(THREAD_PARKED) === 1)
    expect(await worker.terminate()).toBe(1)
  })
})
