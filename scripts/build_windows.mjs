// What: cross-builds the addon for Windows: mingw-w64, import libraries from lists of names, no download.
// Flow: `npm run build:windows`, wine_node.mjs -> this -> CMake -> build/win32-x64/overlapped.node.
// Thread: none; a build script.

import { spawnSync } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensurePackages } from './apt.mjs'
import { findTool } from './preflight.mjs'
import { isStale, root } from './setup.mjs'

const FOLDER = 'build/win32-x64'
const COMPILER = 'x86_64-w64-mingw32-g++-posix'

const target = {
  artifact: `${FOLDER}/overlapped.node`,
  sources: ['native', 'CMakeLists.txt', 'scripts/windows'],
}

function run(/** @type {string} */ file, /** @type {string[]} */ args) {
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (status === 0) return true
  console.error(`${file} ${args.join(' ')}\n${error?.message ?? `${stdout}${stderr}`}`)
  return false
}

/** Builds it if it is older than its sources; the exit code. */
export function buildWindows() {
  if (existsSync(join(root, target.artifact)) && !isStale(root, target)) return 0
  const path = process.env.PATH ?? ''
  const hasCompiler = () => findTool(COMPILER, path) !== undefined
  if (!ensurePackages([`g++-mingw-w64-x86-64-posix`], hasCompiler, 'The addon for Windows'))
    return 1
  const generator = findTool('ninja', path) === undefined ? 'Unix Makefiles' : 'Ninja'
  const configure = [
    ...['-S', '.', '-B', FOLDER, '-G', generator],
    `-DCMAKE_TOOLCHAIN_FILE=${join(root, 'scripts/windows/mingw-w64.cmake')}`,
  ]
  const built =
    run('cmake', configure) && run('cmake', ['--build', FOLDER, '--target', 'overlapped'])
  if (built) console.error(`built ${target.artifact}`)
  return built ? 0 : 1
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  process.exitCode = buildWindows()
