// What: tests of loading the addon: there, missing, built for another memory layout.
// Flow: binding, the built addon, a copy of it with another hash -> this.
// Thread: main, and a Node of its own for each package that is not this one.

import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { checkLayout, loadBinding, packageRoot } from '../src/binding.ts'
import { OverlappedError } from '../src/errors.ts'
import { LAYOUT_HASH } from '../src/layout/layout.ts'

const OTHER_HASH = LAYOUT_HASH ^ 0x5a5a5a
const root = packageRoot()
const folder = mkdtempSync(join(tmpdir(), 'overlapped-binding-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A package with the built loader and this addon; what loadBinding() does there. */
function load(name: string, addon: Buffer | null): string {
  const copy = join(folder, name)
  for (const file of ['binding.js', 'errors.js', 'layout/layout.js']) {
    cpSync(join(root, 'dist/src', file), join(copy, 'dist/src', file))
  }
  writeFileSync(join(copy, 'package.json'), '{ "type": "module" }')
  if (addon !== null) {
    mkdirSync(join(copy, 'build/Release'), { recursive: true })
    writeFileSync(join(copy, 'build/Release/overlapped.node'), addon)
  }
  const url = pathToFileURL(join(copy, 'dist/src/binding.js')).href
  const program =
    `import { loadBinding } from ${JSON.stringify(url)}\n` +
    `try { console.log('loaded', loadBinding().layoutHash()) }\n` +
    `catch (error) { console.log(error.code + ': ' + error.message) }\n`
  const options = { encoding: 'utf8' } as const
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', program],
    options,
  )
  expect(status, stderr).toBe(0)
  return stdout.trim()
}

/** Replaces the hash wherever the compiler has put it, as int32 or float64. */
function patched(addon: Buffer): { copy: Buffer; count: number } {
  const copy = Buffer.from(addon)
  let count = 0
  for (const [size, write] of [
    [4, 'writeInt32LE'],
    [8, 'writeDoubleLE'],
  ] as const) {
    const pattern = Buffer.alloc(size)
    pattern[write](LAYOUT_HASH)
    for (let at = copy.indexOf(pattern); at !== -1; at = copy.indexOf(pattern, at + size)) {
      copy[write](OTHER_HASH, at)
      count++
    }
  }
  return { copy, count }
}

describe('checkLayout', () => {
  it('takes the same layout', () => {
    expect(() => checkLayout(LAYOUT_HASH)).not.toThrow()
  })

  it.each([0, LAYOUT_HASH + 1, -LAYOUT_HASH])('refuses %i, and names both', (hash) => {
    expect(() => checkLayout(hash)).toThrow(OverlappedError)
    try {
      checkLayout(hash)
    } catch (error) {
      const { code, message } = error as OverlappedError
      expect(code).toBe('ERR_LAYOUT_MISMATCH')
      expect(message).toBe(
        `the native addon was built for memory layout ${hash}, this package has ${LAYOUT_HASH}; ` +
          'run npm rebuild overlapped',
      )
    }
  })
})

describe('loadBinding', () => {
  const addon = join(root, 'build/Release/overlapped.node')

  it('loads the addon of this package, once', () => {
    expect(existsSync(addon), 'the addon is built: npm run build:native').toBe(true)
    const binding = loadBinding()
    expect(binding.layoutHash()).toBe(LAYOUT_HASH)
    expect(loadBinding()).toBe(binding)
    expect(typeof binding.probeDriver().reason).toBe('string')
  })

  it('loads it in a copy of the package', () => {
    expect(load('same', readFileSync(addon))).toBe(`loaded ${LAYOUT_HASH}`)
  })

  it('refuses an addon that was built for another layout', () => {
    const { copy, count } = patched(readFileSync(addon))
    expect(count, 'the hash is found in the addon').toBeGreaterThan(0)
    expect(load('other', copy)).toBe(
      `ERR_LAYOUT_MISMATCH: the native addon was built for memory layout ${OTHER_HASH}, ` +
        `this package has ${LAYOUT_HASH}; run npm rebuild overlapped`,
    )
  })

  it('says that it is not built', () => {
    expect(load('missing', null)).toBe(
      'ERR_ADDON_MISSING: the native addon is not built; run npm rebuild overlapped',
    )
  })
})

describe('packageRoot', () => {
  it('is the nearest folder with a package.json', () => {
    expect(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).name).toBe('overlapped')
  })
})
