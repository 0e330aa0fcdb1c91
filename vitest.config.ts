// What: how vitest runs the tests: two files at a time, the longest first; what wants the machine for itself, one by one.
// Flow: scripts/test.mjs -> vitest -> this.
// Thread: one process per test file.

import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** A test that hangs ends here; no test passes or fails by how long it takes. */
const TEST_TIMEOUT_MS = 60_000

/** Minutes each: behind all others they would run while a core rests. */
const LONG = ['model/mutants', 'sim/campaign', 'sim/planted_bugs', 'model/protocols']
/** Two threads on two cores, which take turns millions of times. */
const LITMUS = 'test/shared/alias_litmus.test.ts'
/** Peers by the thousand, full memories, stalled servers. */
const ABUSE = 'test/e2e/abuse/**'

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const index = LONG.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`))
      return index === -1 ? LONG.length : index
    }
    // Stable, so that the rest stays as it was.
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}

const common = {
  pool: 'forks' as const,
  testTimeout: TEST_TIMEOUT_MS,
  hookTimeout: TEST_TIMEOUT_MS,
  // `import 'overlapped'` in a test is the built package, loaded by Node as users load it.
  server: { deps: { external: [/\/dist\/(src|workers)\//] } },
}

const project = (name: string, groupOrder: number, maxWorkers: number, include: string[]) => ({
  ...common,
  name,
  include,
  maxWorkers,
  sequence: { groupOrder },
})

export default defineConfig({
  test: {
    sequence: { sequencer: LongFirst },
    projects: [
      {
        test: {
          ...project('unit', 0, 2, ['test/**/*.test.ts']),
          exclude: ['test/e2e/**', 'test/sim/**', LITMUS],
        },
      },
      {
        test: {
          ...project('sim', 0, 2, ['test/sim/**/*.test.ts']),
          // Twins of atomics.ts belong to Node's loader, as the built package does.
          server: { deps: { external: [...common.server.deps.external, /\/test\/sim\/.*\.mjs/] } },
        },
      },
      { test: project('litmus', 1, 1, [LITMUS]) },
      { test: { ...project('e2e', 2, 2, ['test/e2e/**/*.test.ts']), exclude: [ABUSE] } },
      { test: project('abuse', 3, 1, [ABUSE]) },
    ],
  },
})
