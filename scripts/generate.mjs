// What: writes the files generated from src/layout/schema.ts; with --check names the stale ones.
// Flow: `npm run generate` -> compiles the schema and generator alone -> this -> generate.ts.
// Thread: none; a build script.

import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const out = join(root, 'dist', 'generate')
const tsc = join(root, 'node_modules/typescript/bin/tsc')
const options = [
  '--ignoreConfig --target es2023 --module nodenext --types node',
  '--rewriteRelativeImportExtensions --skipLibCheck --strict',
].join(' ')

// The generator is compiled apart from the rest, which cannot compile while layout.ts is stale.
execFileSync(
  process.execPath,
  [tsc, ...options.split(' '), '--outDir', out, join(root, 'src/layout/generate.ts')],
  { cwd: root, stdio: 'inherit' },
)
const { staleFiles, writeFiles } = await import(pathToFileURL(join(out, 'generate.js')).href)
if (process.argv.includes('--check')) {
  const stale = staleFiles(root)
  if (stale.length > 0) {
    console.error(`stale: ${stale.join(', ')}; run npm run generate`)
    process.exitCode = 1
  }
} else {
  writeFiles(root)
}
rmSync(out, { recursive: true })
