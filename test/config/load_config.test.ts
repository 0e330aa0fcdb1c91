// What: tests of the options from files, environment and flags, and of their refusals.
// Flow: load_config -> this.
// Thread: main.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load_config.ts'
import { delimiter, lengthPrefix, raw } from '../../src/framing/framing.ts'
import { resolveOptions } from '../../src/server/resolve_options.ts'
import { errorOf } from '../helpers/error_of.ts'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'overlapped-config-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

function write(name: string, content: string | object): string {
  const file = join(directory, name)
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  return file
}

const game = { name: 'game', port: 1, framing: lengthPrefix() }
const fallback = { host: '127.0.0.1', port: 9000, framing: lengthPrefix() }

describe('precedence', () => {
  it('is code < file < environment < flags', () => {
    const file = write('order.ini', 'max-sessions = 2\nmax-gather = 2\nclose-timeout = 2\n')
    const env = { OVERLAPPED_MAX_GATHER: '3', OVERLAPPED_CLOSE_TIMEOUT: '3', HOME: '/' }
    const options = loadConfig({
      defaults: { maxSessions: 1, maxGather: 1, closeTimeout: 1, drainTimeout: 1 },
      file,
      env,
      argv: ['--close-timeout', '4'],
    })
    expect(options).toEqual({ maxSessions: 2, maxGather: 3, closeTimeout: 4, drainTimeout: 1 })
  })

  it('reads nothing that is not given', () => {
    expect(loadConfig()).toEqual({})
  })

  it('does not change what the code gave', () => {
    const defaults = Object.freeze({ listeners: Object.freeze([Object.freeze({ ...game })]) })
    const { listeners } = loadConfig({ defaults, argv: ['--port', '2'] })
    expect(listeners).toEqual([{ ...game, port: 2 }])
    expect(defaults.listeners[0].port).toBe(1)
  })

  it('finds the file by flag, variable, code, in this order', () => {
    const [one, two, three] = [1, 2, 3].map((n) => write(`${n}.json`, { 'max-sessions': n }))
    const env = { OVERLAPPED_CONFIG: two }
    expect(loadConfig({ file: three, env, argv: ['--config', one] })).toEqual({ maxSessions: 1 })
    expect(loadConfig({ file: three, env })).toEqual({ maxSessions: 2 })
    expect(loadConfig({ file: three })).toEqual({ maxSessions: 3 })
  })
})

