// What: the options of a server from a file, the environment and flags.
// Flow: code < file < environment < flags -> this (by option_schema) -> ServerOptions.
// Thread: main.

import { readFileSync, statSync } from 'node:fs'
import { basename, extname } from 'node:path'
import { parse as parseIni } from 'ini'
import { OverlappedError } from '../errors.ts'
import {
  DELIMITER_BYTES_MAX,
  delimiter,
  type Framing,
  lengthPrefix,
  raw,
} from '../framing/framing.ts'
import type { ListenerOptions, OutboundOptions, ServerOptions } from '../server/options.ts'
import { checkOption, nearest, parseText, refusal, show, unknownName } from './check_option.ts'
import {
  allowedOf,
  ENV_PREFIX,
  fileKeyOf,
  framingOptions,
  leaves,
  listenerOptions,
  type OptionSpec,
  outboundOptions,
  serverOptions,
} from './option_schema.ts'
import type { FramingKey } from './option_table.ts'

/** Bytes of a configuration file: 256 listeners with every key are about 100 KiB. */
export const CONFIG_FILE_BYTES_MAX = 1_048_576

/** Variable that names the configuration file. */
const CONFIG_ENV = `${ENV_PREFIX}CONFIG`

/** Where options come from; what is absent is not read. */
export interface ConfigSources {
  /** JSON or INI file, by its extension; `--config` and OVERLAPPED_CONFIG come before it. */
  readonly file?: string
  /** Usually process.env: variables that start with OVERLAPPED_. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Usually process.argv.slice(2): flags, and at most one path that is the handler. */
  readonly argv?: readonly string[]
  /** What the code says. */
  readonly defaults?: ServerOptions
  /** The listener where code and file have none; flags and environment change it. */
  readonly listener?: ListenerOptions
}

type Draft<T> = { -readonly [K in keyof T]?: T[K] }

interface State {
  readonly server: Record<string, unknown>
  readonly listeners: Draft<ListenerOptions>[]
  readonly outbound: Draft<OutboundOptions>[]
  readonly fallback: ListenerOptions | undefined
}

/** A value, checked, and what its source calls it. */
interface Given {
  readonly spec: OptionSpec
  readonly label: string
  readonly value: unknown
}

const reachable = (specs: readonly OptionSpec[]) => specs.filter((spec) => fileKeyOf(spec) !== '')
const framingKeys = new Set<OptionSpec>(framingOptions)

/** Keys of a section `[listener.NAME]`. */
const listenerKeys = [...reachable(listenerOptions), ...framingOptions]
/** Keys of a section `[outbound.NAME]`. */
const outboundKeys = [...reachable(outboundOptions), ...framingOptions]
/** Options of the server, those in nested objects too. */
const serverKeys = reachable(leaves(serverOptions))
/** Every option that a flag or a variable can say. */
export const flatKeys: readonly OptionSpec[] = [...serverKeys, ...listenerKeys].filter(
  ({ flag }) => flag !== '',
)
/** Keys of a file outside sections. */
const outsideKeys = flatKeys.filter(({ parent }) => parent === undefined)
/** Options of the server that have a section of their own. */
const nestedKeys = serverOptions.filter(({ options }) => options !== undefined)

const ESCAPES: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, '0': 0, '\\': 92 }

/** Bytes of a delimiter whose text passed the pattern of its option. */
function delimiterBytes({ spec, label, value }: Given): number[] {
  const bytes: number[] = []
  for (const [part] of (value as string).matchAll(/\\x..|\\.|[^\\]/gsu)) {
    if (part.startsWith('\\x')) bytes.push(Number.parseInt(part.slice(2), 16))
    else if (part.startsWith('\\')) bytes.push(ESCAPES[part[1]])
    else bytes.push(...Buffer.from(part))
  }
  if (bytes.length > DELIMITER_BYTES_MAX) {
    throw refusal('ERR_OPTION_RANGE', label, value, allowedOf(spec))
  }
  return bytes
}

