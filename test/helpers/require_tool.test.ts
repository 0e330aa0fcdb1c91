// What: tests of requireTool.
// Flow: require_tool.ts -> this.
// Thread: the test's.

import { describe, expect, it, vi } from 'vitest'
import { requireTool } from './require_tool.ts'

describe('requireTool', () => {
  it('finds a tool that is there', () => {
    expect(requireTool('sh', 'never needed')).toBe(true)
  })

  it('says what is missing and lets the test be skipped', () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    expect(requireTool('no-such-tool', 'apt-get install -y it', { PATH: '/bin' })).toBe(false)
    expect(warn).toHaveBeenCalledWith('SKIPPED, no-such-tool is missing: apt-get install -y it')
    warn.mockRestore()
  })

  it('throws where nothing may be skipped', () => {
    const env = { PATH: '/bin', TESTS_SKIP_NOTHING: '1' }
    expect(() => requireTool('no-such-tool', 'apt-get install -y it', env)).toThrow(
      'no-such-tool is missing: apt-get install -y it',
    )
  })
})
