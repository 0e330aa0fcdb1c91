// What: the build step that puts the layout's numbers into the built JavaScript.
// Flow: texts, and dist/ as it is -> scripts/inline_constants.mjs -> texts.
// Thread: the test's.

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { inlineConstants, inlineInPiece } from '../../scripts/inline_constants.mjs'

const layout = {
  SESSION_AT: 3,
  LOWEST: -1,
  NAMES: ['NONE', 'RESET'],
  Kind: { NONE: 0, SEND: 2 },
  nameOf: () => '',
}

const moduleOf = (names: string, body: string) =>
  `import { a } from './a.js';\nimport { ${names} } from '../layout/layout.js';\n${body}\n`

describe('a module', () => {
  it('gets numbers, and imports what is left', () => {
    const text = moduleOf(
      'Kind, LOWEST, NAMES, SESSION_AT',
      'a(w[SESSION_AT], Kind.SEND, NAMES[LOWEST + 1]);',
    )
    expect(inlineConstants(text, layout)).toBe(moduleOf('NAMES', 'a(w[3], 2, NAMES[(-1) + 1]);'))
  })

  it('keeps its lines where nothing is left to import', () => {
    const text = moduleOf('\n  Kind,\n  SESSION_AT,\n', 'a(SESSION_AT);\nb(Kind.NONE);')
    const lines = inlineConstants(text, layout).split('\n')
    expect(lines).toEqual(["import { a } from './a.js';", '', '', '', '', 'a(3);', 'b(0);', ''])
    expect(lines.length).toBe(text.split('\n').length)
  })

  it('keeps an object that is looked into', () => {
    const text = moduleOf('Kind', 'a(Kind[k], Kind.SEND, Object.values(Kind));')
    expect(inlineConstants(text, layout)).toBe(
      moduleOf('Kind', 'a(Kind[k], 2, Object.values(Kind));'),
    )
  })

  it.each([
    ["a('SESSION_AT'); // SESSION_AT"],
    ['a("it\'s SESSION_AT"); /* SESSION_AT\n SESSION_AT */'],
    ['a(b.SESSION_AT, this.#SESSION_AT, MY_SESSION_AT, SESSION_AT_ALL);'],
    ['a(Kind.MISSING, nameOf());'],
  ])('is left alone in %j', (body) => {
    const text = moduleOf('Kind, SESSION_AT, nameOf', body)
    expect(inlineConstants(text, layout).endsWith(`${body}\n`)).toBe(true)
  })

  it('that imports nothing from the layout is left alone', () => {
    const text = "import { SESSION_AT } from './other.js';\na(SESSION_AT);\n"
    expect(inlineConstants(text, layout)).toBe(text)
  })

  it('must not rename what it imports', () => {
    expect(() => inlineConstants(moduleOf('SESSION_AT as at', 'a(at);'), layout)).toThrow(
      'an import from the layout is renamed: SESSION_AT as at',
    )
  })
})

it('a piece of a module gets the same numbers', () => {
  expect(inlineInPiece('w[at + SESSION_AT] = Kind.SEND', layout)).toBe('w[at + 3] = 2')
})

it('the built package reads no number from the layout when it runs', () => {
  const dist = fileURLToPath(new URL('../../dist/', import.meta.url))
  const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.js') && !name.includes('src/layout/'),
  )
  expect(files.length).toBeGreaterThan(50)
  const left = files.flatMap((name) => {
    const text = readFileSync(dist + name, 'utf8')
    return (
      /^import \{([^}]*)\} from '[\w./]*\/layout\/layout\.js';$/m.exec(text)?.[1].split(',') ?? []
    )
  })
  // Lists of words are looked into by a number that is known at run time only.
  expect(left.map((name) => name.trim()).filter((name) => !name.endsWith('_NAMES'))).toEqual([])
})
