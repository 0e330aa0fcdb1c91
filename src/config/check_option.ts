// What: the checks of one option's value, and the sentences that refuse it.
// Flow: option_schema -> this -> resolve_options, load_config, the CLI.
// Thread: main.

import { inspect } from 'node:util'
import { OverlappedError } from '../errors.ts'
import type { ErrorCode } from '../layout/layout.ts'
import { allowedOf, type OptionSpec } from './option_schema.ts'

/** Characters of a value that an error message repeats. */
const SHOWN_CHARACTERS_MAX = 80
/** Integers as text; a fraction is let through so that the range check names it. */
const NUMBER_TEXT = /^[+-]?\d{1,15}(?:\.\d{1,15})?$/

/** A value as an error message repeats it: one line of at most 80 characters. */
export function show(value: unknown): string {
  const text = inspect(value, { depth: 1, breakLength: Infinity, compact: true })
  const line = text.replaceAll('\n', ' ')
  return line.length > SHOWN_CHARACTERS_MAX ? `${line.slice(0, SHOWN_CHARACTERS_MAX)}…` : line
}

/** The error that says: `label is value; it must be allowed`. */
export function refusal(
  code: ErrorCode,
  label: string,
  value: unknown,
  allowed: string,
): OverlappedError {
  return new OverlappedError(code, `${label} is ${show(value)}; it must be ${allowed}`)
}

function typeFits(spec: OptionSpec, value: unknown): boolean {
  switch (spec.type) {
    case 'integer':
      return typeof value === 'number' || (spec.auto === true && typeof value === 'string')
    case 'boolean':
      return typeof value === 'boolean'
    case 'choice':
    case 'text':
      return typeof value === 'string'
    case 'module':
      return typeof value === 'string' || value instanceof URL
    case 'list':
      return Array.isArray(value)
    case 'threshold':
      return typeof value === 'string' || (typeof value === 'object' && value !== null)
    case 'framing':
    case 'nested':
      return typeof value === 'object' && value !== null && !Array.isArray(value)
    case 'any':
      return true
  }
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value))
}

function isBetween({ min, max }: { min: number; max: number }, value: number): boolean {
  return value >= min && value <= max
}

function rangeFits(spec: OptionSpec, value: unknown): boolean {
  switch (spec.type) {
    case 'integer': {
      if (typeof value !== 'number') return value === 'auto'
      const whole = Number.isInteger(value) && isBetween(spec, value)
      return whole && (!spec.powerOfTwo || isPowerOfTwo(value))
    }
    case 'threshold': {
      if (typeof value === 'string') return spec.words.includes(value)
      const { [spec.number]: number, ...others } = value as Record<string, unknown>
      const isAlone = Object.keys(others).length === 0
      return isAlone && Number.isInteger(number) && isBetween(spec, number as number)
    }
    case 'choice':
      return spec.values.includes(value as string)
    case 'text':
      return spec.pattern.test(value as string)
    default:
      return true
  }
}

/**
 * Refuses a value that an option may not have. `label` names the option as its source does:
 * `maxSessions`, `listeners[0].port`, `--max-sessions`.
 * @throws {OverlappedError} ERR_OPTION_TYPE, ERR_OPTION_RANGE
 */
export function checkOption(spec: OptionSpec, label: string, value: unknown): void {
  if (!typeFits(spec, value)) throw refusal('ERR_OPTION_TYPE', label, value, allowedOf(spec))
  if (!rangeFits(spec, value)) throw refusal('ERR_OPTION_RANGE', label, value, allowedOf(spec))
}

/**
 * What a text from a file, the environment or a flag means for an option: numbers and booleans
 * where it has such; any other text as it is, which checkOption then judges.
 */
export function parseText(spec: OptionSpec, text: string): unknown {
  if (spec.type === 'threshold' && NUMBER_TEXT.test(text)) return { [spec.number]: Number(text) }
  if (spec.type === 'integer' && NUMBER_TEXT.test(text)) return Number(text)
  if (spec.type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  return text
}

/** Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)
      row[j] = Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, replaced)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) row[j] = Math.min(row[j], rows[i - 2][j - 2] + 1)
    }
    rows.push(row)
  }
  return rows[a.length][b.length]
}

/** Longest name that is compared; a longer one is cut, as the comparison is quadratic. */
const COMPARED_CHARACTERS_MAX = 100

/** The known name that is nearest to a wrong one, whatever the case of either. */
export function nearest(name: string, known: readonly string[]): string {
  const wrong = name.slice(0, COMPARED_CHARACTERS_MAX).toLowerCase()
  const distance = (candidate: string) => editDistance(wrong, candidate.toLowerCase())
  return known.reduce((best, next) => (distance(next) < distance(best) ? next : best))
}

/**
 * The error for a name that does not exist. `noun` says what it is not: `an option`. `given` says
 * how its value is told: ` (9000)`, or nothing where there is none.
 */
export function unknownName(
  noun: string,
  label: string,
  given: string,
  suggestion: string,
): OverlappedError {
  const message = `${label}${given} is not ${noun}; the nearest known one is ${suggestion}`
  return new OverlappedError('ERR_OPTION_UNKNOWN', message)
}