/** A raw value of a source, checked: text is parsed, anything else is taken as it is. */
function give(spec: OptionSpec, label: string, value: unknown): Given {
  const isText = typeof value === 'string' || (spec.type === 'threshold' && !isSection(value))
  const parsed = isText ? parseText(spec, String(value)) : value
  checkOption(spec, label, parsed)
  return { spec, label, value: parsed }
}

/** A framing after the framing keys of one source; another kind starts from its defaults. */
function changeFraming(current: Framing | undefined, given: readonly Given[]): Framing {
  const values: Partial<Record<FramingKey, unknown>> = {}
  for (const each of given) {
    const key = each.spec.key as FramingKey
    values[key] = key === 'delimiter' ? delimiterBytes(each) : each.value
  }
  const kind = (values.framing ?? current?.kind ?? 'length-prefix') as Framing['kind']
  for (const { spec, label, value } of given) {
    if (spec.framings === undefined || spec.framings.includes(kind)) continue
    const kinds = spec.framings.join(' or ')
    const allowed = `left out, as it is of framing ${kinds} and this is ${kind}`
    throw refusal('ERR_OPTION_RANGE', label, value, allowed)
  }
  const kept: Partial<Framing> = current?.kind === kind ? current : {}
  const { kind: _, ...fields } = { ...kept } as Record<string, unknown>
  const change = (field: string, key: FramingKey) => {
    if (values[key] !== undefined) fields[field] = values[key]
  }
  change('maxPayloadLength', 'maxPayloadLength')
  if (kind === 'length-prefix') {
    change('bytes', 'lengthBytes')
    change('endian', 'endian')
    change('offset', 'lengthOffset')
    change('includesHeader', 'lengthIncludesHeader')
    return lengthPrefix(fields)
  }
  if (kind === 'raw') return raw()
  change('bytes', 'delimiter')
  change('strip', 'strip')
  return delimiter(fields)
}

/** Puts the values of one source into a listener or outbound protocol. */
function changeProtocol(draft: Draft<ListenerOptions>, given: readonly Given[]): void {
  for (const { spec, value } of given) {
    if (!framingKeys.has(spec)) Object.assign(draft, { [spec.key]: value })
  }
  const framing = given.filter(({ spec }) => framingKeys.has(spec))
  if (framing.length > 0) draft.framing = changeFraming(draft.framing, framing)
}

/** Puts a value into the options of the server, or into a nested object of them, which is copied. */
function changeServer(server: Record<string, unknown>, { spec, value }: Given): void {
  const { key, parent } = spec
  if (parent === undefined) {
    server[key] = value
    return
  }
  const nested = server[parent] ?? {}
  // What is no object stays as it is, for createServer to refuse.
  if (isSection(nested)) server[parent] = { ...nested, [key]: value }
}

/** Puts values that name no section of a protocol into the server and its only listener. */
function changeFlat(state: State, given: readonly Given[]): void {
  const ofListener: Given[] = []
  for (const each of given) {
    if (serverKeys.includes(each.spec)) changeServer(state.server, each)
    else ofListener.push(each)
  }
  if (ofListener.length === 0) return
  const { listeners, fallback } = state
  if (listeners.length === 0) listeners.push({ ...(fallback ?? { framing: lengthPrefix() }) })
  if (listeners.length > 1) {
    const { label, value } = ofListener[0]
    const allowed = `in a section [listener.NAME], as there are ${listeners.length} listeners`
    throw refusal('ERR_OPTION_RANGE', label, value, allowed)
  }
  changeProtocol(listeners[0], ofListener)
}

