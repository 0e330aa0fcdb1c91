// What: tests of the help texts.
// Flow: usage -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { CLI_LISTENER, commands, findCommand, usage } from '../../src/cli/usage.ts'
import { loadConfig } from '../../src/config/load_config.ts'
import {
  framingOptions,
  leaves,
  listenerOptions,
  serverOptions,
} from '../../src/config/option_schema.ts'
import { resolveOptions } from '../../src/server/resolve_options.ts'

const specs = [...leaves(serverOptions), ...listenerOptions, ...framingOptions].filter(
  ({ flag }) => flag !== '',
)

describe('usage of start', () => {
  it.each(specs.map(({ flag }) => flag))('names --%s once', (flag) => {
    const lines = usage('start').split('\n')
    const named = lines.filter((line) => line.match(/^ {2}(--[a-z-]+)/)?.[1] === `--${flag}`)
    expect(named).toHaveLength(1)
  })

  it('tells limits and defaults', () => {
    expect(usage('start')).toContain('a whole number from 1 to 1048575; default 10000\n')
    expect(usage('start')).toContain('a whole number from 0 to 65535; default 9000\n')
    expect(usage('start')).toContain('HANDLER')
    expect(usage('start')).toContain('--config')
  })
})

describe('usage', () => {
  it('names every command', () => {
    for (const [name, about] of Object.entries(commands)) {
      expect(usage()).toMatch(new RegExp(`^ {2}${name} +${about}$`, 'm'))
    }
  })

  it('ends with one newline', () => {
    for (const text of [usage(), usage('start')]) expect(text).toMatch(/[^\n]\n$/)
  })
})

describe('findCommand', () => {
  it('finds a command', () => {
    expect(findCommand('start')).toBe('start')
  })

  it.each([
    ['strat', 'start'],
    ['lod', 'load'],
    ['constructor', ''],
  ])('refuses %s with the nearest', (name, suggestion) => {
    const find = () => findCommand(name)
    expect(find).toThrow(expect.objectContaining({ code: 'ERR_OPTION_UNKNOWN' }))
    const message = `'${name}' is not a command; the nearest known one is '${suggestion}`
    expect(find).toThrow(message)
  })
})

it('has a listener that stands where nothing else is said', () => {
  const options = loadConfig({ listener: CLI_LISTENER, defaults: { handler: '/srv/echo.js' } })
  const [listener] = resolveOptions(options).listeners
  expect(listener).toMatchObject({ host: '127.0.0.1', port: 9000 })
})