describe('files', () => {
  const ini = `
; a comment
workers = 2
driver = epoll
handler = /srv/game.js

[listener.game]
port = 9000
framing = length-prefix
length-bytes = 4
endian = little
length-offset = 2
length-includes-header = true
max-payload-length = 1000
no-delay = false

[listener.chat]
host = ::1
port = 9001
framing = delimiter
delimiter = \\r\\n
strip = false
handler = /srv/chat.js

[outbound.redis]
framing = raw
close-mode = reset
`
  const json = {
    workers: 2,
    driver: 'epoll',
    handler: '/srv/game.js',
    listener: {
      game: {
        port: 9000,
        framing: 'length-prefix',
        'length-bytes': 4,
        endian: 'little',
        'length-offset': 2,
        'length-includes-header': true,
        'max-payload-length': 1000,
        'no-delay': false,
      },
      chat: {
        host: '::1',
        port: 9001,
        framing: 'delimiter',
        delimiter: '\r\n',
        strip: false,
        handler: '/srv/chat.js',
      },
    },
    outbound: { redis: { framing: 'raw', 'close-mode': 'reset' } },
  }
  const options = {
    workers: 2,
    driver: 'epoll',
    handler: '/srv/game.js',
    listeners: [
      {
        name: 'game',
        port: 9000,
        noDelay: false,
        framing: lengthPrefix({
          bytes: 4,
          endian: 'little',
          offset: 2,
          includesHeader: true,
          maxPayloadLength: 1000,
        }),
      },
      {
        name: 'chat',
        host: '::1',
        port: 9001,
        framing: delimiter({ bytes: '\r\n', strip: false }),
        handler: '/srv/chat.js',
      },
    ],
    outbound: [{ name: 'redis', framing: raw(), closeMode: 'reset' }],
  }

  it.each([
    ['all.ini', ini],
    ['all.json', json],
    ['bom.JSON', `\uFEFF${JSON.stringify(json)}`],
  ])('%s', (name, content) => {
    const loaded = loadConfig({ file: write(name, content) })
    expect(loaded).toEqual(options)
    expect(resolveOptions(loaded).listeners.map(({ port }) => port)).toEqual([9000, 9001])
  })

  it('change the listener of that name and add others, by default length-prefixed', () => {
    const file = write('merge.json', { listener: { game: { port: 5 }, extra: { port: 6 } } })
    const defaults = { listeners: [{ ...game, backlog: 7 }] }
    expect(loadConfig({ defaults, file }).listeners).toEqual([
      { ...game, backlog: 7, port: 5 },
      { name: 'extra', port: 6, framing: lengthPrefix() },
    ])
  })

  it('know unnamed listeners by their default name', () => {
    const file = write('unnamed.json', { listener: { listener0: { port: 5 } } })
    const defaults = { listeners: [{ port: 1, framing: raw() }] }
    expect(loadConfig({ defaults, file }).listeners).toEqual([{ port: 5, framing: raw() }])
  })

  it('may say the only listener outside sections', () => {
    const file = write('flat.ini', 'port = 5\nframing = raw\n')
    expect(loadConfig({ file, listener: fallback }).listeners).toEqual([
      { host: '127.0.0.1', port: 5, framing: raw() },
    ])
  })

  it.each([
    ['unreadable.ini', undefined, 'cannot be read: ENOENT'],
    ['config.yaml', 'a: 1', "has the extension '.yaml'; it must be .json or .ini"],
    ['broken.json', '{\n"a": }', 'cannot be parsed: '],
    ['array.json', '[1]', 'holds [ 1 ]; it must hold an object'],
    ['scalar.json', '{"listener": 5}', 'has listener = 5; it must be a section [listener.NAME]'],
    ['flat.json', '{"listener": {"port": 5}}', 'has listener.port = 5; it must be a section'],
    ['section.ini', '[outbound]\nframing = raw\n', "has outbound.framing = 'raw'; it must be a"],
    ['large.json', ' '.repeat(1_048_577), 'is too large; it must be at most 1048576 bytes'],
  ])('%s is refused', (name, content, reason) => {
    const file = content === undefined ? join(directory, name) : write(name, content)
    const { code, message } = errorOf(() => loadConfig({ file }))
    expect(code).toBe('ERR_CONFIG_FILE')
    expect(message).toContain(`the configuration file '${file}' ${reason}`)
    expect(message).not.toContain('\n')
  })

  it.each([
    [{ maxSessions: 5 }, 'maxSessions in bad.json (5)', 'max-sessions'],
    [{ listeners: [] }, 'listeners in bad.json ([])', 'listener'],
    [{ data: 1 }, 'data in bad.json (1)', ''],
    [{ listener: { a: { prot: 1 } } }, 'prot in [listener.a] of bad.json (1)', 'port'],
    [{ listener: { a: { workers: 1 } } }, 'workers in [listener.a] of bad.json (1)', ''],
    [{ outbound: { a: { port: 1 } } }, 'port in [outbound.a] of bad.json (1)', ''],
  ])('%j has an unknown key', (content, start, suggestion) => {
    const { code, message } = errorOf(() => loadConfig({ file: write('bad.json', content) }))
    expect(code).toBe('ERR_OPTION_UNKNOWN')
    expect(message).toContain(`${start} is not an option; the nearest known one is ${suggestion}`)
  })

  it.each([
    ['max-sessions = many', 'ERR_OPTION_TYPE', "max-sessions in bad.ini is 'many'", 'from 1 to'],
    ['max-sessions = 0', 'ERR_OPTION_RANGE', 'max-sessions in bad.ini is 0', 'from 1 to 1048575'],
    ['port[] = 1', 'ERR_OPTION_TYPE', "port in bad.ini is [ '1' ]", 'from 0 to 65535'],
    [
      '[listener.a]\nport = 70000',
      'ERR_OPTION_RANGE',
      'port in [listener.a] of bad.ini is 70000',
      'from 0 to 65535',
    ],
    [
      '[listener.a]\nframing = raw\nstrip = true',
      'ERR_OPTION_RANGE',
      'strip in [listener.a] of bad.ini is true',
      'left out, as it is of framing delimiter and this is raw',
    ],
    [
      'port = 1\n[listener.a]\nport = 1\n[listener.b]\nport = 2',
      'ERR_OPTION_RANGE',
      'port in bad.ini is 1',
      'in a section [listener.NAME], as there are 2 listeners',
    ],
  ])('%j has a wrong value', (content, code, start, allowed) => {
    const error = errorOf(() => loadConfig({ file: write('bad.ini', content) }))
    expect(error.code).toBe(code)
    expect(error.message).toContain(`${start}; it must be `)
    expect(error.message).toContain(allowed)
  })
})

