// What: writes layout.ts, layout.h and the reference pages from the schema, or checks that they are fresh.
// Flow: schema.ts -> this -> src/layout/layout.ts, native/layout/layout.h, docs/reference/*.md.
// Thread: none; run by `npm run generate`, checked by the tests.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { constants, type Enum, enums, errorCodes, type Struct, structs } from './schema.ts'

const LINE_WORDS = 16

interface Placed {
  readonly name: string
  readonly word: number
}

/** Word offset of every field: in order, a `line` field at the next multiple of a cache line. */
export function place(struct: Struct): readonly Placed[] {
  let word = 0
  const placed: Placed[] = []
  for (const field of struct.fields) {
    if (field.line) word = Math.ceil(word / LINE_WORDS) * LINE_WORDS
    placed.push({ name: field.name, word })
    word += 1
  }
  if (word > struct.words)
    throw new Error(`${struct.name} needs ${word} words, has ${struct.words}`)
  return placed
}

/** A 32-bit signed hash of the whole declaration. */
export function layoutHash(): number {
  const text = JSON.stringify([constants, structs, enums])
  return createHash('sha256').update(text).digest().readInt32LE(0)
}

const upper = (name: string): string => name.toUpperCase()
const pascal = (name: string): string =>
  name.toLowerCase().replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase())
const screaming = (name: string): string => name.replace(/(?<=[a-z])([A-Z])/g, '_$1').toUpperCase()

const GENERATED = 'Generated from src/layout/schema.ts by `npm run generate`; do not edit.'

function typescript(): string {
  const out: string[] = [
    `// What: offsets, enums, constants and codes of the shared memory. ${GENERATED}`,
    '// Flow: schema.ts -> this -> everything in src/ and workers/.',
    '// Thread: any.',
    '',
    '/** Hash of the schema; the addon carries the same. */',
    `export const LAYOUT_HASH = ${layoutHash()}`,
    '',
  ]
  for (const { name, value, doc } of constants)
    out.push(`/** ${doc} */`, `export const ${name} = ${value}`)
  for (const struct of structs) {
    out.push(
      '',
      `/** ${struct.doc} Size in words. */`,
      `export const ${upper(struct.name)}_WORDS = ${struct.words}`,
    )
    for (const { name, word } of place(struct))
      out.push(`export const ${upper(struct.name)}_${upper(name)} = ${word}`)
  }
  for (const e of enums) {
    out.push('', `/** ${e.doc} */`, `export const ${e.name} = {`)
    e.members.forEach(([name, doc], i) => {
      out.push(`  /** ${doc} */`, `  ${name}: ${e.first + i},`)
    })
    out.push('} as const', `export type ${e.name} = (typeof ${e.name})[keyof typeof ${e.name}]`)
    out.push(`export const ${screaming(e.name)}_COUNT = ${e.first + e.members.length}`)
    out.push(
      `/** Names of ${e.name}, by value. */`,
      `export const ${screaming(e.name)}_NAMES: readonly string[] = [`,
    )
    for (let i = 0; i < e.first; i++) out.push("  '',")
    for (const [name] of e.members) out.push(`  '${camel(name)}',`)
    out.push(']')
  }
  out.push('', '/** Codes of OverlappedError. */', 'export type ErrorCode =')
  errorCodes.forEach(([code]) => {
    out.push(`  | '${code}'`)
  })
  out.push('')
  return out.join('\n')
}

function camel(name: string): string {
  const p = pascal(name)
  return p[0]?.toLowerCase() + p.slice(1)
}

