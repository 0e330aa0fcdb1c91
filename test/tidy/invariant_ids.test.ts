// What: holds the ids of invariants together: each is defined on one page of docs/protocols, used in code, and tested.
// Flow: docs/protocols, src, workers, native, test -> this.
// Thread: the test's.

import { describe, expect, it } from 'vitest'
import { listFiles, readFiles, type SourceFile } from './files.ts'

const ID = /(?<![\w-])[A-Z]{2,}-\d+(?![\w.-])/g
/** A definition is a list item that starts with the id in bold. */
const DEFINITION = /^\* \*\*([A-Z]{2,}-\d+)\*\*:/gm
/** Names of other things that look like an id. */
const OTHER = new Set(['UTF-8', 'UTF-16'])

function idsIn(files: readonly SourceFile[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const { path, text } of files) {
    for (const [id] of text.matchAll(ID)) if (!OTHER.has(id)) found.set(id, path)
  }
  return found
}

/** What is wrong: ids of the code without a definition, and the other way round; second definitions; no test. */
function checkIds(
  code: readonly SourceFile[],
  pages: readonly SourceFile[],
  tests: readonly SourceFile[],
): string[] {
  const violations: string[] = []
  const defined = new Map<string, string>()
  for (const { path, text } of pages) {
    for (const [, id = ''] of text.matchAll(DEFINITION)) {
      const other = defined.get(id)
      if (other !== undefined) violations.push(`${path}: ${id} is defined in ${other} already`)
      defined.set(id, path)
    }
  }
  const used = idsIn(code)
  const tested = idsIn(tests)
  for (const [id, path] of used) {
    if (!defined.has(id)) violations.push(`${path}: ${id} is defined nowhere`)
  }
  for (const [id, path] of defined) {
    if (!tested.has(id)) violations.push(`${path}: ${id} is tested nowhere`)
  }
  for (const [id, path] of tested) {
    if (!defined.has(id)) violations.push(`${path}: ${id} is defined nowhere`)
  }
  for (const [id, path] of idsIn(pages)) {
    if (!used.has(id)) violations.push(`${path}: ${id} is used nowhere`)
    else if (!defined.has(id)) violations.push(`${path}: ${id} is not defined here or elsewhere`)
  }
  return violations
}

describe('invariant ids', () => {
  it('are defined once, used and tested', () => {
    const code = readFiles(['src', 'workers', 'native'], ['.ts', '.cc', '.h'])
    const pages = readFiles(['docs/protocols'], ['.md'])
    expect(idsIn(code).size).toBeGreaterThan(20)
    // A test of ids is not a test of what they say.
    const tests = readFiles(['test'], ['.ts']).filter(({ path }) => !path.startsWith('test/tidy/'))
    expect(checkIds(code, pages, tests)).toEqual([])
  })

  it('have a page that names the models of its protocol', () => {
    for (const { path, text } of readFiles(['docs/protocols'], ['.md'])) {
      if (!/^## Invariants$/m.test(text)) continue
      const models = [...text.matchAll(/test\/model\/scenarios\/\w+\.ts/g)].map(([name]) => name)
      expect(models, path).not.toEqual([])
      for (const model of models) expect(listFiles('test/model/scenarios'), path).toContain(model)
    }
  })
})

describe('checkIds', () => {
  const check = (code: string, tests: string, ...pages: readonly string[]) =>
    checkIds(
      [{ path: 'a.ts', text: code }],
      pages.map((text, index) => ({ path: `${index}.md`, text })),
      [{ path: 'a.test.ts', text: tests }],
    )
  const page = '* **RING-1**: holds.'

  it('takes what is defined once, used and tested', () => {
    expect(check('// [RING-1] UTF-8', '[RING-1]', `${page}\nRING-1 again`)).toEqual([])
  })

  it('finds each kind of fault', () => {
    expect(check('// [RING-1]', '', 'RING of 1')).toEqual(['a.ts: RING-1 is defined nowhere'])
    expect(check('', 'RING-1', page)).toEqual(['0.md: RING-1 is used nowhere'])
    expect(check('RING-1', '', page)).toEqual(['0.md: RING-1 is tested nowhere'])
    expect(check('', 'RING-1', '')).toEqual(['a.test.ts: RING-1 is defined nowhere'])
    const twice = check('RING-1', 'RING-1', page, page)
    expect(twice).toEqual(['1.md: RING-1 is defined in 0.md already'])
  })
})
