// What: tests of the generator: cache lines, a header that checks itself, stale files.
// Flow: src/layout/generate.ts -> this, a C++ compiler.
// Thread: the test's.

import { spawnSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { generated, place, staleFiles, writeFiles } from '../../src/layout/generate.ts'
import { type Field, structs } from '../../src/layout/schema.ts'
import { requireTool } from '../helpers/require_tool.ts'

const LINE_WORDS = 16
const root = fileURLToPath(new URL('../..', import.meta.url))

const field = (name: string, line = false): Field => ({
  name,
  doc: '',
  writer: '',
  order: '',
  line,
})

describe('place', () => {
  it('puts a line field on the next cache line and the rest behind each other', () => {
    const fields = [field('a'), field('b'), field('c', true), field('d'), field('e', true)]
    expect(place({ name: 's', doc: '', fields, words: 48 })).toEqual([
      { name: 'a', word: 0 },
      { name: 'b', word: 1 },
      { name: 'c', word: 16 },
      { name: 'd', word: 17 },
      { name: 'e', word: 32 },
    ])
  })

  it('leaves a line field that is already at the start of a line', () => {
    const fields = [field('a', true), field('b')]
    expect(place({ name: 's', doc: '', fields, words: 16 })[0]).toEqual({ name: 'a', word: 0 })
  })

  it('refuses a struct that is too small', () => {
    const fields = [field('a'), field('b', true)]
    expect(() => place({ name: 's', doc: '', fields, words: 16 })).toThrow('s needs 17 words')
  })

  it.each(structs.map((each) => [each.name, each] as const))('places %s', (_, struct) => {
    const placed = place(struct)
    const words = placed.map(({ word }) => word)
    expect(words).toEqual([...new Set(words)].sort((a, b) => a - b))
    struct.fields.forEach((each, i) => {
      if (each.line) expect(placed[i].word % LINE_WORDS).toBe(0)
    })
    // A struct with lines of its own fills whole lines, or its neighbour would share one.
    if (struct.fields.some(({ line }) => line)) expect(struct.words % LINE_WORDS).toBe(0)
  })
})

describe.skipIf(!requireTool('g++', 'apt-get install -y g++'))('layout.h', () => {
  const header = generated().get('native/layout/layout.h') ?? ''

  function compile(text: string): { code: number | null; errors: string } {
    const args = '-std=c++20 -Wall -Wextra -Werror -fsyntax-only -x c++ -'.split(' ')
    // As the main file, `#pragma once` would be a warning.
    const input = text.replace('#pragma once\n', '')
    const child = spawnSync('g++', args, { input, encoding: 'utf8' })
    return { code: child.status, errors: child.stderr }
  }

  it('compiles without a warning', () => {
    expect(compile(header)).toEqual({ code: 0, errors: '' })
  })

  it('does not compile when an offset is wrong', () => {
    const wrong = header.replace(/(offsetof\(Session, io_count\) == )\d+/, '$168')
    expect(wrong).not.toBe(header)
    const { code, errors } = compile(wrong)
    expect(code).not.toBe(0)
    expect(errors).toContain('static assertion failed')
  })

  it('does not compile when a field is missing', () => {
    const wrong = header.replace('  int32_t flush_link;\n', '')
    expect(wrong).not.toBe(header)
    expect(compile(wrong).code).not.toBe(0)
  })
})

describe('staleFiles', () => {
  let copy = ''

  beforeEach(() => {
    copy = mkdtempSync(join(tmpdir(), 'overlapped-generate-'))
    writeFiles(copy)
  })
  afterEach(() => rmSync(copy, { recursive: true }))

  it('finds nothing after writeFiles', () => {
    expect(staleFiles(copy)).toEqual([])
  })

  it.each([...generated().keys()])('reports %s when it is edited', (path) => {
    appendFileSync(join(copy, path), ' ')
    expect(staleFiles(copy)).toEqual([path])
  })

  it.each([...generated().keys()])('reports %s when it is missing', (path) => {
    rmSync(join(copy, path))
    expect(staleFiles(copy)).toEqual([path])
  })

  it('finds nothing in this checkout', () => {
    expect(staleFiles(root)).toEqual([])
  })
})
