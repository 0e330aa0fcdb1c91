// What: when handlers of a thread are started, who waits for that, and from when on they hear of messages.
// Flow: this -> HandlerSet -> handlers that the test has in its hands.
// Thread: the test's.

import { afterEach, describe, expect, it, vi } from 'vitest'
import { defineHandler, type Handler, type Runtime } from '../../src/session/handler.ts'
import { HandlerSet } from '../../workers/handlers.ts'

/** Modules find their handlers there. */
const made: Record<string, Handler> = {}
vi.stubGlobal('handlersOfThisTest', made)

const runtime = {} as Runtime
const urlOf = (name: string) =>
  `data:text/javascript,export default globalThis.handlersOfThisTest['${name}']`

let events: string[] = []
afterEach(() => {
  events = []
})

/** A promise and what settles it. */
function gate() {
  let open!: () => void
  let fail!: (error: Error) => void
  const opened = new Promise<void>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { opened, open, fail }
}

let count = 0
/** The URL of a handler that says what is called; each has another one, since Node loads a URL once. */
function handler(name: string, onStart: () => void | Promise<void> = () => {}): string {
  const key = `${name}${count++}`
  made[key] = defineHandler({
    async onStart() {
      events.push(`${name} starts`)
      await onStart()
      events.push(`${name} started`)
    },
    onStop: () => void events.push(`${name} stops`),
  })
  return urlOf(key)
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 5))
const says = (event: string) => () => void events.push(event)
const setOf = () => new HandlerSet(says('added'))

describe('a handler', () => {
  it('that is used first is loaded and started once, whoever waits, and added behind that', async () => {
    const { opened, open } = gate()
    const url = handler('late', () => opened)
    const set = setOf()
    const uses = [1, 2].map((nth) => set.use(url, runtime).then(says(`use ${nth}`)))
    await settled()
    uses.push(set.use(url, runtime).then(says('use 3')))
    await settled()
    expect(events).toEqual(['late starts'])
    open()
    await Promise.all(uses)
    expect(events.slice(0, 2)).toEqual(['late starts', 'late started'])
    expect(events.slice(2).sort()).toEqual(['added', 'use 1', 'use 2', 'use 3'])
    expect(set.started(set.handlers.get(url) as Handler, runtime)).toBeUndefined()
    await set.stop(runtime)
    expect(events.slice(6)).toEqual(['late stops'])
  })

  it('may use itself in its onStart, also after a wait, and does not wait for itself', async () => {
    const set = setOf()
    const url: string = handler('own', async () => {
      await settled()
      await set.use(url, runtime)
      events.push('used')
    })
    await set.use(url, runtime)
    expect(events).toEqual(['own starts', 'used', 'own started', 'added'])
  })

  it('is waited for by others while it uses itself', async () => {
    const { opened, open } = gate()
    const set = setOf()
    const url: string = handler('own', async () => {
      await set.use(url, runtime)
      events.push('own use')
      await opened
    })
    const first = set.use(url, runtime)
    await settled()
    const other = set.use(url, runtime).then(says('other use'))
    await settled()
    expect(events).toEqual(['own starts', 'own use'])
    open()
    await Promise.all([first, other])
    expect(events.indexOf('other use')).toBeGreaterThan(events.indexOf('own started'))
  })

  it.each([2, 3])('of %d that use one another in a ring does not wait for ever', async (length) => {
    const set = setOf()
    const ring: string[] = []
    for (let at = 0; at < length; at++)
      ring.push(
        handler(`h${at}`, async () => {
          await set.use(ring[(at + 1) % length], runtime)
        }),
      )
    await set.load(ring)
    await set.start(runtime)
    const each = (what: string) => ring.map((_, at) => `h${at} ${what}`)
    expect(events.slice(0, length)).toEqual(each('starts'))
    expect(events.slice(length)).toEqual(each('started').reverse())
  })

  it('of two that start beside one another and use one another does not wait for ever', async () => {
    const set = setOf()
    const both: string[] = []
    for (const at of [0, 1]) {
      const other = 1 - at
      both.push(
        handler(`h${at}`, async () => {
          await settled()
          await set.use(both[other], runtime)
        }),
      )
    }
    await Promise.all(both.map((url) => set.use(url, runtime)))
    expect(events.slice(0, 2)).toEqual(['h0 starts', 'h1 starts'])
    expect(events).toContain('h0 started')
    expect(events).toContain('h1 started')
  })

  it('whose onStart another one has called early is waited for in its turn', async () => {
    const { opened, open } = gate()
    const set = setOf()
    const second = handler('second', () => opened)
    const first = handler('first', () => {
      void set.use(second, runtime)
    })
    await set.load([first, second])
    const started = set.start(runtime).then(says('all started'))
    await settled()
    expect(events).toEqual(['first starts', 'second starts', 'first started'])
    open()
    await started
    expect(events.slice(3)).toEqual(['second started', 'all started'])
  })

  it('whose onStart fails fails each use with the same error, and is not added', async () => {
    const error = new Error('no way')
    const set = setOf()
    const url = handler('broken', () => Promise.reject(error))
    for (let again = 0; again < 2; again++) await expect(set.use(url, runtime)).rejects.toBe(error)
    expect(events).toEqual(['broken starts'])
  })

  it('that another one uses in its onStart fails there alone', async () => {
    const set = setOf()
    const broken = handler('broken', () => Promise.reject(new Error('no way')))
    const first = handler('first', async () => {
      await set.use(broken, runtime).catch(({ message }) => events.push(message))
    })
    await set.use(first, runtime)
    expect(events).toEqual(['first starts', 'broken starts', 'no way', 'first started', 'added'])
  })
})

describe('a message', () => {
  it('comes while onStart waits, and to a handler whose onStart was not called yet behind that call', async () => {
    const { opened, open } = gate()
    const set = setOf()
    const names = ['first', 'second']
    const urls = names.map((name) => handler(name, () => opened))
    await set.load(urls)
    const nameOf = new Map(urls.map((url, at) => [set.handlers.get(url), names[at]]))
    const tell = (message: string) =>
      set.tellAll((told) => void events.push(`${nameOf.get(told)} hears ${message}`))
    const started = set.start(runtime)
    tell('a')
    tell('b')
    expect(events).toEqual(['first starts', 'first hears a', 'first hears b'])
    open()
    await started
    tell('c')
    expect(events.slice(3)).toEqual([
      'first started',
      'second starts',
      'second hears a',
      'second hears b',
      'second started',
      'first hears c',
      'second hears c',
    ])
  })
})