describe('nested options', () => {
  const ini = '[groups]\nmax = 2\ncapacity = 2\n'

  it.each([
    ['nested.ini', ini],
    ['nested.json', { groups: { max: 2, capacity: 2 } }],
  ])('have a section: %s', (name, content) => {
    expect(loadConfig({ file: write(name, content) })).toEqual({ groups: { max: 2, capacity: 2 } })
  })

  it('are merged one by one: code < file < environment < flags', () => {
    const defaults = Object.freeze({ groups: Object.freeze({ max: 1, capacity: 1 }) })
    const options = loadConfig({
      defaults,
      file: write('one.ini', '[groups]\ncapacity = 2\n'),
      env: { OVERLAPPED_GROUPS_CAPACITY: '3' },
    })
    expect(options).toEqual({ groups: { max: 1, capacity: 3 } })
    const argv = ['--groups-max', '4', '--groups-capacity=4']
    expect(loadConfig({ defaults, argv })).toEqual({ groups: { max: 4, capacity: 4 } })
    expect(defaults.groups.max).toBe(1)
  })

  it('leave it to createServer to refuse what is no object', () => {
    const defaults = { groups: 5 } as object
    expect(loadConfig({ defaults, argv: ['--groups-max=4'] })).toEqual({ groups: 5 })
  })

  it.each([
    ['{"groups": 5}', 'ERR_CONFIG_FILE', 'has groups = 5; it must be a section [groups]'],
    ['{"groups": {"mix": 1}}', 'ERR_OPTION_UNKNOWN', 'mix in [groups] of wrong.json (1) is not an'],
    [
      '{"groups": {"max": 0}}',
      'ERR_OPTION_RANGE',
      'max in [groups] of wrong.json is 0; it must be',
    ],
    ['{"groups-max": 1}', 'ERR_OPTION_UNKNOWN', 'groups-max in wrong.json (1) is not an option'],
  ])('%s is refused', (content, code, start) => {
    const error = errorOf(() => loadConfig({ file: write('wrong.json', content) }))
    expect(error.code).toBe(code)
    expect(error.message).toContain(start)
  })
})

describe('delimiters', () => {
  it.each<[string, number[]]>([
    ['\\n', [10]],
    ['\\r\\n', [13, 10]],
    ['\\0', [0]],
    ['\\t|', [9, 124]],
    ['\\x00\\xFf', [0, 255]],
    ['\\\\n', [92, 110]],
    ['\n', [10]],
    ['é', [195, 169]],
    ['😀', [240, 159, 152, 128]],
  ])('%j', (text, bytes) => {
    const argv = ['--framing', 'delimiter', `--delimiter=${text}`]
    expect(loadConfig({ argv }).listeners?.[0].framing).toEqual(delimiter({ bytes }))
  })

  it.each<[string, number[]]>([
    ['"\\r\\n"', [13, 10]],
    ["'\\r\\n'", [13, 10]],
    ['"\\x00"', [0]],
    ['";"', [59]],
    ['\\;', [59]],
  ])('of INI: %s', (text, bytes) => {
    const file = write('delimiter.ini', `framing = delimiter\ndelimiter = ${text}\n`)
    expect(loadConfig({ file }).listeners?.[0].framing).toEqual(delimiter({ bytes }))
  })

  it.each(['', '\\q', '\\', '\\x1', '\\xgg', 'x'.repeat(17), 'é'.repeat(9)])(
    'refuses %j',
    (text) => {
      const { code, message } = errorOf(() =>
        loadConfig({ argv: ['--framing=delimiter', `--delimiter=${text}`] }),
      )
      expect(code).toBe('ERR_OPTION_RANGE')
      expect(message).toContain('--delimiter is ')
      expect(message).toContain('1 to 16 bytes, with the escapes')
    },
  )
})

describe('framing', () => {
  const listeners = [{ port: 1, framing: lengthPrefix({ bytes: 4, endian: 'little' }) }]

  it('keeps what the same kind had', () => {
    const [{ framing }] = loadConfig({
      defaults: { listeners },
      argv: ['--length-includes-header'],
    }).listeners ?? [fallback]
    expect(framing).toEqual(lengthPrefix({ bytes: 4, endian: 'little', includesHeader: true }))
  })

  it('of another kind starts from its defaults', () => {
    const argv = ['--framing', 'delimiter', '--max-payload-length', '80']
    const loaded = loadConfig({ defaults: { listeners }, argv })
    expect(loaded.listeners?.[0].framing).toEqual(delimiter({ maxPayloadLength: 80 }))
  })

  it('of another kind drops the keys of a lower source', () => {
    const env = { OVERLAPPED_FRAMING: 'delimiter', OVERLAPPED_STRIP: 'false' }
    const loaded = loadConfig({ env, argv: ['--framing=raw', '--port=1'] })
    expect(loaded.listeners).toEqual([{ port: 1, framing: raw() }])
  })
})

