// What: tests of `overlapped start` with a server that only notes its calls.
// Flow: start -> this.
// Thread: main.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { listeningLine, runStart } from '../../src/cli/start.ts'
import { OverlappedError } from '../../src/errors.ts'

const calls: string[] = []
let listen: () => Promise<void>
let stop: () => Promise<void>
let closed: Promise<void>
let written: string[]
const listenersBefore = process.listenerCount('SIGTERM')

vi.mock('../../src/server/server.ts', () => ({
  createServer: () => ({
    listen: () => {
      calls.push('listen')
      return listen()
    },
    stop: () => {
      calls.push('stop')
      return stop()
    },
    info: () => ({
      driver: 'epoll',
      driverReason: 'asked for',
      workers: 2,
      listeners: [{ name: 'listener0', host: '127.0.0.1', port: 9000 }],
      plan: '256 MiB',
    }),
    closed,
  }),
}))

const never = new Promise<void>(() => {})

beforeEach(() => {
  calls.length = 0
  written = []
  listen = async () => {}
  stop = async () => {}
  closed = never
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    written.push(String(text))
    return true
  })
})

afterEach(() => {
  vi.restoreAllMocks()
  expect(process.listenerCount('SIGTERM')).toBe(listenersBefore)
})

const LINE =
  'listening 127.0.0.1:9000 driver=epoll (asked for) workers=2 mode=worker memory: 256 MiB'

describe('runStart', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('listens, says so, and stops at %s', async (signal) => {
    const ended = runStart([])
    await vi.waitFor(() => expect(written).toEqual([`${LINE}\n`]))
    expect(calls).toEqual(['listen'])
    process.emit(signal, signal)
    expect(await ended).toBe(0)
    expect(calls).toEqual(['listen', 'stop'])
  })

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('exits at once at the second signal, %s, with %i', async (signal, code) => {
    let stopped = () => {}
    stop = () =>
      new Promise((resolve) => {
        stopped = resolve
      })
    const exit = vi.spyOn(process, 'exit').mockImplementation((() => {}) as never)
    const ended = runStart([])
    await vi.waitFor(() => expect(written).toHaveLength(1))
    process.emit('SIGINT', 'SIGINT')
    await vi.waitFor(() => expect(calls).toContain('stop'))
    expect(exit).not.toHaveBeenCalled()
    process.emit(signal, signal)
    expect(exit).toHaveBeenCalledExactlyOnceWith(code)
    stopped()
    await ended
  })

  it('stops after listening when the signal came before', async () => {
    let listening = () => {}
    listen = () =>
      new Promise((resolve) => {
        listening = resolve
      })
    const ended = runStart([])
    await vi.waitFor(() => expect(calls).toEqual(['listen']))
    process.emit('SIGTERM', 'SIGTERM')
    listening()
    expect(await ended).toBe(0)
    expect(calls).toEqual(['listen', 'stop'])
  })

  it('fails when listening fails', async () => {
    listen = async () => {
      throw new OverlappedError('ERR_ADDRESS_IN_USE', 'taken')
    }
    await expect(runStart([])).rejects.toMatchObject({ code: 'ERR_ADDRESS_IN_USE' })
    expect(written).toEqual([])
  })

  it('fails when the server dies, without stopping it', async () => {
    closed = Promise.reject(new OverlappedError('ERR_WORKER_LOST', 'gone'))
    closed.catch(() => {})
    await expect(runStart([])).rejects.toMatchObject({ code: 'ERR_WORKER_LOST' })
    expect(calls).toEqual(['listen'])
  })

  it('ends when the server was closed by others', async () => {
    closed = Promise.resolve()
    expect(await runStart([])).toBe(0)
    expect(calls).toEqual(['listen'])
  })

  it('refuses wrong flags before it makes a server', async () => {
    await expect(runStart(['--port', 'x'])).rejects.toMatchObject({
      code: 'ERR_OPTION_TYPE',
      message: "--port is 'x'; it must be a whole number from 0 to 65535",
    })
    expect(calls).toEqual([])
  })
})

describe('listeningLine', () => {
  const info = { driver: 'epoll', driverReason: 'asked for', workers: 2, mode: 'worker', plan: 'x' }

  it('separates addresses by commas, IPv6 in brackets', () => {
    const listeners = [
      { host: '::1', port: 1 },
      { host: 'localhost', port: 2 },
    ]
    const line = listeningLine({ ...info, listeners })
    expect(line).toMatch(/^listening \[::1\]:1,localhost:2 driver=epoll /)
  })

  it('says when there is no listener', () => {
    expect(listeningLine({ ...info, listeners: [] })).toMatch(/^listening nowhere driver=/)
  })
})