function header(): string {
  const out: string[] = [
    `// What: the shared memory as C++ sees it. ${GENERATED}`,
    '// Flow: schema.ts -> this -> everything in native/.',
    '// Thread: any.',
    '#pragma once',
    '',
    '#include <cstddef>',
    '#include <cstdint>',
    '',
    'namespace layout {',
    '',
    `inline constexpr int32_t kLayoutHash = ${layoutHash()};`,
  ]
  for (const { name, value, doc } of constants)
    out.push(
      `inline constexpr ${value > 0x7fffffff ? 'uint32_t' : 'int32_t'} k${pascal(name)} = ${value}${value > 0x7fffffff ? 'u' : ''};  // ${doc}`,
    )
  for (const struct of structs) {
    const type = pascal(struct.name)
    out.push('', `// ${struct.doc}`, `struct ${type} {`)
    let at = 0
    let pads = 0
    const placed = place(struct)
    for (const { name, word } of placed) {
      if (word > at) out.push(`  int32_t pad_${pads++}[${word - at}];`)
      out.push(`  int32_t ${name};`)
      at = word + 1
    }
    if (struct.words > at) out.push(`  int32_t pad_${pads}[${struct.words - at}];`)
    out.push(
      '};',
      `static_assert(sizeof(${type}) == ${struct.words * 4});`,
      `static_assert(alignof(${type}) == 4);`,
    )
    for (const { name, word } of placed)
      out.push(`static_assert(offsetof(${type}, ${name}) == ${word * 4});`)
  }
  for (const e of enums) {
    out.push('', `// ${e.doc}`, `enum class ${e.name} : int32_t {`)
    e.members.forEach(([name, doc], i) => {
      out.push(`  k${pascal(name)} = ${e.first + i},  // ${doc}`)
    })
    out.push('};', `inline constexpr int32_t k${e.name}Count = ${e.first + e.members.length};`)
  }
  out.push('', '}  // namespace layout', '')
  return out.join('\n')
}

function memoryPage(): string {
  const out = [
    '# Memory layout',
    '',
    GENERATED,
    '',
    `Layout hash: \`${layoutHash()}\`. Every word is 32 bits, little endian.`,
    '',
  ]
  for (const struct of structs) {
    out.push(`## ${struct.name}`, '', struct.doc, '', `${struct.words} words.`, '')
    out.push('| word | field | unit | writer | ordering | meaning |', '|---:|---|---|---|---|---|')
    const placed = place(struct)
    struct.fields.forEach((f, i) => {
      out.push(
        `| ${placed[i]?.word} | \`${f.name}\` | ${f.unit ?? ''} | ${f.writer} | ${f.order} | ${f.doc} |`,
      )
    })
    out.push('')
  }
  out.push('## Constants', '', '| name | value | meaning |', '|---|---:|---|')
  for (const c of constants) out.push(`| \`${c.name}\` | ${c.value} | ${c.doc} |`)
  out.push('')
  for (const e of enums.filter((x) => !['CloseReason', 'Counter'].includes(x.name)))
    out.push(...enumTable(e))
  return out.join('\n')
}

function enumTable(e: Enum): string[] {
  const out = [`## ${e.name}`, '', e.doc, '', '| value | name | meaning |', '|---:|---|---|']
  e.members.forEach(([name, doc], i) => {
    out.push(`| ${e.first + i} | \`${camel(name)}\` | ${doc} |`)
  })
  out.push('')
  return out
}

function enumPage(title: string, name: string): string {
  const e = enums.find((x) => x.name === name)
  if (!e) throw new Error(`no enum ${name}`)
  return [`# ${title}`, '', GENERATED, '', ...enumTable(e)].join('\n')
}

function errorsPage(): string {
  const out = ['# Errors', '', GENERATED, '']
  out.push(
    'Misuse throws `OverlappedError`, which has one of these in `code`.',
    '',
    '| code | meaning |',
    '|---|---|',
  )
  for (const [code, doc] of errorCodes) out.push(`| \`${code}\` | ${doc} |`)
  out.push('')
  return out.join('\n')
}

/** Every generated file: path from the package root -> text. */
export function generated(): ReadonlyMap<string, string> {
  return new Map([
    ['src/layout/layout.ts', typescript()],
    ['native/layout/layout.h', header()],
    ['docs/reference/memory_layout.md', memoryPage()],
    ['docs/reference/close_reasons.md', enumPage('Close reasons', 'CloseReason')],
    ['docs/reference/counters.md', enumPage('Counters', 'Counter')],
    ['docs/reference/errors.md', errorsPage()],
  ])
}

/** Paths of generated files whose text on disk differs. */
export function staleFiles(root: string): string[] {
  const stale: string[] = []
  for (const [path, text] of generated()) {
    let onDisk = ''
    try {
      onDisk = readFileSync(join(root, path), 'utf8')
    } catch {
      // A missing file is stale.
    }
    if (onDisk !== text) stale.push(path)
  }
  return stale
}

export function writeFiles(root: string): void {
  for (const [path, text] of generated()) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
}
