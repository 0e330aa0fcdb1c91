// What: tests of the options in force: defaults, and one clear sentence for each wrong option.
// Flow: resolve_options -> this.
// Thread: main.

import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { delimiter, lengthPrefix, raw } from '../../src/framing/framing.ts'
import type { ServerOptions } from '../../src/server/options.ts'
import { resolveOptions } from '../../src/server/resolve_options.ts'
import { availableCores } from '../../src/shared/cores.ts'
import { errorOf } from '../helpers/error_of.ts'

const handler = 'file:///srv/game.js'
const framing = lengthPrefix()
const listener = { port: 9000, framing }

/** Options that the types do not allow, as JavaScript gives them. */
function wrong(options: unknown): () => unknown {
  return () => resolveOptions(options as ServerOptions)
}

function withServer(options: object): object {
  return { listeners: [listener], handler, ...options }
}

function withListener(options: object): object {
  return { listeners: [{ ...listener, ...options }], handler }
}

function withFraming(descriptor: unknown): object {
  return withListener({ framing: descriptor })
}

describe('defaults', () => {
  it('are the documented ones', () => {
    expect(resolveOptions({ listeners: [listener], handler })).toEqual({
      listeners: [
        {
          name: 'listener0',
          host: '127.0.0.1',
          port: 9000,
          backlog: 1024,
          framing,
          maxPayloadLength: 65_535,
          handler,
          closeMode: 'graceful',
          noDelay: true,
          sendBufferBytes: 0,
          receiveBufferBytes: 0,
        },
      ],
      outbound: [],
      handler,
      data: undefined,
      workers: Math.min(60, availableCores()),
      mode: 'worker',
      update: {
        threads: 1,
        tickRate: 20,
        eager: false,
        receiveInterval: 3,
        overrun: 'skip',
        catchUpMax: 5,
      },
      send: { flushInterval: 0, lanes: 0 },
      driver: 'auto',
      maxSessions: 10_000,
      maxBackpressure: 1_048_576,
      arenaBytes: 268_435_456,
      chunkBytes: 65_536,
      receiveBuffers: 512,
      receiveBufferSize: 32_768,
      maxGather: 64,
      completionBatch: 1024,
      ioUringWithout: [],
      iocpWithout: [],
      zeroCopy: 'off',
      poison: false,
      idleTimeout: 120_000,
      firstMessageTimeout: 0,
      closeTimeout: 5000,
      drainTimeout: 30_000,
      tickRate: 20,
      groups: { max: 1024, capacity: 0 },
    })
  })

  it('hold where an option is undefined', () => {
    const options = { listeners: [listener], handler, maxSessions: undefined }
    expect(wrong(options)()).toMatchObject({ maxSessions: 10_000 })
  })

  it('are enough for a server without listeners', () => {
    expect(resolveOptions({})).toMatchObject({ listeners: [], outbound: [] })
  })
})

