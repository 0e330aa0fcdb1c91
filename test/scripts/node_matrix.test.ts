// What: tests of what runs on the other Nodes: files that exist, exact versions, one per line that is supported.
// Flow: scripts/node_matrix.mjs -> this.
// Thread: the test's.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { sampledFiles, sampledNames, versions, wholeFiles } from '../../scripts/node_matrix.mjs'
import { root } from '../../scripts/setup.mjs'
import { deniedFiles } from '../../scripts/test.mjs'

describe('the other Nodes', () => {
  it.each(Object.entries(versions))('%s is %s, exactly', (major, version) => {
    expect(version).toMatch(new RegExp(`^${major}\\.\\d+\\.\\d+$`))
  })

  // vitest says nothing about a file that is not there.
  it.each([...wholeFiles, ...sampledFiles, ...deniedFiles])('%s exists', (file) => {
    expect(existsSync(join(root, file))).toBe(true)
  })

  it('a sample is of both drivers, where a file has tests for each', () => {
    for (const file of sampledFiles) {
      const text = readFileSync(join(root, file), 'utf8')
      expect(/each\((?:drivers|worlds|places)\)/.test(text), file).toBe(!file.includes('load'))
    }
    expect(sampledNames).not.toMatch(/epoll|io_uring/)
  })
})
