// What: changes each call of an atomic operation in turn and asks the models whether they notice.
// Flow: sites of program.ts, adjacent statements -> explore.ts with a mutation -> mutants.test.ts.
// Thread: the test's.

import { How } from './execution.ts'
import { explore, type Scenario } from './explore.ts'
import { makeProgram, type Program, readSources, type Sources } from './program.ts'
import { mark, readModule, type Site, swaps } from './transform.ts'

/** Files of scenarios, those that find most and cost least first. */
export const SCENARIOS = [
  'stack',
  'protocols',
  'ring',
  'nodes',
  'wake',
  'job_ring',
  'io_count',
  'live_slots',
  'resume',
  'lock',
  'groups',
  'chunks',
  'content',
  'send',
  'broadcast',
  'send_thread',
].map((name) => `test/model/scenarios/${name}.ts`)

/** Sessions that move between update threads; only what they have of their own is mutated with them. */
export const MOVE_SCENARIOS = ['test/model/scenarios/moves.ts']

/** Explored, but not with mutants: what they do with their words, others do alone. */
export const OTHER_SCENARIOS = ['test/model/scenarios/content_sends.ts']

/** In a program of their own: names of its methods are those of others that reach no atomic operation. */
export const PORT_SCENARIOS = ['port_others', 'port'].map(
  (name) => `test/model/scenarios/${name}.ts`,
)

/** Files of a completion port. */
const PORT_ROOMS = /^src\/shared\/(completion_port|port_)/
/** Other rooms whose calls are mutated: their words are those of the protocols. */
const ROOMS =
  /^src\/(shared|outbound)\/|^src\/(inbound\/completion_ring|update\/job_ring|session\/foreign_sends)/
/** Functions elsewhere: both halves of requests and releases, and what native.ts has of the native half. */
const FUNCTIONS =
  /^session\/(lifecycle takeForeign|requests takeRequests) |^update\/content_session (endBy|#tellFlow) |^native (used|commit|hasWork|sleepOrLook) /
/** Both halves of a move. */
const MOVE_FUNCTIONS =
  /^session\/requests (#move|#moved) |^update\/content (#move|#moveOut|moveIn) /

interface Named {
  readonly path: string
  readonly name: string
}

/** Scenarios that make one program, and which calls are mutated in it. */
interface Part {
  readonly scenarios: readonly string[]
  isMutated(site: Named): boolean
}

export const PARTS: readonly Part[] = [
  {
    scenarios: SCENARIOS,
    isMutated: ({ path, name }) =>
      (ROOMS.test(path) && !PORT_ROOMS.test(path)) || FUNCTIONS.test(name),
  },
  { scenarios: MOVE_SCENARIOS, isMutated: ({ name }) => MOVE_FUNCTIONS.test(name) },
  { scenarios: PORT_SCENARIOS, isMutated: ({ path }) => PORT_ROOMS.test(path) },
]

/**
 * Schedules of each scenario that a mutant runs: most are noticed in the first few; one that survives runs
 * them all, in every scenario that comes by its place.
 */
const SCHEDULES_PER_SCENARIO = 100

export interface Mutant {
  /** `shared/link_stack push compareExchange 1: split`. */
  readonly name: string
  /** The scenario that noticed; null: none did. */
  readonly killedBy: string | null
  /** What it said. */
  readonly message: string
}

interface Known {
  readonly path: string
  readonly index: number
  readonly scenario: Scenario
  /** What an exploration costs. */
  readonly steps: number
  readonly reached: ReadonlySet<number>
  /** Mutants that it has noticed. */
  noticed: number
}

function waysOf({ kind }: Site): readonly (keyof typeof How)[] {
  if (kind === 'wait' || kind === 'notify') return ['drop']
  return kind === 'load' || kind === 'store' ? ['drop', 'plain'] : ['drop', 'plain', 'split']
}

export class Mutants {
  readonly sources: Sources
  readonly program: Program
  readonly known: Known[] = []
  readonly #part: Part

  private constructor(part: Part, sources: Sources) {
    this.#part = part
    this.sources = sources
    this.program = makeProgram(sources)
    for (const path of part.scenarios) {
      const scenarios: readonly Scenario[] = this.program.exportsOf(path).scenarios
      for (const [index, scenario] of scenarios.entries()) {
        const reached = new Set<number>()
        const stopAfter = SCHEDULES_PER_SCENARIO
        const { steps, violation } = explore(scenario, { reached, stopAfter })
        if (violation !== null) throw new Error(`${scenario.name}: ${violation.message}`)
        this.known.push({ path, index, scenario, steps, reached, noticed: 0 })
      }
    }
  }

  static async make(part: Part): Promise<Mutants> {
    return new Mutants(part, await readSources(part.scenarios))
  }

  /** Every call of an atomic operation, dropped, made plain or split. */
  *ofCalls(): Generator<Mutant> {
    for (const [site, info] of this.program.sites.entries()) {
      if (!this.#part.isMutated(info)) continue
      const reaching = this.known.filter(({ reached }) => reached.has(site))
      for (const way of waysOf(info)) {
        const name = `${info.name}: ${way}`
        yield this.#run(name, reaching, ({ scenario }) => scenario, { site, how: How[way] })
      }
    }
  }

  /** Every pair of statements of which the order may matter to other threads, exchanged. */
  *ofOrders(): Generator<Mutant> {
    for (const module of this.sources.modules.values()) {
      for (const swap of swaps(module, this.sources.names)) {
        if (!this.#part.isMutated({ path: module.path, name: swap.name })) continue
        const changed = mark(readModule(module.path, swap.text), this.sources.names)
        const program = makeProgram(this.sources, changed)
        const touched = new Set(
          this.program.sites.flatMap((site, number) =>
            site.path === module.path && site.name.startsWith(swap.functionName) ? [number] : [],
          ),
        )
        const reaching = this.known.filter(
          ({ reached }) => touched.size === 0 || [...touched].some((site) => reached.has(site)),
        )
        yield this.#run(
          swap.name,
          reaching,
          ({ path, index }) => program.exportsOf(path).scenarios[index] as Scenario,
        )
      }
    }
  }

  #run(
    name: string,
    reaching: readonly Known[],
    scenarioOf: (known: Known) => Scenario,
    mutation?: { readonly site: number; readonly how: How },
  ): Mutant {
    // Those that have noticed most of others first; of equals, those that cost least.
    const ordered = reaching.toSorted((a, b) => b.noticed - a.noticed || a.steps - b.steps)
    const runs = [false, true].flatMap((isReversed) =>
      ordered.map((known) => ({ known, isReversed })),
    )
    for (const { known, isReversed } of runs) {
      const scenario = scenarioOf(known)
      const { violation } = explore(scenario, {
        stopAfter: SCHEDULES_PER_SCENARIO,
        isReversed,
        ...(mutation === undefined ? {} : { mutation }),
      })
      if (violation !== null) {
        if (/is not (iterable|a function)/.test(violation.message))
          throw new Error(`${name}: ${violation.message}`)
        known.noticed++
        return { name, killedBy: scenario.name, message: violation.message }
      }
    }
    return { name, killedBy: null, message: reaching.length === 0 ? 'no model comes here' : '' }
  }
}
