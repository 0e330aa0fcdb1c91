// What: installs packages of Debian that a script needs and this machine lacks, and says so.
// Flow: build_windows.mjs, wine_node.mjs -> this -> apt-get.
// Thread: none; a script.

import { spawnSync } from 'node:child_process'

/**
 * Whether they are there now. `isThere` tells whether they are; `what` says in a sentence what for.
 * @param {string[]} packages
 * @param {() => boolean} isThere
 * @param {string} what
 */
export function ensurePackages(packages, isThere, what) {
  if (isThere()) return true
  const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`
  console.error(`${what} needs ${packages.join(' and ')}: ${command}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const apt = (/** @type {string[]} */ args) =>
    spawnSync('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=300', ...args], {
      encoding: 'utf8',
      env,
      maxBuffer: 1 << 28,
    })
  // Lists of a fresh machine are empty or old.
  apt(['update'])
  const { status, stdout, stderr, error } = apt([
    'install',
    '-y',
    '--no-install-recommends',
    ...packages,
  ])
  if (status === 0 && isThere()) return true
  console.error(`${command} failed: ${error?.message ?? `${stdout}${stderr}`}`)
  return false
}