describe('values', () => {
  it.each(['auto', 0] as const)('workers %s are the available cores', (workers) => {
    expect(resolveOptions({ workers }).workers).toBe(Math.min(60, availableCores()))
  })

  it('keeps what is given', () => {
    const data = { shared: new SharedArrayBuffer(4) }
    const given = { workers: 60, driver: 'epoll', maxSessions: 1, chunkBytes: 4096, data } as const
    const resolved = resolveOptions(given)
    expect(resolved).toMatchObject({ workers: 60, driver: 'epoll', maxSessions: 1 })
    expect(resolved.data).toBe(data)
  })

  it('fills in what a nested object leaves out', () => {
    expect(resolveOptions({ groups: { max: 7 } }).groups).toEqual({ max: 7, capacity: 0 })
  })

  it.each([
    [1, 4],
    [15, 4],
    [16, 3],
    [20, 3],
    [31, 2],
    [32, 1],
    [62, 1],
    [63, 1],
    [1000, 1],
  ])('receives a sixteenth of a tick late, from 1 to 4 ms: %d a second, %d ms', (tickRate, ms) => {
    expect(resolveOptions({ update: { tickRate } }).update.receiveInterval).toBe(ms)
    expect(resolveOptions({ tickRate }).update.receiveInterval).toBe(ms)
    const eager = { tickRate, eager: true }
    expect(resolveOptions({ update: eager }).update.receiveInterval).toBe(0)
  })

  it.each([0, 7, 1000])('receives as late as it is told to: %d ms', (receiveInterval) => {
    for (const eager of [true, false]) {
      const update = { eager, receiveInterval, tickRate: 20 }
      expect(resolveOptions({ update }).update.receiveInterval).toBe(receiveInterval)
    }
    expect(wrong({ update: { receiveInterval: 1001 } })).toThrow('update.receiveInterval is 1001')
  })

  it('names listeners by their index', () => {
    const listeners = [listener, { ...listener, name: 'game' }, listener]
    const names = resolveOptions({ listeners, handler }).listeners.map(({ name }) => name)
    expect(names).toEqual(['listener0', 'game', 'listener2'])
  })

  it('fills in outbound protocols', () => {
    const outbound = [{ name: 'redis', framing: delimiter({ bytes: '\r\n' }) }]
    const [protocol] = resolveOptions({ outbound, handler }).outbound
    expect(protocol).toEqual({
      name: 'redis',
      framing: outbound[0].framing,
      maxPayloadLength: 65_536,
      handler,
      closeMode: 'graceful',
      noDelay: true,
      sendBufferBytes: 0,
      receiveBufferBytes: 0,
    })
  })

  it.each([
    [raw(), 16_777_216],
    [lengthPrefix({ bytes: 1 }), 255],
    [lengthPrefix({ bytes: 1, includesHeader: true, offset: 2 }), 252],
    [lengthPrefix({ bytes: 4 }), 65_536],
    [lengthPrefix({ bytes: 4, maxPayloadLength: 16_777_216 }), 16_777_216],
    [delimiter({ maxPayloadLength: 10 }), 10],
  ])('%j holds payloads of %i bytes', (descriptor, longest) => {
    const [resolved] = resolveOptions({
      listeners: [{ port: 1, framing: descriptor }],
      handler,
    }).listeners
    expect(resolved).toMatchObject({ framing: descriptor, maxPayloadLength: longest })
  })

  it('takes plain data that equals a descriptor', () => {
    const plain = JSON.parse(JSON.stringify(delimiter({ bytes: '\n' })))
    expect(wrong(withFraming(plain))()).toMatchObject({ listeners: [{ framing: plain }] })
  })
})

describe('handler', () => {
  it.each([
    ['file:///srv/game.js', 'file:///srv/game.js'],
    [new URL('file:///srv/game.js?x=1'), 'file:///srv/game.js?x=1'],
    ['/srv/a b.js', 'file:///srv/a%20b.js'],
    ['./game.js', pathToFileURL(resolve(process.cwd(), 'game.js')).href],
    ['game.js', pathToFileURL(resolve(process.cwd(), 'game.js')).href],
  ])('%s', (given, url) => {
    expect(resolveOptions({ listeners: [listener], handler: given }).listeners[0].handler).toBe(url)
  })

  it("of a listener comes before the server's", () => {
    const own = { ...listener, handler: '/srv/own.js' }
    const { listeners } = resolveOptions({ listeners: [own, listener], handler })
    expect(listeners.map((each) => each.handler)).toEqual(['file:///srv/own.js', handler])
  })

  it.each([
    ['http://host/game.js', 'ERR_OPTION_RANGE', "handler is 'http://host/game.js'"],
    ['file://host/game.js', 'ERR_OPTION_RANGE', "handler is 'file://host/game.js'"],
    [new URL('data:text/javascript,1'), 'ERR_OPTION_RANGE', "handler is 'data:text"],
    ['', 'ERR_OPTION_RANGE', "handler is ''"],
    ['a\0b', 'ERR_OPTION_RANGE', 'handler is '],
    [5, 'ERR_OPTION_TYPE', 'handler is 5'],
    [null, 'ERR_OPTION_TYPE', 'handler is null'],
  ])('refuses %s', (given, code, start) => {
    const { code: found, message } = errorOf(wrong(withServer({ handler: given })))
    expect(found).toBe(code)
    expect(message).toContain(start)
    expect(message).toContain('it must be a path or a file: URL of a module')
  })

  it.each(['listeners', 'outbound'])('is needed by each of %s', (key) => {
    const protocol = key === 'listeners' ? listener : { name: 'a', framing }
    const { code, message } = errorOf(wrong({ [key]: [protocol] }))
    expect(code).toBe('ERR_OPTION_TYPE')
    expect(message).toBe(
      `${key}[0].handler is undefined; it must be a path or a file: URL of a module, ` +
        'as the server has no handler either',
    )
  })
})

