// What: whether a tool that a test needs is on PATH; where nothing may be skipped, an error if not.
// Flow: scripts/test.mjs (TESTS_SKIP_NOTHING in CI) -> this -> tests.
// Thread: the test's.

import { findTool } from '../../scripts/preflight.mjs'

/**
 * For `describe.skipIf(!requireTool('nc', 'apt-get install -y netcat-openbsd'))`.
 * @throws where TESTS_SKIP_NOTHING is set and the tool is missing.
 */
export function requireTool(
  name: string,
  installHint: string,
  env: NodeJS.ProcessEnv = process.env,
): boolean {
  if (findTool(name, env.PATH ?? '') !== undefined) return true
  const sentence = `${name} is missing: ${installHint}`
  if (env.TESTS_SKIP_NOTHING) throw new Error(sentence)
  console.warn(`SKIPPED, ${sentence}`)
  return false
}
