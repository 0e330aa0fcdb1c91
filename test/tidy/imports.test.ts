// What: holds src/, workers/, examples/ and native/ to the one-way table of import_rules.ts.
// Flow: import_rules.ts, the checkout -> this.
// Thread: the test's.

import { describe, expect, it } from 'vitest'
import { readFiles } from './files.ts'
import {
  checkExampleImports,
  checkImports,
  checkIncludes,
  LAYERS,
  NATIVE_LAYERS,
  parseImports,
  roomOf,
} from './import_rules.ts'

describe('the checkout', () => {
  it('imports one way', () => {
    expect(checkImports(readFiles(['src', 'workers'], ['.ts']))).toEqual([])
  })

  it('imports the package by name in examples', () => {
    expect(checkExampleImports(readFiles(['examples'], ['.ts', '.js', '.mjs']))).toEqual([])
  })

  it('includes one way', () => {
    expect(checkIncludes(readFiles(['native'], ['.cc', '.h', '.c']))).toEqual([])
  })
})

describe('parseImports', () => {
  it('finds every form', () => {
    const text = [
      "import a from './a.ts'",
      "import { b, type B } from './b.ts'",
      "import type { C } from './c.ts'",
      'import * as d from "./d.ts"',
      "import {\n  e1,\n  e2,\n} from './e.ts'",
      "import './f.ts'",
      "export * from './g.ts'",
      "export { h as default } from './h.ts'",
      "export type { I } from './i.ts'",
      "const j = await import('./j.ts')",
      "let k: import('./k.ts').K",
      "import l, { m } from './l.ts'",
    ].join('\n')
    expect(parseImports(text).map(({ specifier }) => specifier)).toEqual(
      [...'abcdefghijkl'].map((letter) => `./${letter}.ts`),
    )
    expect(parseImports(text).filter(({ isType }) => isType)).toEqual([
      { specifier: './c.ts', isType: true, line: 3 },
      { specifier: './i.ts', isType: true, line: 12 },
    ])
  })

  it('reads no comments, strings or URLs', () => {
    const text = [
      "// import './a.ts'",
      "/* import x from './a.ts' */",
      "const url = new URL('./a.ts', import.meta.url)",
      "export const from = 'x'",
      'const s = "import \'./a.ts\'"',
    ].join('\n')
    expect(parseImports(text)).toEqual([])
  })
})

