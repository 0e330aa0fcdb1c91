// What: whether the server as it is built knows these options.
// Flow: contestants.mjs -> this -> resolveOptions of the build.
// Thread: the benchmark's own process.

const built = new URL('../../dist/src/server/resolve_options.js', import.meta.url)
/** Undefined where nothing is built. */
const resolveOptions = await import(built.href).then(
  (module) => module.resolveOptions,
  () => undefined,
)

/** False also where nothing is built. */
export function serverKnows(options) {
  try {
    return resolveOptions?.(options) !== undefined
  } catch {
    return false
  }
}