describe('unknown options', () => {
  it.each([
    [{ maxSesions: 5 }, 'maxSesions (5)', 'maxSessions'],
    [{ MAXSESSIONS: 5 }, 'MAXSESSIONS (5)', 'maxSessions'],
    [{ worker: 'auto' }, "worker ('auto')", 'workers'],
    [{ groups: { mix: 5 } }, 'groups.mix (5)', 'max'],
    [withListener({ prot: 80 }), 'listeners[0].prot (80)', 'port'],
    [{ outbound: [{ name: 'a', framing, port: 1 }] }, 'outbound[0].port (1)', 'name'],
    [withFraming({ kind: 'raw', strip: true }), 'listeners[0].framing.strip (true)', 'kind'],
    [withFraming({ ...framing, ofset: 4 }), 'listeners[0].framing.ofset (4)', 'offset'],
    [withFraming({ kind: 'delimiter', offset: 4 }), 'listeners[0].framing.offset (4)', ''],
  ])('%j', (options, start, suggestion) => {
    const { code, message } = errorOf(wrong(options))
    expect(code).toBe('ERR_OPTION_UNKNOWN')
    expect(message).toContain(`${start} is not an option`)
    expect(message).toContain(`the nearest known one is ${suggestion}`)
  })
})

describe('wrong types', () => {
  const number = 'a whole number from'
  it.each([
    [null, 'options is null', 'an object with options'],
    [[], 'options is []', 'an object with options'],
    [withServer({ maxSessions: '5' }), "maxSessions is '5'", `${number} 1 to 1048575`],
    [withServer({ maxSessions: null }), 'maxSessions is null', `${number} 1 to 1048575`],
    [withServer({ workers: true }), 'workers is true', "'auto' or a whole number from 0 to 60"],
    [withServer({ driver: 1 }), 'driver is 1', "one of 'auto', 'io_uring', 'epoll', 'iocp'"],
    [{ listeners: {} }, 'listeners is {}', 'an array of listeners'],
    [{ outbound: 5 }, 'outbound is 5', 'an array of outbound protocols'],
    [{ groups: 5 }, 'groups is 5', 'an object with options: `max`, `capacity`'],
    [{ groups: null }, 'groups is null', 'an object with options'],
    [{ groups: { max: '5' } }, "groups.max is '5'", `${number} 1 to 65535`],
    [{ listeners: [5], handler }, 'listeners[0] is 5', 'an object with options'],
    [
      { listeners: [{ framing }], handler },
      'listeners[0].port is undefined',
      `${number} 0 to 65535`,
    ],
    [withListener({ port: '80' }), "listeners[0].port is '80'", `${number} 0 to 65535`],
    [withListener({ host: 5 }), 'listeners[0].host is 5', 'an address or host name'],
    [withListener({ noDelay: 'yes' }), "listeners[0].noDelay is 'yes'", 'true or false'],
    [
      withFraming('raw'),
      "listeners[0].framing is 'raw'",
      'what lengthPrefix(), delimiter() or raw()',
    ],
    [withFraming(undefined), 'listeners[0].framing is undefined', 'what lengthPrefix()'],
    [
      withFraming({ kind: 'delimiter', bytes: 5 }),
      'listeners[0].framing.bytes is 5',
      'a string, a Uint8Array or an array of 1 to 16 bytes',
    ],
    [
      withFraming({ ...framing, maxPayloadLength: '5' }),
      "listeners[0].framing.maxPayloadLength is '5'",
      'a whole number (bytes)',
    ],
    [{ outbound: [{ framing }], handler }, 'outbound[0].name is undefined', '1 to 64 letters'],
    [
      withServer({ data: { f() {} } }),
      'data is { f: [Function: f] }',
      'structuredClone() can copy',
    ],
  ])('%j', (options, start, allowed) => {
    const { code, message } = errorOf(wrong(options))
    expect(code).toBe('ERR_OPTION_TYPE')
    expect(message).toContain(`${start}; it must be `)
    expect(message).toContain(allowed)
  })
})

