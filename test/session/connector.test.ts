// What: connect() over a dialler, a resolver and a clock that the test has in its hands.
// Flow: this -> Connector -> fakes.
// Thread: the test's.

import { describe, expect, it } from 'vitest'
import { OverlappedError } from '../../src/errors.ts'
import { lengthPrefix } from '../../src/framing/framing.ts'
import type { ErrorCode } from '../../src/layout/layout.ts'
import type { Dialler, DialOrder } from '../../src/session/connecting.ts'
import { Connector } from '../../src/session/connector.ts'
import type { ConnectFailure, ConnectOptions, Session } from '../../src/session/handler.ts'

const NAMED = 3
const GIVEN = 7

interface Dial {
  readonly order: DialOrder
  readonly resolve: (session: Session) => void
  readonly reject: (error: OverlappedError) => void
  cancelledBy: OverlappedError | null
}

interface Timer {
  readonly dueMs: number
  readonly run: () => void
}

/** Promises that are due have run when it resolves: a timer of Node comes after all of them. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 0))

class Rig {
  nowMs = 1_000
  /** A promise: the handler of the declared protocol is in its onStart. */
  named: number | Promise<number> = NAMED
  /** Answers of the resolver, by name. */
  readonly names = new Map<string, readonly string[] | Error>()
  readonly dials: Dial[] = []
  readonly timers = new Set<Timer>()
  readonly failures: [protocol: number, code: string, failure: ConnectFailure][] = []
  /** Thrown by dial() itself, once. */
  refusal: OverlappedError | null = null
  readonly connector: Connector

  constructor() {
    const dialler: Dialler = { dial: (order) => this.#dial(order) }
    this.connector = new Connector({
      dialler,
      handler: 'file:///handler.js',
      protocolByName: () => this.named,
      protocolOf: async () => GIVEN,
      failed: (protocol, { code }, failure) => this.failures.push([protocol, code, failure]),
      after: (ms, run) => {
        const timer = { dueMs: this.nowMs + ms, run }
        this.timers.add(timer)
        return () => this.timers.delete(timer)
      },
      now: () => this.nowMs,
      random: () => 0,
      lookup: (host) => {
        const answer = this.names.get(host)
        if (answer === undefined) return new Promise(() => {})
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
      },
    })
  }

  #dial(order: DialOrder) {
    const refusal = this.refusal
    if (refusal !== null) {
      this.refusal = null
      throw refusal
    }
    let dial!: Dial
    const session = new Promise<Session>((resolve, reject) => {
      dial = { order, resolve, reject, cancelledBy: null }
    })
    this.dials.push(dial)
    return {
      session,
      giveUp: (error: OverlappedError) => {
        dial.cancelledBy = error
        dial.reject(error)
      },
    }
  }

  /** A call whose outcome is looked at later. */
  connect(options: Partial<ConnectOptions> = {}) {
    const call = { session: null as Session | null, error: null as OverlappedError | null }
    const given = { protocol: 'named', host: '127.0.0.1', port: 9, ...options } as ConnectOptions
    this.connector.connect(given).then(
      (session) => {
        call.session = session
      },
      (error: OverlappedError) => {
        call.error = error
      },
    )
    return call
  }

  async pass(ms: number): Promise<void> {
    this.nowMs += ms
    for (const timer of [...this.timers]) {
      if (timer.dueMs > this.nowMs) continue
      this.timers.delete(timer)
      timer.run()
    }
    await settled()
  }

  async reject(at: number, code: ErrorCode = 'ERR_CONNECT_REFUSED'): Promise<void> {
    this.dials[at].reject(new OverlappedError(code, `dial ${at} failed`))
    await settled()
  }

  async resolve(at: number): Promise<Session> {
    const session = { id: at } as Session
    this.dials[at].resolve(session)
    await settled()
    return session
  }
}

