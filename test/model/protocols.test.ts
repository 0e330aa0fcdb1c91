// What: explores every scenario to its end, and checks the reduction against all interleavings where those are few.
// Flow: scenarios -> explore.ts -> this; prints how many schedules each one has.
// Thread: main.

import { afterAll, describe, expect, it } from 'vitest'
import { explore, type Scenario } from './explore.ts'
import { MOVE_SCENARIOS, OTHER_SCENARIOS, PORT_SCENARIOS, SCENARIOS } from './mutate.ts'
import { makeProgram, readSources } from './program.ts'

/** All but those of the port. */
const OWN = [...SCENARIOS, ...OTHER_SCENARIOS, ...MOVE_SCENARIOS]
const program = makeProgram(await readSources(OWN))
const portProgram = makeProgram(await readSources(PORT_SCENARIOS))
const programOf = (path: string) => (PORT_SCENARIOS.includes(path) ? portProgram : program)
const scenariosOf = (path: string): readonly Scenario[] => programOf(path).exportsOf(path).scenarios
const all = SCENARIOS.flatMap(scenariosOf)

const total = { schedules: 0, steps: 0 }
afterAll(() => {
  console.info(`all models: ${total.schedules} schedules, ${total.steps} operations`)
})

describe.each([...OWN, ...PORT_SCENARIOS])('%s', (path) => {
  const { sites } = programOf(path)
  it.each(
    scenariosOf(path).map((scenario) => {
      return [`${scenario.name} [${scenario.invariants.join(' ')}]`, scenario] as const
    }),
  )('%s', (_, scenario) => {
    const { schedules, repeats, steps, violation } = explore(scenario, { sites })
    console.info(`${scenario.name}: ${schedules} schedules, ${repeats} repeats cut`)
    // An exploration ends only when every schedule was run: a bound that is reached throws.
    expect(violation === null ? null : `${violation.message}\n${violation.trace}`).toBe(null)
    expect(schedules).toBeGreaterThan(0)
    total.schedules += schedules
    total.steps += steps
  })
})

describe('the reduction', () => {
  const few = [
    'stack: one producer, three entries',
    'stack: two producers, one entry each',
    'completion ring: one by one, two',
    'wake: one producer, one wake-up',
    'I/O count: one thread pins, the slot is used again',
    'chunks: the charge is used up',
  ]

  it.each(few)('finds every end that all interleavings of "%s" have', (name) => {
    const scenario = all.find((known) => known.name === name) as Scenario
    const [reduced, every] = [new Set<string>(), new Set<string>()]
    const { schedules } = explore(scenario, { outcomes: reduced })
    const full = explore(scenario, { outcomes: every, isFull: true })
    console.info(`${name}: ${schedules} of ${full.schedules} schedules, ${every.size} ends`)
    expect(full.violation).toBe(null)
    expect(full.schedules).toBeGreaterThanOrEqual(schedules)
    expect(every.size).toBeGreaterThan(0)
    expect([...reduced].sort()).toEqual([...every].sort())
  })
})
