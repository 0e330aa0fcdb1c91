// What: the simulation over many seeds; a seed that fails is printed with the command that runs it again.
// Flow: simulation.ts over seeds -> this.
// Thread: the test's.

import { beforeAll, expect, it } from 'vitest'
import { FAULTS, loadSimAddon } from './addon.ts'
import { SEEDS } from './seeds.ts'
import { MEETING_KINDS, makeEnvironment, type SimEnvironment, simulate } from './simulation.ts'
import { loadThreads } from './threads.ts'

const SEEDS_PER_TEST = 250

/** What a campaign must have seen besides the driver's faults. */
const OTHER_KINDS = [
  'interrupted',
  'settled open',
  'clean end',
  'slot retired',
  'table full',
  'full',
  'drained',
  'dropped',
  'foreign queued',
  'broadcast queued',
  'connected',
  'handler threw',
  'tick',
  'moved',
  'lane chosen',
  'zero copy',
  'zero copy limited',
  'left: closeTimeout',
  'left: idleTimeout',
  'left: firstMessageTimeout',
  'left: frameInvalid',
  'left: overflow',
  'left: peerReset',
]

/** One seed to run alone, with a trace; for people. */
const only = process.env.SIM_SEED

let environment: SimEnvironment

beforeAll(async () => {
  const trace = only === undefined ? null : (line: string) => console.log(line)
  environment = makeEnvironment(loadSimAddon(), await loadThreads(), 'none', trace)
})

async function runSeed(seed: number): Promise<void> {
  try {
    await simulate(environment, seed)
  } catch (error) {
    const again = `SIM_SEED=${seed} npx vitest run --project sim test/sim/campaign.test.ts`
    throw new Error(`seed ${seed}: ${(error as Error).message}\n${again}`, { cause: error })
  }
}

if (only !== undefined) {
  it(`seed ${only}`, () => runSeed(Number(only)))
} else {
  for (let first = 1; first <= SEEDS; first += SEEDS_PER_TEST) {
    const last = first + SEEDS_PER_TEST - 1
    it(`seeds ${first} to ${last}`, async () => {
      for (let seed = first; seed <= last; seed++) await runSeed(seed)
    })
  }

  it('saw every kind of fault and of end, and what is rare meet', () => {
    const lines = [...environment.seen].map(([kind, count]) => `${kind}: ${count}`)
    console.log(lines.sort().join('\n'))
    for (const kind of [...FAULTS, ...OTHER_KINDS, ...MEETING_KINDS])
      expect(environment.seen.get(kind) ?? 0, `'${kind}' happened`).toBeGreaterThan(0)
  })
}
