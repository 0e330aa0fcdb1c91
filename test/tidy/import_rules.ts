// What: who may import whom, as data, and the checkers that hold src/, workers/ and native/ to it.
// Flow: the one-way order of docs/ARCHITECTURE.md -> this -> imports.test.ts, includes.test.ts.
// Thread: the test's.

import { posix } from 'node:path'
import { lineAt, type SourceFile, withoutComments } from './files.ts'

/**
 * Rooms from the bottom up. A room is a folder of src/, a file right in src/, or workers/. It may
 * import every room of the lines above its own line here, never one of its own line.
 */
export const LAYERS: readonly (readonly string[])[] = [
  ['layout'],
  ['assert', 'errors'],
  ['framing', 'binding'],
  ['shared'],
  ['outbound', 'monitor'],
  ['session'],
  ['inbound', 'update', 'jobs'],
  ['send'],
]

const below = (room: string): string[] => {
  const layer = LAYERS.findIndex((rooms) => rooms.includes(room))
  return LAYERS.slice(0, layer).flat()
}
const everyLayer = LAYERS.flat()

/** The option tables and what refuses a value by them. */
const optionChecks = [
  'config/option_table',
  'config/option_schema',
  'config/check_option',
  'config/check_protocol',
]

/** The CLI and the load client: users of the library, and handler modules of their own. */
const above = [
  'layout',
  'assert',
  'errors',
  'framing',
  'server',
  'config',
  'session/handler',
  'type:session',
  'index',
]

/**
 * What each room may import: a room, one file of a room (`server/options`), either one with the
 * prefix `type:` where only `import type` will do. Each room may import itself.
 */
export const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(everyLayer.map((room) => [room, below(room)])),
  // Options and the plan cross to the threads as data, so their types do.
  workers: [...everyLayer, 'type:server/options', 'type:server/boot'],
  config: ['layout', 'errors', 'framing', 'server/options'],
  // It reaches workers by URL only.
  server: [...everyLayer, ...optionChecks],
  // A call that takes options of its own checks them as a server's are checked.
  'session/connect_options': [...below('session'), ...optionChecks],
  index: [...everyLayer, 'server', 'config'],
  cli: above,
  'cli/main': [...above, 'load'],
  load: above,
}

/** Native rooms from the bottom up: folders of native/, and addon.cc. */
export const NATIVE_LAYERS = ['layout', 'base', 'shared', 'driver', 'loop', 'napi', 'addon']

export interface Import {
  readonly specifier: string
  readonly isType: boolean
  readonly line: number
}

/** Every import, re-export and dynamic import of a constant, by reading the text. */
export function parseImports(text: string): Import[] {
  const code = withoutComments(text)
  const found: Import[] = []
  const patterns = [
    /(?:^|[;\n}])\s*(?:import|export)\s+(?<type>type\s+)?(?:[\w$*{}\s,]+?)\s*from\s*(['"])(?<specifier>[^'"\n]+)\2/g,
    /(?:^|[;\n}])\s*import\s*(['"])(?<specifier>[^'"\n]+)\1/g,
    /\bimport\s*\(\s*(['"`])(?<specifier>[^'"`\n]+)\1/g,
  ]
  for (const pattern of patterns) {
    for (const match of code.matchAll(pattern)) {
      const { specifier = '', type } = match.groups ?? {}
      const line = lineAt(code, match.index + match[0].length - 1)
      found.push({ specifier, isType: type !== undefined, line })
    }
  }
  return found.sort((a, b) => a.line - b.line)
}

/** `src/shared/arena.ts` -> shared, `src/index.ts` -> index, `workers/io.ts` -> workers. */
export function roomOf(path: string): string | undefined {
  const parts = path.replace(/\.\w+$/, '').split('/')
  if (parts[0] === 'workers') return 'workers'
  if (parts[0] === 'src') return parts[1]
  return undefined
}

function allowedFor(path: string): readonly string[] | undefined {
  const file = path.replace(/^src\//, '').replace(/\.\w+$/, '')
  return ALLOWED[file] ?? ALLOWED[roomOf(path) ?? '']
}

/** Imports of files in src/ and workers/ that the table does not allow. */
export function checkImports(files: readonly SourceFile[]): string[] {
  const violations: string[] = []
  for (const { path, text } of files) {
    const room = roomOf(path)
    const allowed = allowedFor(path)
    if (room === undefined || allowed === undefined) {
      violations.push(`${path}: room ${room} is not in the table of import_rules.ts`)
      continue
    }
    for (const { specifier, isType, line } of parseImports(text)) {
      const refuse = (why: string) => violations.push(`${path}:${line}: ${specifier}: ${why}`)
      if (!specifier.startsWith('.')) {
        if (/^overlapped(\/|$)/.test(specifier))
          refuse('the package does not import itself by name')
        continue
      }
      const target = posix.join(posix.dirname(path), specifier)
      const targetRoom = roomOf(target)
      if (targetRoom === undefined) {
        refuse('outside src/ and workers/')
        continue
      }
      if (targetRoom === room) continue
      const file = target.replace(/^src\//, '').replace(/\.\w+$/, '')
      const names = [targetRoom, file].flatMap((name) => (isType ? [name, `type:${name}`] : [name]))
      if (names.some((name) => allowed.includes(name))) continue
      const isTypeAllowed = [`type:${targetRoom}`, `type:${file}`].some((n) => allowed.includes(n))
      refuse(
        isTypeAllowed ? `${room} may only import type` : `${room} may not import ${targetRoom}`,
      )
    }
  }
  return violations
}

/** Imports in examples/ that are not by package name, or leave the example folder. */
export function checkExampleImports(files: readonly SourceFile[]): string[] {
  const violations: string[] = []
  for (const { path, text } of files) {
    for (const { specifier, line } of parseImports(text)) {
      if (!specifier.startsWith('.')) continue
      const target = posix.join(posix.dirname(path), specifier)
      if (!target.startsWith('examples/')) violations.push(`${path}:${line}: ${specifier}`)
    }
  }
  return violations
}

/** `native/driver/uring/ring.h` -> driver, `native/addon.cc` -> addon. */
export function nativeRoomOf(path: string): string {
  return (path.split('/')[1] ?? '').replace(/\.\w+$/, '')
}

/** `#include "…"` in native/ that go up the layers. Paths are from native/ or from the file. */
export function checkIncludes(files: readonly SourceFile[]): string[] {
  const known = new Set(files.map(({ path }) => path))
  const violations: string[] = []
  for (const { path, text } of files) {
    const layer = NATIVE_LAYERS.indexOf(nativeRoomOf(path))
    if (layer === -1) {
      violations.push(`${path}: room ${nativeRoomOf(path)} is not in the table of import_rules.ts`)
      continue
    }
    const code = withoutComments(text)
    for (const match of code.matchAll(/^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"/gm)) {
      const included = match[1] ?? ''
      const where = `${path}:${lineAt(code, match.index)}: ${included}`
      const beside = posix.join(posix.dirname(path), included)
      const target = known.has(beside) ? beside : posix.join('native', included)
      const targetLayer = NATIVE_LAYERS.indexOf(nativeRoomOf(target))
      if (!known.has(target)) violations.push(`${where}: no such file`)
      else if (targetLayer > layer) {
        violations.push(
          `${where}: ${NATIVE_LAYERS[layer]} may not include ${NATIVE_LAYERS[targetLayer]}`,
        )
      }
    }
  }
  return violations
}
