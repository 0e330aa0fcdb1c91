// What: which core the server gets and which the load client gets.
// Flow: /proc/self/status -> two cores -> taskset in front of each command.
// Thread: the benchmark's own process.

import { readFileSync } from 'node:fs'

/**
 * The first core we may use is the server's, the second the client's. With one core only, or for a
 * server that is to have several, all share what there is.
 */
export function coresFor(count) {
  const allowed = allowedCores()
  const shared = allowed.slice(0, Math.max(2, count))
  if (count > 1 || allowed.length < 2) return { server: shared, client: shared }
  return { server: [allowed[0]], client: [allowed[1]] }
}

export function pinned(cores, command) {
  return ['taskset', '-c', cores.join(','), ...command.map(String)]
}

/** The kernel writes ranges: "0-3,8". */
function allowedCores() {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}
