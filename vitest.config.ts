// What: how vitest runs the tests: unit tests and the simulation two files at a time, end-to-end tests one by one.
// Flow: scripts/test.mjs -> vitest -> this.
// Thread: one process per test file.

import { defineConfig } from 'vitest/config'

/** A test that hangs ends here; no test passes or fails by how long it takes. */
const TEST_TIMEOUT_MS = 60_000

const common = {
  pool: 'forks' as const,
  testTimeout: TEST_TIMEOUT_MS,
  hookTimeout: TEST_TIMEOUT_MS,
  // `import 'overlapped'` in a test is the built package, loaded by Node as users load it.
  server: { deps: { external: [/\/dist\/(src|workers)\//] } },
}

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**', 'test/sim/**'],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...common,
          name: 'sim',
          include: ['test/sim/**/*.test.ts'],
          maxWorkers: 2,
          // Twins of atomics.ts belong to Node's loader, as the built package does.
          server: { deps: { external: [...common.server.deps.external, /\/test\/sim\/.*\.mjs/] } },
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...common,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
