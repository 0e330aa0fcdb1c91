// What: tests of the options of `overlapped load`.
// Flow: load_plan -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { avoidedByte, loadOptions, loadUsage, readLoadPlan } from '../../src/load/load_plan.ts'

const DEFAULTS = {
  host: '127.0.0.1',
  port: 9000,
  mode: 'echo',
  connections: 100,
  depth: 1,
  size: 64,
  rate: 0,
  duration: 10,
  workers: 1,
  driver: 'auto',
  drainTimeout: 5000,
  json: false,
  live: false,
  framing: { kind: 'length-prefix', bytes: 2, endian: 'big', offset: 0, includesHeader: false },
}

describe('readLoadPlan', () => {
  it('has defaults', () => {
    expect(readLoadPlan([])).toEqual(DEFAULTS)
  })

  it('reads every flag, in both forms, the last one of a name', () => {
    const argv = '--host ::1 --port=1 --mode broadcast --connections=2 --depth 3 --size=99'
    const rest = '--rate 5 --duration 1 --workers 2 --driver epoll --drain-timeout 100 --port 7'
    const plan = readLoadPlan([...argv.split(' '), ...rest.split(' '), '--json', '--live=true'])
    expect(plan).toEqual({
      ...DEFAULTS,
      ...{ host: '::1', port: 7, mode: 'broadcast', connections: 2, depth: 3, size: 99 },
      ...{ rate: 5, duration: 1, workers: 2, driver: 'epoll', drainTimeout: 100 },
      ...{ json: true, live: true },
    })
  })

  it('reads booleans with and without a value', () => {
    expect(readLoadPlan(['--json', 'false', '--live']).json).toBe(false)
    expect(readLoadPlan(['--json', '--live', 'false']).live).toBe(false)
  })

  it('reads the framing as start does', () => {
    const little = readLoadPlan([
      '--framing',
      'length-prefix',
      '--length-bytes=4',
      '--endian=little',
    ])
    expect(little.framing).toMatchObject({ bytes: 4, endian: 'little' })
    const lines = readLoadPlan(['--framing=delimiter', '--delimiter', '\\r\\n'])
    expect(lines.framing).toEqual({ kind: 'delimiter', bytes: [13, 10], strip: true })
    expect(avoidedByte(lines.framing)).toBe(13)
    expect(avoidedByte(little.framing)).toBeUndefined()
    expect(readLoadPlan(['--length-includes-header']).framing).toMatchObject({
      includesHeader: true,
    })
  })

  it('is plain data', () => {
    const plan = readLoadPlan([])
    expect(structuredClone(plan)).toEqual(plan)
  })

  it.each([
    ['--port x', "--port is 'x'; it must be a whole number from 1 to 65535"],
    ['--port 0', '--port is 0; it must be a whole number from 1 to 65535'],
    ['--connections 0', '--connections is 0; it must be a whole number from 1 to 28000'],
    ['--mode both', "--mode is 'both'; it must be one of 'echo', 'broadcast'"],
    ['--depth 1.5', '--depth is 1.5; it must be a whole number from 1 to 4096'],
    ['--rate -1', '--rate is -1; it must be a whole number from 0 to 100000000'],
    ['--duration 0', '--duration is 0; it must be a whole number from 1 to 86400'],
    ['--driver kqueue', "--driver is 'kqueue'; it must be one of 'auto', 'io_uring', 'epoll'"],
    ['--json=maybe', "--json is 'maybe'; it must be true or false"],
    ['--size 11', '--size is 11; it must be a whole number from 12 to 16777216 (bytes)'],
    [
      '--size 65536',
      '--size is 65536; it must be a whole number from 12 to 65535 (bytes) with this framing',
    ],
    [
      '--size 256 --length-bytes 1',
      '--size is 256; it must be a whole number from 12 to 255 (bytes) with this framing',
    ],
    [
      '--size 23 --framing delimiter',
      '--size is 23; it must be a whole number from 24 to 65536 (bytes) with this framing',
    ],
    [
      '--depth 4096 --connections 1000',
      '--depth is 4096; it must be at most 1048 with 1000 connections',
    ],
    [
      '--framing raw',
      "--framing is 'raw'; it must be one of 'length-prefix', 'delimiter', as raw has no messages to check",
    ],
    [
      '--framing delimiter --strip=false',
      '--strip is false; it must be true, as messages are compared without their delimiter',
    ],
    ['--length-bytes 3', '--length-bytes is 3; it must be a power of two from 1 to 4 (bytes)'],
    ['--endian middle', "--endian is 'middle'; it must be one of 'little', 'big'"],
    ['--conections 1', '--conections is not a flag; the nearest known one is --connections'],
    ['--sise=1', "--sise ('1') is not a flag; the nearest known one is --size"],
    ['9000', '9000 is not a flag; the nearest known one is --'],
    ['--port', '--port is undefined; it must be followed by a whole number from 1 to 65535'],
    ['--port --json', '--port is undefined; it must be followed by a whole number from 1 to 65535'],
  ])('refuses %s in one sentence', (argv, message) => {
    expect(() => readLoadPlan(argv.split(' '))).toThrow(message)
  })

  it('refuses with a code', () => {
    const code = (argv: readonly string[]) => {
      try {
        readLoadPlan(argv)
      } catch (error) {
        return (error as { code: string }).code
      }
      return undefined
    }
    expect(code(['--prt=1'])).toBe('ERR_OPTION_UNKNOWN')
    expect(code(['--port=x'])).toBe('ERR_OPTION_TYPE')
    expect(code(['--port=0'])).toBe('ERR_OPTION_RANGE')
  })
})

describe('loadUsage', () => {
  it('names every flag with its default', () => {
    const text = loadUsage()
    for (const { flag } of loadOptions) expect(text).toContain(`--${flag}`)
    for (const flag of ['--length-bytes', '--endian', '--delimiter']) expect(text).toContain(flag)
    expect(text).toContain('default 127.0.0.1')
    expect(text.endsWith('\n')).toBe(true)
  })
})
