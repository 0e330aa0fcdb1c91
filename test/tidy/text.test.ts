// What: holds the checkout to the rules of text_rules.ts, and generated files to their schema.
// Flow: text_rules.ts, generate.ts, the checkout -> this.
// Thread: the test's.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { staleFiles } from '../../src/layout/generate.ts'
import {
  CODE_EXTENSIONS,
  CODE_FOLDERS,
  lineAt,
  listFiles,
  readFiles,
  root,
  withoutComments,
} from './files.ts'
import {
  checkAtomics,
  checkHeaders,
  checkLinks,
  checkLockFile,
  checkMachinePaths,
  checkMarks,
} from './text_rules.ts'

const TEXT_EXTENSIONS = [
  ...CODE_EXTENSIONS,
  ...['', '.md', '.json', '.txt', '.cmake', '.yml', '.yaml', '.ini', '.sh', '.html', '.css'],
]

describe('the checkout', () => {
  it('is found', () => {
    expect(listFiles('src')).toContain('src/errors.ts')
    expect(listFiles('')).toContain('package.json')
  })

  it('has a three-line header in every file', () => {
    expect(checkHeaders(readFiles(CODE_FOLDERS, CODE_EXTENSIONS))).toEqual([])
  })

  it('has fresh generated files', () => {
    expect(staleFiles(root)).toEqual([])
  })

  it('has no dead link', () => {
    const pages = readFiles(['']).filter(
      ({ path }) => path === 'README.md' || /^docs\/.*\.md$/.test(path),
    )
    expect(checkLinks(pages, (path) => existsSync(join(root, path)))).toEqual([])
  })

  it('has no mark of work left', () => {
    expect(checkMarks(readFiles([...CODE_FOLDERS, 'docs']))).toEqual([])
  })

  it('uses Atomics through one door', () => {
    expect(checkAtomics(readFiles(['src', 'workers'], ['.ts']))).toEqual([])
  })

  it('names no path of a machine', () => {
    expect(checkMachinePaths(readFiles([''], TEXT_EXTENSIONS))).toEqual([])
  })

  it('names no registry', () => {
    const [lock] = readFiles(['']).filter(({ path }) => path === 'package-lock.json')
    expect(lock && checkLockFile(lock)).toEqual([])
  })
})

describe('withoutComments', () => {
  it('blanks comments, keeps strings and lines', () => {
    const text = "a // b\n'// c' /* d\n e */ f"
    expect(withoutComments(text)).toBe("a     \n'// c'     \n      f")
  })

  it('counts lines from 1', () => {
    expect(lineAt('a\nb', 0)).toBe(1)
    expect(lineAt('a\nb', 2)).toBe(2)
  })
})

describe('checkHeaders', () => {
  const check = (...lines: string[]) => checkHeaders([{ path: 'a.ts', text: lines.join('\n') }])

  it('takes a header, also after a #! line and in a block', () => {
    expect(check('// What: a.', '// Flow: b.', '// Thread: c.')).toEqual([])
    expect(check('#!/usr/bin/env node', '// What: a.', '// Flow: b.', '// Thread: c.')).toEqual([])
    expect(check('/* What: a.', ' * Flow: b.', ' * Thread: c. */')).toEqual([])
  })

  it('finds one that is missing, late, out of order, empty or code', () => {
    expect(check("import 'a'")).toHaveLength(1)
    expect(check('', '// What: a.', '// Flow: b.', '// Thread: c.')).toHaveLength(1)
    expect(check('// Flow: b.', '// What: a.', '// Thread: c.')).toHaveLength(1)
    expect(check('// What: a.', '// Flow:', '// Thread: c.')).toHaveLength(1)
    expect(check("'What: a.'", "'Flow: b.'", "'Thread: c.'")).toHaveLength(1)
  })
})

describe('checkLinks', () => {
  const exists = (path: string) =>
    ['README.md', 'docs', 'docs/a.md', 'docs/guide/b.md'].includes(path)
  const check = (text: string) => checkLinks([{ path: 'docs/guide/b.md', text }], exists)

  it('takes links that resolve, anchors and addresses', () => {
    expect(check('[a](../a.md) [b](b.md#part) [r](../../README.md "read") [d](../)')).toEqual([])
    expect(check('[x](https://example.org/a.md) [m](mailto:a@example.org) [p](#part)')).toEqual([])
  })

  it('finds dead links of every form', () => {
    expect(check('\n[a](gone.md)')).toEqual(['docs/guide/b.md:2: gone.md'])
    expect(check('![a](gone.png)')).toHaveLength(1)
    expect(check('[a]: ./gone.md')).toHaveLength(1)
    expect(check('[a](/docs/a.md)')).toHaveLength(1)
    expect(check('[a](../../../outside.md)')).toHaveLength(1)
  })

  it('reads no code', () => {
    expect(check('```\n[a](gone.md)\n```\n`[a](gone.md)` <!-- [a](gone.md) -->')).toEqual([])
    expect(check('```\ncode\n```\n`x` [a](gone.md) `y`')).toHaveLength(1)
  })
})

describe('checkMarks', () => {
  it('finds planted marks', () => {
    const marks = ['TO', 'FIX'].map((word, i) => word + ['DO', 'ME'][i])
    const text = `// ${marks[0]}: later\n/* ${marks[1]} */\nmastodon`
    expect(checkMarks([{ path: 'a.ts', text }])).toEqual([
      `a.ts:1: ${marks[0]}`,
      `a.ts:2: ${marks[1]}`,
    ])
  })
})

describe('checkAtomics', () => {
  const check = (path: string, text: string) => checkAtomics([{ path, text }])

  it.each([
    'Atomics.load(a, 0)',
    "Atomics['load']",
    'const { load } = Atomics',
    'Atomics\n  .add(a)',
  ])('finds %s', (text) => {
    expect(check('src/session/a.ts', text)).toHaveLength(1)
  })

  it('allows the door, comments and other words', () => {
    expect(check('src/shared/atomics.ts', 'Atomics.load(a, 0)')).toEqual([])
    expect(check('src/a.ts', "// Atomics.load\nimport { load } from './atomics.ts'")).toEqual([])
  })
})

describe('checkMachinePaths', () => {
  const check = (text: string) => checkMachinePaths([{ path: 'a.md', text }])
  const home = '/home' + '/me/a'
  const work = '/work' + '/main'

  it('finds planted paths', () => {
    expect(check(`cd ${home}`)).toHaveLength(1)
    expect(check(`"${work}"`)).toHaveLength(1)
    expect(check(`file://${home}`)).toHaveLength(1)
  })

  it('allows parts of longer paths and addresses', () => {
    expect(check(`..${work} https://example.org${home} ~${work}`)).toEqual([])
  })
})

describe('checkLockFile', () => {
  it('finds a planted address', () => {
    const text = '{\n"resolved": "https://example.org/a/-/a-1.0.0.tgz" }'
    expect(checkLockFile({ path: 'package-lock.json', text }).length).toBeGreaterThan(0)
    expect(checkLockFile({ path: 'package-lock.json', text: '{ "version": "1" }' })).toEqual([])
  })
})
