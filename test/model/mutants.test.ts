// What: at least nine of ten mutants are noticed by the models; those that are not stand on a page, with the reason.
// Flow: mutate.ts, docs/protocols/mutants.md -> this.
// Thread: main.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { root } from '../tidy/files.ts'
import { type Mutant, Mutants, PARTS } from './mutate.ts'

/** Share of mutants that must be noticed. */
const KILLED_MIN = 0.9
/** Each mutant is a few schedules, a survivor some thousands. */
const TIMEOUT_MS = 1_800_000

/** `* \`name\`: reason` of the page. */
function explained(): Map<string, string> {
  const page = readFileSync(join(root, 'docs/protocols/mutants.md'), 'utf8')
  const items = page.matchAll(/^\* `([^`]+)`: (\S[^\n]*(?:\n {2}\S[^\n]*)*)/gm)
  return new Map([...items].map(([, name = '', reason = '']) => [name, reason]))
}

it(
  'nine of ten mutants are noticed, the others are explained',
  async () => {
    const all: Mutant[] = []
    for (const part of PARTS) {
      const mutants = await Mutants.make(part)
      all.push(...mutants.ofCalls(), ...mutants.ofOrders())
    }
    const survivors = all.filter(({ killedBy }) => killedBy === null)
    const killers = new Map<string, number>()
    for (const { killedBy } of all)
      if (killedBy !== null) killers.set(killedBy, (killers.get(killedBy) ?? 0) + 1)
    for (const [name, count] of [...killers].sort(([, a], [, b]) => b - a))
      console.info(`${count} mutants are noticed by "${name}"`)
    const killed = all.length - survivors.length
    console.info(`${killed} of ${all.length} mutants are noticed, ${survivors.length} survive`)

    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length)
    const reasons = explained()
    const names = survivors.map(({ name }) => name)
    expect(
      names.filter((name) => !reasons.has(name)),
      'survive without a reason',
    ).toEqual([])
    expect(
      [...reasons.keys()].filter((name) => !names.includes(name)),
      'no survivors',
    ).toEqual([])
    expect(killed / all.length).toBeGreaterThanOrEqual(KILLED_MIN)
  },
  TIMEOUT_MS,
)
