// What: the files that the tidy checks read, and their text without comments.
// Flow: the checkout -> this -> checkers in test/tidy/.
// Thread: the test's.

import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A file as the checkers see it; `path` is from the package root, with `/`. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Folders that no check reads: other people's files, and what is built. */
const SKIPPED = new Set(['node_modules', 'dist', '.git', '.cache', 'coverage'])
const isSkipped = (name: string): boolean => SKIPPED.has(name) || /^build(-|$)/.test(name)

/** Every file under `folder` (from the package root); none where there is no such folder. */
export function listFiles(folder: string): string[] {
  const entries = (() => {
    try {
      return readdirSync(join(root, folder), { withFileTypes: true })
    } catch {
      return []
    }
  })()
  const paths: string[] = []
  for (const entry of entries) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (isSkipped(entry.name)) continue
    if (entry.isDirectory()) paths.push(...listFiles(path))
    else if (entry.isFile()) paths.push(path)
  }
  return paths.sort()
}

/** Files of these folders ('' is the package root) with one of these extensions (`.ts`). */
export function readFiles(
  folders: readonly string[],
  extensions?: readonly string[],
): SourceFile[] {
  return folders
    .flatMap(listFiles)
    .filter((path) => extensions === undefined || extensions.includes(extname(path)))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

export const CODE_FOLDERS = ['src', 'workers', 'native', 'test', 'bench', 'examples', 'scripts']
export const CODE_EXTENSIONS = ['.ts', '.mjs', '.js', '.cc', '.h', '.c']

/**
 * Text with comments blanked and lines kept. Knows strings, so that `'//'` is no comment; a regular
 * expression with a quote in it may hide the rest of its line, never more.
 */
export function withoutComments(text: string): string {
  const token =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*`/g
  return text.replace(token, (match) =>
    match.startsWith('/') ? match.replace(/[^\n]/g, ' ') : match,
  )
}

/** 1-based line of an index. */
export function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}