describe('an address', () => {
  it('is dialled before connect() returns', async () => {
    const rig = new Rig()
    const data = { some: 'data' }
    const call = rig.connect({ host: '::1', timeout: 500, data })
    expect(rig.dials.map(({ order }) => order)).toEqual([
      { address: '::1', port: 9, protocol: NAMED, timeoutMs: 500, data, onLeft: null },
    ])
    const session = await rig.resolve(0)
    expect(call.session).toBe(session)
    expect(rig.timers.size).toBe(0)
  })

  it('is dialled when the handler of its declared protocol has started', async () => {
    const rig = new Rig()
    let started!: (index: number) => void
    rig.named = new Promise((resolve) => {
      started = resolve
    })
    const controller = new AbortController()
    const aborted = rig.connect({ signal: controller.signal })
    rig.connect()
    await settled()
    controller.abort()
    await settled()
    expect(aborted.error).toMatchObject({ code: 'ERR_CONNECT_ABORTED' })
    expect(rig.dials).toEqual([])
    started(NAMED)
    await settled()
    expect(rig.dials.map(({ order }) => order.protocol)).toEqual([NAMED])
  })

  it('has the protocol that was given', async () => {
    const rig = new Rig()
    const options = { framing: lengthPrefix(), host: '127.0.0.1', port: 9 }
    void rig.connector.connect(options)
    await settled()
    expect(rig.dials[0].order).toMatchObject({ protocol: GIVEN, timeoutMs: 10_000 })
  })

  it('fails as the dialler does, and nobody else hears of it', async () => {
    const rig = new Rig()
    const call = rig.connect()
    await rig.reject(0)
    expect(call.error).toMatchObject({ code: 'ERR_CONNECT_REFUSED', message: 'dial 0 failed' })
    rig.refusal = new OverlappedError('ERR_SESSION_TABLE_FULL', 'full')
    const second = rig.connect()
    await settled()
    expect(second.error).toMatchObject({ code: 'ERR_SESSION_TABLE_FULL' })
    expect(rig.failures).toEqual([])
  })
})

describe('a name', () => {
  it('is tried at each of its addresses, each with its part of the time that is left', async () => {
    const rig = new Rig()
    rig.names.set('there', ['::1', '127.0.0.1', '127.0.0.2'])
    const call = rig.connect({ host: 'there', timeout: 900 })
    await settled()
    expect(rig.dials[0].order).toMatchObject({ address: '::1', timeoutMs: 300 })
    await rig.pass(100)
    await rig.reject(0, 'ERR_CONNECT_UNREACHABLE')
    expect(rig.dials[1].order).toMatchObject({ address: '127.0.0.1', timeoutMs: 400 })
    await rig.pass(400)
    await rig.reject(1, 'ERR_CONNECT_TIMED_OUT')
    expect(rig.dials[2].order).toMatchObject({ address: '127.0.0.2', timeoutMs: 400 })
    const session = await rig.resolve(2)
    expect(call.session).toBe(session)
  })

  it('fails with the last error when none of its addresses is reached', async () => {
    const rig = new Rig()
    rig.names.set('there', ['::1', '127.0.0.1'])
    const call = rig.connect({ host: 'there' })
    await settled()
    await rig.reject(0, 'ERR_CONNECT_UNREACHABLE')
    await rig.reject(1, 'ERR_CONNECT_REFUSED')
    expect(call.error).toMatchObject({
      code: 'ERR_CONNECT_REFUSED',
      message: 'connect(): there:9: none of 2 addresses was reached; dial 1 failed',
    })
    const { errors } = (call.error as OverlappedError).cause as AggregateError
    expect(errors.map(({ message }) => message)).toEqual(['dial 0 failed', 'dial 1 failed'])
  })

  it('is not tried further when time is over, or when the error is not of the address', async () => {
    const rig = new Rig()
    rig.names.set('there', ['::1', '127.0.0.1'])
    const late = rig.connect({ host: 'there', timeout: 100 })
    await settled()
    await rig.pass(100)
    await rig.reject(0)
    expect(late.error).toMatchObject({
      code: 'ERR_CONNECT_TIMED_OUT',
      message: 'connect(): there:9 was not reached in 100 ms',
    })
    const full = rig.connect({ host: 'there' })
    await settled()
    await rig.reject(1, 'ERR_SESSION_TABLE_FULL')
    expect(full.error).toMatchObject({ code: 'ERR_SESSION_TABLE_FULL' })
    expect(rig.dials).toHaveLength(2)
  })

  it('that is not there, or not answered in time, fails', async () => {
    const rig = new Rig()
    rig.names.set('nowhere', Object.assign(new Error('no'), { code: 'ENOTFOUND' }))
    rig.names.set('empty', [])
    const nowhere = rig.connect({ host: 'nowhere' })
    const empty = rig.connect({ host: 'empty' })
    const slow = rig.connect({ host: 'slow', timeout: 50 })
    await settled()
    expect(nowhere.error).toMatchObject({
      code: 'ERR_NAME_NOT_FOUND',
      message: 'connect(): nowhere:9: the name cannot be resolved (ENOTFOUND)',
    })
    expect(empty.error).toMatchObject({ code: 'ERR_NAME_NOT_FOUND' })
    expect(slow.error).toBe(null)
    await rig.pass(50)
    expect(slow.error).toMatchObject({ code: 'ERR_CONNECT_TIMED_OUT' })
    expect(rig.timers.size).toBe(0)
    expect(rig.dials).toEqual([])
  })
})

