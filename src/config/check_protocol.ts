// What: checks an object of options by its table, and what a listener and an outbound protocol have in common.
// Flow: option_schema -> this -> resolve_options, connect_options.
// Thread: main; those that run content.

import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { OverlappedError } from '../errors.ts'
import {
  delimiter,
  type Framing,
  lengthPrefix,
  longestPayload,
  maxPayloadLength,
  raw,
} from '../framing/framing.ts'
import { checkOption, nearest, refusal, show, unknownName } from './check_option.ts'
import type { OptionSpec } from './option_schema.ts'

export type Values = Readonly<Record<string, unknown>>

/** The fields of each framing beside its kind. */
const FRAMING_FIELDS: Readonly<Record<string, readonly string[]>> = {
  'length-prefix': ['bytes', 'endian', 'offset', 'includesHeader', 'maxPayloadLength'],
  delimiter: ['bytes', 'strip', 'maxPayloadLength'],
  raw: [],
}

const HANDLER_ALLOWED = 'a path or a file: URL of a module'

function isObject(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function checkObject(label: string, value: unknown): asserts value is Values {
  if (!isObject(value)) throw refusal('ERR_OPTION_TYPE', label, value, 'an object with options')
}

/**
 * The options of one object by its table: unknown keys refused, values checked, defaults filled in.
 * `prefix` is put before each key in messages: `listeners[0].`.
 */
export function checkValues(specs: readonly OptionSpec[], given: Values, prefix: string): Values {
  const known = specs.map((spec) => spec.key)
  for (const [key, value] of Object.entries(given)) {
    if (known.includes(key)) continue
    throw unknownName('an option', prefix + key, ` (${show(value)})`, nearest(key, known))
  }
  const values: Record<string, unknown> = {}
  for (const spec of specs) {
    const value = given[spec.key] === undefined ? spec.default : given[spec.key]
    if (value !== undefined || spec.required) checkOption(spec, prefix + spec.key, value)
    values[spec.key] =
      spec.options === undefined ? value : checkNested(spec.options, value, `${prefix}${spec.key}.`)
  }
  return values
}

/** An absent object is one without options, and stays absent where one of its options must be given. */
function checkNested(specs: readonly OptionSpec[], given: unknown, prefix: string): unknown {
  if (given === undefined && specs.some(({ required }) => required)) return undefined
  return checkValues(specs, (given ?? {}) as Values, prefix)
}

/** Names the option in an error of the framing functions, which do not know where it stands. */
function located<T>(label: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    if (!(error instanceof OverlappedError)) throw error
    throw new OverlappedError(error.code, `${label}: ${error.message}`, { cause: error })
  }
}

function isSequence(bytes: unknown): boolean {
  return typeof bytes === 'string' || bytes instanceof Uint8Array || Array.isArray(bytes)
}

/** What the framing functions make of a descriptor, or of plain data that equals one. */
function checkFraming(label: string, given: Values): Framing {
  const { kind, ...fields } = given
  const kinds = Object.keys(FRAMING_FIELDS)
  if (!kinds.includes(kind as string)) {
    const allowed = `one of ${kinds.map(show).join(', ')}`
    throw refusal('ERR_OPTION_RANGE', `${label}.kind`, kind, allowed)
  }
  const known = FRAMING_FIELDS[kind as string]
  for (const [key, value] of Object.entries(fields)) {
    if (known.includes(key)) continue
    const suggestion = nearest(key, ['kind', ...known])
    const noun = `an option of framing ${kind}`
    throw unknownName(noun, `${label}.${key}`, ` (${show(value)})`, suggestion)
  }
  if (kind === 'raw') return raw()
  const { bytes, maxPayloadLength: longest } = fields
  if (longest !== undefined && typeof longest !== 'number') {
    const allowed = 'a whole number (bytes)'
    throw refusal('ERR_OPTION_TYPE', `${label}.maxPayloadLength`, longest, allowed)
  }
  if (kind === 'delimiter') {
    if (bytes === undefined || isSequence(bytes)) return located(label, () => delimiter(fields))
    const allowed = 'a string, a Uint8Array or an array of 1 to 16 bytes'
    throw refusal('ERR_OPTION_TYPE', `${label}.bytes`, bytes, allowed)
  }
  const framing = located(label, () => lengthPrefix(fields))
  const limit = longestPayload(framing)
  if (longest === undefined || longest <= limit) return framing
  const allowed = `a whole number from 1 to ${limit} (bytes), as its length field says no more`
  throw refusal('ERR_OPTION_RANGE', `${label}.maxPayloadLength`, longest, allowed)
}

/** The file: URL of a handler, as text. */
export function handlerUrl(label: string, handler: string | URL): string {
  const text = String(handler)
  // A drive of Windows looks like a scheme.
  const hasDrive = process.platform === 'win32' && /^[a-z]:[\\/]/i.test(text)
  const schemeless = hasDrive || !/^[a-z][a-z0-9+.-]*:/i.test(text)
  if (schemeless && text !== '' && !text.includes('\0')) return pathToFileURL(resolve(text)).href
  const url = !schemeless && URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'file:' && url.host === '') return url.href
  throw refusal('ERR_OPTION_RANGE', label, text, HANDLER_ALLOWED)
}

/** The handler of a listener or outbound protocol: its own, else the server's. */
function ownHandler(label: string, own: unknown, inherited: string | undefined): string {
  if (own !== undefined) return handlerUrl(label, own as string | URL)
  if (inherited !== undefined) return inherited
  const allowed = `${HANDLER_ALLOWED}, as the server has no handler either`
  throw refusal('ERR_OPTION_TYPE', label, own, allowed)
}

/** What a listener and an outbound protocol have in common, on top of their checked values. */
export function checkProtocol(
  values: Values,
  label: string,
  inherited: string | undefined,
): Values {
  const framing = checkFraming(`${label}.framing`, values.framing as Values)
  return {
    ...values,
    framing,
    maxPayloadLength: maxPayloadLength(framing),
    handler: ownHandler(`${label}.handler`, values.handler, inherited),
  }
}
