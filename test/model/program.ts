// What: loads production modules and models of them as one program whose atomic operations are yield points.
// Flow: src/, worlds, scenarios -> oxc (types away) -> transform.ts -> this -> explore.ts.
// Thread: the test's.

import { readFileSync } from 'node:fs'
import { isBuiltin, type SourceMapPayload } from 'node:module'
import { join, posix } from 'node:path'
import { compileFunction } from 'node:vm'
import { transformWithOxc } from 'vite'
import { root } from '../tidy/files.ts'
import { execution } from './execution.ts'
import { refuse } from './refuse.ts'
import {
  certain,
  type Emitted,
  emit,
  type Module,
  readModule,
  type Site,
  suspending,
} from './transform.ts'

/** The door to Atomics and the waits of models: not loaded, their calls are rewritten. */
const DOORS = new Set(['src/shared/atomics.ts'])

const generatorTag = 'Generator'
const isGenerator = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (value as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] === generatorTag

/** Modules as read, in the order in which they were found; read once, emitted as often as there are mutants. */
export interface Sources {
  readonly modules: ReadonlyMap<string, Module>
  readonly names: ReadonlySet<string>
  readonly sure: ReadonlySet<string>
  readonly builtins: ReadonlyMap<string, object>
  /** What was emitted for each module, by its path and the number of its first site. */
  readonly emitted: Map<string, Emitted>
}

export async function readSources(entries: readonly string[]): Promise<Sources> {
  const modules = new Map<string, Module>()
  const builtins = new Map<string, object>()
  const queue = [...entries]
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    if (modules.has(path) || DOORS.has(path)) continue
    const { code, map } = await transformWithOxc(readFileSync(join(root, path), 'utf8'), path)
    const module = readModule(path, code, map as unknown as SourceMapPayload)
    modules.set(path, module)
    for (const { from } of module.imports) {
      if (from.startsWith('.')) queue.push(posix.join(posix.dirname(path), from))
      else if (isBuiltin(from)) builtins.set(from, await import(from))
      else throw new Error(`${path} imports ${from}, which no model can`)
    }
  }
  const all = [...modules.values()]
  const names = suspending(all)
  return { modules, names, sure: certain(all, names), builtins, emitted: new Map() }
}

export interface Program {
  readonly sites: readonly Site[]
  /** The exports of a module. */
  // biome-ignore lint/suspicious/noExplicitAny: the caller says what the module exports.
  exportsOf(path: string): any
}

/** Evaluates the modules; `changed` takes the place of the module of its path, with as many sites. */
export function makeProgram(sources: Sources, changed?: Module): Program {
  const loaded = new Map<string, object>()
  const sites: Site[] = []
  // Emitted in the order of reading, so that a site has one number in all programs of these sources.
  const codes = new Map<string, string>()
  for (const [path, module] of sources.modules) {
    const resolve = (from: string) =>
      from.startsWith('.') ? posix.join(posix.dirname(path), from) : from
    const current = changed?.path === path ? changed : module
    const key = `${path} ${sites.length}`
    let emitted = current === module ? sources.emitted.get(key) : undefined
    if (emitted === undefined) {
      refuse(current, sources.names, sources.sure)
      emitted = emit(current, sources.names, sources.sure, sites.length, resolve)
      if (current === module) sources.emitted.set(key, emitted)
    }
    codes.set(path, emitted.code)
    sites.push(...emitted.sites)
  }
  const load = (path: string): object => {
    const builtin = sources.builtins.get(path)
    if (builtin !== undefined) return builtin
    if (DOORS.has(path)) return {}
    const known = loaded.get(path)
    if (known !== undefined) return known
    const exported: object = {}
    loaded.set(path, exported)
    const code = codes.get(path)
    if (code === undefined) throw new Error(`${path} is not in this program`)
    const run = compileFunction(
      `'use strict';${code}`,
      ['$import', '$export', '$op', '$gen', '$r', '$w'],
      { filename: `model/${path}` },
    )
    run(
      load,
      (more: object) => Object.assign(exported, more),
      execution.operation,
      isGenerator,
      execution.read,
      execution.write,
    )
    return exported
  }
  return { sites, exportsOf: load }
}