function fileError(file: string, reason: string, cause?: unknown): OverlappedError {
  const message = `the configuration file '${file}' ${reason.replaceAll(/\s+/g, ' ')}`
  return new OverlappedError('ERR_CONFIG_FILE', message, { cause })
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readConfig(file: string): string {
  try {
    const { size } = statSync(file)
    if (size <= CONFIG_FILE_BYTES_MAX) return readFileSync(file, 'utf8').replace(/^\uFEFF/, '')
  } catch (error) {
    throw fileError(file, `cannot be read: ${(error as Error).message}`, error)
  }
  throw fileError(file, `is too large; it must be at most ${CONFIG_FILE_BYTES_MAX} bytes`)
}

function parseConfig(file: string): Record<string, unknown> {
  const extension = extname(file).toLowerCase()
  if (extension !== '.json' && extension !== '.ini') {
    throw fileError(file, `has the extension '${extension}'; it must be .json or .ini`)
  }
  const text = readConfig(file)
  if (extension === '.ini') return parseIni(text)
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw fileError(file, `cannot be parsed: ${(error as Error).message}`, error)
  }
  if (isSection(parsed)) return parsed
  throw fileError(file, `holds ${show(parsed)}; it must hold an object`)
}

/** Quotes that the INI parser leaves where their text is no JSON: "\x00". */
function unquote(value: unknown): unknown {
  return typeof value === 'string' ? value.replace(/^"(.*)"$/s, '$1') : value
}

/** The values of a section of a file, or of what is outside sections. */
function giveAll(
  section: Record<string, unknown>,
  keys: readonly OptionSpec[],
  place: string,
  sections: readonly string[],
): Given[] {
  return Object.entries(section).map(([key, value]) => {
    const spec = keys.find((each) => fileKeyOf(each) === key)
    const label = `${key} in ${place}`
    if (spec !== undefined) return give(spec, label, unquote(value))
    const known = [...keys.map(fileKeyOf), ...sections]
    throw unknownName('an option', label, ` (${show(value)})`, nearest(key, known))
  })
}

/** Changes the protocol of a section's name, or adds one with the default framing. */
function changeSections(
  file: string,
  kind: 'listener' | 'outbound',
  sections: unknown,
  drafts: Draft<ListenerOptions>[],
): void {
  const keys = kind === 'listener' ? listenerKeys : outboundKeys
  for (const [name, section] of Object.entries(isSection(sections) ? sections : { '': sections })) {
    if (!isSection(section)) {
      const found = name === '' ? kind : `${kind}.${name}`
      throw fileError(file, `has ${found} = ${show(section)}; it must be a section [${kind}.NAME]`)
    }
    const place = `[${kind}.${name}] of ${basename(file)}`
    const given = giveAll(section, keys, place, [])
    const named = drafts.find((draft, index) => {
      const unnamed = kind === 'listener' ? `listener${index}` : undefined
      return (draft.name ?? unnamed) === name
    })
    if (named === undefined) {
      const added = { name, framing: lengthPrefix() }
      changeProtocol(added, given)
      drafts.push(added)
    } else {
      changeProtocol(named, given)
    }
  }
}

function applyFile(state: State, file: string): void {
  const { listener, outbound, ...flat } = parseConfig(file)
  if (listener !== undefined) changeSections(file, 'listener', listener, state.listeners)
  if (outbound !== undefined) changeSections(file, 'outbound', outbound, state.outbound)
  const place = basename(file)
  for (const spec of nestedKeys) {
    const fileKey = fileKeyOf(spec)
    const { [fileKey]: section } = flat
    delete flat[fileKey]
    if (section === undefined) continue
    if (!isSection(section)) {
      throw fileError(file, `has ${fileKey} = ${show(section)}; it must be a section [${fileKey}]`)
    }
    changeFlat(
      state,
      giveAll(section, reachable(spec.options ?? []), `[${fileKey}] of ${place}`, []),
    )
  }
  const sections = ['listener', 'outbound', ...nestedKeys.map(fileKeyOf)]
  changeFlat(state, giveAll(flat, outsideKeys, place, sections))
}

function applyEnv(state: State, env: NonNullable<ConfigSources['env']>): void {
  const given: Given[] = []
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(ENV_PREFIX) || name === CONFIG_ENV || value === undefined) continue
    const spec = flatKeys.find((each) => each.env === name)
    if (spec === undefined) {
      const known = [...flatKeys.map((each) => each.env), CONFIG_ENV]
      throw unknownName('a variable', name, ` (${show(value)})`, nearest(name, known))
    }
    given.push(give(spec, name, value))
  }
  changeFlat(state, given)
}