describe('environment', () => {
  it('reads numbers, booleans and text', () => {
    const env = {
      OVERLAPPED_WORKERS: 'auto',
      OVERLAPPED_PORT: '80',
      OVERLAPPED_NO_DELAY: 'false',
      OVERLAPPED_HANDLER: './game.js',
      OTHER_PORT: 'x',
    }
    expect(loadConfig({ env, listener: fallback })).toEqual({
      workers: 'auto',
      handler: './game.js',
      listeners: [{ ...fallback, port: 80, noDelay: false }],
    })
  })

  it.each([
    ['OVERLAPPED_PROT', '80', 'ERR_OPTION_UNKNOWN', "OVERLAPPED_PROT ('80')", 'OVERLAPPED_PORT'],
    ['OVERLAPPED_PORT', 'x', 'ERR_OPTION_TYPE', "OVERLAPPED_PORT is 'x'", 'from 0 to 65535'],
    ['OVERLAPPED_PORT', '', 'ERR_OPTION_TYPE', "OVERLAPPED_PORT is ''", 'from 0 to 65535'],
    ['OVERLAPPED_PORT', '-1', 'ERR_OPTION_RANGE', 'OVERLAPPED_PORT is -1', 'from 0 to 65535'],
    ['OVERLAPPED_STRIP', 'no', 'ERR_OPTION_TYPE', "OVERLAPPED_STRIP is 'no'", 'true or false'],
    [
      'OVERLAPPED_MODE',
      'tick',
      'ERR_OPTION_RANGE',
      "OVERLAPPED_MODE is 'tick'",
      "one of 'worker', 'update', 'send'",
    ],
  ])('%s=%s is refused', (name, value, code, start, allowed) => {
    const error = errorOf(() => loadConfig({ env: { [name]: value } }))
    expect(error.code).toBe(code)
    expect(error.message).toContain(start)
    expect(error.message).toContain(allowed)
  })
})

describe('flags', () => {
  it('come with = or as two, booleans alone; one more argument is the handler', () => {
    const argv = [
      '--strip',
      './game.js',
      '--framing=delimiter',
      '--no-delay',
      'false',
      '--port',
      '8',
    ]
    expect(loadConfig({ argv, listener: fallback })).toEqual({
      handler: './game.js',
      listeners: [{ ...fallback, port: 8, noDelay: false, framing: delimiter() }],
    })
  })

  it('make no listener beside outbound protocols unless they say one', () => {
    const defaults = { outbound: [{ name: 'a', framing: raw() }] }
    expect(loadConfig({ defaults, listener: fallback }).listeners).toBeUndefined()
    const { listeners } = loadConfig({ defaults, listener: fallback, argv: ['--port=1'] })
    expect(listeners).toEqual([{ ...fallback, port: 1 }])
  })

  it.each([
    [['--prot', '80'], 'ERR_OPTION_UNKNOWN', '--prot is not a flag', '--port'],
    [['--prot=80'], 'ERR_OPTION_UNKNOWN', "--prot ('80') is not a flag", '--port'],
    [['-p', '80'], 'ERR_OPTION_UNKNOWN', '-p is not a flag', '--'],
    [['--port'], 'ERR_OPTION_TYPE', '--port is undefined', 'followed by a whole number from 0 to'],
    [['--port', '--strip'], 'ERR_OPTION_TYPE', '--port is undefined', 'followed by a whole number'],
    [['--config'], 'ERR_OPTION_TYPE', '--config is undefined', 'the path of a .json or .ini file'],
    [['--port', '-5'], 'ERR_OPTION_RANGE', '--port is -5', 'from 0 to 65535'],
    [['--port=x'], 'ERR_OPTION_TYPE', "--port is 'x'", 'from 0 to 65535'],
    [['--framing=line'], 'ERR_OPTION_RANGE', "--framing is 'line'", "'length-prefix', 'delimiter'"],
    [['--length-bytes=3'], 'ERR_OPTION_RANGE', '--length-bytes is 3', 'a power of two from 1 to 4'],
    [['--delimiter=;'], 'ERR_OPTION_RANGE', "--delimiter is ';'", 'and this is length-prefix'],
    [['a.js', 'b.js'], 'ERR_OPTION_RANGE', "argument is 'b.js'", "the handler is 'a.js' already"],
  ])('%j is refused', (argv, code, start, allowed) => {
    const error = errorOf(() => loadConfig({ argv }))
    expect(error.code).toBe(code)
    expect(error.message).toContain(start)
    expect(error.message).toContain(allowed)
  })
})

it('refuses listeners of the code that are no array', () => {
  const { code, message } = errorOf(() => loadConfig({ defaults: { listeners: 5 as never } }))
  expect(code).toBe('ERR_OPTION_TYPE')
  expect(message).toContain('listeners is 5; it must be an array of listeners')
})
