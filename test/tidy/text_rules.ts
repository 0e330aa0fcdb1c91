// What: checkers of what files say: headers, links, marks, atomics, paths of a machine.
// Flow: files.ts -> this -> text.test.ts.
// Thread: the test's.

import { posix } from 'node:path'
import { lineAt, type SourceFile, withoutComments } from './files.ts'

const HEADER = ['What:', 'Flow:', 'Thread:']

/** Files whose first three lines (after a `#!` line) are not comments with What, Flow and Thread. */
export function checkHeaders(files: readonly SourceFile[]): string[] {
  const violations: string[] = []
  for (const { path, text } of files) {
    const lines = text
      .split('\n')
      .slice(text.startsWith('#!') ? 1 : 0, text.startsWith('#!') ? 4 : 3)
    const isHeader = HEADER.every((word, i) => {
      const match = /^\s*(?:\/\/|\/\*+|\*)\s*(\w+:)\s*\S/.exec(lines[i] ?? '')
      return match?.[1] === word
    })
    if (!isHeader) violations.push(`${path}: lines 1 to 3 are not // What:, // Flow:, // Thread:`)
  }
  return violations
}

/** Relative links of Markdown files to files or folders that `exists` does not know. */
export function checkLinks(
  files: readonly SourceFile[],
  exists: (path: string) => boolean,
): string[] {
  const violations: string[] = []
  for (const { path, text } of files) {
    const blank = (match: string) => match.replace(/[^\n]/g, ' ')
    const prose = text
      .replace(/^(```|~~~)[\s\S]*?^\1/gm, blank)
      .replace(/<!--[\s\S]*?-->/g, blank)
      .replace(/(`+)(?!`)[^\n]*?[^`\n]\1(?!`)/g, blank)
    const links = [
      ...prose.matchAll(/\]\(\s*<?([^)<>\s]+)>?(?:\s+["'][^)]*)?\)/g),
      ...prose.matchAll(/^[ ]{0,3}\[[^\]\n]+\]:\s*<?([^\s<>]+)/gm),
    ]
    for (const match of links) {
      const link = match[1] ?? ''
      if (/^[a-z][a-z0-9+.-]*:/i.test(link) || link.startsWith('#')) continue
      const file = decodeURIComponent(link.replace(/[#?].*$/, ''))
      const target = posix.join(posix.dirname(path), file).replace(/\/$/, '')
      const isInside = !link.startsWith('/') && !target.startsWith('..')
      if (isInside && (target === '.' || exists(target))) continue
      violations.push(`${path}:${lineAt(text, match.index)}: ${link}`)
    }
  }
  return violations
}

// Put together, so that this file does not hold them.
const MARKS = new RegExp(
  `\\b(${['TO', 'FIX'].map((w, i) => w + ['DO', 'ME'][i]).join('|')})\\b`,
  'g',
)

/** Marks of work that was left. */
export function checkMarks(files: readonly SourceFile[]): string[] {
  return findAll(files, MARKS)
}

/** The doors to `Atomics`. */
export const ATOMICS_FILES: readonly string[] = ['src/shared/atomics.ts']

/** Uses of Atomics, in whatever form, outside its door; comments may name it. */
export function checkAtomics(files: readonly SourceFile[]): string[] {
  const others = files
    .filter(({ path }) => !ATOMICS_FILES.includes(path))
    .map(({ path, text }) => ({ path, text: withoutComments(text) }))
  return findAll(others, /\bAtomics\b(?=\s*[.[])|=\s*Atomics\b/g)
}

/** Paths below /home and /work: some machine's, unless part of a longer path or an address. */
export function checkMachinePaths(files: readonly SourceFile[]): string[] {
  return findAll(files, /(?<![\w.~*)}-])\/(?:home|work)\/[\w.-]/g)
}

/** Lock file entries that say which registry they came from. */
export function checkLockFile(file: SourceFile): string[] {
  return findAll([file], /"resolved"\s*:|https?:\/\/[^"]*\.tgz/g)
}

function findAll(files: readonly SourceFile[], pattern: RegExp): string[] {
  const violations: string[] = []
  for (const { path, text } of files) {
    for (const match of text.matchAll(pattern)) {
      violations.push(`${path}:${lineAt(text, match.index)}: ${match[0]}`)
    }
  }
  return violations
}
