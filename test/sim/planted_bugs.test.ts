// What: tests of the simulation: a bug of each class, planted in the package or in the driver, is found.
// Flow: planted_bugs.mjs, the driver's own bugs -> simulation.ts over the campaign's seeds -> this.
// Thread: the test's.

import { describe, expect, it } from 'vitest'
import { DRIVER_BUGS, loadSimAddon } from './addon.ts'
import { plantedBugs } from './planted_bugs.mjs'
import { SEEDS } from './seeds.ts'
import { makeEnvironment, type SimEnvironment, simulate } from './simulation.ts'
import { loadThreads, type ThreadModules } from './threads.ts'

/** The rarest of them needs some two thousand seeds. */
const SEARCH_TIMEOUT_MS = 300_000

const addon = loadSimAddon()
let threads: Promise<readonly ThreadModules[]> | undefined

/** The first seed that fails, and with what; undefined: none of the campaign's does. */
async function find(environment: SimEnvironment): Promise<string | undefined> {
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      await simulate(environment, seed)
    } catch (error) {
      return `seed ${seed}: ${(error as Error).message}`
    }
  }
  return undefined
}

async function expectFound(environment: SimEnvironment, what: string): Promise<void> {
  const found = await find(environment)
  console.log(`${what}: ${found}`)
  expect(found).toMatch(/^seed /)
}

describe('a bug of the package is found', () => {
  it.each(Object.entries(plantedBugs))(
    '%s',
    async (name, { what, aim = null }) => {
      const threads = await loadThreads(name)
      await expectFound(makeEnvironment(addon, threads, 'none', null, aim), what)
    },
    SEARCH_TIMEOUT_MS,
  )
})

describe('a bug of the driver is found', () => {
  it.each(DRIVER_BUGS.filter((bug) => bug !== 'none'))('%s', async (bug) => {
    threads ??= loadThreads()
    await expectFound(makeEnvironment(addon, await threads, bug), bug)
  })
})