describe('a signal', () => {
  const aborted = { code: 'ERR_CONNECT_ABORTED', cause: 'enough' }

  it('ends connecting at any point, and is let go of', async () => {
    const rig = new Rig()
    const controller = new AbortController()
    const { signal } = controller
    const calls = [
      rig.connect({ signal }),
      rig.connect({ signal, host: 'slow' }),
      rig.connect({ signal, reconnect: true }),
    ]
    await rig.reject(1)
    expect(rig.timers.size).toBe(2)
    controller.abort('enough')
    await settled()
    for (const { error } of calls) expect(error).toMatchObject(aborted)
    expect(rig.dials[0].cancelledBy).toMatchObject(aborted)
    expect(rig.timers.size).toBe(0)
    const late = rig.connect({ signal })
    await settled()
    expect(late.error).toMatchObject(aborted)
    expect(rig.dials).toHaveLength(2)
  })

  it('keeps no client that is done', async () => {
    const rig = new Rig()
    const { signal } = new AbortController()
    let listeners = 0
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    Object.assign(signal, {
      addEventListener: (type: string, listener: () => void) => {
        listeners++
        add(type, listener)
      },
      removeEventListener: (type: string, listener: () => void) => {
        listeners--
        remove(type, listener)
      },
    })
    rig.connect({ signal })
    rig.connect({ signal })
    rig.connect({ signal, reconnect: true })
    expect(listeners).toBe(3)
    await rig.resolve(0)
    await rig.reject(1)
    expect(listeners).toBe(1)
    await rig.resolve(2)
    expect(listeners).toBe(1)
    rig.dials[2].order.onLeft?.('localClose', true)
    expect(listeners).toBe(0)
  })
})

