// What: puts the layout's numbers into the built JavaScript, as a C compiler does with a header.
// Flow: tsc -> dist/ -> this -> dist/ (`npm run build:ts`).
// Thread: none; a build script.

import { readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const dist = fileURLToPath(new URL('../dist', import.meta.url))

const IMPORT = /^import \{([^}]*)\} from '\.[\w./]*\/layout\/layout\.js';$/m
/** Comments and strings are left as they are. */
const SKIPPED = String.raw`\/\/.*|\/\*[^]*?\*\/|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"`

/** What each name stands for: `SESSION_STATE`, `Counter.JOINED`; numbers only. */
function numbersOf(layout) {
  const numbers = new Map()
  for (const [name, value] of Object.entries(layout)) {
    if (typeof value === 'number') numbers.set(name, value)
    else if (typeof value === 'object' && !Array.isArray(value))
      for (const [key, number] of Object.entries(value)) numbers.set(`${name}.${key}`, number)
  }
  return numbers
}

/** A text with the layout's names replaced; `names` are those that stand for the layout in it. */
function replaceNames(text, names, numbers) {
  const pattern = new RegExp(`${SKIPPED}|(?<![.\\w#])(?:${names.join('|')})(?:\\.\\w+)?\\b`, 'g')
  return text.replace(pattern, (found) => {
    const number = numbers.get(found)
    if (number !== undefined) return number < 0 ? `(${number})` : String(number)
    // A number of which something is read, as in `SIZE.toString()`.
    return found
  })
}

/** The module's text with numbers in it; it imports only what is left. */
export function inlineConstants(text, layout) {
  const found = IMPORT.exec(text)
  if (found === null) return text
  const names = found[1]
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  const renamed = names.find((name) => name.includes(' '))
  if (renamed !== undefined) throw new Error(`an import from the layout is renamed: ${renamed}`)
  const before = text.slice(0, found.index)
  const after = replaceNames(text.slice(found.index + found[0].length), names, numbersOf(layout))
  const left = names.filter((name) => new RegExp(`\\b${name}\\b`).test(before + after))
  // As many lines as before: source maps stay right.
  const lines = '\n'.repeat(found[0].split('\n').length - 1)
  const imported = left.length > 0 ? found[0].replace(/\{[^}]*\}/, `{ ${left.join(', ')} }`) : ''
  return before + imported.replaceAll('\n', ' ') + lines + after
}

/** The same for a piece of such a module. */
export function inlineInPiece(piece, layout) {
  const numbers = numbersOf(layout)
  const names = [...new Set([...numbers.keys()].map((name) => name.split('.')[0]))]
  return replaceNames(piece, names, numbers)
}

async function main() {
  const layout = await import(pathToFileURL(join(dist, 'src/layout/layout.js')).href)
  for (const name of readdirSync(dist, { recursive: true })) {
    if (!name.endsWith('.js') || name.endsWith('layout.js')) continue
    const path = join(dist, name)
    const text = readFileSync(path, 'utf8')
    const inlined = inlineConstants(text, layout)
    if (inlined !== text) writeFileSync(path, inlined)
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  await main()