describe('checkImports', () => {
  const check = (path: string, ...lines: string[]) =>
    checkImports([{ path, text: lines.join('\n') }])

  it('knows rooms', () => {
    expect(roomOf('src/shared/arena.ts')).toBe('shared')
    expect(roomOf('src/index.ts')).toBe('index')
    expect(roomOf('workers/io.ts')).toBe('workers')
    expect(roomOf('test/a.ts')).toBe(undefined)
  })

  it('allows what is below, the own room, Node and packages', () => {
    expect(
      check(
        'src/session/session.ts',
        "import { a } from '../shared/arena.ts'",
        "import { b } from '../errors.ts'",
        "import { c } from './registry.ts'",
        "import { d } from 'node:fs'",
        "import e from 'piscina'",
      ),
    ).toEqual([])
  })

  it('refuses every way up and sideways', () => {
    LAYERS.forEach((rooms, layer) => {
      const room = rooms[0] ?? ''
      for (const other of LAYERS.slice(layer).flat()) {
        if (other === room) continue
        const text = `import { a } from '../${other}/a.ts'`
        expect(check(`src/${room}/b.ts`, text), `${room} -> ${other}`).toHaveLength(1)
      }
    })
  })

  it.each([
    ['src/shared/arena.ts', '../session/session.ts', 'shared may not import session'],
    ['src/session/session.ts', '../../workers/io.ts', 'session may not import workers'],
    ['src/server/server.ts', '../../workers/io.ts', 'server may not import workers'],
    ['src/server/server.ts', '../config/load.ts', 'server may not import config'],
    ['src/config/load.ts', '../server/server.ts', 'config may not import server'],
    ['src/config/load.ts', '../session/handler.ts', 'config may not import session'],
    ['src/cli/start.ts', '../load/client.ts', 'cli may not import load'],
    ['src/cli/top.ts', '../shared/arena.ts', 'cli may not import shared'],
    ['src/load/demo.ts', '../cli/main.ts', 'load may not import cli'],
    ['src/load/demo.ts', '../session/session.ts', 'load may only import type'],
    ['src/index.ts', './cli/main.ts', 'index may not import cli'],
    ['src/server/server.ts', '../index.ts', 'server may not import index'],
    ['workers/io.ts', '../src/server/threads.ts', 'workers may not import server'],
    ['workers/io.ts', '../src/server/options.ts', 'workers may only import type'],
    ['workers/io.ts', '../test/helpers/a.ts', 'outside src/ and workers/'],
    ['src/jobs/pool.ts', 'overlapped', 'the package does not import itself by name'],
  ])('refuses %s -> %s', (path, specifier, why) => {
    expect(check(path, '', `import { a } from '${specifier}'`)).toEqual([
      `${path}:2: ${specifier}: ${why}`,
    ])
  })

  it.each([
    ['src/server/server.ts', "import { a } from '../config/option_schema.ts'"],
    ['src/server/server.ts', "import { a } from '../session/handler.ts'"],
    ['src/config/load.ts', "import type { A } from '../server/options.ts'"],
    ['src/cli/main.ts', "import { a } from '../load/client.ts'"],
    ['src/cli/start.ts', "import { a } from '../server/server.ts'"],
    ['src/load/demo.ts', "import type { A } from '../session/session.ts'"],
    ['workers/io.ts', "import { a } from '../src/inbound/dispatcher.ts'"],
    ['workers/io.ts', "import type { A } from '../src/server/options.ts'"],
  ])('allows %s: %s', (path, line) => {
    expect(check(path, line)).toEqual([])
  })

  it('refuses a room that the table does not know', () => {
    expect(check('src/extra/a.ts', '')).toEqual([expect.stringContaining('room extra')])
  })
})

describe('checkExampleImports', () => {
  it('refuses a path into the package', () => {
    const text = "import { createServer } from '../dist/src/index.js'"
    expect(checkExampleImports([{ path: 'examples/echo.ts', text }])).toHaveLength(1)
  })

  it('allows the name and files of the example', () => {
    const text = "import { createServer } from 'overlapped'\nimport { a } from './a.js'"
    expect(checkExampleImports([{ path: 'examples/chat/main.ts', text }])).toEqual([])
  })
})

describe('checkIncludes', () => {
  const tree = (path: string, text: string) => [
    ...NATIVE_LAYERS.slice(0, -1).map((room) => ({ path: `native/${room}/${room}.h`, text: '' })),
    { path: 'native/driver/uring/ring.h', text: '' },
    { path, text },
  ]

  it('allows every way down, from native/ or from the file', () => {
    for (const room of NATIVE_LAYERS.slice(0, -1)) {
      const files = tree('native/addon.cc', `#include <napi.h>\n#include "${room}/${room}.h"\n`)
      expect(checkIncludes(files)).toEqual([])
    }
    const beside = tree(
      'native/driver/uring/ring.cc',
      '#include "ring.h"\n#include "base/base.h"\n',
    )
    expect(checkIncludes(beside)).toEqual([])
  })

  it('refuses every way up', () => {
    NATIVE_LAYERS.slice(0, -1).forEach((room, layer) => {
      for (const other of NATIVE_LAYERS.slice(layer + 1, -1)) {
        const files = tree(`native/${room}/a.cc`, `\n#include "${other}/${other}.h"\n`)
        expect(checkIncludes(files)).toEqual([
          `native/${room}/a.cc:2: ${other}/${other}.h: ${room} may not include ${other}`,
        ])
      }
    })
  })

  it('refuses what does not exist, and a room that the table does not know', () => {
    expect(checkIncludes(tree('native/base/a.cc', '#include "base/gone.h"'))).toEqual([
      'native/base/a.cc:1: base/gone.h: no such file',
    ])
    expect(checkIncludes(tree('native/extra/a.cc', ''))).toHaveLength(1)
  })

  it('reads no comments', () => {
    expect(checkIncludes(tree('native/base/a.cc', '// #include "loop/loop.h"'))).toEqual([])
  })
})