describe('ranges', () => {
  const ends: [string, number, number][] = [
    ['workers', 0, 60],
    ['maxSessions', 1, 1_048_575],
    ['maxBackpressure', 1, 1_073_741_824],
    ['arenaBytes', 4_194_304, 2_147_418_112],
    ['chunkBytes', 4096, 1_048_576],
    ['receiveBuffers', 16, 32_768],
    ['receiveBufferSize', 512, 1_048_576],
    ['maxGather', 1, 1024],
    ['completionBatch', 1, 32_768],
    ['idleTimeout', 0, 2_147_483_647],
    ['firstMessageTimeout', 0, 2_147_483_647],
    ['closeTimeout', 1, 2_147_483_647],
    ['drainTimeout', 1, 2_147_483_647],
  ]
  const listenerEnds: [string, number, number][] = [
    ['port', 0, 65_535],
    ['backlog', 1, 65_535],
    ['sendBufferBytes', 0, 1_073_741_823],
    ['receiveBufferBytes', 0, 1_073_741_823],
  ]

  it.each(ends)('%s is from %i to %i', (key, min, max) => {
    for (const value of [min, max]) expect(wrong(withServer({ [key]: value }))).not.toThrow()
    for (const value of [min - 1, max + 1, min + 0.5, Number.NaN]) {
      const { code, message } = errorOf(wrong(withServer({ [key]: value })))
      expect(code).toBe('ERR_OPTION_RANGE')
      expect(message).toContain(`${key} is ${value}; it must be `)
      expect(message).toContain(`from ${min} to ${max}`)
    }
  })

  it.each([
    ['max', 1, 65_535],
    ['capacity', 0, 1_048_575],
  ])('groups.%s is from %i to %i', (key, min, max) => {
    for (const value of [min, max]) expect(wrong({ groups: { [key]: value } })).not.toThrow()
    for (const value of [min - 1, max + 1, min + 0.5]) {
      const { code, message } = errorOf(wrong({ groups: { [key]: value } }))
      expect(code).toBe('ERR_OPTION_RANGE')
      expect(message).toContain(`groups.${key} is ${value}; it must be `)
    }
  })

  it.each(listenerEnds)('listeners[0].%s is from %i to %i', (key, min, max) => {
    for (const value of [min, max]) expect(wrong(withListener({ [key]: value }))).not.toThrow()
    for (const value of [min - 1, max + 1]) {
      const { code, message } = errorOf(wrong(withListener({ [key]: value })))
      expect(code).toBe('ERR_OPTION_RANGE')
      expect(message).toContain(`listeners[0].${key} is ${value}; it must be `)
      expect(message).toContain(`from ${min} to ${max}`)
    }
  })

  const two = { ...listener, name: 'a' }
  it.each([
    [withServer({ chunkBytes: 65_537 }), 'chunkBytes is 65537', 'a power of two from 4096'],
    [withServer({ receiveBuffers: 17 }), 'receiveBuffers is 17', 'a power of two from 16'],
    [withServer({ mode: 'tick' }), "mode is 'tick'", "one of 'worker', 'update', 'send'"],
    [
      withServer({ driver: 'kqueue' }),
      "driver is 'kqueue'",
      "one of 'auto', 'io_uring', 'epoll', 'iocp'",
    ],
    [withServer({ workers: 'two' }), "workers is 'two'", "'auto' or a whole number"],
    [
      withListener({ closeMode: 'x' }),
      "listeners[0].closeMode is 'x'",
      "one of 'graceful', 'reset'",
    ],
    [withListener({ name: 'a b' }), "listeners[0].name is 'a b'", 'letters, digits, - and _'],
    [withListener({ host: '[::1]' }), "listeners[0].host is '[::1]'", 'IPv6 without brackets'],
    [
      { listeners: [two, two], handler },
      "listeners[1].name is 'a'",
      'unique, and listeners[0].name',
    ],
    [
      { listeners: [{ ...listener, name: 'listener1' }, listener], handler },
      "listeners[1].name is 'listener1'",
      'unique, and listeners[0].name has the same',
    ],
    [
      { listeners: [two], outbound: [{ name: 'a', framing }], handler },
      "outbound[0].name is 'a'",
      'unique, and listeners[0].name has the same',
    ],
    [
      { listeners: Array.from({ length: 257 }, () => listener), handler },
      'the number of listeners and outbound protocols is 257',
      'at most 256',
    ],
    [
      withFraming({ kind: 'length' }),
      "listeners[0].framing.kind is 'length'",
      "one of 'length-prefix', 'delimiter', 'raw'",
    ],
    [
      withFraming({ ...framing, bytes: 3 }),
      'listeners[0].framing: lengthPrefix bytes is 3',
      'one of 1, 2, 4',
    ],
    [
      withFraming({ kind: 'delimiter', bytes: [256] }),
      'listeners[0].framing: delimiter bytes: a byte is 256',
      'from 0 to 255',
    ],
    [
      withFraming(lengthPrefix({ bytes: 2, maxPayloadLength: 65_536 })),
      'listeners[0].framing.maxPayloadLength is 65536',
      'a whole number from 1 to 65535 (bytes), as its length field says no more',
    ],
    [
      withFraming({ ...delimiter(), maxPayloadLength: 16_777_217 }),
      'listeners[0].framing: delimiter maxPayloadLength is 16777217',
      'from 1 to 16777216',
    ],
  ])('%j', (options, start, allowed) => {
    const { code, message } = errorOf(wrong(options))
    expect(code).toBe('ERR_OPTION_RANGE')
    expect(message).toContain(start)
    expect(message).toContain(allowed)
  })
})
