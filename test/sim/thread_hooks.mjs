// What: module hooks: `…?thread=2` loads a file and all it imports once more, with atomics.ts replaced by its twin.
// Flow: threads.ts registers it -> Node's loader -> the built package, once per simulated thread.
// Thread: Node's loader thread.

import * as layout from '../../dist/src/layout/layout.js'
import { inlineInPiece } from '../../scripts/inline_constants.mjs'
import { plantedBugs } from './planted_bugs.mjs'

const THREAD = /\?thread=\d+(?:&bug=\w+)?$/
const TWIN = new URL('./atomics_twin.mjs', import.meta.url).href

export async function resolve(specifier, context, nextResolve) {
  const resolved = await nextResolve(specifier, context)
  const thread = THREAD.exec(context.parentURL ?? '')?.[0]
  if (thread === undefined || !/\/dist\/(src|workers)\//.test(resolved.url)) return resolved
  const url = resolved.url.endsWith('/dist/src/shared/atomics.js') ? TWIN : resolved.url
  return { ...resolved, url: url + thread }
}

/** `&bug=name` plants one: a piece of the built file, which must be there once, is replaced. */
export async function load(url, context, nextLoad) {
  const name = /[?&]bug=(\w+)$/.exec(url)?.[1]
  if (name === undefined) return nextLoad(url, context)
  const { file } = plantedBugs[name]
  // The built file has numbers where its source has the layout's names.
  const [find, replace] = ['find', 'replace'].map((key) =>
    inlineInPiece(plantedBugs[name][key], layout),
  )
  const loaded = await nextLoad(url, context)
  if (!new URL(url).pathname.endsWith(`/dist/${file}`)) return loaded
  const parts = String(Buffer.from(loaded.source)).split(find)
  if (parts.length !== 2) {
    throw new Error(`planted bug ${name}: ${file} has ${parts.length - 1} places that read ${find}`)
  }
  return { ...loaded, source: parts.join(replace) }
}
