// What: tests of the lock: who has it, that a sleeper in another thread is woken, a holder that was lost.
// Flow: lock -> this.
// Thread: main, and one thread that sleeps.

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { LOCK_WAITED } from '../../src/layout/layout.ts'
import { structs } from '../../src/layout/schema.ts'
import { Lock } from '../../src/shared/lock.ts'
import { readFiles } from '../tidy/files.ts'

const AT = 1

function word(value = 0): Int32Array {
  const words = new Int32Array(new SharedArrayBuffer(16))
  words[AT] = value
  return words
}

/** Takes the lock as thread 2 and counts under it. */
const SLEEPER = `
  const { workerData: { url, words } } = require('node:worker_threads')
  import(url).then(({ Lock }) => {
    const lock = new Lock(words, ${AT}, 2, 0)
    lock.acquire()
    words[${AT} + 1]++
    lock.release()
  })`

async function sleeper(words: Int32Array): Promise<{ ended: Promise<unknown> }> {
  const url = new URL('../../dist/src/shared/lock.js', import.meta.url).href
  const thread = new Worker(SLEEPER, { eval: true, workerData: { url, words } })
  const ended = once(thread, 'exit')
  while ((Atomics.load(words, AT) & LOCK_WAITED) === 0)
    await new Promise((resolve) => setImmediate(resolve))
  return { ended }
}

describe('Lock', () => {
  it('is in the word, with the thread that has it [LOCK-1]', () => {
    const words = word()
    const lock = new Lock(words, AT, 7)
    lock.acquire()
    expect([...words]).toEqual([0, 8, 0, 0])
    lock.release()
    expect([...words]).toEqual([0, 0, 0, 0])
  })

  it('wakes who sleeps for it [LOCK-2]', async () => {
    const words = word()
    const lock = new Lock(words, AT, 1)
    lock.acquire()
    const { ended } = await sleeper(words)
    expect(words[AT]).toBe(2 | LOCK_WAITED)
    expect(words[AT + 1]).toBe(0)
    lock.release()
    await ended
    expect([...words]).toEqual([0, 0, 1, 0])
  })

  it('is given back for a thread that has ended, and for no other [LOCK-3]', async () => {
    const words = word()
    new Lock(words, AT, 5).acquire()
    const main = new Lock(words, AT, 0)
    for (const thread of [0, 4, 6]) main.releaseLost(thread)
    expect(words[AT]).toBe(6)
    const { ended } = await sleeper(words)
    main.releaseLost(5)
    await ended
    expect([...words]).toEqual([0, 0, 1, 0])
    main.releaseLost(5)
    expect(words[AT]).toBe(0)
  })
})

describe('locks', () => {
  it('are one, of the group directory: no session has any, no send or receive takes it [LOCK-1]', () => {
    const words = structs.flatMap(({ name, fields }) =>
      fields.filter(({ order }) => order.includes('LOCK-')).map((field) => `${name}.${field.name}`),
    )
    expect(words).toEqual(['group_directory.lock'])
    const importers = (files: RegExp) =>
      readFiles(['src', 'workers'], ['.ts'])
        .filter(({ text }) => files.test(text))
        .map(({ path }) => path)
    expect(importers(/\/lock\.ts'/)).toEqual(['src/shared/group_table.ts'])
    // Bytes come and go through these rooms.
    const onTheWay = /^src\/(inbound|outbound|send)\/|^src\/update\/(forwarder|job_ring)/
    const ofGroups = importers(/\/group_table\.ts'/)
    expect(ofGroups.filter((path) => onTheWay.test(path))).toEqual([])
  })
})
