// What: tests of what all analyses have in common, and of their pages, which show the results that lie beside them.
// Flow: bench/lib/analysis.mjs, bench/results, docs/analysis -> this.
// Thread: main.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { drawAnalysis, parseAnalysisOptions, replacePart } from '../../bench/lib/analysis.mjs'
import { analyses } from '../../bench/scenario/all.mjs'
import { listFiles, root } from '../tidy/files.ts'

const read = (...path: string[]) => readFileSync(join(root, ...path), 'utf8')

describe('replacePart', () => {
  const page = 'before\n<!-- a -->\nold\n<!-- /a -->\nafter\n'

  it('replaces one part, and nothing else', () => {
    const once = replacePart(page, 'a', 'new\n')
    expect(once).toBe('before\n<!-- a -->\n\nnew\n\n<!-- /a -->\nafter\n')
    expect(replacePart(once, 'a', 'new')).toBe(once)
  })

  it.each([
    ['nowhere', 'text'],
    ['twice', page + page],
    ['without an end', 'before\n<!-- a -->\nold'],
  ])('refuses a part that is there %s', (_, text) => {
    expect(() => replacePart(text, 'a', 'new')).toThrow('<!-- a -->')
  })
})

describe('parseAnalysisOptions', () => {
  it('has defaults', () => {
    expect(parseAnalysisOptions([])).toMatchObject({ quick: false, draw: false, help: false })
  })

  it('reads numbers', () => {
    const options = parseAnalysisOptions(['--seconds', '0.5', '--rounds', '3', '--quick'])
    expect(options).toMatchObject({ seconds: 0.5, rounds: 3, quick: true })
  })

  it.each([
    [['--seconds', 'x'], '--seconds x'],
    [['--rounds', '0'], '--rounds 0'],
    [['--other'], '--other'],
  ])('refuses %s', (words, told) => {
    expect(() => parseAnalysisOptions(words)).toThrow(told)
  })
})

describe('the pages', () => {
  const names = analyses.map(({ name }) => name)

  it('are one for each analysis', () => {
    const pages = listFiles('docs/analysis').filter((path) => path.endsWith('.md'))
    expect(pages.sort()).toEqual(names.map((name) => `docs/analysis/${name}.md`).sort())
  })

  it.each(names)('of %s shows the results', (name) => {
    const analysis = analyses.find((one) => one.name === name) ?? expect.unreachable()
    const result = JSON.parse(read('bench', 'results', `${name}.json`))
    const page = read('docs', 'analysis', `${name}.md`)
    for (const [file, text] of Object.entries(drawAnalysis(analysis, result, page))) {
      expect(text).not.toMatch(/NaN|undefined|Infinity/)
      expect(read('docs', 'analysis', file), file).toBe(text)
    }
    for (const chart of Object.keys(analysis.charts))
      expect(page).toContain(`](${name}_${chart}.svg)`)
  })

  it.each(names)('of %s has a verdict', (name) => {
    const verdict = read('docs', 'analysis', `${name}.md`).split(/^## Verdict$/m)[1]
    expect(verdict?.trim().length).toBeGreaterThan(100)
  })
})
