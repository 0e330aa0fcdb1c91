// What: tests of the option table: names, limits, and the reference page made from it.
// Flow: option_schema -> this; writes docs/reference/options.md with -u.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { checkOption } from '../../src/config/check_option.ts'
import {
  allowedOf,
  framingOptions,
  leaves,
  listenerOptions,
  outboundOptions,
  serverOptions,
} from '../../src/config/option_schema.ts'
import { optionsPage } from '../../src/config/options_page.ts'

const all = [
  ...serverOptions,
  ...leaves(serverOptions).filter(({ parent }) => parent !== undefined),
  ...listenerOptions,
  ...outboundOptions,
  ...framingOptions,
]

describe('option table', () => {
  it('derives flag and environment name from the key', () => {
    const spec = serverOptions.find(({ key }) => key === 'maxSessions')
    expect(spec).toMatchObject({ flag: 'max-sessions', env: 'OVERLAPPED_MAX_SESSIONS' })
    expect(serverOptions.find(({ key }) => key === 'data')).toMatchObject({ flag: '', env: '' })
  })

  it('names options of nested objects after the object, in flags and environment', () => {
    const groups = serverOptions.find(({ key }) => key === 'groups')
    expect(groups).toMatchObject({ flag: '', env: '' })
    const max = groups?.options?.find(({ key }) => key === 'max')
    expect(max).toMatchObject({ flag: 'groups-max', env: 'OVERLAPPED_GROUPS_MAX' })
    expect(leaves(serverOptions)).toContain(max)
    expect(leaves(serverOptions)).not.toContain(groups)
  })

  it.each(all.map((spec) => [spec.key, spec] as const))('%s is described', (_, spec) => {
    expect(spec.doc).toMatch(/^[A-Z`].*\.$/)
    expect(allowedOf(spec)).not.toBe('')
    if (spec.type === 'integer') {
      expect(spec.min).toBeLessThan(spec.max)
      expect(spec.reason).toMatch(/\.$/)
    }
  })

  it.each(
    all.filter((spec) => spec.default !== undefined).map((spec) => [spec.key, spec] as const),
  )('the default of %s is allowed', (_, spec) => checkOption(spec, spec.key, spec.default))

  it('has no flag of two options', () => {
    const named = [...leaves(serverOptions), ...listenerOptions, ...framingOptions].filter(
      ({ flag }) => flag !== '',
    )
    expect(new Set(named.map(({ flag }) => flag)).size).toBe(named.length)
    expect(new Set(named.map(({ env }) => env)).size).toBe(named.length)
  })

  it('is docs/reference/options.md', async () => {
    await expect(optionsPage()).toMatchFileSnapshot('../../docs/reference/options.md')
  })
})