interface Flags {
  readonly file: string | undefined
  readonly given: readonly Given[]
}

/**
 * Flags as `--name value` or `--name=value`; a boolean alone is true, and takes the next argument
 * only where that is `true` or `false`.
 */
function parseFlags(argv: readonly string[]): Flags {
  const given: Given[] = []
  let file: string | undefined
  let handler: string | undefined
  for (let at = 0; at < argv.length; at++) {
    const argument = argv[at]
    if (!argument.startsWith('-') || argument === '-') {
      if (handler !== undefined) {
        const allowed = `left out, as the handler is ${show(handler)} already`
        throw refusal('ERR_OPTION_RANGE', 'the second argument', argument, allowed)
      }
      handler = argument
      continue
    }
    const equals = argument.indexOf('=')
    const label = equals < 0 ? argument : argument.slice(0, equals)
    let value = equals < 0 ? undefined : argument.slice(equals + 1)
    const spec = flatKeys.find(({ flag }) => `--${flag}` === label)
    if (spec === undefined && label !== '--config') {
      const known = [...flatKeys.map(({ flag }) => `--${flag}`), '--config', '--help']
      const told = value === undefined ? '' : ` (${show(value)})`
      throw unknownName('a flag', label, told, nearest(label, known))
    }
    const next = argv[at + 1]
    const bare = spec?.type === 'boolean' && next !== 'true' && next !== 'false'
    if (value === undefined && bare) value = 'true'
    if (value === undefined && next !== undefined && !next.startsWith('--')) {
      value = next
      at += 1
    }
    if (value === undefined) {
      const allowed = spec === undefined ? 'the path of a .json or .ini file' : allowedOf(spec)
      throw refusal('ERR_OPTION_TYPE', label, value, `followed by ${allowed}`)
    }
    if (spec === undefined) file = value
    else given.push(give(spec, label, value))
  }
  const spec = serverKeys.find(({ key }) => key === 'handler')
  if (handler !== undefined && spec !== undefined) given.push(give(spec, 'HANDLER', handler))
  return { file, given }
}

function copies<T extends object>(specKey: string, given: readonly T[] | undefined): Draft<T>[] {
  const spec = serverOptions.find(({ key }) => key === specKey)
  if (given !== undefined && spec !== undefined) checkOption(spec, specKey, given)
  // What is no object stays as it is, for createServer to refuse.
  return (given ?? []).map((each) => (isSection(each) ? { ...each } : each))
}

/**
 * Options of a server from every source: code < file < environment < flags. Values of file,
 * environment and flags are checked here; what code says, and what several options say together,
 * is checked by createServer. A section `[listener.game]` changes the listener of that name, or
 * adds it; listener keys outside a section, in the environment and in flags change the only listener, or
 * make one. Reads nothing that is not given.
 * @throws {OverlappedError} ERR_CONFIG_FILE with the file and the reason; ERR_OPTION_UNKNOWN with
 * the nearest known name; ERR_OPTION_TYPE, ERR_OPTION_RANGE with the name as its source has it.
 */
export function loadConfig(sources: ConfigSources = {}): ServerOptions {
  const { env = {}, argv = [], defaults = {}, listener: fallback } = sources
  const { listeners, outbound, ...server } = defaults
  const state: State = {
    server,
    listeners: copies('listeners', listeners),
    outbound: copies('outbound', outbound),
    fallback,
  }
  const flags = parseFlags(argv)
  const file = flags.file ?? env[CONFIG_ENV] ?? sources.file
  if (file !== undefined) applyFile(state, file)
  applyEnv(state, env)
  changeFlat(state, flags.given)
  const alone = state.listeners.length === 0 && state.outbound.length === 0
  if (alone && fallback !== undefined) state.listeners.push(fallback)
  return {
    ...state.server,
    ...(state.listeners.length > 0 && { listeners: state.listeners as ListenerOptions[] }),
    ...(state.outbound.length > 0 && { outbound: state.outbound as OutboundOptions[] }),
  }
}