describe('reconnecting', () => {
  const reconnect = { minDelay: 100, maxDelay: 1_000, jitter: 0, attempts: 4 }

  it('goes on with growing delays until connected, and tells of each failure', async () => {
    const rig = new Rig()
    const call = rig.connect({ reconnect, data: 'mine' })
    await rig.reject(0)
    expect(rig.dials).toHaveLength(1)
    await rig.pass(100)
    await rig.reject(1, 'ERR_CONNECT_TIMED_OUT')
    await rig.pass(199)
    expect(rig.dials).toHaveLength(2)
    await rig.pass(1)
    const session = await rig.resolve(2)
    expect(call.session).toBe(session)
    const common = { host: '127.0.0.1', port: 9, data: 'mine' }
    expect(rig.failures).toEqual([
      [NAMED, 'ERR_CONNECT_REFUSED', { ...common, attempt: 1, retryInMs: 100 }],
      [NAMED, 'ERR_CONNECT_TIMED_OUT', { ...common, attempt: 2, retryInMs: 200 }],
    ])
    expect(rig.timers.size).toBe(0)
  })

  it('gives up after so many attempts', async () => {
    const rig = new Rig()
    const call = rig.connect({ reconnect })
    for (const [at, delayMs] of [100, 200, 400, 0].entries()) {
      await rig.reject(at)
      await rig.pass(delayMs)
    }
    expect(call.error).toMatchObject({ code: 'ERR_CONNECT_REFUSED', message: 'dial 3 failed' })
    expect(rig.failures.map(([, , { retryInMs }]) => retryInMs)).toEqual([100, 200, 400, null])
    expect(rig.dials).toHaveLength(4)
    expect(rig.timers.size).toBe(0)
  })

  it('does not repeat what cannot go better', async () => {
    const rig = new Rig()
    const call = rig.connect({ reconnect })
    await rig.reject(0, 'ERR_SERVER_STATE')
    expect(call.error).toMatchObject({ code: 'ERR_SERVER_STATE' })
    expect(rig.failures).toEqual([])
  })

  it('resolves a name anew for each attempt', async () => {
    const rig = new Rig()
    rig.names.set('moved', ['127.0.0.1'])
    rig.connect({ host: 'moved', reconnect })
    await settled()
    await rig.reject(0)
    rig.names.set('moved', ['127.0.0.9'])
    await rig.pass(100)
    expect(rig.dials[1].order.address).toBe('127.0.0.9')
  })

  it.each([
    'peerClosed',
    'peerReset',
    'idleTimeout',
    'handlerError',
    'frameTooLong',
    'ioError',
  ] as const)('connects again after %s', async (reason) => {
    const rig = new Rig()
    rig.connect({ reconnect })
    await rig.resolve(0)
    rig.nowMs += 5_000
    rig.dials[0].order.onLeft?.(reason, false)
    await rig.pass(99)
    expect(rig.dials).toHaveLength(1)
    await rig.pass(1)
    expect(rig.dials).toHaveLength(2)
    await rig.reject(1)
    await rig.pass(200)
    await rig.resolve(2)
    rig.dials[2].order.onLeft?.(reason, true)
    await rig.pass(100)
    expect(rig.dials).toHaveLength(4)
    expect(rig.failures.map(([, , { attempt }]) => attempt)).toEqual([1])
  })

  it.each(['localClose', 'localTerminate', 'closeTimeout', 'serverStop'] as const)(
    'is over after %s',
    async (reason) => {
      const rig = new Rig()
      rig.connect({ reconnect })
      await rig.resolve(0)
      rig.dials[0].order.onLeft?.(reason, true)
      await rig.pass(100_000)
      expect(rig.dials).toHaveLength(1)
      expect(rig.timers.size).toBe(0)
    },
  )

  it('counts sessions that end at once as attempts', async () => {
    const rig = new Rig()
    rig.connect({ reconnect: { ...reconnect, attempts: 2 } })
    await rig.resolve(0)
    rig.dials[0].order.onLeft?.('peerClosed', false)
    await rig.pass(100)
    await rig.resolve(1)
    rig.dials[1].order.onLeft?.('peerReset', false)
    await rig.pass(100_000)
    expect(rig.dials).toHaveLength(2)
    expect(rig.failures).toMatchObject([[NAMED, 'ERR_CONNECT', { attempt: 2, retryInMs: null }]])
  })

  it('is over by its signal while a session lives, which stays', async () => {
    const rig = new Rig()
    const controller = new AbortController()
    rig.connect({ reconnect, signal: controller.signal })
    await rig.resolve(0)
    controller.abort()
    expect(rig.dials[0].cancelledBy).toBe(null)
    rig.dials[0].order.onLeft?.('peerClosed', true)
    await rig.pass(100_000)
    expect(rig.dials).toHaveLength(1)
  })
})

describe('stop()', () => {
  it('ends every call and every wait, and refuses new ones', async () => {
    const rig = new Rig()
    const reconnect = { minDelay: 100 }
    const calls = [
      rig.connect(),
      rig.connect({ host: 'slow' }),
      rig.connect({ reconnect }),
      rig.connect({ reconnect }),
    ]
    await rig.reject(1)
    await rig.resolve(2)
    rig.dials[2].order.onLeft?.('peerReset', true)
    expect(rig.timers.size).toBe(3)
    await rig.connector.stop()
    calls.push(rig.connect())
    await settled()
    expect(calls[3].session).not.toBe(null)
    for (const at of [0, 1, 2, 4])
      expect(calls[at].error).toMatchObject({ code: 'ERR_SERVER_STATE' })
    await rig.pass(1_000_000)
    expect(rig.timers.size).toBe(0)
    expect(rig.dials).toHaveLength(3)
  })
})
