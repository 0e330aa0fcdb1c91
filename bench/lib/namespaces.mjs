// What: two network namespaces with a pair of virtual interfaces between them: a wire that is not loopback.
// Flow: ip(8) makes them -> use -> they are deleted, also when use throws or a signal ends the script.
// Thread: the benchmark's own process; only what it has made is deleted.

import { execFileSync } from 'node:child_process'
import process from 'node:process'

const ADDRESSES = ['10.213.7.1', '10.213.7.2']

/**
 * Lets `use` have two sides, each { host, prefix }: its address, and the words in front of a command that runs
 * there. Returns { used }, or { refusal } with a sentence where namespaces cannot be made.
 */
export async function withNamespaces(use) {
  const names = ['a', 'b'].map((side) => `overlapped_${process.pid}_${side}`)
  const remove = () => names.forEach(removeNamespace)
  process.on('exit', remove)
  try {
    try {
      make(names)
    } catch (error) {
      return { refusal: String(error.stderr ?? error.message).trim() || error.message }
    }
    const sides = names.map((name, i) => ({
      host: ADDRESSES[i],
      prefix: ['ip', 'netns', 'exec', name],
    }))
    return { used: await use(...sides) }
  } finally {
    remove()
    process.off('exit', remove)
  }
}

function ip(...words) {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] })
}

function make(names) {
  for (const name of names) ip('netns', 'add', name)
  // The pair is made inside: an interface of the same name outside is nobody's business.
  const [first, second] = names
  ip('-n', first, 'link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', second)
  names.forEach((name, i) => {
    ip('-n', name, 'address', 'add', `${ADDRESSES[i]}/24`, 'dev', 'wire')
    ip('-n', name, 'link', 'set', 'wire', 'up')
    ip('-n', name, 'link', 'set', 'lo', 'up')
  })
}

function removeNamespace(name) {
  try {
    ip('netns', 'delete', name)
  } catch {
    // It was not made, or is gone.
  }
}
