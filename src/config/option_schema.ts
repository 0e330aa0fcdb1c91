// What: every option with its names: key, flag, environment, key in a file; and in words what it may be.
// Flow: option_table -> this -> check_option, resolve_options, load_config, usage, options_page.
// Thread: main.

import {
  connectByName,
  dial,
  type Entry,
  framing,
  listener,
  outbound,
  server,
  unnamedProtocol,
} from './option_table.ts'

/** One option, with its names. */
export type OptionSpec = Entry & {
  /** As in the options object. */
  readonly key: string
  /** Flag without its dashes: `max-sessions`, `groups-max`. Empty if code or section only, or nested. */
  readonly flag: string
  /** `OVERLAPPED_MAX_SESSIONS`. Empty where there is no flag. */
  readonly env: string
  /** Of an option in a nested object: the key of that object. */
  readonly parent?: string
  /** Of a nested object: its options. */
  readonly options?: readonly OptionSpec[]
}

/** Start of every environment name. */
export const ENV_PREFIX = 'OVERLAPPED_'

function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** Key in a file: `max-sessions`; of a nested object the name of its section. Empty if code only. */
export function fileKeyOf({ key, codeOnly }: OptionSpec): string {
  return codeOnly ? '' : kebab(key)
}

function named(table: Readonly<Record<string, Entry>>, parent?: string): readonly OptionSpec[] {
  return Object.entries(table).map(([key, entry]) => {
    const unnamed = entry.codeOnly || entry.sectionOnly || entry.type === 'nested'
    const flag = unnamed ? '' : (parent === undefined ? '' : `${kebab(parent)}-`) + kebab(key)
    const env = flag === '' ? '' : ENV_PREFIX + flag.replaceAll('-', '_').toUpperCase()
    const names = { key, flag, env, ...(parent !== undefined && { parent }) }
    return entry.type === 'nested'
      ? { ...entry, ...names, options: named(entry.entries, key) }
      : { ...entry, ...names }
  })
}

/** Options of the server itself. */
export const serverOptions = named(server)
/** Options of one listener. */
export const listenerOptions = named(listener)
/** Options of one outbound protocol; flags and environment are the listener's. */
export const outboundOptions = named(outbound).map((spec) => ({ ...spec, flag: '', env: '' }))
/** Options of connect() that names a protocol. */
export const connectByNameOptions = named(connectByName)
/** Options of connect() that is given a framing. */
export const connectOptions = named({ ...unnamedProtocol, ...dial }).map((spec) => ({
  ...spec,
  flag: '',
  env: '',
}))
/** Keys of one framing, as files, flags and environment say it. */
export const framingOptions = named(framing)

/** Options that have a value of their own: nested objects give way to what is in them. */
export function leaves(specs: readonly OptionSpec[]): readonly OptionSpec[] {
  return specs.flatMap((spec) => (spec.options === undefined ? [spec] : leaves(spec.options)))
}

/** The sentence part that says what an option may be: `a whole number from 1 to 60`. */
export function allowedOf(spec: OptionSpec): string {
  switch (spec.type) {
    case 'integer': {
      const kind = spec.powerOfTwo ? 'a power of two' : 'a whole number'
      const unit = spec.unit === undefined ? '' : ` (${spec.unit})`
      return `${spec.auto ? "'auto' or " : ''}${kind} from ${spec.min} to ${spec.max}${unit}`
    }
    case 'threshold': {
      const words = spec.words.map((word) => `'${word}'`).join(', ')
      return `${words} or { ${spec.number}: a whole number from ${spec.min} to ${spec.max} } (${spec.unit})`
    }
    case 'boolean':
      return 'true or false'
    case 'choice': {
      const quoted = spec.values.map((value) => `'${value}'`)
      return quoted.length === 1 ? quoted[0] : `one of ${quoted.join(', ')}`
    }
    case 'nested': {
      const keys = spec.options?.map(({ key }) => `\`${key}\``).join(', ')
      return `an object with options: ${keys}`
    }
    default:
      return spec.allowed
  }
}
